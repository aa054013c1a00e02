"""Figures of a regression, against scikit-learn and by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.errors import OptionError
from headstart.evaluation import score_values
from headstart.evaluation.value_scores import FIGURES, MAX_RESIDUALS


def _draw(num_items: int, *, seed: int = 0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=num_items) * 3 + offset
    return targets * 0.8 + 0.3 + 0.2 * offset + rng.normal(size=num_items), targets


def _reference(values: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    return {
        "rmse": reference.root_mean_squared_error(targets, values),
        "mse": reference.mean_squared_error(targets, values),
        "mae": reference.mean_absolute_error(targets, values),
        "r2": reference.r2_score(targets, values),
        "median_absolute_error": reference.median_absolute_error(targets, values),
        "bias": float(np.mean(values - targets)),
    }


@pytest.mark.parametrize("num_items", [2, 301, 400])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_score_agrees_with_scikit_learn(num_items, offset):
    values, targets = _draw(num_items, offset=offset)
    scores = score_values(values, targets, num_resamples=0)
    assert tuple(scores.figures) == FIGURES
    for name, value in _reference(values, targets).items():
        assert scores.figures[name].value == pytest.approx(value, rel=1e-7), name
    assert scores.per_class == {}


def test_score_by_hand():
    figures = score_values(np.array([1.0, 2.0, 6.0]), np.array([1.0, 3.0, 2.0])).figures
    assert figures["mse"].value == pytest.approx((0 + 1 + 16) / 3)
    assert figures["rmse"].value == pytest.approx(math.sqrt(17 / 3))
    assert figures["mae"].value == pytest.approx(5 / 3)
    assert figures["median_absolute_error"].value == 1.0
    assert figures["bias"].value == 1.0
    assert figures["r2"].value == pytest.approx(1 - 17 / 2)


def test_a_perfect_fit_does_not_claim_certainty():
    targets = np.arange(5.0)
    figures = score_values(targets, targets).figures
    assert figures["rmse"].value == 0.0
    assert figures["r2"].value == 1.0
    assert math.isnan(figures["rmse"].low)
    assert math.isnan(figures["rmse"].high)


def test_r2_of_equal_targets_is_unknown():
    scores = score_values(np.array([0.1, 0.2, 0.4]), np.full(3, 0.1))
    assert math.isnan(scores.figures["r2"].value)
    assert scores.figures["rmse"].value > 0
    assert scores.to_json()["figures"]["r2"] == {"value": None, "low": None, "high": None}


def test_one_item_has_unknown_spread():
    figures = score_values(np.array([1.0]), np.array([2.0])).figures
    assert figures["mae"].value == 1.0
    assert math.isnan(figures["mae"].low)


def test_residuals_are_a_seeded_sample_of_the_pairs():
    values, targets = _draw(2000)
    first, again, other = (
        score_values(values, targets, seed=s, num_resamples=0).residuals for s in (1, 1, 2)
    )
    assert first.shape == (MAX_RESIDUALS, 2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    pairs = set(zip(targets.tolist(), values.tolist(), strict=True))
    assert {tuple(pair) for pair in first.tolist()} <= pairs
    few = score_values(values[:7], targets[:7]).residuals
    assert np.array_equal(few, np.stack((targets[:7], values[:7]), axis=1))


def test_to_json_has_residuals_and_no_classes():
    found = score_values(*_draw(60)).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == ["num_items", "figures", "residuals"]


@pytest.mark.parametrize(
    ("values", "targets", "words"),
    [
        (np.zeros(2), np.zeros(3), r"shape \(2,\) and targets \(3,\)"),
        (np.zeros((2, 1)), np.zeros((2, 1)), r"one shape \(N,\)"),
        (np.zeros(0), np.zeros(0), "N at least 1"),
        (np.array([1.0, np.nan]), np.zeros(2), r"Predictions\[1\] is nan.*diverged"),
        (np.zeros(2), np.array([np.inf, 0.0]), r"targets\[0\] is inf"),
    ],
)
def test_score_refuses_bad_input(values, targets, words):
    with pytest.raises(OptionError, match=words):
        score_values(values, targets)
