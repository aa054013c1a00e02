"""Features of small pictures that no network is needed for: their edges, and waves of anything.

A linear probe of both tells digits and pieces of clothing nearly as well as a small network does
(docs/experiments.md). Left out: large pictures, which they say little of.
"""

from __future__ import annotations

import numpy as np

NUM_WAVES = 1_024
_CELL, _DIRECTIONS = 4, 8


def edges(pixels: np.ndarray) -> np.ndarray:
    """Return how strong edges of each direction are in each cell, float32, shape (N, D).

    Args:
        pixels: float32, shape (N, H, W, C), in [0, 1].

    Source:
        N. Dalal and B. Triggs, 2005, Histograms of Oriented Gradients for Human Detection; without
        overlapping blocks, and with the square root of the histograms.
    """
    grey = pixels.mean(axis=3)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    strength = np.hypot(across, down)
    direction = np.arctan2(down, across) % (2 * np.pi) / (2 * np.pi) * _DIRECTIONS
    lower = np.floor(direction).astype(np.int64)
    share = direction - lower
    num, height, width = grey.shape
    high, wide = max(1, height // _CELL), max(1, width // _CELL)
    used = np.zeros((num, height, width, _DIRECTIONS), dtype=np.float32)
    first, second = (lower % _DIRECTIONS)[..., None], ((lower + 1) % _DIRECTIONS)[..., None]
    np.put_along_axis(used, first, (strength * (1 - share))[..., None], axis=3)
    np.put_along_axis(used, second, (strength * share)[..., None], axis=3)
    tall, broad = height // high, width // wide
    cells = used[:, : high * tall, : wide * broad].reshape(num, high, tall, wide, broad, -1)
    found = cells.sum(axis=(2, 4)).reshape(num, -1)
    length = np.linalg.norm(found, axis=1, keepdims=True) + 1e-6
    rooted: np.ndarray = np.sqrt(found / length)
    return rooted


class Waves:
    """Random Fourier features of a Gaussian kernel as wide as two samples are apart.

    Args:
        some: Samples, float32, shape (N, D), N at least 1.
        seed: Of the directions.

    Source:
        A. Rahimi and B. Recht, 2007, Random Features for Large-Scale Kernel Machines.
    """

    def __init__(self, some: np.ndarray, seed: int) -> None:
        draw = np.random.default_rng(seed)
        others = some[draw.permutation(len(some))]
        apart = float(np.median(((some - others) ** 2).sum(axis=1))) or 1.0
        shape = (some.shape[1], NUM_WAVES)
        scale = np.float32((2.0 / apart) ** 0.5)
        self.directions = draw.standard_normal(shape, dtype=np.float32) * scale
        self.offsets = draw.uniform(0.0, 2.0 * np.pi, NUM_WAVES).astype(np.float32)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return features, float32, shape (N, ``NUM_WAVES``)."""
        found: np.ndarray = np.cos(rows @ self.directions + self.offsets)
        return found
