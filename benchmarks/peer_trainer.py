"""Hugging Face Trainer, as its image-classification example does it.

A data set with transforms, a collate function, a model that returns loss and logits.
"""

from __future__ import annotations

import tempfile
import time

import torch
from peer_task import CROP_SCALE, MEAN, STD, Settings, answer, build_start
from photos import MemoryPhotos, normalise, read_photos
from torch import nn
from torchvision import transforms
from torchvision.datasets import ImageFolder
from transformers import Trainer, TrainingArguments
from transformers.modeling_outputs import ImageClassifierOutput


class Classifier(nn.Module):
    """A timm network with the signature that Trainer calls."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None
    ) -> ImageClassifierOutput:
        """Return logits (B, K), and the mean cross-entropy when labels are given."""
        logits = self.network(pixel_values)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)


def collate(samples: list[tuple[torch.Tensor, int]]) -> dict[str, torch.Tensor]:
    """Return a batch under the names that Trainer passes on."""
    return {
        "pixel_values": torch.stack([image for image, _ in samples]),
        "labels": torch.tensor([target for _, target in samples]),
    }


def collate_bytes(samples: list[tuple[torch.Tensor, int]]) -> dict[str, torch.Tensor]:
    """Return a batch of images that lie in memory as bytes."""
    batch = collate(samples)
    return batch | {"pixel_values": normalise(batch["pixel_values"])}


def find_images(settings: Settings) -> tuple[ImageFolder, ImageFolder]:
    """Return train and test as folders of files with transforms."""
    tail = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    plain = [transforms.Resize(settings.size), transforms.CenterCrop(settings.size)]
    varied = [
        transforms.RandomResizedCrop(settings.size, scale=(CROP_SCALE, 1.0)),
        transforms.RandomHorizontalFlip(),
    ]
    head = plain if settings.augment == "none" else varied
    train_set = ImageFolder(str(settings.train_dir), transforms.Compose(head + tail))
    return train_set, ImageFolder(str(settings.test_dir), transforms.Compose(plain + tail))


def run(settings: Settings) -> dict[str, object]:
    """Fine-tune what learns and answer for test."""
    began = time.perf_counter()
    torch.manual_seed(settings.seed)
    train_set: MemoryPhotos | ImageFolder
    test_set: MemoryPhotos | ImageFolder
    if settings.in_memory:
        train_set, test_set = read_photos(settings, "train"), read_photos(settings, "test")
    else:
        train_set, test_set = find_images(settings)
    model = Classifier(build_start(settings, len(train_set.classes)))
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    decayed = [weight for weight in learning if weight.ndim > 1]
    free = [weight for weight in learning if weight.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed}, {"params": free, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=True,
        weight_decay=settings.weight_decay,
    )
    num_steps = settings.num_epochs * settings.num_batches
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=settings.num_epochs,
                per_device_train_batch_size=settings.batch_size,
                per_device_eval_batch_size=64,
                learning_rate=settings.learning_rate,
                lr_scheduler_type="cosine",
                warmup_steps=round(settings.warmup_fraction * num_steps),
                max_grad_norm=0.0,
                dataloader_num_workers=settings.num_workers,
                dataloader_pin_memory=False,
                remove_unused_columns=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                seed=settings.seed,
            ),
            train_dataset=train_set,
            eval_dataset=test_set,
            data_collator=collate_bytes if settings.in_memory else collate,
            # its own optimizers know no Nesterov momentum; the schedule stays Trainer's
            optimizers=(optimizer, None),
        )
        started, processor_started = time.perf_counter(), time.process_time()
        trainer.train()
        train_seconds = time.perf_counter() - started
        processor_seconds = time.process_time() - processor_started
        output = trainer.predict(test_set)
        correct = int((output.predictions.argmax(axis=1) == output.label_ids).sum())
    return answer(
        settings,
        model,
        train_seconds=train_seconds,
        num_correct=correct,
        num_test=len(test_set),
        job_seconds=time.perf_counter() - began,
        processor_seconds=processor_seconds,
    )
