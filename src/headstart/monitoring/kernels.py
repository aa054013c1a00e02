"""Whether two sets of embeddings come from one distribution: the maximum mean discrepancy.

The kernel is a mean of three Gaussians around the median distance of the reference, so that
neither a small shift of all nor a large one of few is missed. What the statistic would be without
a difference is found by dealing the same samples out again.

Source:
    A. Gretton et al., 2012, A Kernel Two-Sample Test, Journal of Machine Learning Research 13.
"""

from __future__ import annotations

import numpy as np

from headstart.monitoring.two_samples import SampleDifference

PERMUTATIONS = 999
MOST = 500  # samples of each side that are compared
_WIDTHS = (0.25, 1.0, 4.0)  # times the median squared distance


def median_distance(points: np.ndarray) -> float:
    """Return the median squared distance between samples, float (N, D); 1 where they are alike."""
    squared = _distances(points[:MOST])
    found = float(np.median(squared[np.triu_indices(len(squared), 1)]))
    return found if found > 0 else 1.0


def kernel_of(points: np.ndarray, median: float) -> np.ndarray:
    """Return the kernel of all pairs, float32, shape (N, N), with a diagonal of zeros.

    Args:
        points: Shape (N, D).
        median: Of the squared distances of the reference.
    """
    scaled = _distances(points) / (-median)
    kernel = sum(np.exp(scaled / width) for width in _WIDTHS) / np.float32(len(_WIDTHS))
    found = np.asarray(kernel, np.float32)
    np.fill_diagonal(found, 0.0)
    return found


def discrepancy(kernel: np.ndarray, is_window: np.ndarray) -> np.ndarray:
    """Return the squared discrepancy in units of its own spread, float64, shape (P,).

    Divided by 1/M + 1/N it is as large for few samples as for many where there is no difference.

    Args:
        kernel: Of all samples, shape (M + N, M + N).
        is_window: 1 where a sample belongs to the second side, float32, shape (M + N, P); every
            column has N of them.
    """
    num = float(is_window[:, 0].sum())
    rest = len(kernel) - num
    inside = (is_window * (kernel @ is_window)).sum(axis=0, dtype=np.float64)
    sums = kernel.sum(axis=1, dtype=np.float64)
    touched = sums @ is_window.astype(np.float64)
    across = touched - inside
    outside = sums.sum() - 2 * touched + inside
    squared = inside / (num * (num - 1)) + outside / (rest * (rest - 1)) - 2 * across / num / rest
    found: np.ndarray = squared / (1 / num + 1 / rest)
    return found


def compare_embeddings(
    reference: np.ndarray, window: np.ndarray, median: float, seed: int = 0
) -> SampleDifference:
    """Return how embeddings differ, by a permutation test: p = (1 + #) / (1 + permutations).

    Args:
        reference: Shape (M, D).
        window: Shape (N, D).
        median: Of the squared distances of the whole reference.
        seed: Of the choice where there are more than ``MOST``, and of the permutations.
    """
    draw = np.random.default_rng(seed)
    sides = [chosen(one, draw) for one in (reference, window)]
    kernel = kernel_of(np.concatenate(sides), median)
    first = np.zeros(len(kernel), np.float32)
    first[len(sides[0]) :] = 1
    columns = [first, *(draw.permutation(first) for _ in range(PERMUTATIONS))]
    found = discrepancy(kernel, np.stack(columns, axis=1))
    p = float((1 + np.count_nonzero(found[1:] >= found[0])) / (1 + PERMUTATIONS))
    spread = 1 / len(sides[0]) + 1 / len(sides[1])
    return SampleDifference(p, float(found[0]), float(np.sqrt(max(found[0], 0.0) * spread)))


def chosen(points: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return all samples, or ``MOST`` of them."""
    return points if len(points) <= MOST else points[draw.permutation(len(points))[:MOST]]


def _distances(points: np.ndarray) -> np.ndarray:
    """Return squared distances of all pairs, float32, shape (N, N), none below 0."""
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    plain = centred.astype(np.float32)
    norms = (plain * plain).sum(axis=1)
    squared = norms[:, None] + norms[None, :] - 2 * (plain @ plain.T)
    return np.asarray(np.maximum(squared, 0), np.float32)
