"""One figure of several trainings: of other seeds on the same test items, and of folds.

Seeds: what is told is how good a training of this kind is in the mean, on all items of the kind.
Both the seeds and the test items are a draw. How far the mean over S seeds is from that of all
seeds their spread tells, with Student's t for so few; how far the items are from all items the
interval of each run tells. The two are put together end by end by squares (MOVER), which counts
what a seed does to single items twice, so that it errs on the safe side.

Folds: every item was predicted by a model that has not seen it, so that the figure over all of them
has an interval like any other. But the models share most of what they learned from, and the spread
of their figures says less than it seems: the interval is at least Nadeau and Bengio's.

Source:
    MOVER: G. Y. Zou and A. Donner, 2008, Statistics in Medicine 27, 1693-1702. C. Nadeau and
    Y. Bengio, 2003, Machine Learning 52, 239-281, equation 9; R. R. Bouckaert and E. Frank, 2004,
    PAKDD, LNCS 3056, for the form of folds. That intervals of pooled folds hold too seldom:
    S. Bates, T. Hastie and R. Tibshirani, 2024, JASA 119, 1434-1445.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.types import Figure


def over_seeds(
    figures: Sequence[Figure], *, lowest: float = -math.inf, highest: float = math.inf
) -> Figure:
    """Return the mean of a figure over seeds, with the interval that covers seeds and items.

    Args:
        figures: Of each seed, on the same items, each with its interval; at least one.
        lowest: What the figure cannot fall below.
        highest: What it cannot exceed.

    Returns:
        NaN at an end that a run does not know; of one seed the figure itself.
    """
    values = np.array([one.value for one in figures])
    mean = float(values.mean())
    if len(figures) == 1:
        return figures[0]
    below = float(np.mean([one.value - one.low for one in figures]))
    above = float(np.mean([one.high - one.value for one in figures]))
    of_seeds = seed_reach(values)
    low, high = mean - math.hypot(below, of_seeds), mean + math.hypot(above, of_seeds)
    return Figure(mean, max(lowest, low), min(highest, high))


def seed_reach(values: np.ndarray) -> float:
    """Return half the width of the 95 % interval of a mean over seeds, of two at least."""
    from scipy.stats import t

    num = len(values)
    spread = float(values.std(ddof=1))
    return float(t.ppf(0.975, num - 1)) * spread / math.sqrt(num)


def over_folds(pooled: Figure, values: Sequence[float], test_share: float) -> Figure:
    """Return the figure over all out-of-fold items, its interval no narrower than folds say.

    Args:
        pooled: Over all items, with the interval that the items say.
        values: Of each fold alone; those that are not finite are left out.
        test_share: Items of a fold over those that its model has learned from.
    """
    from scipy.stats import t

    each = np.array([value for value in values if math.isfinite(value)])
    if len(each) < 2:
        return pooled
    num = len(each)
    spread = float(each.std(ddof=1)) * math.sqrt(1.0 / num + test_share)
    reach = float(t.ppf(0.975, num - 1)) * spread
    below, above = pooled.value - pooled.low, pooled.high - pooled.value
    low = pooled.low if below >= reach else max(pooled.value - reach, _floor(pooled))
    high = pooled.high if above >= reach else min(pooled.value + reach, _ceiling(pooled))
    return Figure(pooled.value, low, high)


def _floor(figure: Figure) -> float:
    return 0.0 if figure.low >= 0.0 else -math.inf


def _ceiling(figure: Figure) -> float:
    return 1.0 if figure.high <= 1.0 else math.inf
