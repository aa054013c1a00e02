"""Figures that count groups: the intervals hold as often as they say, where plain ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.evaluation import (
    accuracy,
    compare_classes,
    compare_values,
    score_classes,
    score_labels,
    score_values,
)
from headstart.evaluation.areas import area_interval
from headstart.evaluation.clusters import as_groups, effective_numbers, flip_p_value
from headstart.evaluation.shares import exact_share


def _clustered(rng, num_groups: int, each: int, rate: float, alike: float) -> np.ndarray:
    """Return right (1) or wrong (0) of items whose group decides with probability ``alike``."""
    of_group = rng.random(num_groups)[:, None] < rate
    own = rng.random((num_groups, each)) < rate
    follows = rng.random((num_groups, each)) < alike
    return np.where(follows, of_group, own).astype(int).ravel()


@pytest.mark.parametrize("num_groups", [6, 13, 60])
def test_the_interval_of_accuracy_holds_what_plain_ones_miss(num_groups):
    rng, each, rate, times = np.random.default_rng(0), 6, 0.8, 400
    groups = np.repeat(np.arange(num_groups), each)
    targets = np.ones(num_groups * each, np.int64)
    held = plain = 0
    for _ in range(times):
        right = _clustered(rng, num_groups, each, rate, alike=0.9)
        grouped = accuracy(right, targets, groups=groups)
        alone = accuracy(right, targets)
        held += grouped.low <= rate <= grouped.high
        plain += alone.low <= rate <= alone.high
    assert held / times >= 0.92
    assert plain / times < 0.8  # photos of the same animal are no new animals


def test_bootstrapped_figures_hold_too():
    rng, times, held = np.random.default_rng(1), 120, 0
    for _ in range(times):
        shift = rng.normal(size=(12, 1))
        errors = (shift + 0.3 * rng.normal(size=(12, 8))).ravel()
        scores = score_values(
            errors, np.zeros(96), num_resamples=400, groups=np.repeat(np.arange(12), 8)
        )
        bias = scores.figures["bias"]
        held += bias.low <= 0.0 <= bias.high
    assert held / times >= 0.88


def test_photos_of_13_animals_are_13_groups_and_their_interval_is_wider():
    rng = np.random.default_rng(2)
    targets = np.repeat(np.arange(13) % 3, 6)
    right = _clustered(rng, 13, 6, 0.8, alike=0.9).astype(bool)
    probabilities = np.full((78, 3), 0.1)
    said = np.where(right, targets, (targets + 1) % 3)
    probabilities[np.arange(78), said] = 0.8
    groups = np.repeat(np.arange(13), 6)
    plain = score_classes(probabilities, targets, ("a", "b", "c"))
    counted = score_classes(probabilities, targets, ("a", "b", "c"), groups=groups)
    assert (plain.num_groups, counted.num_groups) == (None, 13)
    assert "num_groups" not in plain.to_json()
    assert counted.to_json()["num_groups"] == 13
    for name, figure in counted.figures.items():
        other = plain.figures[name]
        assert figure.value == pytest.approx(other.value)
        assert figure.low <= figure.value <= figure.high
        assert figure.high - figure.low > other.high - other.low, name
    for name, scores in counted.per_class.items():
        for figure in ("precision", "recall", "f1"):
            wide, narrow = getattr(scores, figure), getattr(plain.per_class[name], figure)
            assert wide.value == pytest.approx(narrow.value)
            assert wide.high - wide.low >= narrow.high - narrow.low


def test_all_right_counts_as_many_as_there_are_groups():
    targets = np.repeat([0, 1], 20)
    probabilities = np.eye(2)[targets] * 0.8 + 0.1
    groups = np.repeat(np.arange(4), 10)
    scores = score_classes(probabilities, targets, ("a", "b"), groups=groups)
    assert scores.figures["accuracy"] == exact_share(4, 4)
    assert scores.per_class["a"].recall == exact_share(2, 2)
    assert scores.figures["roc_auc"].low == pytest.approx(area_interval(1.0, 2, 2)[0])


def test_groups_of_one_and_no_groups_are_the_same():
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 3, 60)
    probabilities = rng.dirichlet(np.ones(3), 60)
    plain = score_classes(probabilities, targets, ("a", "b", "c"))
    alone = score_classes(probabilities, targets, ("a", "b", "c"), groups=np.arange(60)[::-1])
    assert alone.to_json() == plain.to_json()


def test_many_small_groups_come_near_the_plain_interval():
    rng = np.random.default_rng(4)
    right = (rng.random(4000) < 0.7).astype(int)
    groups = np.repeat(np.arange(2000), 2)
    plain = accuracy(right, np.ones(4000, int))
    counted = accuracy(right, np.ones(4000, int), groups=groups)
    assert counted.high - counted.low == pytest.approx(plain.high - plain.low, rel=0.06)


def test_labels_and_values_take_groups():
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(10), 8)
    wanted = np.repeat(rng.random((10, 4)) < 0.5, 8, axis=0)
    sure = np.repeat(rng.random((10, 4)) < 0.8, 8, axis=0)
    probabilities = np.where(wanted == sure, 0.8, 0.2)
    plain = score_labels(probabilities, wanted.astype(int), "abcd")
    counted = score_labels(probabilities, wanted.astype(int), "abcd", groups=groups)
    for name in ("exact_match", "f1_micro", "f1_macro", "hamming_loss"):
        one, other = counted.figures[name], plain.figures[name]
        assert one.high - one.low > other.high - other.low
    values, targets = np.repeat(rng.normal(size=10), 8), np.zeros(80)
    values += 0.01 * rng.normal(size=80)
    for name in ("rmse", "mae", "median_absolute_error", "bias"):
        one = score_values(values, targets, groups=groups).figures[name]
        other = score_values(values, targets).figures[name]
        assert one.value == pytest.approx(other.value)
        assert one.high - one.low > other.high - other.low


def test_a_gain_on_one_group_is_no_proof():
    targets = np.zeros(60, int)
    before = np.zeros(60, int)
    before[:12] = 1  # all photos of one animal wrong, and right after
    groups = np.repeat(np.arange(5), 12)
    plain = compare_classes("a", before, "b", targets, targets)
    counted = compare_classes("a", before, "b", targets, targets, groups=groups)
    assert plain.p_value < 0.001
    assert counted.p_value == 1.0
    assert (counted.gained, counted.lost) == (plain.gained, plain.lost) == (12, 0)
    assert counted.difference.low <= 0.0 < counted.difference.value
    errors = compare_values("a", before * 1.0, "b", targets * 1.0, targets * 1.0, groups=groups)
    assert errors.p_value == 1.0
    assert errors.difference.value == pytest.approx(-0.2)


def test_a_gain_on_every_group_is_one():
    targets = np.zeros(60, int)
    before = np.tile([1, 0, 0, 0], 15)
    groups = np.repeat(np.arange(15), 4)
    counted = compare_classes("a", before, "b", targets, targets, groups=groups)
    assert counted.p_value < 0.001
    assert counted.difference.low > 0


def test_the_flips_keep_their_level():
    rng, times, found = np.random.default_rng(6), 300, 0
    groups = as_groups(np.repeat(np.arange(20), 5), 100)
    for _ in range(times):
        changes = (rng.normal(size=(20, 1)) + 0.2 * rng.normal(size=(20, 5))).ravel()
        found += flip_p_value(changes, groups, seed=0) < 0.05
    assert found / times < 0.09


def test_effective_numbers_of_known_cases():
    codes = np.repeat(np.arange(40), 5)
    alike = np.repeat(np.arange(40) % 2 == 0, 5)
    apart = np.tile([True, False], 100)
    row = np.zeros(200, np.int64)
    assert effective_numbers(row, alike, codes, 1)[0] == pytest.approx(40, rel=0.1)
    assert effective_numbers(row, apart, codes, 1)[0] == pytest.approx(200, rel=0.1)
    assert effective_numbers(row, np.ones(200, bool), codes, 1)[0] == 40
    assert effective_numbers(row, alike, np.zeros(200, int), 1)[0] == 1


def test_groups_of_another_shape_are_refused():
    with pytest.raises(OptionError, match=r"expected whole numbers of shape \(3,\)"):
        accuracy(np.zeros(3, int), np.zeros(3, int), groups=np.array(["a", "b", "c"]))
