"""The same resamples for several predictors: by how much any of their figures differ.

Two intervals that overlap say little of a difference, because both were measured on the same items.
Here every predictor is summed up item by item, and all of them are read off the same draws, so that
the difference of two is resampled as one number. What is drawn are items, or whole groups; where
these are more than 2,000, blocks of them that were put together at random, which spread as their
parts do: a million predictions then cost what two thousand cost, after one pass.

Deliberately left out: figures that need an order of the items (ROC-AUC, the median).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from headstart.evaluation.clusters import Groups
from headstart.evaluation.intervals import is_degenerate, percentile_interval
from headstart.evaluation.parts import divide, mean_where
from headstart.types import Figure

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MOST_UNITS = 2_000
NUM_PAIRED_RESAMPLES = 2_000
_BLOCK = 200  # resamples at once: a few MB, however many classes there are
Figures = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True, eq=False)
class ItemSums:
    """What each item adds to the sums that the figures of one predictor are made of.

    Attributes:
        terms: Sparse, shape (S, N): S sums over N items.
        figures: From sums, shape (S, R), to each figure by name, shape (R,).
    """

    terms: csr_array
    figures: Figures


@dataclass(frozen=True, eq=False)
class Resampled:
    """The figures of one predictor, on all items and on the draws.

    Attributes:
        values: By name.
        drawn: By name, shape (R,).
        num_units: How many items, groups or blocks were drawn each time.
    """

    values: dict[str, float]
    drawn: dict[str, np.ndarray]
    num_units: int

    def difference(self, other: Resampled, name: str) -> Figure:
        """Return by how much ``other`` is above this in a figure, with its paired interval.

        The ends are unknown where no draw moves the difference, unless the two never differ.
        """
        value = other.values[name] - self.values[name]
        changes = other.drawn[name] - self.drawn[name]
        figure = percentile_interval(value, changes, self.num_units)
        if is_degenerate(figure):
            return Figure(value, math.nan, math.nan)
        return Figure(value, min(value, figure.low), max(value, figure.high))


def units_of(num_items: int, groups: Groups | None, seed: int) -> Groups:
    """Return what is drawn: items, groups, or 2,000 blocks of either that chance put together.

    Args:
        num_items: N.
        groups: Which items belong together; None: each stands alone.
        seed: Of the blocks.
    """
    own = Groups(np.arange(num_items), num_items) if groups is None else groups
    if own.num <= MOST_UNITS:
        return own
    blocks = np.random.default_rng(seed).permutation(own.num) % MOST_UNITS
    return Groups(blocks[own.codes], MOST_UNITS)


@lru_cache(maxsize=1)  # the figures of one split ask one after the other for the same draws
def unit_draws(num_units: int, num_resamples: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return how often each unit is drawn, in blocks of shape (num_units, R), int64, read-only."""
    rng, drawn = np.random.default_rng(seed), []
    for start in range(0, num_resamples, _BLOCK):
        size = min(_BLOCK, num_resamples - start)
        picked = rng.integers(0, num_units, size=(num_units, size)) * size + np.arange(size)
        counts = np.bincount(picked.ravel(), minlength=num_units * size)
        counts.flags.writeable = False
        drawn.append(counts.reshape(num_units, size))
    return tuple(drawn)


def resample_together(
    predictors: Sequence[ItemSums],
    num_items: int,
    *,
    groups: Groups | None = None,
    seed: int = 0,
    num_resamples: int = NUM_PAIRED_RESAMPLES,
) -> list[Resampled]:
    """Return the figures of several predictors of the same items on the same draws.

    Args:
        predictors: One or more, of N items each, in the same order.
        num_items: N.
        groups: Which items belong together: then whole groups are drawn.
        seed: Of the draws.
        num_resamples: How many.

    Source:
        B. Efron and R. Tibshirani, 1993, An Introduction to the Bootstrap, section 8.3, for draws
        of pairs; blocks as random groups of K. Wolter, 2007, Introduction to Variance Estimation,
        section 2.
    """
    from scipy.sparse import csr_array

    units = units_of(num_items, groups, seed)
    ones = np.ones(num_items)
    belongs = csr_array((ones, (np.arange(num_items), units.codes)), (num_items, units.num))
    draws = unit_draws(units.num, num_resamples, seed)
    found = []
    for predictor in predictors:
        sums = (predictor.terms @ belongs).toarray()
        whole = predictor.figures(sums.sum(axis=1, keepdims=True))
        blocks = [predictor.figures(sums @ weights.astype(np.float64)) for weights in draws]
        drawn = {name: np.concatenate([block[name] for block in blocks]) for name in whole}
        values = {name: float(value[0]) for name, value in whole.items()}
        found.append(Resampled(values, drawn, units.num))
    return found


def class_sums(
    predictions: np.ndarray, targets: np.ndarray, num_classes: int, losses: np.ndarray
) -> ItemSums:
    """Return what each item adds to the figures of a classification, by its decision.

    Args:
        predictions: Class indices, shape (N,).
        targets: The same.
        num_classes: K.
        losses: Log loss of each item, shape (N,).
    """
    from scipy.sparse import csr_array

    num_items, K = len(targets), num_classes
    items, hits = np.arange(num_items), np.flatnonzero(predictions == targets)
    rows = (targets, K + predictions, 2 * K + targets[hits], np.full(num_items, 3 * K))
    ones = np.ones(num_items)
    values = (ones, ones, np.ones(len(hits)), losses.astype(np.float64))
    places = (np.concatenate(rows), np.concatenate((items, items, hits, items)))
    terms = csr_array((np.concatenate(values), places), shape=(3 * K + 1, num_items))

    def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
        support, predicted, found, loss = np.split(sums, (K, 2 * K, 3 * K))
        num = support.sum(axis=0)
        return {
            "accuracy": found.sum(axis=0) / num,
            **_macro(found, support, predicted),
            "log_loss": loss[0] / num,
        }

    return ItemSums(terms, figures)


def label_sums(predictions: np.ndarray, targets: np.ndarray, losses: np.ndarray) -> ItemSums:
    """Return what each item adds to the figures of several labels an item, by its decisions.

    Args:
        predictions: 0 or 1, shape (N, K).
        targets: The same.
        losses: Log loss of each item, the mean over its labels, shape (N,).
    """
    from scipy.sparse import csr_array, vstack

    said, wanted = predictions.astype(bool), targets.astype(bool)
    num_items, K = wanted.shape
    wrong = said != wanted
    plain = np.stack((np.ones(num_items), ~wrong.any(axis=1), wrong.mean(axis=1), losses))
    counted = [csr_array(part.T.astype(np.float64)) for part in (wanted, said, said & wanted)]
    terms = csr_array(vstack((*counted, csr_array(plain))))

    def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
        support, predicted, found, rest = np.split(sums, (K, 2 * K, 3 * K))
        num, exact, wrong_share, loss = rest
        all_support, all_said, all_found = (
            part.sum(axis=0) for part in (support, predicted, found)
        )
        return {
            "f1_micro": divide(2.0 * all_found, all_support + all_said),
            "precision_micro": divide(all_found, all_said),
            "recall_micro": divide(all_found, all_support),
            **_macro(found, support, predicted),
            "exact_match": exact / num,
            "hamming_loss": wrong_share / num,
            "log_loss": loss / num,
        }

    return ItemSums(terms, figures)


def value_sums(values: np.ndarray, targets: np.ndarray) -> ItemSums:
    """Return what each item adds to the figures of predicted numbers.

    Args:
        values: Shape (N,).
        targets: The same.
    """
    from scipy.sparse import csr_array

    errors, centred = values - targets, targets - targets.mean()
    rows = (np.ones(len(errors)), errors, errors**2, np.abs(errors), centred, centred**2)
    floor = 1e-12 * float((centred**2).max(initial=0.0))

    def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
        error, square, absolute, target, target_square = sums[1:] / sums[0]
        spread = target_square - target**2
        unexplained = np.full(spread.shape, np.nan)
        np.divide(square, spread, out=unexplained, where=spread > floor)
        return {
            "rmse": np.sqrt(square),
            "mae": absolute,
            "r2": 1.0 - unexplained,
            "bias": error,
            "mse": square,
        }

    return ItemSums(csr_array(np.stack(rows)), figures)


def _macro(found: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Return the macro figures, over the classes that occur among targets or predictions."""
    seen = (support + predicted) > 0
    return {
        "precision_macro": mean_where(divide(found, predicted), seen),
        "recall_macro": mean_where(divide(found, support), seen),
        "f1_macro": mean_where(divide(2.0 * found, support + predicted), seen),
    }


# Tests and several looks --------------------------------------------------------------------------


def mid_p_value(gained: int, lost: int) -> float:
    """Return McNemar's mid-p: the exact p less half of the chance of just what was seen.

    The exact test never errs too often, and for it errs too seldom: with few disagreements it finds
    less than there is. Mid-p is nearer to 5 %, and may pass it: 8 % at the most.

    Args:
        gained: Items that only the second has right.
        lost: Items that only the first has right.

    Source:
        M. W. Fagerland, S. Lydersen and P. Laake, 2013, BMC Medical Research Methodology 13:91.

    Example:
        >>> round(mid_p_value(6, 1), 4)
        0.0703
    """
    from scipy.stats import binom

    total, fewer = gained + lost, min(gained, lost)
    if gained == lost:
        return 1.0 - float(binom.pmf(fewer, total, 0.5)) / 2.0 if total else 1.0
    exact = 2.0 * float(binom.cdf(fewer, total, 0.5))
    return min(1.0, exact - float(binom.pmf(fewer, total, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for there being several: any one below 5 % stays 5 % in all.

    Args:
        p_values: Of the comparisons that were looked at.

    Source:
        S. Holm, 1979, Scandinavian Journal of Statistics 6, 65-70.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
