"""What augmentation does to numbers told of images: planted targets on real pictures.

The targets are exact functions of the pictures, so that what is lost is lost by the training:
``angle`` (digits turned by -45° to 45°; a mirror changes its sign), ``place`` (where a digit lies
from left to right), ``brightness`` and ``yellow`` (mean luminance, share of yellow pixels, of
flowers). R² on test of ``scratch/simple-cnn``, 600 training images, three seeds; the difference to
no augmentation is of the mean over the seeds, with its 95 % interval over 400 test items
(bootstrap of items, the same for both).

    HEADSTART_DATA=data python benchmarks/regression_augment.py
"""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

import headstart as hs
from headstart.training.batches import augment

DATA = Path(os.environ["HEADSTART_DATA"])
NUM_TRAIN, NUM_VAL, NUM_TEST = 600, 100, 400
NUM_EPOCHS = 12
SEEDS = (0, 1, 2)
SIDE = 48
POLICIES: dict[str, augment.Policy | None] = {
    "none": None,
    "gentle": augment.Policy(translate=0.03, zoom=0.04, colour=0.1, padding="border"),
    "moved": augment.Policy(translate=0.03, zoom=0.04, padding="border"),
    "standard": augment.POLICIES["standard"],
}


def flowers(num: int) -> np.ndarray:
    """Return photos, uint8 (N, S, S, 3)."""
    cells = pq.read_table(DATA / "flowers5" / "train.parquet")["image"].to_pylist()
    chosen = np.random.default_rng(0).permutation(len(cells))[:num]
    opened = (Image.open(io.BytesIO(cells[i]["bytes"])).convert("RGB") for i in chosen)
    return np.stack([np.asarray(image.resize((SIDE, SIDE))) for image in opened])


def digits(num: int) -> np.ndarray:
    """Return MNIST, uint8 (N, 28, 28)."""
    file = next((DATA / "mnist").glob("t10k-images*"))
    pixels = np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=16)
    return pixels.reshape(-1, 28, 28)[:num]


def tasks(num: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return images and targets of each task."""
    draw, photos, numbers = np.random.default_rng(1), flowers(num), digits(num)
    angles = draw.uniform(-45, 45, num)
    pairs = zip(numbers, angles, strict=True)
    turned = [np.asarray(Image.fromarray(d).rotate(a, Image.Resampling.BILINEAR)) for d, a in pairs]
    places, moved = draw.integers(0, SIDE - 28, num), np.zeros((num, SIDE, SIDE), np.uint8)
    for canvas, digit, left in zip(moved, numbers, places, strict=True):
        canvas[10:38, left : left + 28] = digit
    red, green, blue = photos.astype(float).transpose(3, 0, 1, 2)
    yellow = (np.minimum(red, green) > blue + 60).mean(axis=(1, 2))
    return {
        "angle": (np.stack(turned), angles),
        "place": (moved, places.astype(float)),
        "brightness": (photos, photos.mean(axis=(1, 2, 3))),
        "yellow": (photos, yellow),
    }


def predictions(images: np.ndarray, targets: np.ndarray, policy: str, seed: int) -> np.ndarray:
    """Return what a model says of the last ``NUM_TEST`` items."""
    known = NUM_TRAIN + NUM_VAL
    augment.POLICIES["gentle"] = POLICIES[policy]
    shares = {"val_fraction": NUM_VAL / known, "test_fraction": 0.01}
    data = hs.load((images[:known], targets[:known]), task="regression", seed=seed, **shares)
    with tempfile.TemporaryDirectory() as out:
        run = hs.finetune(
            data,
            start="scratch/simple-cnn",
            num_epochs=NUM_EPOCHS,
            augment="gentle",
            seed=seed,
            out=f"{out}/run",
        )
        return np.array([one.value for one in run.predict(images[known:])])


def r2(told: np.ndarray, targets: np.ndarray) -> float:
    """Return the share of the variance that is explained."""
    return float(1 - ((told - targets) ** 2).mean() / targets.var())


def main() -> None:
    """Print one line a task and policy."""
    num = NUM_TRAIN + NUM_VAL + NUM_TEST
    for name, (images, targets) in tasks(num).items():
        truth, found = targets[-NUM_TEST:], dict[str, list[np.ndarray]]()
        draws = np.random.default_rng(2).integers(0, NUM_TEST, (500, NUM_TEST))
        for policy in POLICIES:
            found[policy] = [predictions(images, targets, policy, seed) for seed in SEEDS]
            each = [r2(told, truth) for told in found[policy]]
            gains = [
                np.mean([r2(one[d], truth[d]) for one in found[policy]])
                - np.mean([r2(one[d], truth[d]) for one in found["none"]])
                for d in draws
            ]
            low, high = np.percentile(gains, (2.5, 97.5))
            shown = " ".join(f"{value:.3f}" for value in each)
            gain = f"{np.mean(each) - np.mean([r2(o, truth) for o in found['none']]):+.3f}"
            print(f"{name:10} {policy:9} {shown}  {gain} [{low:+.3f}, {high:+.3f}]", flush=True)


if __name__ == "__main__":
    main()
