"""How good a model is on the validation split, in the one score that a training is chosen by.

Each score with its standard error, so that patience does not take noise for progress: exact for
accuracy, by linearisation (the delta method) for the two ratios F1 and R². Deliberately left out:
the loss that breaks ties, which belongs to what is minimised, intervals, and every other figure.
"""

from __future__ import annotations

import math

import numpy as np

_LEAST_VARIANCE = 1e-6  # of an item's part of a score: a perfect score is not a certain one


def accuracy_and_error(predictions: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return the share of right predictions and its standard error.

    Args:
        predictions: Class indices, shape (N,), N at least 1.
        targets: Class indices, shape (N,).
    """
    accuracy = float((predictions == targets).mean())
    return accuracy, _error(accuracy * (1 - accuracy), len(targets))


def f1_micro_and_error(predictions: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return F1 over all decisions, a ratio of two sums over items, and its standard error.

    Args:
        predictions: bool, shape (N, K), N at least 1.
        targets: bool, shape (N, K).
    """
    hits = 2.0 * (predictions & targets).sum(axis=1)
    decided = (predictions.sum(axis=1) + targets.sum(axis=1)).astype(np.float64)
    mean = decided.mean()
    if mean == 0:  # nothing to find and nothing claimed: the score says nothing either way
        return 0.0, _error(0.0, len(targets))
    score = float(hits.mean() / mean)
    parts = (hits - score * decided) / mean
    return score, _error(float(parts.var()), len(targets))


def r2_and_error(values: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return R² and its standard error.

    Where all targets are equal, R² is taken against a variance of 1, which is that of standardised
    train targets.

    Args:
        values: float64, shape (N,), N at least 1.
        targets: float64, *standardised*, shape (N,).
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model: the loop judges it
        squares = (values - targets) ** 2
        mean = float(squares.mean())
        spreads = (targets - targets.mean()) ** 2
        spread = float(spreads.mean())
        if spread <= 1e-12:
            return 1.0 - mean, _error(float(squares.var()), len(targets))
        score = 1.0 - mean / spread
        parts = (squares - (1.0 - score) * spreads) / spread
        return score, _error(float(parts.var()), len(targets))


def _error(variance: float, num_items: int) -> float:
    """Return the standard error of a mean of parts of that variance."""
    return math.sqrt(max(variance, _LEAST_VARIANCE) / num_items)
