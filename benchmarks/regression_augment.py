"""What augmentation does to numbers told of images: planted targets on real pictures.

The targets are exact functions of the pictures, so that what is lost is lost by the training:
``angle`` (digits turned by -45° to 45°; a mirror changes its sign), ``brightness`` and ``yellow``
(mean luminance, share of yellow pixels, of flowers). The textbook network with headstart's
augmentation, AdamW, one cycle, 600 training images, three seeds; R² on 400 test images. The
difference to no augmentation is that of the means over the seeds, with its 95 % interval (bootstrap
of the test images, the same for both).

    HEADSTART_DATA=data python benchmarks/regression_augment.py [TASK ...]
"""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from headstart.starts.images.scratch import build_simple_cnn
from headstart.training.batches import augment

DATA = Path(os.environ["HEADSTART_DATA"])
NUM_TRAIN, NUM_TEST = 600, 400
NUM_EPOCHS, BATCH, RATE = 15, 50, 0.003
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
    red, green, blue = photos.astype(float).transpose(3, 0, 1, 2)
    yellow = (np.minimum(red, green) > blue + 60).mean(axis=(1, 2))
    return {
        "angle": (np.stack(turned), angles),
        "brightness": (photos, photos.mean(axis=(1, 2, 3))),
        "yellow": (photos, yellow),
    }


def predictions(images: np.ndarray, targets: np.ndarray, policy: str, seed: int) -> np.ndarray:
    """Return what a network says of the last ``NUM_TEST`` images."""
    torch.manual_seed(seed)
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float().div(255)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    mean, scale = targets[:NUM_TRAIN].mean(), targets[:NUM_TRAIN].std()
    wanted = torch.from_numpy((targets - mean) / scale).float()
    network = nn.Sequential(
        build_simple_cnn(pixels.shape[1], pixels.shape[2], 0.0), nn.Linear(128, 1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    num_steps = NUM_EPOCHS * (NUM_TRAIN // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, num_steps)
    chosen = POLICIES[policy]
    for epoch in range(NUM_EPOCHS):
        order = np.random.default_rng((seed, epoch)).permutation(NUM_TRAIN)
        for ids in order.reshape(-1, BATCH):
            batch = pixels[ids]
            if chosen is not None:
                batch = augment.augment(batch, ids, chosen, seed=seed, epoch=epoch)
            loss = functional.mse_loss(network((batch - 0.5) / 0.25)[:, 0], wanted[ids])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        told = network((pixels[-NUM_TEST:] - 0.5) / 0.25)[:, 0].double().numpy()
    return told * scale + mean


def r2(told: np.ndarray, targets: np.ndarray) -> float:
    """Return the share of the variance that is explained."""
    return float(1 - ((told - targets) ** 2).mean() / targets.var())


def main() -> None:
    """Print one line a task and policy."""
    num = NUM_TRAIN + NUM_TEST
    for name, (images, targets) in tasks(num).items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
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
