"""Intervals of ROC-AUC, by class and in the mean, and of average precision.

An area is the share of pairs, one positive and one negative, that are in the right order. Its
interval is that of Newcombe's fifth method, which looks for the areas that would not contradict
what was seen, as Wilson's does for a proportion: it needs no resampling and holds at an area of 1,
of which a bootstrap says [1, 1]. How areas of several classes go together is read from the
placements of the items (DeLong).

Source:
    R. G. Newcombe, 2006, Statistics in Medicine 25, 559-573; E. R. DeLong, D. M. DeLong and D. L.
    Clarke-Pearson, 1988, Biometrics 44, 837-845; whole groups as N. A. Obuchowski, 1997, Biometrics
    53, 567-578. Average precision: K. Boyd, K. H. Eng and C. D. Page, 2013, ECML, LNCS 8190.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from headstart.evaluation.clusters import Groups
from headstart.evaluation.intervals import Z95
from headstart.evaluation.parts import Parts, mean_of_parts, summed
from headstart.types import Figure

_STEPS = 60  # of a bisection: to 1e-18


def placement_influences(scores: np.ndarray, is_positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Return ROC-AUC of scores, and by how much each item moves it.

    Args:
        scores: Shape (N,).
        is_positive: bool, shape (N,); some are, some are not.

    Returns:
        The area, and influences, float64, shape (N,), whose squares sum to its variance.
    """
    negatives, positives = np.sort(scores[~is_positive]), np.sort(scores[is_positive])
    P, M = len(positives), len(negatives)
    own, other = scores[is_positive], scores[~is_positive]
    below = np.searchsorted(negatives, own, "left") + np.searchsorted(negatives, own, "right")
    above = np.searchsorted(positives, other, "left") + np.searchsorted(positives, other, "right")
    of_positives, of_negatives = below / (2.0 * M), 1.0 - above / (2.0 * P)
    area = float(of_positives.mean())
    found = np.empty(len(scores))
    found[is_positive] = (of_positives - area) / math.sqrt(P * max(P - 1, 1))
    found[~is_positive] = (of_negatives - area) / math.sqrt(M * max(M - 1, 1))
    return area, found


def area_interval(area: float, num_positive: float, num_negative: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of an area.

    Args:
        area: In [0, 1].
        num_positive: Independent positives.
        num_negative: Independent negatives.
    """
    P, M = num_positive, num_negative
    middle = (P + M) / 2.0 - 1.0

    def is_possible(truth: float) -> bool:
        spread = truth * (1.0 - truth) / (P * M)
        spread *= 1.0 + middle * ((1.0 - truth) / (2.0 - truth) + truth / (1.0 + truth))
        return (area - truth) ** 2 <= Z95**2 * max(spread, 0.0)

    ends = []
    for far in (0.0, 1.0):
        outside, inside = far, area
        if is_possible(far):
            ends.append(far)
            continue
        for _ in range(_STEPS):
            between = (outside + inside) / 2.0
            outside, inside = (outside, between) if is_possible(between) else (between, inside)
        ends.append(inside)
    return min(ends[0], area), max(ends[1], area)


def precision_influences(scores: np.ndarray, is_positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the average precision of scores, and by how much each item moves it.

    Args:
        scores: Shape (N,).
        is_positive: bool, shape (N,), some of them.
    """
    different, rank = np.unique(-scores, return_inverse=True)
    rank = rank.reshape(-1)  # 0 is the highest score
    hits = np.bincount(rank, weights=is_positive, minlength=len(different))
    above = np.cumsum(np.bincount(rank, minlength=len(different)))
    precision = np.cumsum(hits) / above
    P = float(hits.sum())
    value = float((hits * precision).sum()) / P
    # an item counts among those above every positive whose score is its own or lower
    of_negative = np.cumsum((hits * -precision / above)[::-1])[::-1] / P
    of_positive = np.cumsum((hits * (1.0 - precision) / above)[::-1])[::-1] / P
    moved = np.where(is_positive, (precision[rank] - value) / P + of_positive[rank], 0.0)
    return value, np.where(is_positive, moved, of_negative[rank])


def mean_area(
    columns: Iterable[tuple[np.ndarray, np.ndarray]], groups: Groups | None, num_unseen: int
) -> Figure:
    """Return the mean of the areas of several classes with its 95 % interval.

    Args:
        columns: Of each class the scores and which items are of it, each of shape (N,).
        groups: Which items belong together.
        num_unseen: Classes whose area no item tells, and that are part of what is meant.
    """
    return _mean(columns, groups, num_unseen, placement_influences, area_interval)


def mean_precision(
    columns: Iterable[tuple[np.ndarray, np.ndarray]], groups: Groups | None, num_unseen: int
) -> Figure:
    """Return the mean of the average precisions of several labels, as ``mean_area``."""
    return _mean(columns, groups, num_unseen, precision_influences, precision_ends)


def _mean(
    columns: Iterable[tuple[np.ndarray, np.ndarray]],
    groups: Groups | None,
    num_unseen: int,
    measure: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]],
    ends_of: Callable[[float, float, float], tuple[float, float]],
) -> Figure:
    """Return the mean of a figure of rankings."""
    values, ends, errors, influences = [], [], [], []
    for scores, is_positive in columns:
        if is_positive.all() or not is_positive.any():
            continue
        value, influence = measure(scores, is_positive)
        of_units = summed(influence, groups)
        values.append(value)
        influences.append(of_units.astype(np.float32))
        errors.append(math.sqrt(float((of_units**2).sum())))
        if float(np.ptp(scores)) == 0.0 and measure is placement_influences:
            ends.append((value, value))  # no order at all, for certain
        else:
            ends.append(ends_of(value, *_numbers(influence, of_units, is_positive, groups)))
    if not values:
        return Figure(math.nan, math.nan, math.nan)
    lows, highs = np.array(ends).T
    none = np.zeros(len(values))
    parts = Parts(np.array(values), lows, highs, np.array(errors), none, none)

    def spread(factors: np.ndarray) -> float:
        total = np.zeros(len(influences[0]))
        for factor, influence in zip(factors, influences, strict=True):
            total += factor * influence
        return float((total**2).sum())

    return mean_of_parts(parts, spread, num_unseen)


def _numbers(
    influence: np.ndarray, of_units: np.ndarray, is_positive: np.ndarray, groups: Groups | None
) -> tuple[float, float]:
    """Return as how many independent positives and negatives the items count."""
    num_positive = float(is_positive.sum())
    num_negative = len(is_positive) - num_positive
    if groups is None:
        return num_positive, num_negative
    from scipy.stats import t

    holding, lacking = groups.among(is_positive), groups.among(~is_positive)
    alone, together = float((influence**2).sum()), float((of_units**2).sum())
    if alone == 0.0 or together == 0.0:
        return float(holding), float(lacking)
    few = (Z95 / t.ppf(0.975, max(1, min(holding, lacking) - 1))) ** 2
    share = min(1.0, alone / together) * few
    return max(1.0, share * num_positive), max(1.0, share * num_negative)


def precision_ends(value: float, num_positive: float, num_negative: float) -> tuple[float, float]:
    """Return the ends of the 95 % interval of an average precision, on the scale of log odds.

    Args:
        value: In [0, 1].
        num_positive: Independent positives, which are what it is a mean over.
        num_negative: Independent negatives.
    """
    number = max(num_positive, 1.0)
    # one positive more, half of it found, so that 1 is not certain
    middle = (value * number + 0.5) / (number + 1.0)
    reach = Z95 / math.sqrt((number + 1.0) * middle * (1.0 - middle))
    odds = math.log(middle / (1.0 - middle))
    low, high = (1.0 / (1.0 + math.exp(-(odds + sign * reach))) for sign in (-1.0, 1.0))
    return min(value, low), max(value, high)
