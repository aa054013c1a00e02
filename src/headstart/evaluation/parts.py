"""A mean over classes, each with an interval of its own: how far the mean may be off.

Resampling forgets what it has not seen: a rare class that no resample holds, or one whose three
items were all right. An interval of each class does not (``shares.py``, ``areas.py``), and these
are put together as the spread of sums is, with the correlation that the items say: an item of one
class that is called another lowers both.

A class that no item has and no prediction names is part of what the figure stands for where the
model itself expects to meet it: its part may be anything from 0 to 1.

Source:
    G. Y. Zou, G. Huang and X. Zhang, 2009, Computational Statistics and Data Analysis 53,
    3755-3764 (MOVER), for the interval of a sum from those of correlated parts. Influences
    as the infinitesimal jackknife of B. Efron, 1982, The Jackknife, the Bootstrap and Other
    Resampling Plans, chapter 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.evaluation.clusters import Groups
from headstart.evaluation.intervals import Z95
from headstart.types import Figure

EXPECTED = 0.05  # items of an unseen class that the model expects, from where on it is counted


@dataclass(frozen=True, eq=False)
class Parts:
    """The K parts of a mean.

    Attributes:
        values: Shape (K,); NaN where a part is unknown, and not in the mean.
        lows: Lower ends.
        highs: Upper ends.
        errors: Standard error of each by its influences; 0 where nothing moves it.
        even: How far each reaches both ways by a spread that is not 0 at 0 or 1.
        missed: By how much too low each is on average, because it is a ratio of few items.
    """

    values: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    errors: np.ndarray
    even: np.ndarray
    missed: np.ndarray


def mean_of_parts(
    parts: Parts, spread: Callable[[np.ndarray], float], num_unseen: int = 0
) -> Figure:
    """Return the mean of the known parts, with the 95 % interval of the mean of all.

    Args:
        parts: Of each class.
        spread: From a factor of each part, shape (K,), to the variance of the sum of parts times
            factors, by their influences.
        num_unseen: Parts of which nothing is known, but that they lie in [0, 1].
    """
    known = np.isfinite(parts.values)
    number = int(known.sum())
    if not number:
        return Figure(math.nan, math.nan, math.nan)
    total = float(parts.values[known].sum())
    below, above = _reaches(parts, known, spread)
    value, every = total / number, number + num_unseen
    low, high = (total - below) / every, (total + above + num_unseen) / every
    return Figure(value, max(0.0, min(value, low)), min(1.0, max(value, high)))


def _reaches(
    parts: Parts, known: np.ndarray, spread: Callable[[np.ndarray], float]
) -> tuple[float, float]:
    """Return how far the sum of the parts reaches below and above: the farther of two answers.

    MOVER adds up squares of lower and of upper reaches apart, which is too little above where all
    parts are uneven the same way: the sum of many is nearly even, and the less uneven the more they
    are. This second answer in turn is too little where parts stand at 0 or 1. Of a single part,
    both are its own ends.
    """
    below, above, middle, uneven = (
        np.where(known, each, 0.0)
        for each in (
            parts.values - parts.lows,
            parts.highs - parts.values,
            np.maximum((parts.highs - parts.lows) / 2.0, parts.even),
            parts.values - (parts.lows + parts.highs) / 2.0,
        )
    )
    square, alone = _square(middle, parts.errors, spread), float((middle**2).sum())
    if alone == 0.0:
        return 0.0, 0.0
    shift = float((middle**2 * uneven).sum()) / alone * square / alone / int(known.sum()) ** 2
    reach, missed = math.sqrt(square), float(np.where(known, parts.missed, 0.0).sum())
    return (
        max(reach + shift, math.sqrt(_square(below, parts.errors, spread))),
        max(reach - shift, math.sqrt(_square(above, parts.errors, spread))) + missed,
    )


def _square(reach: np.ndarray, errors: np.ndarray, spread: Callable[[np.ndarray], float]) -> float:
    """Return the square of how far the sum of parts reaches, each of which reaches so far.

    What items tell of the spread of parts goes together as they tell it; what a part reaches
    beyond, because its items are few, is its own.
    """
    moves = errors > 1e-12
    told = np.minimum(reach, Z95 * errors)
    factors = np.divide(told, errors, out=np.zeros(len(reach)), where=moves)
    rest = reach**2 - np.where(moves, told, 0.0) ** 2
    return max(0.0, spread(factors)) + float(rest.sum())


def summed(influences: np.ndarray, groups: Groups | None) -> np.ndarray:
    """Return influences of items as those of the units that are independent: items, or groups.

    Args:
        influences: Shape (N,) or (N, K).
        groups: Which items belong together.
    """
    if groups is None:
        return influences
    if influences.ndim == 1:
        return np.bincount(groups.codes, weights=influences, minlength=groups.num)
    found = np.zeros((groups.num, influences.shape[1]))
    np.add.at(found, groups.codes, influences)
    return found


def unseen_parts(expected: np.ndarray, is_seen: np.ndarray) -> int:
    """Return how many classes nobody has seen, and the model expects.

    Args:
        expected: Items of each class that the model expects: the sum of its probabilities.
        is_seen: Whether it is among targets or predictions.
    """
    return int(np.count_nonzero(~is_seen & (expected >= EXPECTED)))


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, with 0 / 0 counting as 0 (scikit-learn's ``zero_division=0``)."""
    out = np.zeros_like(numerator)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def mean_where(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean over axis 0 of the values where the mask holds, NaN where it never does."""
    count = mask.sum(axis=0)
    total = np.where(mask, values, 0.0).sum(axis=0)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
