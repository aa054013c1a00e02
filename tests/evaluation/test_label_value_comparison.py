"""The paired verdict of labels and of numbers; that of classes is in test_comparison.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from headstart.errors import OptionError
from headstart.evaluation import compare_labels, compare_values, comparison_to_json


def test_labels_are_compared_by_whole_items():
    targets = np.tile(np.array([[1, 0]], np.uint8), (14, 1))
    before = targets.copy()
    before[:9, 1] = 1  # one label wrong is an item wrong
    after = targets.copy()
    after[12:, 0] = 0
    verdict = compare_labels("a", before, "b", after, targets)
    assert verdict.metric == "exact_match"
    assert (verdict.gained, verdict.lost) == (9, 2)
    assert verdict.difference.value == pytest.approx(7 / 14)
    assert verdict.p_value == pytest.approx(2 * (1 + 11 + 55) / 2**11)


def _errors(num_items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=num_items) * 5
    before = targets + rng.normal(size=num_items)
    after = targets + rng.normal(size=num_items) * 0.8
    return before, after, targets


def test_values_are_compared_by_absolute_errors():
    before, after, targets = _errors(200)
    verdict = compare_values("mean", before, "tuned", after, targets)
    first, second = np.abs(before - targets), np.abs(after - targets)
    assert verdict.metric == "mae"
    assert verdict.difference.value == pytest.approx(second.mean() - first.mean())
    assert (verdict.gained, verdict.lost) == ((second < first).sum(), (second > first).sum())
    assert verdict.p_value == pytest.approx(wilcoxon(second, first).pvalue)
    changes = second - first
    spread = 1.96 * changes.std() / math.sqrt(200)
    assert verdict.difference.low == pytest.approx(changes.mean() - spread, abs=0.02)
    assert verdict.difference.high == pytest.approx(changes.mean() + spread, abs=0.02)
    assert comparison_to_json(verdict)["metric"] == "mae"


def test_swapped_values_are_the_mirror_image():
    before, after, targets = _errors(60)
    there = compare_values("a", before, "b", after, targets)
    back = compare_values("b", after, "a", before, targets)
    assert (back.gained, back.lost) == (there.lost, there.gained)
    assert back.p_value == pytest.approx(there.p_value)
    assert back.difference.value == pytest.approx(-there.difference.value)
    assert back.difference.low == pytest.approx(-there.difference.high)


def test_equal_values_claim_nothing():
    _, after, targets = _errors(30)
    verdict = compare_values("a", after, "b", after, targets)
    assert (verdict.gained, verdict.lost, verdict.p_value) == (0, 0, 1.0)
    assert verdict.difference.value == 0.0
    assert math.isnan(verdict.difference.low)


@pytest.mark.parametrize("num_same", [0, 5])
@pytest.mark.parametrize("num_items", [1, 3, 9, 70])
def test_few_tied_or_unmoved_items_give_a_p_without_warnings(num_items, num_same):
    targets = np.zeros(num_items + num_same)
    before = np.full(num_items + num_same, 2.0)
    after = before.copy()
    after[:num_items] = 1.0
    verdict = compare_values("a", before, "b", after, targets)
    assert 0.0 <= verdict.p_value <= 1.0
    assert (verdict.p_value < 0.05) == (num_items >= 9)


def test_interval_of_values_covers_the_truth():
    before, after, targets = _errors(300_000, seed=1)
    truth = (np.abs(after - targets) - np.abs(before - targets)).mean()
    covered = 0
    for seed in range(100):
        before, after, targets = _errors(150, seed=seed)
        found = compare_values("a", before, "b", after, targets, seed=seed).difference
        covered += found.low <= truth <= found.high
    assert covered >= 88  # a true 95 % falls below with a chance of 1 in 200


@pytest.mark.parametrize(
    ("compare", "before", "targets", "words"),
    [
        (
            compare_labels,
            np.zeros((2, 3), int),
            np.zeros((2, 2), int),
            r"'a' are int64 of shape \(2, 3\)",
        ),
        (compare_labels, np.zeros((2, 2)), np.zeros((2, 2), int), "'a' are float64"),
        (compare_labels, np.zeros((0, 2), int), np.zeros((0, 2), int), "N at least 1"),
        (compare_values, np.zeros(3), np.zeros(2), r"'a' have shape \(3,\)"),
        (compare_values, np.array([np.nan, 0]), np.zeros(2), r"Predictions of 'a'\[0\] is nan"),
    ],
)
def test_compare_refuses_bad_input(compare, before, targets, words):
    with pytest.raises(OptionError, match=words):
        compare("a", before, "b", targets, targets)
