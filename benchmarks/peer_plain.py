"""The plain loop in the manner of timm's training script: its loader, optimizer and schedule."""

from __future__ import annotations

import time

import torch
from peer_task import CROP_SCALE, MEAN, STD, Settings, answer, build_start
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch.nn import functional


def run(settings: Settings) -> dict[str, object]:
    """Fine-tune all weights and answer for test."""
    began = time.perf_counter()
    torch.manual_seed(settings.seed)
    train_set = create_dataset("", root=str(settings.train_dir))
    test_set = create_dataset("", root=str(settings.test_dir))
    loader = create_loader(
        train_set,
        input_size=(3, settings.size, settings.size),
        batch_size=settings.batch_size,
        is_training=True,
        no_aug=settings.augment == "none",
        scale=(CROP_SCALE, 1.0),
        color_jitter=0.0,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=settings.num_workers,
        persistent_workers=settings.num_workers > 0,
        use_prefetcher=False,
        device=torch.device("cpu"),
    )
    test_loader = create_loader(
        test_set,
        input_size=(3, settings.size, settings.size),
        batch_size=64,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        crop_pct=1.0,
        num_workers=settings.num_workers,
        persistent_workers=False,
        use_prefetcher=False,
        device=torch.device("cpu"),
    )
    model = build_start(len(train_set.reader.class_to_idx))
    optimizer = create_optimizer_v2(
        model,
        opt="sgd",
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    num_steps = settings.num_epochs * len(loader)
    num_warmup = round(settings.warmup_fraction * num_steps)
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=num_steps,
        warmup_t=num_warmup,
        warmup_lr_init=settings.learning_rate / max(1, num_warmup),
        t_in_epochs=False,
    )
    started = time.perf_counter()
    step = 0
    model.train()
    for _ in range(settings.num_epochs):
        for images, targets in loader:
            loss = functional.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            scheduler.step_update(step)
    train_seconds = time.perf_counter() - started
    correct = 0
    model.eval()
    with torch.inference_mode():
        for images, targets in test_loader:
            correct += int((model(images).argmax(dim=1) == targets).sum())
    return answer(
        settings,
        train_seconds=train_seconds,
        num_correct=correct,
        num_test=len(test_set),
        job_seconds=time.perf_counter() - began,
    )
