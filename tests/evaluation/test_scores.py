from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.errors import OptionError
from headstart.evaluation import ClassScores, accuracy, score_classes
from headstart.evaluation.class_scores import FIGURES
from headstart.types import Figure

CLASSES = ("a", "b", "c", "d", "e")


def _reference_ece(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Compute ECE item by item, straight from equation 3 of Guo et al."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, target in zip(probabilities, targets, strict=True):
        top = int(row.argmax())
        bins[min(14, max(0, math.ceil(row[top] * 15) - 1))].append((row[top], top == target))
    total = 0.0
    for inside in bins:
        if inside:
            confidence = sum(item[0] for item in inside) / len(inside)
            right = sum(item[1] for item in inside) / len(inside)
            total += len(inside) / len(targets) * abs(right - confidence)
    return total


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_score_agrees_with_scikit_learn(draw, num_classes, coarse):
    probabilities, targets = draw(400, num_classes, coarse=coarse)
    scores = score_classes(probabilities, targets, CLASSES[:num_classes], num_resamples=0)
    predictions = probabilities.argmax(axis=1)
    labels = list(range(num_classes))
    by_class = reference.precision_recall_fscore_support(targets, predictions, labels=labels)
    macro = reference.precision_recall_fscore_support(targets, predictions, average="macro")
    if num_classes == 2:
        area = reference.roc_auc_score(targets, probabilities[:, 1])
    else:
        area = reference.roc_auc_score(targets, probabilities, multi_class="ovr")
    expected = {
        "accuracy": reference.accuracy_score(targets, predictions),
        "precision_macro": macro[0],
        "recall_macro": macro[1],
        "f1_macro": macro[2],
        "roc_auc": area,
        "log_loss": reference.log_loss(targets, probabilities, labels=labels),
        "brier": np.mean(((probabilities - np.eye(num_classes)[targets]) ** 2).sum(axis=1)),
        "ece": _reference_ece(probabilities, targets),
    }
    assert tuple(scores.figures) == FIGURES
    for name, value in expected.items():
        assert scores.figures[name].value == pytest.approx(value, abs=1e-9), name
    for k, name in enumerate(CLASSES[:num_classes]):
        mine = scores.per_class[name]
        values = (mine.precision.value, mine.recall.value, mine.f1.value, mine.support)
        assert values == pytest.approx(tuple(part[k] for part in by_class))
    confusion = reference.confusion_matrix(targets, predictions, labels=labels)
    assert np.array_equal(scores.confusion_matrix, confusion)


def test_score_brier_is_twice_the_binary_form(draw):
    probabilities, targets = draw(200, 2)
    value = score_classes(probabilities, targets, ("a", "b"), num_resamples=0).figures["brier"]
    binary = reference.brier_score_loss(targets, probabilities[:, 1])
    assert value.value == pytest.approx(2 * binary)


def test_score_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    figures = score_classes(probabilities, np.array([0, 1, 1, 1]), ("a", "b")).figures
    assert figures["accuracy"].value == 0.75
    assert figures["roc_auc"].value == 1.0
    assert figures["precision_macro"].value == pytest.approx((1 / 2 + 1) / 2)
    assert figures["recall_macro"].value == pytest.approx((1 + 2 / 3) / 2)
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.4) + math.log(0.7)) / 4
    assert figures["log_loss"].value == pytest.approx(expected)
    assert figures["brier"].value == pytest.approx(2 * (0.01 + 0.04 + 0.36 + 0.09) / 4)
    # four items in four bins: gaps 0.1, 0.2, 0.6 (wrong at 0.6), 0.3
    assert figures["ece"].value == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4)


def test_score_leaves_absent_classes_out(draw):
    probabilities, targets = draw(300, 5)
    probabilities[:, 4] = 0.0  # 'e' is neither a target nor ever predicted
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    targets[targets == 4] = 0
    with_e = score_classes(probabilities, targets, CLASSES)
    without = score_classes(probabilities[:, :4], targets, CLASSES[:4])
    for name in ("precision_macro", "recall_macro", "f1_macro", "roc_auc"):
        assert with_e.figures[name].value == pytest.approx(without.figures[name].value), name
    assert math.isnan(with_e.per_class["e"].f1.value)
    assert with_e.per_class["e"].support == 0


def test_score_counts_a_class_never_predicted_as_zero():
    probabilities = np.array([[0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    scores = score_classes(probabilities, np.array([0, 0, 1]), ("a", "b"), num_resamples=0)
    assert scores.per_class["b"].precision == Figure(0.0, 0.0, 1.0)
    assert scores.figures["precision_macro"].value == pytest.approx((2 / 3 + 0) / 2)


def test_score_of_one_class_has_no_area(draw):
    probabilities, targets = draw(50, 3)
    scores = score_classes(probabilities, np.zeros_like(targets), CLASSES[:3])
    assert math.isnan(scores.figures["roc_auc"].value)
    assert scores.to_json()["figures"]["roc_auc"] == {"value": None, "low": None, "high": None}


def test_score_of_all_right_does_not_claim_certainty():
    targets = np.repeat(np.arange(3), 20)
    probabilities = np.eye(3)[targets] * 0.97 + 0.01
    figures = score_classes(probabilities, targets, CLASSES[:3]).figures
    for name in ("accuracy", "precision_macro", "recall_macro", "f1_macro", "roc_auc"):
        assert figures[name].value == 1.0, name
        assert 0.85 < figures[name].low < 0.97, name
        assert figures[name].high == 1.0, name
    # 60 identical items say nothing about the spread of a loss
    assert math.isnan(figures["log_loss"].low)


def test_probabilities_in_single_precision_have_the_interval_of_those_in_double():
    rng = np.random.default_rng(0)
    wanted = np.arange(200) % 3
    logits = rng.normal(size=(200, 3)) * 2 + 24.0 * np.eye(3)[wanted]
    logits[:3] = 0.0  # what is always sure and right tells no spread
    exact = np.exp(logits - logits.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    rounded = exact.astype(np.float32)
    assert (rounded.max(axis=1) == 1.0).mean() > 0.9  # what is left over of these is rounding
    found = [score_classes(each, wanted, ("a", "b", "c")).figures for each in (exact, rounded)]
    for name in ("log_loss", "brier"):
        double, single = (figures[name].high for figures in found)
        assert single == pytest.approx(double, rel=1e-3)
        assert 0 < double < 1.0
    certain = np.eye(2)[[0, 1] * 20]  # nothing is left over at all
    certain[0] = [0.6, 0.4]
    figures = score_classes(certain, np.array([0, 1] * 20), ("a", "b")).figures
    assert figures["log_loss"].high < -math.log(np.finfo(np.float64).eps)


def test_score_of_equal_scores_has_an_area_of_exactly_one_half():
    targets = np.array([0, 1, 2, 0, 1, 0])
    probabilities = np.tile([0.5, 0.3, 0.2], (6, 1))
    assert score_classes(probabilities, targets, CLASSES[:3]).figures["roc_auc"] == Figure(
        0.5, 0.5, 0.5
    )


def test_score_intervals_hold_their_value(draw):
    probabilities, targets = draw(120, 5, seed=3)
    scores = score_classes(probabilities, targets, CLASSES)
    figures = list(scores.figures.values())
    for mine in scores.per_class.values():
        figures += [mine.precision, mine.recall, mine.f1]
    assert all(figure.low < figure.value < figure.high for figure in figures)


def test_score_intervals_shrink_with_the_root_of_the_items(draw):
    widths = []
    for num_items in (500, 8000):
        figures = score_classes(*draw(num_items, 3), CLASSES[:3]).figures
        widths.append({name: figure.high - figure.low for name, figure in figures.items()})
    for name in FIGURES:
        assert 2.5 < widths[0][name] / widths[1][name] < 6.5, name


def test_score_is_the_same_with_the_same_seed_and_differs_with_another(draw):
    probabilities, targets = draw(300, 3)
    first, again, other = (
        score_classes(probabilities, targets, CLASSES[:3], seed=seed) for seed in (7, 7, 8)
    )
    assert first.to_json() == again.to_json()
    assert first.figures["f1_macro"].value == other.figures["f1_macro"].value
    assert first.figures["log_loss"].low != other.figures["log_loss"].low


def test_score_to_json_has_the_shape_of_metrics_json(draw):
    probabilities, targets = draw(60, 3)
    found = score_classes(probabilities, targets, CLASSES[:3]).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == ["num_items", "figures", "per_class", "confusion_matrix"]
    assert set(found["figures"]["accuracy"]) == {"value", "low", "high"}
    assert set(found["per_class"]["a"]) == {"precision", "recall", "f1", "support"}
    assert np.sum(found["confusion_matrix"]) == 60


def test_score_of_one_item_has_unknown_spread():
    scores = score_classes(np.array([[0.8, 0.2]]), np.array([0]), ("a", "b"))
    assert scores.figures["accuracy"].value == 1.0
    assert scores.figures["accuracy"].low < 0.25
    assert math.isnan(scores.figures["log_loss"].low)
    assert isinstance(scores.per_class["a"], ClassScores)


def test_score_is_fast_enough_for_ten_thousand_items(draw):
    probabilities, targets = draw(10_000, 10)
    started = time.process_time()
    score_classes(probabilities, targets, [str(k) for k in range(10)])
    assert time.process_time() - started < 8.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probabilities": np.array([[0.5, np.nan], [0.5, 0.5]])}, r"\[0, 1\] is nan"),
        ({"probabilities": np.array([[0.5, 0.5], [3.0, -2.0]])}, r"\[1, 0\] is 3\.0.*softmax"),
        ({"probabilities": np.array([[0.5, 0.2], [0.5, 0.5]])}, r"sum to 0\.7000, expected 1"),
        ({"probabilities": np.full((2, 3), 1 / 3)}, r"shape \(2, 3\), expected \(N, 2\)"),
        ({"probabilities": np.empty((0, 2))}, "N at least 1"),
        ({"targets": np.array([0])}, r"shape \(1,\), expected integers of shape \(2,\)"),
        ({"targets": np.array([0.0, 1.0])}, "float64"),
        ({"targets": np.array([0, 2])}, r"lie in 0\.\.2, expected 0\.\.1"),
        ({"classes": ("a", "a")}, "'a' twice"),
        ({"num_resamples": 10}, "num_resamples is 10, expected at least 40"),
    ],
)
def test_score_refuses_bad_input(change, words):
    options = {
        "probabilities": np.full((2, 2), 0.5),
        "targets": np.array([0, 1]),
        "classes": ("a", "b"),
        **change,
    }
    with pytest.raises(OptionError, match=words):
        score_classes(**options)


def test_accuracy_agrees_with_score(draw):
    probabilities, targets = draw(100, 3)
    figure = accuracy(probabilities.argmax(axis=1), targets)
    assert figure == score_classes(probabilities, targets, CLASSES[:3]).figures["accuracy"]


def test_accuracy_refuses_different_lengths():
    with pytest.raises(OptionError, match=r"shape \(3,\) and targets \(2,\)"):
        accuracy(np.zeros(3, int), np.zeros(2, int))
