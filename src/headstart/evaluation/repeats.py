"""One figure of several trainings: of other seeds on the same test items, and of folds.

Seeds: what is told is how good a training of this kind is in the mean, on all items of the kind.
Both the seeds and the test items are a draw. How far the mean over S seeds is from that of all
seeds their spread tells, with Student's t for so few; how far the items are from all items the
interval of each run tells. The two are put together end by end by squares (MOVER), which counts
what a seed does to single items twice, so that it errs on the safe side.

Folds: every item was predicted by a model that has not seen it, so that the figure over all of them
has an interval like any other. But it stands for K models only, which share most of what they
learned from. By how much the figures of folds spread beyond what their items explain is what models
differ by, and is added with the factor of Nadeau and Bengio, for the spread of models that share
samples says less than it seems; and the items themselves count as fewer.

Source:
    MOVER: G. Y. Zou and A. Donner, 2008, Statistics in Medicine 27, 1693-1702. C. Nadeau and
    Y. Bengio, 2003, Machine Learning 52, 239-281, equation 9; R. R. Bouckaert and E. Frank, 2004,
    PAKDD, LNCS 3056, for the form of folds. That intervals of pooled folds hold too seldom:
    S. Bates, T. Hastie and R. Tibshirani, 2024, JASA 119, 1434-1445.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from headstart.evaluation.intervals import Z95
from headstart.evaluation.means import MOST_LOG
from headstart.types import Figure

# By how much items that are predicted by models of shared samples tell less than so many others:
# the lowest that held in simulations of linear models of 20 to 40 inputs and 60 to 300 samples.
_TOGETHER = 1.15
# How much farther than Student's t an end may reach where seeds are skewed: of two or three of them
# a scale without bounds says less than it seems to. Chosen by simulation.
_FARTHER = 1.5


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
    down, up = _seed_reaches(values, (below, above), (lowest, highest))
    low, high = mean - math.hypot(below, down), mean + math.hypot(above, up)
    return _bounded(Figure(mean, low, high), lowest, highest)


def _seed_reaches(
    values: np.ndarray, of_items: tuple[float, float], bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return how far the mean over all seeds may be below and above that of two or more.

    Args:
        values: Of each seed.
        of_items: How far the ends of a run's own interval reach below and above, in the mean.
        bounds: What the figure cannot pass; infinite where it can be anything.
    """
    from scipy.stats import t

    far = float(t.ppf(0.975, len(values) - 1)) / math.sqrt(len(values))
    plain = far * float(values.std(ddof=1))
    bent, back = _unbent(values, of_items, bounds)
    middle, reach = float(bent.mean()), far * float(bent.std(ddof=1))
    ends = (abs(back(at) - back(middle)) for at in (middle - reach, middle + reach))
    down, up = (max(plain, min(end, _FARTHER * plain)) for end in ends)
    return (up, down) if math.isinf(bounds[0]) and math.isfinite(bounds[1]) else (down, up)


def _unbent(
    values: np.ndarray, of_items: tuple[float, float], bounds: tuple[float, float]
) -> tuple[np.ndarray, Callable[[float], float]]:
    """Return values on a scale without bounds, and the way back; arguments as ``_seed_reaches``.

    A value at a bound is taken as one that is off it by a seventh of its interval, which is what
    half an item is where none of many is wrong. What has no interval is left as it is.
    """
    lowest, highest = bounds
    above, below = values - lowest, highest - values
    least = [reach / 7 if math.isfinite(reach) else 0.0 for reach in reversed(of_items)]
    above, below = np.maximum(above, least[0]), np.maximum(below, least[1])
    if (above <= 0).any() or (below <= 0).any():
        return values, lambda at: at
    if math.isinf(lowest) and math.isinf(highest):
        return values, lambda at: at
    if math.isinf(highest):
        return np.log(above), lambda at: lowest + math.exp(min(at, MOST_LOG))
    if math.isinf(lowest):
        return np.log(below), lambda at: highest - math.exp(min(at, MOST_LOG))
    odds = np.log(above) - np.log(below)
    return odds, lambda at: lowest + (highest - lowest) / (1 + math.exp(min(-at, MOST_LOG)))


def over_folds(
    pooled: Figure,
    each: Sequence[Figure],
    test_share: float,
    *,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Figure:
    """Return the figure over all out-of-fold items, its interval wider where models differ.

    Args:
        pooled: Over all items, with the interval that the items say.
        each: Of each fold alone; those that are not known are left out.
        test_share: Items of a fold over those that its model has learned from.
        lowest: What the figure cannot fall below.
        highest: What it cannot exceed.
    """
    reach = fold_reach(each, test_share)
    below, above = pooled.value - pooled.low, pooled.high - pooled.value
    low = pooled.value - math.hypot(_TOGETHER * below, reach)
    high = pooled.value + math.hypot(_TOGETHER * above, reach)
    return _bounded(Figure(pooled.value, low, high), lowest, highest)


def fold_reach(each: Sequence[Figure], test_share: float) -> float:
    """Return half the width of the 95 % interval of what the models of folds add to the items.

    Args:
        each: Of each fold.
        test_share: Items of a fold over those that its model has learned from.
    """
    from scipy.stats import t

    known = [one for one in each if math.isfinite(one.high - one.low)]
    if len(known) < 2:
        return 0.0
    of_items = np.mean([((one.high - one.low) / (2 * Z95)) ** 2 for one in known])
    beyond = max(0.0, float(np.var([one.value for one in known], ddof=1) - of_items))
    factor = math.sqrt(1.0 / len(known) + test_share)
    return float(t.ppf(0.975, len(known) - 1)) * math.sqrt(beyond) * factor


def _bounded(figure: Figure, lowest: float, highest: float) -> Figure:
    """Return a figure whose ends lie within bounds; an end that is not known stays so."""
    low = figure.low if math.isnan(figure.low) else max(lowest, figure.low)
    high = figure.high if math.isnan(figure.high) else min(highest, figure.high)
    return Figure(figure.value, low, high)
