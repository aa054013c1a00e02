"""headstart with the settings of its peers: every default that they do not share is switched off.

That is: no label smoothing, mixup, clipping, weight average or early stop, batch statistics that
learn, and one learning rate for all layers. What stays is how headstart works: images decoded once,
batches cut from one array, augmentation on whole batches, channels-last memory, validation checks.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from milestones import import_everything, stopwatch
from peer_task import Settings, answer

import headstart as hs
from headstart.starts import BuildRequest, build_encoder, find_start
from headstart.types import Dataset

import_everything("timm", "torchvision")
START = "pip/efficientnet-lite0"


def decode_seconds(dataset: Dataset, settings: Settings) -> float:
    """Fill the cache that ``finetune`` will find; return the seconds train and val took."""
    encoder = build_encoder(
        find_start(START),
        BuildRequest(
            image_size=dataset.image_size, image_channels=dataset.image_channels, size=settings.size
        ),
    )
    began = time.perf_counter()
    encoder.preprocess.prepare(dataset, "train")
    encoder.preprocess.prepare(dataset, "val")
    return time.perf_counter() - began


def refuse_unequal(
    recipe: Mapping[str, object], settings: Settings, batchnorm: str = "train"
) -> None:
    """Compare what headstart resolved with what the peers do, so that no default slips in.

    Args:
        recipe: What headstart resolved.
        settings: What the peers were given.
        batchnorm: What the peers' layers do.

    Raises:
        ValueError: Naming every option that differs.
    """
    expected: dict[str, object] = {
        "optimizer": "sgd",
        "learning_rate": settings.learning_rate,
        "momentum": settings.momentum,
        "weight_decay": settings.weight_decay,
        "schedule": "cosine",
        "warmup_fraction": settings.warmup_fraction,
        "batch_size": settings.batch_size,
        "micro_batch_size": settings.batch_size,
        "num_epochs": settings.num_epochs,
        "head_multiplier": 1.0,
        "bottom_multiplier": 1.0,
        "label_smoothing": 0.0,
        "l1_penalty": 0.0,
        "dropout": 0.0,
        "drop_path": 0.0,
        "mixup": 0.0,
        "cutmix": 0.0,
        "clip": 0.0,
        "ema_half_life": 0.0,
        "batchnorm": batchnorm,
        "imbalance": "none",
        "precision": "fp32",
        "compile": False,
    }
    told = [f"{n} {recipe[n]!r}, not {want!r}" for n, want in expected.items() if recipe[n] != want]
    if told:
        raise ValueError(f"headstart trained otherwise than its peers: {'; '.join(told)}.")


def run(settings: Settings) -> dict[str, object]:
    """Fine-tune all weights and answer for test."""
    with tempfile.TemporaryDirectory() as folder, stopwatch() as watch:
        dataset = hs.load(settings.folder)
        load_seconds = watch.seconds
        decoding = decode_seconds(dataset, settings)
        run = hs.finetune(
            dataset,
            start=START,
            strategy="full",
            out=str(Path(folder) / "run"),
            input_size=settings.size,
            num_epochs=settings.num_epochs,
            batch_size=settings.batch_size,
            optimizer="sgd",
            learning_rate=settings.learning_rate,
            head_multiplier=1.0,
            bottom_multiplier=1.0,
            weight_decay=settings.weight_decay,
            schedule="cosine",
            warmup_fraction=settings.warmup_fraction,
            augment="none" if settings.augment == "none" else "standard",
            label_smoothing=0.0,
            mixup=0.0,
            imbalance="none",
            batchnorm="train",  # as the peers' layers do; headstart's default keeps the start's
            clip=0.0,
            ema=False,
            patience=0,
            precision="fp32",
            device="cpu",
            seed=settings.seed,
        )
        metrics, options = run.metrics, run.options
    refuse_unequal(options["recipe"], settings)
    num_test = int(metrics["test"]["num_items"])
    result = answer(
        settings,
        None,
        # the loop's own time: its steps and the validation checks between them
        train_seconds=float(options["training"]["seconds"]),
        num_correct=round(float(metrics["test"]["figures"]["accuracy"]["value"]) * num_test),
        num_test=num_test,
        job_seconds=watch.require_test_seconds(),
    )
    return result | {"decode_seconds": decoding, "load_seconds": load_seconds}
