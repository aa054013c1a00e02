"""Whether two sets of values may come from one source, and how far apart they are.

A p-value alone says how many values there are, not whether a difference matters: in a hundred
thousand rows anything differs. So each comparison has a size too, and both must be large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.auditing.together import variance_of_sum

MAX_CATEGORIES = 50  # compared one by one; the rarest are counted together
_LEAST = 20  # values a side
_SHOWN = (0.1, 0.5, 0.9)  # quantiles
_SAME_MIDDLE = 0.1  # of their range: medians so near are not what differs


@dataclass(frozen=True)
class Difference:
    """How two sets of values differ.

    Attributes:
        what: Name of the column or measure.
        size: Of numbers the Kolmogorov-Smirnov distance, of categories the total variation, less
            what chance gives: both the share of values that would have to change, in [0, 1].
        p_value: Of the hypothesis that they do not.
        words: What a person reads, e.g. ``median 34 in train, 51 in test``.
    """

    what: str
    size: float
    p_value: float
    words: str


def compare_numbers(what: str, first: np.ndarray, second: np.ndarray) -> Difference | None:
    """Compare numbers by Kolmogorov and Smirnov's test; None where too few are there.

    Args:
        what: Their name.
        first: Of train, shape (N,); NaN is left out.
        second: Of test.
    """
    from scipy.stats import ks_2samp

    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if min(len(first), len(second)) < _LEAST:
        return None
    found = ks_2samp(first, second, method="asymp")
    one, other = np.quantile(first, _SHOWN), np.quantile(second, _SHOWN)
    words = f"median {one[1]:.4g} in train, {other[1]:.4g} in test"
    if abs(one[1] - other[1]) <= _SAME_MIDDLE * (one[2] - one[0]):
        words = (
            f"four of five values are {one[0]:.4g} to {one[2]:.4g} in train, {other[0]:.4g} to "
            f"{other[2]:.4g} in test"
        )
    return Difference(what, float(found.statistic), float(found.pvalue), words)


def compare_counts(
    what: str, names: Sequence[str], first: np.ndarray, second: np.ndarray
) -> Difference | None:
    """Compare how often categories occur, by Pearson's chi-squared; None where too few are there.

    Args:
        what: Name of the column.
        names: Of the categories, K.
        first: How often each occurs in train, shape (K,).
        second: The same in test.
    """
    from scipy.stats import chi2_contingency

    if min(first.sum(), second.sum()) < _LEAST:
        return None
    table = np.stack([first, second]).astype(np.float64)
    shares = table / table.sum(axis=1, keepdims=True)
    most = int(np.abs(shares[0] - shares[1]).argmax())
    words = f"'{names[most]}' {shares[0, most]:.1%} in train, {shares[1, most]:.1%} in test"
    order = np.argsort(-table.sum(axis=0), kind="stable")
    table = table[:, order]
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    kept = min(MAX_CATEGORIES, max(1, int((expected >= 5).sum())))
    table = np.concatenate([table[:, :kept], table[:, kept:].sum(axis=1, keepdims=True)], axis=1)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return None
    shares = table / table.sum(axis=1, keepdims=True)
    # of draws from one source the shares of K categories differ by so much on the average
    both = table.sum(axis=0) / table.sum()
    chance = float(np.sqrt(2 / np.pi * both * (1 - both) * (1 / table.sum(axis=1)).sum()).sum() / 2)
    size = max(0.0, float(np.abs(shares[0] - shares[1]).sum() / 2) - chance)
    return Difference(what, size, float(chi2_contingency(table).pvalue), words)


def compare_shares(what: str, first: np.ndarray, second: np.ndarray) -> Difference | None:
    """Compare how often something holds.

    Args:
        what: Name of it.
        first: bool, shape (N,), of train.
        second: The same of test.
    """
    counts = [np.array([(~held).sum(), held.sum()]) for held in (first, second)]
    found = compare_counts(what, ["no", "yes"], *counts)
    if found is None:
        return None
    words = f"{first.mean():.1%} in train, {second.mean():.1%} in test"
    return Difference(what, found.size, found.p_value, words)


def significant(
    differences: Sequence[Difference], *, level: float, least: float
) -> list[Difference]:
    """Return the differences that are no chance and not small, the largest first.

    Args:
        differences: Of all columns that were compared.
        level: Chance of one false alarm or more among all of them.
        least: Smallest size that matters.

    Source:
        S. Holm, 1979, A Simple Sequentially Rejective Multiple Test Procedure.
    """
    ordered = sorted(differences, key=lambda found: found.p_value)
    kept = []
    for number, found in enumerate(ordered):
        if found.p_value > level / (len(ordered) - number):
            break
        kept.append(found)
    return sorted((d for d in kept if d.size >= least), key=lambda d: -d.size)


def area_and_error(
    scores: np.ndarray, is_second: np.ndarray, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the area under the ROC curve of scores for being of the second set, and its error.

    Args:
        scores: Shape (N,).
        is_second: bool, shape (N,); both kinds occur.
        groups: int64, shape (N,), the same for samples that belong together; None where none do.

    Source:
        E. R. DeLong et al., 1988, Biometrics 44, 837-845, for one curve; of groups N. A.
        Obuchowski, 1997, Biometrics 53, 567-578, whose sums over groups these are.
    """
    from scipy.stats import rankdata

    first, second = scores[~is_second], scores[is_second]
    m, n = len(second), len(first)
    ranks = rankdata(np.concatenate([second, first]))
    above = (ranks[:m] - rankdata(second)) / n  # share of the first that each is above
    below = 1 - (ranks[m:] - rankdata(first)) / m
    area = float(above.mean())
    variance = (above.var(ddof=1) if m > 1 else 0.25) / m + (
        below.var(ddof=1) if n > 1 else 0.25
    ) / n
    if groups is not None:
        parts = np.empty(len(scores))
        parts[is_second], parts[~is_second] = (above - area) / m, (below - area) / n
        variance = max(variance, variance_of_sum(parts, groups))
    return area, float(np.sqrt(variance))
