"""Correlations of predicted numbers with targets, each with a 95 % interval.

Pearson's is a smooth function of means; Spearman's is Pearson's of the ranks, and each item is
counted with all that it moves: its own product and the ranks of the others.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.evaluation.clusters import Groups
from headstart.evaluation.means import plain_mean, studentised_interval, unit_sums, within
from headstart.types import Figure

_UNKNOWN = Figure(math.nan, math.nan, math.nan)


def correlations(
    predictions: np.ndarray,
    targets: np.ndarray,
    groups: Groups | None,
    *,
    num_resamples: int,
    seed: int,
) -> tuple[Figure, Figure]:
    """Return Pearson's and Spearman's correlation; both NaN where one side is all equal.

    Args:
        predictions: Finite, shape (N,).
        targets: The same.
        groups: Which items belong together.
        num_resamples: As for ``studentised_interval``.
        seed: Of the draws.
    """
    if not np.ptp(predictions) > 0 or not np.ptp(targets) > 0:
        return _UNKNOWN, _UNKNOWN
    x, y = _standard(predictions), _standard(targets)
    units = unit_sums(np.stack((x, y, x * x, y * y, x * y)), groups, seed)
    pearson = studentised_interval(units, _pearson, num_resamples=num_resamples, seed=seed)
    value, influences = spearman_influences(predictions, targets)
    sums = unit_sums((value + influences)[None], groups, seed)
    spread = studentised_interval(sums, plain_mean, num_resamples=num_resamples, seed=seed)
    return within(pearson, -1.0, 1.0), within(Figure(value, spread.low, spread.high), -1.0, 1.0)


def spearman_influences(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return Spearman's correlation, and by how much each item moves it, shape (N,), mean zero.

    Args:
        x: Shape (N,), not all equal.
        y: The same.

    Source:
        C. Croux and C. Dehon, 2010, Statistical Methods and Applications 19, 497-515, section 3,
        of the empirical distribution; of ties each half counts, and their spread as given.
    """
    a, b = (_mid_ranks(one) for one in (x, y))
    a_spread, b_spread = float(a.std()), float(b.std())
    a, b = (a - a.mean()) / a_spread, (b - b.mean()) / b_spread
    value = float((a * b).mean())
    moved = a * b + _above(x, b) / a_spread + _above(y, a) / b_spread
    influences: np.ndarray = moved - moved.mean()
    return value, influences


def _mid_ranks(values: np.ndarray) -> np.ndarray:
    """Return the share of items below each, and half of those equal to it."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    shares: np.ndarray = ((below + counts / 2) / len(values))[codes.reshape(-1)]
    return shares


def _above(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return of each item the mean over all of the weights of those above it, equals as half."""
    _, codes = np.unique(values, return_inverse=True)
    sums = np.bincount(codes.reshape(-1), weights=weights)
    above = sums[::-1].cumsum()[::-1] - sums / 2
    found: np.ndarray = above[codes.reshape(-1)] / len(values)
    return found


def _standard(values: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (values - values.mean()) / values.std()
    return standard


def _pearson(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlation of means of x, y, x², y² and xy, and its gradient."""
    x, y, xx, yy, xy = means[1:6]
    gradient = np.zeros_like(means)
    with np.errstate(all="ignore"):
        of_x, of_y, both = xx - x**2, yy - y**2, xy - x * y
        root = np.sqrt(of_x * of_y)
        value = both / root
        gradient[1] = -y / root + value * x / of_x
        gradient[2] = -x / root + value * y / of_y
        gradient[3] = -value / (2 * of_x)
        gradient[4] = -value / (2 * of_y)
        gradient[5] = 1 / root
        return value, gradient
