"""headstart with the settings of its peers: every default that they do not share is switched off.

That is: no label smoothing, mixup, clipping, weight average or early stop, and one learning rate
for all layers. What stays is how headstart works: images decoded once, batches cut from one array,
augmentation on whole batches, channels-last memory, validation checks.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from milestones import import_everything, stopwatch
from peer_task import Settings, answer

import headstart as hs
from headstart.data import decode
from headstart.starts import build_encoder, find_start
from headstart.types import Dataset

import_everything()
START = "pip/efficientnet-lite0"


def decode_seconds(dataset: Dataset, settings: Settings) -> float:
    """Fill the cache that ``finetune`` will find; return the seconds train and val took."""
    encoder = build_encoder(
        find_start(START),
        image_size=dataset.image_size,
        image_channels=dataset.image_channels,
        size=settings.size,
    )
    began = time.perf_counter()
    decode(dataset, "train", encoder.spec)
    decode(dataset, "val", encoder.spec)
    return time.perf_counter() - began


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
            clip=0.0,
            ema=False,
            patience=0,
            precision="fp32",
            device="cpu",
            seed=settings.seed,
        )
        metrics = run.metrics
        momentum = run.options["recipe"]["momentum"]
    if momentum != settings.momentum:
        raise ValueError(f"headstart's momentum {momentum} is not the peers' {settings.momentum}.")
    num_test = int(metrics["test"]["num_items"])
    result = answer(
        settings,
        train_seconds=float(metrics["seconds"]["tune"]),
        num_correct=round(float(metrics["test"]["figures"]["accuracy"]["value"]) * num_test),
        num_test=num_test,
        job_seconds=watch.require_test_seconds(),
    )
    return result | {"decode_seconds": decoding, "load_seconds": load_seconds}
