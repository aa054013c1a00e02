"""Answers about images and texts that are given apart: of each the likeliest of the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.types import Prediction
from headstart.types.figures import foremost


def shares(alike: np.ndarray) -> np.ndarray:
    """Return the probability of each candidate, float64, rows (N, M) of likenesses."""
    powers = np.exp(alike.astype(np.float64) - alike.max(axis=1, keepdims=True))
    found: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return found


def best_of(names: Sequence[str], candidates: Sequence[str], alike: np.ndarray) -> list[Prediction]:
    """Return the likeliest candidate of each sample, the best few, and the probabilities of all.

    Args:
        names: What a person calls each of N samples.
        candidates: M texts, or names of images.
        alike: Likenesses, shape (N, M).
    """
    found = []
    for name, row in zip(names, shares(alike) if len(alike) else (), strict=True):
        best, of_all = int(row.argmax()), tuple(row.tolist())
        top = foremost(candidates, of_all)
        found.append(Prediction(name, candidates[best], of_all[best], of_all, top=top))
    return found
