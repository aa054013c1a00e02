"""The plain loop in the manner of timm's training script: its loader, optimizer and schedule.

From memory it is plainer still: batches are cut from one tensor, without a loader.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from peer_task import CROP_SCALE, MEAN, STD, Settings, answer, build_start
from photos import read_photos
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor
from torch.nn import functional

_TEST_BATCH = 64
Batches = Iterable[tuple[Tensor, Tensor]]


def from_files(settings: Settings) -> tuple[Callable[[int], Batches], Batches, int]:
    """Return train batches by epoch, test batches, and the number of classes, by timm's loaders."""
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
        batch_size=_TEST_BATCH,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        crop_pct=1.0,
        num_workers=settings.num_workers,
        persistent_workers=False,
        use_prefetcher=False,
        device=torch.device("cpu"),
    )
    return lambda epoch: loader, test_loader, len(train_set.reader.class_to_idx)


def from_memory(settings: Settings) -> tuple[Callable[[int], Batches], Batches, int]:
    """Return the same from images in memory; the last batch may be smaller."""
    train_set, test_set = read_photos(settings, "train"), read_photos(settings, "test")

    def batches(epoch: int) -> Batches:
        order = torch.randperm(len(train_set))
        return (train_set.batch(places, epoch) for places in order.split(settings.batch_size))

    in_order = torch.arange(len(test_set)).split(_TEST_BATCH)
    test_batches = [test_set.batch(places, 0) for places in in_order]
    return batches, test_batches, len(train_set.classes)


def run(settings: Settings) -> dict[str, object]:
    """Fine-tune what learns and answer for test."""
    began = time.perf_counter()
    torch.manual_seed(settings.seed)
    read = from_memory if settings.in_memory else from_files
    train_batches, test_batches, num_classes = read(settings)
    model = build_start(settings, num_classes)
    optimizer = create_optimizer_v2(
        model,
        opt="sgd",
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    num_steps = settings.num_epochs * settings.num_batches
    num_warmup = round(settings.warmup_fraction * num_steps)
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=num_steps,
        warmup_t=num_warmup,
        warmup_lr_init=settings.learning_rate / max(1, num_warmup),
        t_in_epochs=False,
    )
    started, processor_started = time.perf_counter(), time.process_time()
    step = 0
    model.train()
    for epoch in range(settings.num_epochs):
        for images, targets in train_batches(epoch):
            loss = functional.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            scheduler.step_update(step)
    train_seconds = time.perf_counter() - started
    processor_seconds = time.process_time() - processor_started
    correct = num_test = 0
    model.eval()
    with torch.inference_mode():
        for images, targets in test_batches:
            correct += int((model(images).argmax(dim=1) == targets).sum())
            num_test += len(targets)
    return answer(
        settings,
        model,
        train_seconds=train_seconds,
        num_correct=correct,
        num_test=num_test,
        job_seconds=time.perf_counter() - began,
        processor_seconds=processor_seconds,
    )
