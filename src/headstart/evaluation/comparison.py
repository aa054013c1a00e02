"""Did it get better? A paired verdict of two predictors on the same test items.

Two accuracies whose intervals overlap may still differ for certain, because both were measured on
the same items: what counts is the items on which they disagree. An item of several labels is right
when all of them are; of numbers the absolute errors are compared item by item. Corrections for many
comparisons are in ``paired.py``; a run makes two to four, and needs none.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.clusters import Groups, as_groups, flip_p_value
from headstart.evaluation.intervals import is_degenerate, percentile_interval, wilson
from headstart.evaluation.label_scores import checked_labels
from headstart.evaluation.paired import NUM_PAIRED_RESAMPLES, unit_draws, units_of
from headstart.evaluation.shares import share_of
from headstart.evaluation.value_scores import checked_values
from headstart.types import Comparison, Figure

_NUM_RESAMPLES = 10_000
_NOTHING = Figure(math.nan, math.nan, math.nan)


def compare_classes(
    before: str,
    before_predictions: np.ndarray,
    after: str,
    after_predictions: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Comparison:
    """Compare two predictors of classes on the same items, by the items that each has right.

    The interval of the difference in accuracy is a percentile bootstrap over items, each drawn with
    both its predictions. Every item counts -1, 0 or 1, so a resample is one multinomial draw of
    three counts. If all items count the same, resampling would give a width of zero; then the
    interval combines the Wilson intervals of the gained and lost shares (MOVER).

    Args:
        before: Name of the first predictor.
        before_predictions: Class indices, int64, shape (N,), N at least 1.
        after: Name of the second predictor.
        after_predictions: The same of the second.
        targets: Class indices, shape (N,).
        seed: Seed of the bootstrap.
        groups: Which items belong together, as ``score_classes``: then whole groups are drawn, and
            change sides.

    Returns:
        Gained and lost items, the difference with its interval, and the paired test's p.

    Raises:
        OptionError: The three arrays have different shapes, are no class indices, or are empty.

    Source:
        Q. McNemar, 1947, Psychometrika 12, 153-157, in its exact binomial form: given
        gained + lost disagreements, either direction has probability 1/2.

    Example:
        >>> import numpy as np
        >>> targets = np.array([0, 0, 1, 1])
        >>> verdict = compare_classes("majority", np.zeros(4, int), "tuned", targets, targets)
        >>> verdict.gained, verdict.lost, verdict.difference.value
        (2, 0, 0.5)
    """
    right = _is_right(before, before_predictions, targets)
    right_after = _is_right(after, after_predictions, targets)
    verdict = Comparison(before, after, *_counts(right, right_after), _NOTHING, 1.0, "accuracy")
    return _judged(verdict, right, right_after, seed, groups)


def compare_labels(
    before: str,
    before_predictions: np.ndarray,
    after: str,
    after_predictions: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Comparison:
    """Compare two predictors of several labels an item, by the items with every label right.

    As ``compare_classes``, the difference being in the share of such items.

    Args:
        before: Name of the first predictor.
        before_predictions: 0 or 1, shape (N, K), N at least 1.
        after: Name of the second predictor.
        after_predictions: The same of the second.
        targets: 0 or 1, shape (N, K).
        seed: Seed of the bootstrap.
        groups: The same.

    Raises:
        OptionError: The three arrays have different shapes, hold something else, or are empty.
    """
    right = _all_right(before, before_predictions, targets)
    right_after = _all_right(after, after_predictions, targets)
    verdict = Comparison(before, after, *_counts(right, right_after), _NOTHING, 1.0, "exact_match")
    return _judged(verdict, right, right_after, seed, groups)


def compare_values(
    before: str,
    before_values: np.ndarray,
    after: str,
    after_values: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Comparison:
    """Compare two predictors of numbers on the same items, by their absolute errors.

    The difference is that of the mean absolute errors, below zero where ``after`` is better, with a
    percentile bootstrap over items.

    Args:
        before: Name of the first predictor.
        before_values: Shape (N,), N at least 1.
        after: Name of the second predictor.
        after_values: The same of the second.
        targets: Shape (N,).
        seed: Seed of the bootstrap.
        groups: The same.

    Raises:
        OptionError: The three arrays have different shapes, are not finite, or are empty.

    Source:
        F. Wilcoxon, 1945, Biometrics Bulletin 1, 80-83, for the signed ranks of differences that
        are not zero.
    """
    from scipy.stats import wilcoxon

    first, wanted = checked_values(f"Predictions of '{before}'", before_values, targets)
    second, _ = checked_values(f"Predictions of '{after}'", after_values, targets)
    changes = np.abs(second - wanted) - np.abs(first - wanted)
    moved = changes[changes != 0]
    told = as_groups(groups, len(changes))
    p_value = float(wilcoxon(moved).pvalue) if moved.size and told is None else 1.0
    p_value = p_value if told is None else flip_p_value(changes, told, seed)
    difference = _mean_change(changes, told, seed)
    if is_degenerate(difference):  # one item, or all changes alike: nothing is known of the spread
        difference = Figure(difference.value, math.nan, math.nan)
    nearer, farther = int(np.count_nonzero(changes < 0)), int(np.count_nonzero(changes > 0))
    return Comparison(before, after, nearer, farther, difference, p_value, "mae")


def _counts(right: np.ndarray, right_after: np.ndarray) -> tuple[int, int]:
    """Return how many items are gained and lost."""
    return int(np.count_nonzero(right_after & ~right)), int(np.count_nonzero(right & ~right_after))


def _judged(
    verdict: Comparison,
    right: np.ndarray,
    right_after: np.ndarray,
    seed: int,
    groups: np.ndarray | None,
) -> Comparison:
    """Return a verdict with its interval and p, by the items each has right, bool, shape (N,)."""
    from scipy.stats import binomtest

    gained, lost, num_items = verdict.gained, verdict.lost, len(right)
    told = as_groups(groups, num_items)
    if told is None:
        p_value = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
        return replace(
            verdict, difference=_difference(gained, lost, num_items, seed), p_value=p_value
        )
    changes = right_after.astype(np.float64) - right
    difference = _mean_change(changes, told, seed)
    if is_degenerate(difference):
        up, down = share_of(right_after & ~right, told), share_of(right & ~right_after, told)
        difference = _mover(difference.value, up, down)
    return replace(verdict, difference=difference, p_value=flip_p_value(changes, told, seed))


def _mean_change(changes: np.ndarray, groups: Groups | None, seed: int) -> Figure:
    """Return the mean change of N items with its interval: items, groups or blocks are drawn."""
    units = units_of(len(changes), groups, seed)
    sums = np.bincount(units.codes, weights=changes, minlength=units.num)
    sizes = np.bincount(units.codes, minlength=units.num)
    drawn = [
        (sums @ weights) / (sizes @ weights)
        for weights in unit_draws(units.num, NUM_PAIRED_RESAMPLES, seed)
    ]
    return percentile_interval(float(changes.mean()), np.concatenate(drawn), units.num)


def _difference(gained: int, lost: int, num_items: int, seed: int) -> Figure:
    """Return (gained - lost) / num_items with its paired interval."""
    value = (gained - lost) / num_items
    shares = np.array([gained, lost, num_items - gained - lost]) / num_items
    counts = np.random.default_rng(seed).multinomial(num_items, shares, size=_NUM_RESAMPLES)
    figure = percentile_interval(value, (counts[:, 0] - counts[:, 1]) / num_items)
    if not is_degenerate(figure):
        return figure
    return _mover(value, wilson(gained, num_items), wilson(lost, num_items))


def _mover(value: float, up: Figure, down: Figure) -> Figure:
    """Return a difference of two shares with the interval that theirs imply."""
    below = math.hypot(up.value - up.low, down.high - down.value)
    above = math.hypot(up.high - up.value, down.value - down.low)
    return Figure(value, max(-1.0, value - below), min(1.0, value + above))


def _is_right(name: str, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return which predictions are right, bool, shape (N,)."""
    predicted, wanted = np.asarray(predictions), np.asarray(targets)
    if wanted.ndim != 1 or wanted.size == 0 or not np.issubdtype(wanted.dtype, np.integer):
        raise OptionError(
            f"targets are {wanted.dtype} of shape {wanted.shape}, expected class indices of shape "
            "(N,) with N at least 1."
        )
    if predicted.shape != wanted.shape or not np.issubdtype(predicted.dtype, np.integer):
        raise OptionError(
            f"Predictions of '{name}' are {predicted.dtype} of shape {predicted.shape}, expected "
            f"class indices of shape {wanted.shape}, one for each target."
        )
    right: np.ndarray = predicted == wanted
    return right


def _all_right(name: str, predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return which items have every label right, bool, shape (N,)."""
    wanted = np.asarray(targets)
    if wanted.ndim != 2 or wanted.size == 0:
        raise OptionError(
            f"targets have shape {wanted.shape}, expected (N, K) with N at least 1: 0 or 1 for "
            "each item and label."
        )
    labels = checked_labels("targets", wanted, wanted.shape)
    predicted = checked_labels(f"Predictions of '{name}'", predictions, wanted.shape)
    right: np.ndarray = (predicted == labels).all(axis=1)
    return right
