from __future__ import annotations

import math

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.evaluation import compare_classes, comparison_to_json


def _predictions(gained: int, lost: int, both: int, neither: int) -> tuple[np.ndarray, ...]:
    before = np.repeat([0, 1, 1, 0], [gained, lost, both, neither])
    after = np.repeat([1, 0, 1, 0], [gained, lost, both, neither])
    return before, after, np.ones(len(before), dtype=np.int64)


def test_compare_counts_and_p_by_hand():
    before, after, targets = _predictions(gained=9, lost=2, both=70, neither=19)
    verdict = compare_classes("probe", before, "tuned", after, targets)
    assert (verdict.before, verdict.after) == ("probe", "tuned")
    assert (verdict.gained, verdict.lost) == (9, 2)
    assert verdict.difference.value == pytest.approx(0.07)
    # exact two-sided binomial tail: 2 * (C(11,0) + C(11,1) + C(11,2)) / 2^11
    assert verdict.p_value == pytest.approx(2 * (1 + 11 + 55) / 2**11)


def test_compare_interval_agrees_with_the_normal_approximation():
    before, after, targets = _predictions(gained=300, lost=200, both=1200, neither=300)
    difference = compare_classes("a", before, "b", after, targets).difference
    spread = 1.96 * math.sqrt((500 - 100**2 / 2000) / 2000**2)
    assert difference.low == pytest.approx(0.05 - spread, abs=0.001)
    assert difference.high == pytest.approx(0.05 + spread, abs=0.001)


def test_compare_is_paired():
    """Two predictors with 70 % each differ for certain where one only adds right answers."""
    before, after, targets = _predictions(gained=8, lost=0, both=60, neither=32)
    verdict = compare_classes("a", before, "b", after, targets)
    assert verdict.p_value < 0.01
    assert verdict.difference.low > 0


def test_compare_of_equal_predictors_does_not_claim_certainty():
    before, after, targets = _predictions(gained=0, lost=0, both=30, neither=10)
    verdict = compare_classes("a", before, "b", after, targets)
    assert verdict.p_value == 1.0
    assert verdict.difference.value == 0.0
    assert -0.1 < verdict.difference.low < -0.05
    assert verdict.difference.high == -verdict.difference.low


def test_compare_swapped_is_the_mirror_image():
    before, after, targets = _predictions(gained=9, lost=2, both=70, neither=19)
    there, back = (
        compare_classes("a", before, "b", after, targets),
        compare_classes("b", after, "a", before, targets),
    )
    assert (back.gained, back.lost, back.p_value) == (there.lost, there.gained, there.p_value)
    assert back.difference.value == -there.difference.value


def test_compare_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        gained, lost, same = rng.multinomial(200, (0.12, 0.06, 0.82))
        verdict = compare_classes("a", *_reorder(_predictions(gained, lost, same, 0)), seed=seed)
        covered += verdict.difference.low <= 0.06 <= verdict.difference.high
    assert 0.92 <= covered / 300 <= 0.98


def _reorder(
    made: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, str, np.ndarray, np.ndarray]:
    return made[0], "b", made[1], made[2]


def test_compare_is_the_same_with_the_same_seed():
    made = _reorder(_predictions(gained=9, lost=5, both=70, neither=19))
    assert compare_classes("a", *made, seed=1) == compare_classes("a", *made, seed=1)


def test_comparison_to_json_has_the_shape_of_metrics_json():
    found = comparison_to_json(compare_classes("a", *_reorder(_predictions(3, 1, 5, 1))))
    assert set(found) == {"before", "after", "gained", "lost", "difference", "p_value", "metric"}
    assert found["metric"] == "accuracy"
    assert found["difference"]["value"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("before", "targets", "words"),
    [
        (np.zeros(2, int), np.zeros(3, int), r"'a' are int64 of shape \(2,\)"),
        (np.zeros(3), np.zeros(3, int), "'a' are float64"),
        (np.zeros(0, int), np.zeros(0, int), "N at least 1"),
    ],
)
def test_compare_refuses_bad_input(before, targets, words):
    with pytest.raises(OptionError, match=words):
        compare_classes("a", before, "b", np.zeros(3, int), targets)
