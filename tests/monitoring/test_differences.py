"""Two samples compared: parity with SciPy and by hand, and nothing found where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.monitoring.estimates import (
    class_shares,
    confidence_bins,
    likely_accuracy,
    right_of_bins,
)
from headstart.monitoring.kernels import (
    PERMUTATIONS,
    compare_embeddings,
    discrepancy,
    kernel_of,
    median_distance,
)
from headstart.monitoring.two_samples import (
    chi_square,
    compare_binned,
    compare_counts,
    compare_numbers,
    rank_sum,
)

RNG = np.random.default_rng(0)


def test_counts_are_compared_as_scipy_does():
    first, second = RNG.integers(20, 90, (6, 5)), RNG.integers(20, 90, (6, 5))
    expected = [
        stats.chi2_contingency(np.stack(pair), correction=False).pvalue
        for pair in zip(first, second, strict=True)
    ]
    assert chi_square(first, second) == pytest.approx(expected, rel=1e-9)


def test_rare_cells_are_joined_and_empty_ones_say_nothing():
    first, second = np.array([[500, 480, 2, 1, 2, 0]]), np.array([[260, 230, 1, 3, 1, 0]])
    joined = [[500, 480, 5], [260, 230, 5]]  # the last is expected 3 times: fewer than five
    expected = stats.chi2_contingency(np.array(joined), correction=False).pvalue
    assert chi_square(first, second)[0] == pytest.approx(expected, rel=1e-9)
    assert chi_square(np.array([[7, 0]]), np.array([[5, 0]])).tolist() == [1.0]
    assert chi_square(np.zeros((1, 3), int), np.array([[5, 9, 3]])).tolist() == [1.0]


def test_a_class_that_is_gone_is_found():
    found = compare_counts(np.array([300, 300, 300]), np.array([250, 250, 0]))
    assert found.p < 1e-20
    assert found.size == pytest.approx(1 / 3)


def test_numbers_are_compared_as_scipy_does():
    first, second = RNG.normal(0, 1, 800), RNG.normal(0.15, 1, 500)
    found, expected = compare_numbers(first, second), stats.ks_2samp(first, second)
    assert found.size == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=0.1)


def test_numbers_in_bins_are_never_more_different_than_themselves():
    first, second = RNG.normal(0, 1, 900), RNG.normal(0.3, 1, 500)
    edges = np.quantile(first, np.arange(1, 20) / 20)
    counts = [
        np.bincount(np.searchsorted(edges, one), minlength=20)[None] for one in (first, second)
    ]
    p, distance = compare_binned(*counts)
    exact = compare_numbers(first, second)
    assert exact.size * 0.8 < distance[0] <= exact.size
    assert exact.p <= p[0] < 0.01
    assert compare_binned(np.zeros((1, 4)), counts[0][:, :4])[0].tolist() == [1.0]


def test_ranks_in_bins_are_those_of_scipy_with_ties():
    draw = np.random.default_rng(4)
    first, second = draw.integers(0, 9, 300), draw.integers(1, 10, 200)
    counts = [np.bincount(one, minlength=10)[None] for one in (first, second)]
    wanted = stats.mannwhitneyu(first, second, use_continuity=False, method="asymptotic").pvalue
    assert rank_sum(*counts)[0] == pytest.approx(wanted, rel=1e-9)
    assert rank_sum(counts[0], counts[0])[0] == pytest.approx(1.0)
    none, one_tie = np.zeros((1, 10), np.int64), np.eye(10, dtype=np.int64)[:1] * 7
    assert rank_sum(counts[0], none).tolist() == rank_sum(one_tie, one_tie).tolist() == [1.0]


def test_the_discrepancy_is_that_of_the_formula():
    first, second = RNG.normal(0, 1, (12, 3)), RNG.normal(1, 1, (9, 3))
    points = np.concatenate([first, second])
    kernel = kernel_of(points, 2.0)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.exp(-((a - b) ** 2).sum() / 2 / w) for w in (0.25, 1, 4)]))

    def mean(a: np.ndarray, b: np.ndarray, is_same: bool) -> float:
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not (is_same and i == j)]
        return float(np.mean([k(a[i], b[j]) for i, j in pairs]))

    expected = (
        mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)
    ) / (1 / 12 + 1 / 9)
    is_window = np.repeat([0, 1], [12, 9]).astype(np.float32)[:, None]
    assert discrepancy(kernel, is_window)[0] == pytest.approx(expected, rel=1e-4)


def test_the_p_value_of_embeddings_counts_permutations():
    first = RNG.normal(0, 1, (300, 8)).astype(np.float32)
    median = median_distance(first)
    far = compare_embeddings(first, first[:200] + 2, median)
    assert far.p == 1 / (1 + PERMUTATIONS)
    each = [
        compare_embeddings(first, RNG.normal(0, 1, (200, 8)).astype(np.float32), median, seed).p
        for seed in range(12)
    ]
    assert min(each) > 0.002
    assert 0.2 < np.mean(each) < 0.8


def test_a_shift_of_few_dimensions_is_found_at_500():
    # the case of a simulation in which shares of columns and population stability find nothing
    reference = RNG.normal(0, 1, (500, 64)).astype(np.float32)
    window = RNG.normal(0, 1, (500, 64)).astype(np.float32)
    window[:, :8] += 0.35
    assert compare_embeddings(reference, window, median_distance(reference)).p <= 0.01


def test_shares_of_classes_are_found_behind_a_model_that_errs():
    confusion = np.array([[160, 40], [30, 170]])
    true = np.array([0.9, 0.1])
    told = np.round(1000 * (confusion / 200).T @ true).astype(int)
    found = class_shares(confusion, told)
    assert found is not None
    assert found[0].value == pytest.approx(0.9, abs=0.01)
    assert found[0].low < 0.9 < found[0].high
    assert told[0] / 1000 < 0.8  # what is merely counted says less


def test_shares_that_cannot_be_told_apart_are_not_told():
    assert class_shares(np.array([[50, 50], [50, 50]]), np.array([90, 10])) is None
    assert class_shares(np.array([[50, 50], [1, 2]]), np.array([90, 10])) is None


def test_accuracy_follows_confidence():
    confidence = RNG.uniform(0.5, 1, 4000)
    is_right = RNG.random(4000) < confidence
    edges = confidence_bins(confidence)
    right = right_of_bins(edges, confidence, is_right)
    low = confidence[confidence < 0.7][:500]
    found = likely_accuracy(edges, right, low)
    assert found.low < 0.6 < found.high
    assert found.high - found.low < 0.12
    same = likely_accuracy(edges, right, confidence[:1000])
    assert same.value == pytest.approx(is_right.mean(), abs=0.02)
