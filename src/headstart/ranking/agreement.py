"""How well a ranking of starts agrees with what fine-tuning all of them would have found.

Regret is what the choice loses in the unit of the accuracy; the weighted tau says how well the
whole order agrees, and means little without its ceiling: the truth was measured with noise, too.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata, weightedtau


def weighted_tau(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return Kendall's tau in which the best count most, -1 to 1; NaN where all scores are equal.

    Args:
        scores: Higher is better, shape (M,).
        truth: Accuracy of each after fine-tuning, shape (M,).

    Source:
        Vigna 2015, with hyperbolic weights: ``scipy.stats.weightedtau`` with ``rank=True``, which
        takes the mean over both orders.
    """
    return float(weightedtau(scores, truth)[0])


def regret(scores: np.ndarray, truth: np.ndarray, shortlist: int = 1) -> float:
    """Return what the best of a shortlist loses to the best of all, in the unit of the truth.

    Where scores tie at its end, the mean over which of them are taken.

    Args:
        scores: Higher is better, shape (M,).
        truth: Shape (M,).
        shortlist: How many are tried.
    """
    order = np.argsort(-scores, kind="stable")
    edge = scores[order[min(shortlist, len(scores)) - 1]]
    sure, tied = truth[scores > edge], truth[scores == edge]
    missing = shortlist - len(sure)
    best = float(truth.max())
    if missing >= len(tied):
        return best - float(np.concatenate([sure, tied]).max())
    # the mean of the largest of `missing` of the tied ones, drawn without putting back
    floor = float(sure.max()) if len(sure) else -np.inf
    lost, left = 0.0, 1.0
    for place, value in enumerate(np.sort(tied)[::-1]):
        rest = len(tied) - place
        chance = left * min(1.0, missing / rest)
        lost += chance * (best - max(float(value), floor))
        left -= chance
    return lost


def static_ranks(truth: np.ndarray) -> np.ndarray:
    """Return for each data set the mean rank of each start on all the others.

    A list that never looks at the data, and the one to beat.

    Args:
        truth: Accuracies, shape (data sets, starts); NaN where one was not fine-tuned.

    Returns:
        Higher is better, same shape.
    """
    ranks = np.vstack([rankdata(row, nan_policy="omit") for row in truth])
    known = np.isfinite(ranks)
    total, count = np.nansum(ranks, axis=0), known.sum(axis=0)
    rest = total - np.where(known, ranks, 0)
    found: np.ndarray = rest / np.maximum(count - known, 1)
    return found


def mean_ranks(*scores: np.ndarray) -> np.ndarray:
    """Return the mean rank of several scores, higher is better.

    Args:
        scores: Each of shape (M,), higher is better.
    """
    found: np.ndarray = np.mean([rankdata(score) for score in scores], axis=0)
    return found


def noise_ceiling(truth: np.ndarray, noise: float, *, draws: int = 200, seed: int = 0) -> float:
    """Return the weighted tau that a perfect ranking would reach on average.

    Args:
        truth: Shape (M,).
        noise: Standard deviation of the truth's own measurement, in its unit.
        draws: Of the noise.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    seen = truth + noise * rng.standard_normal((draws, len(truth)))
    return float(np.mean([weighted_tau(truth, row) for row in seen]))
