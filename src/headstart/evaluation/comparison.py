"""Did it get better? A paired verdict of two predictors on the same test items.

Two accuracies whose intervals overlap may still differ for certain, because both were measured on
the same items: what counts is the items on which they disagree. Deliberately left out: corrections
for many comparisons; a run makes two or three.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.intervals import is_degenerate, percentile_interval, wilson
from headstart.types import Comparison, Figure

_NUM_RESAMPLES = 10_000


def compare(
    before: str,
    before_predictions: np.ndarray,
    after: str,
    after_predictions: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
) -> Comparison:
    """Compare two predictors on the same items.

    The interval of the difference is a percentile bootstrap over items, each drawn with both its
    predictions. Every item counts -1, 0 or 1, so a resample is one multinomial draw of three
    counts. If all items count the same, resampling would give a width of zero; then the interval
    combines the Wilson intervals of the gained and lost shares (MOVER).

    Args:
        before: Name of the first predictor.
        before_predictions: Class indices, shape (N,).
        after: Name of the second predictor.
        after_predictions: Class indices, shape (N,).
        targets: Class indices, shape (N,), N at least 1.
        seed: Seed of the bootstrap.

    Returns:
        Gained and lost items, the difference in accuracy with its interval, and McNemar's p.

    Raises:
        OptionError: The three arrays are not integers of one shape (N,), or are empty.

    Source:
        Q. McNemar, 1947, Psychometrika 12, 153-157, in its exact binomial form: given
        gained + lost disagreements, either direction has probability 1/2.

    Example:
        >>> import numpy as np
        >>> targets = np.array([0, 0, 1, 1])
        >>> verdict = compare("majority", np.zeros(4, int), "tuned", targets, targets)
        >>> verdict.gained, verdict.lost, verdict.difference.value
        (2, 0, 0.5)
    """
    from scipy.stats import binomtest

    right = _is_right(before, before_predictions, targets)
    right_after = _is_right(after, after_predictions, targets)
    gained = int(np.count_nonzero(right_after & ~right))
    lost = int(np.count_nonzero(right & ~right_after))
    p_value = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    difference = _difference(gained, lost, len(right), seed)
    return Comparison(before, after, gained, lost, difference, p_value)


def _difference(gained: int, lost: int, num_items: int, seed: int) -> Figure:
    """Return (gained - lost) / num_items with its paired interval."""
    value = (gained - lost) / num_items
    shares = np.array([gained, lost, num_items - gained - lost]) / num_items
    counts = np.random.default_rng(seed).multinomial(num_items, shares, size=_NUM_RESAMPLES)
    figure = percentile_interval(value, (counts[:, 0] - counts[:, 1]) / num_items)
    if not is_degenerate(figure):
        return figure
    up, down = wilson(gained, num_items), wilson(lost, num_items)
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
