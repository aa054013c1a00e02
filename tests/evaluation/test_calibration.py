from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax
from scipy.special import softmax as reference_softmax
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from headstart.errors import OptionError
from headstart.evaluation import (
    fit_label_temperature,
    fit_temperature,
    fold_temperatures,
    no_surer,
    score_classes,
    sigmoid,
    softmax,
)


def _logits(num_items: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw targets from softmax(logits), then return the logits times ``scale``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_items, 4)) * 2
    probabilities = reference_softmax(logits, axis=1)
    targets = (probabilities.cumsum(axis=1) > rng.random((num_items, 1))).argmax(axis=1)
    return logits * scale, targets


def test_softmax_agrees_with_scipy():
    logits, _ = _logits(50, 3.0)
    assert softmax(logits, 1.7) == pytest.approx(reference_softmax(logits / 1.7, axis=1))


def test_softmax_does_not_overflow_and_is_float64():
    found = softmax(np.array([[1e4, 0.0], [-1e4, -1e4]], dtype=np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [[1.0, 0.0], [0.5, 0.5]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_softmax_refuses_a_bad_temperature(temperature):
    with pytest.raises(OptionError, match="expected a positive number"):
        softmax(np.zeros((1, 2)), temperature)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_fit_temperature_recovers_the_scale_of_the_logits(scale):
    logits, targets = _logits(20_000, scale)
    assert fit_temperature(logits, targets) == pytest.approx(scale, rel=0.05)


def test_fit_temperature_minimises_the_loss():
    logits, targets = _logits(300, 2.5)
    found = fit_temperature(logits, targets, is_shrunk=False)
    items = np.arange(300)

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits / temperature, axis=1)[items, targets].mean())

    grid = np.geomspace(0.05, 20, 2000)
    assert loss(found) <= min(loss(temperature) for temperature in grid) + 1e-9


def test_fit_temperature_lowers_the_calibration_error():
    logits, targets = _logits(4000, 3.0)
    temperature = fit_temperature(logits[:2000], targets[:2000])
    errors = [
        score_classes(softmax(logits[2000:], t), targets[2000:], "abcd", num_resamples=0)
        .figures["ece"]
        .value
        for t in (1.0, temperature)
    ]
    assert errors[1] < errors[0] / 3


def _log_loss(logits: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    return -float(
        log_softmax(logits / temperature, axis=1)[np.arange(len(targets)), targets].mean()
    )


def _mean_gain(num_items: int, scale: float, *, num_draws: int = 60) -> float:
    """Return by how much a temperature fitted on few items lowers the log loss of others."""
    unseen, wanted = _logits(20_000, scale, seed=9_999)
    before = _log_loss(unseen, wanted, 1.0)
    gains = []
    for seed in range(num_draws):
        temperature = fit_temperature(*_logits(num_items, scale, seed=seed))
        gains.append(before - _log_loss(unseen, wanted, temperature))
    return float(np.mean(gains))


@pytest.mark.parametrize("num_items", [30, 100, 300])
def test_a_temperature_of_few_items_costs_calibrated_logits_next_to_nothing(num_items):
    # without the prior 30 items cost 0.02 nats on average, more the fewer classes there are
    assert _mean_gain(num_items, 1.0) > -0.003


def test_a_temperature_of_300_items_mends_overconfident_logits_as_well_as_many_do():
    unseen, wanted = _logits(20_000, 3.0, seed=9_999)
    best = fit_temperature(unseen, wanted, is_shrunk=False)
    most = _log_loss(unseen, wanted, 1.0) - _log_loss(unseen, wanted, best)
    assert most > 0.3
    assert _mean_gain(300, 3.0) > 0.98 * most


def test_the_prior_changes_nothing_measurable_with_5000_items():
    unseen, wanted = _logits(20_000, 3.0, seed=9_999)
    few = _logits(5_000, 3.0)
    with_prior, without = (
        _log_loss(unseen, wanted, fit_temperature(*few, is_shrunk=on)) for on in (True, False)
    )
    assert abs(with_prior - without) < 1e-4


def test_few_items_that_are_all_right_do_not_make_a_model_certain_nor_does_a_near_miss():
    targets = np.arange(30) % 3
    logits = np.eye(3)[targets] * 4.0
    missed = logits.copy()
    missed[0] = [1.0, 1.1, 0.0]
    found = [fit_temperature(each, targets) for each in (logits, missed)]
    assert found[0] == pytest.approx(1.0, abs=0.1)
    assert found[1] == pytest.approx(found[0], abs=0.1)
    # where the scale is unknown there is no prior: nothing wrong leaves it, one near miss does not
    assert fit_temperature(logits, targets, is_shrunk=False) == 1.0
    assert fit_temperature(missed, targets, is_shrunk=False) < 0.8


def test_labels_that_go_together_count_as_one_decision():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 1)) * 6
    targets = (sigmoid(logits / 2) > rng.random(logits.shape)).astype(np.uint8)
    alone = fit_label_temperature(logits, targets)
    copied = fit_label_temperature(np.repeat(logits, 8, axis=1), np.repeat(targets, 8, axis=1))
    assert 1.0 < alone == pytest.approx(copied, abs=1e-3)


@pytest.mark.parametrize("num_items", [30, 100, 300])
def test_a_temperature_of_few_items_costs_calibrated_labels_next_to_nothing(num_items):
    rng = np.random.default_rng(0)

    def draw(num: int) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(size=(num, 4)) * 2
        return logits, (sigmoid(logits) > rng.random(logits.shape)).astype(np.uint8)

    unseen, wanted = draw(20_000)
    against = np.where(wanted, -unseen, unseen)
    before = np.logaddexp(0, against).mean()
    after = [
        np.logaddexp(0, against / fit_label_temperature(*draw(num_items))).mean() for _ in range(60)
    ]
    assert np.mean(after) - before < 0.002


def test_fold_temperatures_are_fitted_without_the_group_of_an_item():
    groups = np.array([0, 0, 1, 2, 2, 3])
    asked: list[list[int]] = []

    def fit(places: np.ndarray) -> float:
        asked.append(places.tolist())
        return float(len(asked))

    found = fold_temperatures(fit, groups)
    for place, temperature in enumerate(found):
        fitted_on = groups[asked[int(temperature) - 1]]
        assert groups[place] not in fitted_on
        assert set(fitted_on) == set(groups) - {groups[place]}
    assert fold_temperatures(fit, np.zeros(3)).tolist() == [1.0] * 3


@pytest.mark.parametrize("scale", [0.4, 3.0])
def test_fit_temperature_of_labels_recovers_the_scale_of_the_logits(scale):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(10_000, 3)) * 2
    targets = (sigmoid(logits) > rng.random(logits.shape)).astype(np.uint8)
    assert fit_label_temperature(logits * scale, targets) == pytest.approx(scale, rel=0.05)


def test_fit_temperature_of_one_label_is_that_of_two_classes():
    logits, _ = _logits(400, 2.0)
    margin = logits[:, 1] - logits[:, 0]
    targets = (sigmoid(margin / 1.5) > np.random.default_rng(1).random(400)).astype(np.int64)
    one = fit_label_temperature(margin[:, None], targets[:, None])
    assert one == pytest.approx(fit_temperature(logits[:, :2], targets), abs=1e-3)
    assert one != 1.0


def test_fit_temperature_of_labels_stays_at_one_where_nothing_is_wrong():
    targets = np.array([[0, 1], [1, 1]])
    logits = targets * 4.0 - 2.0
    assert fit_label_temperature(logits, targets, is_shrunk=False) == 1.0
    assert fit_label_temperature(logits, targets) == 1.0


def test_sigmoid_agrees_with_scipy_and_does_not_overflow():
    logits, _ = _logits(50, 3.0)
    assert sigmoid(logits, 1.7) == pytest.approx(expit(logits / 1.7))
    assert sigmoid(np.array([1e4, -1e4])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("logits", "targets", "words"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2), int), "N and K at least 1"),
        (np.zeros((2, 2)), np.zeros(2, int), r"shape \(2,\)"),
        (np.array([[0.0, np.nan]]), np.zeros((1, 2), int), r"logits\[0, 1\] is nan"),
    ],
)
def test_fit_temperature_of_labels_refuses_bad_input(logits, targets, words):
    with pytest.raises(OptionError, match=words):
        fit_label_temperature(logits, targets)


@pytest.mark.parametrize(
    ("logits", "targets", "words"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "N at least 1"),
        (np.zeros((2, 3)), np.zeros(3, int), r"shape \(2,\)"),
        (np.zeros((2, 3)), np.array([0, 3]), r"0\.\.3, expected 0\.\.2"),
        (np.array([[0.0, np.inf]]), np.array([0]), r"logits\[0, 1\] is inf"),
    ],
)
def test_fit_temperature_refuses_bad_input(logits, targets, words):
    with pytest.raises(OptionError, match=words):
        fit_temperature(logits, targets)


def test_a_model_is_no_surer_than_so_few_items_can_show():
    sure = np.array([[9.0, 0.0]] * 42)
    targets = np.zeros(42, dtype=np.int64)
    raised = no_surer(sure, targets, 1.0)
    assert softmax(sure, raised).max(axis=1).mean() == pytest.approx(42.5 / 43, abs=1e-4)
    assert no_surer(np.tile(sure, (200, 1)), np.zeros(8_400, dtype=np.int64), 1.0) < 1.1
    # one of 42 is wrong, and each claims one wrong item of 50: no more than they have shown
    modest = np.array([[np.log(49.0), 0.0]] * 42)
    assert no_surer(modest, np.eye(42, dtype=np.int64)[0], 1.0) == 1.0
    assert no_surer(modest, targets, 0.5) == pytest.approx(np.log(49.0) / np.log(85.0), abs=1e-3)
    assert no_surer(np.zeros((3, 2)), targets[:3], 1.0) == 1.0  # it claims nothing
    assert no_surer(1e6 * sure, targets, 1.0) == 20.0  # the highest there is


def test_what_was_learned_by_heart_is_told_better_by_few_items():
    """A line that separates 240 samples of breast cancer, and 24 others to calibrate it by."""
    rows, targets = load_breast_cancer(return_X_y=True)
    found = np.zeros((20, 2))
    for draw in range(20):
        order = np.random.default_rng(draw).permutation(len(targets))
        train, val, test = order[:240], order[240:264], order[264:]
        standard = (rows - rows[train].mean(axis=0)) / rows[train].std(axis=0)
        model = LogisticRegression(C=100, max_iter=500).fit(standard[train], targets[train])
        logits = np.log(np.clip(model.predict_proba(standard), 1e-9, 1))
        fitted = fit_temperature(logits[val], targets[val])
        for place, t in enumerate((fitted, no_surer(logits[val], targets[val], fitted))):
            told = softmax(logits[test], t)[np.arange(len(test)), targets[test]]
            found[draw, place] = -np.log(np.maximum(told, 1e-12)).mean()
    assert found[:, 1].mean() < 0.85 * found[:, 0].mean()
