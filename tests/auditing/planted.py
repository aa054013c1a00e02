"""Data with labels made wrong on purpose, and which they are."""

from __future__ import annotations

import dataclasses

import numpy as np

from headstart.data import load
from headstart.types import Dataset


def flipped(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, dict[str, np.ndarray]]:
    """Return the data with another class for a share of all samples, and where, by split."""
    draw, parts, planted = np.random.default_rng(seed), {}, {}
    num_classes = len(dataset.schema.classes)
    for name in ("train", "val", "test"):
        split = dataset.split(name)
        targets, num = split.targets.copy(), int(share * len(split))
        places = draw.choice(len(split), num, replace=False)
        targets[places] = (targets[places] + draw.integers(1, num_classes, num)) % num_classes
        parts[name] = dataclasses.replace(split, targets=targets)
        planted[name] = np.isin(np.arange(len(split)), places)
    return dataclasses.replace(dataset, **parts), planted


def digits() -> Dataset:
    """Return 1,797 real digits of eight by eight pixels."""
    return load("digits-8x8")


def share_planted(suspects, planted: dict[str, np.ndarray]) -> float:
    """Return the share of suspects that were planted."""
    return float(np.mean([planted[s.spot.split][s.spot.index] for s in suspects]))
