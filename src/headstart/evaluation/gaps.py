"""The calibration error (ECE) with an interval that holds its true value.

ECE sums the sizes of gaps between certainty and truth, bin by bin. Chance makes gaps where there
are none, so that an ECE is too large by up to what a calibrated model would show; and a bin whose
few items are all right tells little of the gap there. So the lower end takes off both the expected
share of chance and the spread, and the upper end reckons in each bin with the interval of its
proportion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluation.clusters import Groups, effective_numbers
from headstart.evaluation.intervals import Z95
from headstart.evaluation.records import figure_to_json
from headstart.evaluation.shares import exact_ends, exact_share
from headstart.types import Figure

NUM_BINS = 15


@dataclass(frozen=True, eq=False)
class Bins:
    """What each bin of certainty holds.

    Attributes:
        counts: Items, shape (B,).
        hits: Those that are right.
        confidence: Sum of the certainty.
        chance: Sum of p (1 - p): what hits would spread if the certainty were true.
        squares: Sum of squared certainty.
        effective: As how many independent items the items count.
    """

    counts: np.ndarray
    hits: np.ndarray
    confidence: np.ndarray
    chance: np.ndarray
    squares: np.ndarray
    effective: np.ndarray


def binned(confidence: np.ndarray, hits: np.ndarray, groups: Groups | None) -> Bins:
    """Sort N items into 15 bins of equal width, (0, 1/15] first; 0 itself falls into that.

    Args:
        confidence: In [0, 1], shape (N,).
        hits: bool, shape (N,).
        groups: Which items belong together.
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)

    def total(of_items: np.ndarray | None) -> np.ndarray:
        return np.bincount(bins, weights=of_items, minlength=NUM_BINS).astype(np.float64)

    counts = total(None)
    effective = counts
    if groups is not None:
        effective = effective_numbers(bins, hits, groups.codes, NUM_BINS)
    return Bins(
        counts,
        total(hits.astype(np.float64)),
        total(confidence),
        total(confidence * (1.0 - confidence)),
        total(confidence**2),
        effective,
    )


def calibration_error(bins: Bins) -> Figure:
    """Return ECE with its 95 % interval.

    Args:
        bins: Of the test items.

    Source:
        C. Guo et al., 2017, On Calibration of Modern Neural Networks, equation 3. The bias of sums
        of sizes: J. Bröcker, 2012, Climate Dynamics 39, 655-667. Ends of bins are put together by
        MOVER (``parts.py``).
    """
    filled = bins.counts > 0
    counts, hits, sure, squares, chance, effective = (
        each[filled]
        for each in (
            bins.counts,
            bins.hits,
            bins.confidence,
            bins.squares,
            bins.chance,
            bins.effective,
        )
    )
    num = counts.sum()
    weights, rate, mean = counts / num, hits / counts, sure / counts
    value = float((weights * np.abs(rate - mean)).sum())
    if num < 2:
        return Figure(value, math.nan, math.nan)
    low, high = exact_ends(rate * effective, effective)
    widest = np.maximum(np.abs(low - mean), np.abs(high - mean))
    is_inside = (low <= mean) & (mean <= high)
    least = np.where(is_inside, 0.0, np.minimum(np.abs(low - mean), np.abs(high - mean)))
    # how the items fall into bins, and lie in them, spreads, too
    spread = Z95**2 * (weights * (np.abs(rate - mean) - value) ** 2).sum() / num
    spread += Z95**2 * np.maximum(squares - counts * mean**2, 0.0).sum() / num**2
    above = math.sqrt((weights**2 * (widest - np.abs(rate - mean)) ** 2).sum() + spread)
    below = math.sqrt((weights**2 * (np.abs(rate - mean) - least) ** 2).sum() + spread)
    seen = rate * (1.0 - rate)
    each = np.maximum(seen, chance / counts) / np.maximum(effective, 1.0)
    by_chance = float((weights * np.sqrt(2.0 / math.pi * each)).sum())
    return Figure(value, max(0.0, value - by_chance - below), min(1.0, value + above))


def reliability(confidence: np.ndarray, hits: np.ndarray, groups: Groups | None) -> dict[str, Any]:
    """Return the calibration error and the bins of a reliability diagram, JSON-able.

    Args:
        confidence: In [0, 1], shape (N,).
        hits: bool, shape (N,): how often the certainty came true.
        groups: Which items belong together.

    Returns:
        ``ece``, and ``bins`` that hold an item: ``low``, ``high``, ``count``, the mean
        ``confidence``, and ``accuracy`` with its exact interval.
    """
    bins = binned(confidence, hits, groups)
    rows = [
        {
            "low": place / NUM_BINS,
            "high": (place + 1) / NUM_BINS,
            "count": int(bins.counts[place]),
            "confidence": float(bins.confidence[place] / bins.counts[place]),
            "accuracy": figure_to_json(
                exact_share(
                    float(bins.hits[place]),
                    float(bins.counts[place]),
                    float(bins.effective[place]),
                )
            ),
        }
        for place in np.flatnonzero(bins.counts).tolist()
    ]
    return {"ece": figure_to_json(calibration_error(bins)), "bins": rows}
