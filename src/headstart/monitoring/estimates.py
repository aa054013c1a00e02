"""What can be said without labels: the shares of the classes now, and how often answers are right.

Both carry an assumption that nobody can check from answers alone. The shares: that samples of a
class look as they did (label shift). The accuracy: that answers of one confidence are right as
often as they were. Where the input itself has drifted neither holds; then accuracy is usually lower
than estimated (docs/monitor.md has figures).

Source:
    Z. Lipton, Y.-X. Wang, A. Smola, 2018, Detecting and Correcting for Label Shift with Black Box
    Predictors, ICML, section 4: the shares are those that the confusion of held-out samples turns
    into what was predicted.
"""

from __future__ import annotations

import numpy as np

from headstart.types import Figure

_RESAMPLES = 200
_MOST_CLASSES = 100
_LEAST_OF_CLASS = 5  # held-out samples: of fewer nobody knows what they are taken for
_TAILS = (2.5, 97.5)
_BINS = 10


def class_shares(confusion: np.ndarray, counts: np.ndarray, seed: int = 0) -> list[Figure] | None:
    """Return the share of each class among new samples, with its 95 % interval.

    Args:
        confusion: Held-out samples by true and predicted class, int64, shape (K, K).
        counts: New samples by predicted class, int64, shape (K,).
        seed: Of the resamples.

    Returns:
        None where it cannot be said: too many classes, too few held-out samples of one, or the
        model takes classes for one another so often that their shares cannot be told apart.
    """
    num = len(counts)
    is_known = confusion.sum(axis=1) >= _LEAST_OF_CLASS
    if not 2 <= num <= _MOST_CLASSES or not is_known.all() or not counts.sum():
        return None
    found = _solved(confusion, counts)
    if found is None:
        return None
    draw = np.random.default_rng(seed)
    rates = counts / counts.sum()
    resampled = []
    for _ in range(_RESAMPLES):
        rows = np.stack([draw.multinomial(row.sum(), row / row.sum()) for row in confusion])
        one = _solved(rows, draw.multinomial(counts.sum(), rates))
        if one is not None:
            resampled.append(one)
    if len(resampled) < _RESAMPLES // 2:
        return None
    low, high = np.percentile(resampled, _TAILS, axis=0)
    return [Figure(*map(float, row)) for row in zip(found, low, high, strict=True)]


def _solved(confusion: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
    """Return shares, none below 0, of which the confusion makes these counts."""
    from scipy.optimize import nnls

    sides = confusion.sum(axis=1, keepdims=True)
    if not sides.all():
        return None
    told = (confusion / sides).T  # (predicted, true)
    if np.linalg.cond(told) > 100:
        return None
    shares, _ = nnls(told, counts / counts.sum())
    total = float(shares.sum())
    return None if total <= 0 else np.asarray(shares / total)


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """Return what divides confidences into tenths, float64, shape (at most 9,)."""
    return np.unique(np.quantile(confidence, np.arange(1, _BINS) / _BINS))


def right_of_bins(edges: np.ndarray, confidence: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Return how many of each tenth are right and how many there are, int64, shape (B, 2)."""
    bins, num = np.searchsorted(edges, confidence), len(edges) + 1
    right = np.bincount(bins[is_right], minlength=num)
    return np.stack([right, np.bincount(bins, minlength=num)], axis=1)


def likely_accuracy(edges: np.ndarray, right: np.ndarray, confidence: np.ndarray) -> Figure:
    """Return how often answers are right if those of one confidence are as right as they were.

    Args:
        edges: Of ``confidence_bins`` of held-out samples.
        right: Of ``right_of_bins`` of them.
        confidence: Of new answers, shape (N,).

    Returns:
        With a 95 % interval, of both the held-out samples and the new ones.
    """
    shares = np.bincount(np.searchsorted(edges, confidence), minlength=len(right)) / len(confidence)
    rates = (right[:, 0] + 1) / (right[:, 1] + 2)  # a tenth without a mistake is not without any
    value = float(shares @ rates)
    of_rates = float((shares**2 * rates * (1 - rates) / np.maximum(right[:, 1], 1)).sum())
    spread = 1.96 * float(np.sqrt(of_rates + value * (1 - value) / len(confidence)))
    return Figure(value, max(0.0, value - spread), min(1.0, value + spread))
