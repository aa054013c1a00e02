"""Whether two sets of counts, or of numbers, come from one distribution; many columns at once.

SciPy's special functions are imported where a p-value is asked for: whoever only counts, as a
server does between two windows, does without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LEAST_EXPECTED = 5.0  # of a cell: below, the chi-square distribution is none
SMALLEST_P = 1e-300


@dataclass(frozen=True)
class SampleDifference:
    """How two samples differ.

    Attributes:
        p: Probability of one as large where there is none.
        score: Its size in a unit that does not depend on how many samples there are; larger is
            more.
        size: Its size as a person reads it: a share, or a distance.
    """

    p: float
    score: float
    size: float


def surprise(p: float) -> float:
    """Return a p-value as a score: its negative decimal logarithm."""
    return -math.log10(max(p, SMALLEST_P))


def compare_counts(first: np.ndarray, second: np.ndarray) -> SampleDifference:
    """Return how two sets of counts differ, by chi-square and as a share of samples.

    Args:
        first: At least 0, shape (K,).
        second: The same.
    """
    p = float(chi_square(first[None], second[None])[0])
    return SampleDifference(p, surprise(p), float(moved(first[None], second[None])[0]))


def chi_square(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return p-values of Pearson's test of homogeneity, float64, shape (C,).

    Cells of which fewer than five are expected on one side are counted as one. Where nothing is
    left to compare, p is 1.

    Args:
        first: Counts, shape (C, K).
        second: The same.
    """
    from scipy.special import gammaincc

    each = np.stack([first, second]).astype(np.float64)  # (2, C, K)
    sides = each.sum(axis=2, keepdims=True)
    total = sides.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nan_to_num(each.sum(axis=0, keepdims=True) * sides / total)
        is_rare = (expected < LEAST_EXPECTED).any(axis=0)  # (C, K)
        joined = np.concatenate(
            [np.where(is_rare, 0, each), np.where(is_rare, each, 0).sum(axis=2, keepdims=True)],
            axis=2,
        )
        wanted = joined.sum(axis=0, keepdims=True) * sides / total
        is_used = (wanted >= 1).all(axis=0)  # the joined cell may still be too rare to be judged
        terms = np.where(is_used, (joined - wanted) ** 2 / wanted, 0)
    freedom = is_used.sum(axis=1) - 1
    statistic = np.nan_to_num(terms).sum(axis=(0, 2))
    p = np.asarray(gammaincc(np.maximum(freedom, 1) / 2, statistic / 2), np.float64)
    return np.where(freedom > 0, p, 1.0)


def moved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the share of samples in another cell, float64, shape (C,): the total variation.

    Args:
        first: Counts, shape (C, K).
        second: The same.
    """
    shares = [one / np.maximum(one.sum(axis=1, keepdims=True), 1) for one in (first, second)]
    found: np.ndarray = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
    return found


def compare_numbers(first: np.ndarray, second: np.ndarray) -> SampleDifference:
    """Return how two samples of numbers differ, by Kolmogorov and Smirnov.

    Args:
        first: Finite, shape (M,).
        second: Finite, shape (N,).
    """
    first, second = np.sort(first), np.sort(second)
    both = np.concatenate([first, second])
    shares = [np.searchsorted(one, both, side="right") / len(one) for one in (first, second)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    p = float(kolmogorov_p(np.array([distance]), len(first), len(second))[0])
    return SampleDifference(p, surprise(p), distance)


def compare_binned(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p-values and distances of Kolmogorov and Smirnov, of numbers counted in bins.

    Between the ends of bins the distance may be larger: p is an upper bound.

    Args:
        first: Counts, in the order of the bins, shape (C, K).
        second: The same.
    """
    num = [one.sum(axis=1) for one in (first, second)]
    shares = [
        one.cumsum(axis=1) / np.maximum(n, 1)[:, None]
        for one, n in zip((first, second), num, strict=True)
    ]
    distance = np.abs(shares[0] - shares[1]).max(axis=1)
    p = kolmogorov_p(distance, np.maximum(num[0], 1), np.maximum(num[1], 1))
    is_empty = (num[0] == 0) | (num[1] == 0)
    return np.where(is_empty, 1.0, p), np.where(is_empty, 0.0, distance)


def rank_sum(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return p-values of Wilcoxon's rank-sum test of numbers counted in bins, float64, shape (C,).

    It finds numbers that have moved as a whole, of which Kolmogorov and Smirnov see the widest gap
    alone. Numbers of one bin are ties. Where a side is empty, or all are one tie, p is 1.

    Args:
        first: Counts, in the order of the bins, shape (C, K).
        second: The same.

    Source:
        E. L. Lehmann, 1975, Nonparametrics, section 1.4, for the variance with ties.
    """
    from scipy.special import erfc

    both = (first + second).astype(np.float64)
    sizes = [one.sum(axis=1).astype(np.float64) for one in (first, second)]
    num = sizes[0] + sizes[1]
    ranks = both.cumsum(axis=1) - (both - 1) / 2
    summed = (second * ranks).sum(axis=1) - sizes[1] * (num + 1) / 2
    ties = (both**3 - both).sum(axis=1) / np.maximum(num * (num - 1), 1)
    variance = sizes[0] * sizes[1] / 12 * (num + 1 - ties)
    is_told = variance > 1e-9
    found = erfc(np.abs(summed) / np.sqrt(2 * np.where(is_told, variance, 1)))
    return np.where(is_told, found, 1.0)


def kolmogorov_p(
    distance: np.ndarray, first: int | np.ndarray, second: int | np.ndarray
) -> np.ndarray:
    """Return p-values of distances between two empirical distributions.

    Args:
        distance: Shape (C,).
        first: How many samples the one has.
        second: The other.

    Source:
        M. A. Stephens, 1970, Journal of the Royal Statistical Society B 32, 115-122, for the
        correction of small samples.
    """
    from scipy.special import kolmogorov

    root = np.sqrt(np.multiply(first, second, dtype=np.float64) / np.add(first, second))
    found: np.ndarray = np.asarray(kolmogorov((root + 0.12 + 0.11 / root) * distance))
    return found
