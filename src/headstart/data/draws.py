"""Draws at random that are the same with every version of NumPy."""

from __future__ import annotations

import numpy as np


def shuffled(number: int, bits: np.random.PCG64) -> np.ndarray:
    """Return 0..number-1 in random order.

    From the raw bits, which NumPy keeps the same in all versions; of ``permutation`` it does not.

    Args:
        number: How many.
        bits: Source of the draw.
    """
    return np.argsort(bits.random_raw(number), kind="stable")


def drawn(count: int, number: int, bits: np.random.PCG64) -> np.ndarray:
    """Return the first of those that ``shuffled(count)`` gives, without ordering the rest.

    Args:
        count: Of how many.
        number: How many.
        bits: Source of the draw.
    """
    keys = bits.random_raw(count)
    first = np.flatnonzero(keys <= (np.partition(keys, number - 1)[number - 1] if number else 0))
    if len(first) != number:  # two keys are the same: which of them is first, only an order says
        first = np.argsort(keys, kind="stable")[:number]
    return first
