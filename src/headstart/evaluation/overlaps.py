"""BLEU and chrF as functions of sums over texts, and of means with their gradients.

Both are read off sums of what texts add (``translations.py``), so that all texts, a resample of
them and another system's are one matrix product apart. An interval asks how far a figure moves
with each sum, which stands here beside the figure.

Source:
    K. Papineni et al., ACL 2002; M. Popovic, WMT 2015; M. Post, WMT 2018 (sacrebleu).
"""

from __future__ import annotations

import numpy as np

from headstart.evaluation.means import Smooth

NUM_ORDERS = 4  # n-grams of BLEU
CHAR_ORDERS, BETA = 6, 2.0  # of chrF2


def bleu_of(sums: np.ndarray, num_orders: int = NUM_ORDERS) -> np.ndarray:
    """Return corpus BLEU in [0, 100], shape (R,), smoothed as sacrebleu does it by default.

    Args:
        sums: Shape (10, R), sums of ``TextCounts.bleu``.
        num_orders: n-grams up to these.
    """
    length, wanted = sums[0], sums[1]
    right, total = sums[2 : 2 + num_orders], sums[6 : 6 + num_orders]
    halved = 0.5 ** np.cumsum((right == 0) & (total > 0), axis=0)  # of those before it, and its own
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(right > 0, right, halved) / total
        brevity = np.where(length < wanted, np.exp(1.0 - wanted / length), 1.0)
        score = 100.0 * brevity * np.exp(np.log(precision).mean(axis=0))
    none = ~right.any(axis=0) | (total == 0).any(axis=0) | (length == 0)
    found: np.ndarray = np.where(none, 0.0, score)
    return found


def chrf_of(sums: np.ndarray) -> np.ndarray:
    """Return corpus chrF2 in [0, 100], shape (R,).

    Args:
        sums: Shape (18, R), sums of ``TextCounts.chrf``.
    """
    said, wanted, both = sums[0::3], sums[1::3], sums[2::3]
    counts = (said > 0) & (wanted > 0)
    orders = counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(counts, both / said, 0.0).sum(axis=0) / orders
        recall = np.where(counts, both / wanted, 0.0).sum(axis=0) / orders
        score = (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    found: np.ndarray = np.where((orders > 0) & (precision + recall > 0), 100.0 * score, 0.0)
    return found


def smooth_bleu(num_texts: int, num_orders: int = NUM_ORDERS) -> Smooth:
    """Return BLEU as a function of means over texts, with its gradient, as ``means.Smooth``.

    Args:
        num_texts: How many texts the means are of: n-grams that nobody has right are smoothed by
            their number.
        num_orders: n-grams up to these.
    """

    def smooth(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sums = means[1:11] * num_texts
        value = bleu_of(sums, num_orders)
        gradient = np.zeros_like(means)
        length, wanted = sums[0], sums[1]
        is_short = length < wanted
        with np.errstate(divide="ignore", invalid="ignore"):
            gradient[1] = np.where(is_short, wanted / length**2, 0.0)
            gradient[2] = np.where(is_short, -1.0 / length, 0.0)
            for order in range(num_orders):
                right, total = sums[2 + order], sums[6 + order]
                gradient[3 + order] = np.where(right > 0, 1.0 / right, 0.0) / num_orders
                gradient[7 + order] = -1.0 / total / num_orders
            moved = gradient * value * num_texts
        return value, np.where(np.isfinite(moved), moved, 0.0)

    return smooth


def smooth_chrf(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return chrF of means over texts, and its gradient, as ``means.Smooth``.

    Args:
        means: Shape (19, R), the first being 1.
    """
    said, wanted, both = means[1::3], means[2::3], means[3::3]
    counts = (said > 0) & (wanted > 0)
    gradient = np.zeros_like(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(counts, 1.0 / counts.sum(axis=0), 0.0)
        precision, recall = both / said, both / wanted
        P = np.where(counts, precision * each, 0.0).sum(axis=0)
        R = np.where(counts, recall * each, 0.0).sum(axis=0)
        scale = 100.0 * (1 + BETA**2) / (BETA**2 * P + R) ** 2
        by_precision, by_recall = scale * R**2 * each, scale * BETA**2 * P**2 * each
        gradient[1::3] = -by_precision * precision / said
        gradient[2::3] = -by_recall * recall / wanted
        gradient[3::3] = by_precision / said + by_recall / wanted
    return chrf_of(means[1:]), np.where(np.isfinite(gradient), gradient, 0.0)
