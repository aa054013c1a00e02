"""Figures of several labels an item, against scikit-learn and by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from headstart.errors import OptionError
from headstart.evaluation import score_labels
from headstart.evaluation.label_scores import FIGURES
from headstart.types import Figure


def _labels(num_labels: int) -> tuple[str, ...]:
    return tuple("abcdefgh"[:num_labels])


def _draw(
    num_items: int, num_labels: int, *, seed: int = 0, coarse: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_items, num_labels)) * 2 - 0.5
    probabilities = 1 / (1 + np.exp(-logits))
    targets = (probabilities > rng.random(probabilities.shape)).astype(np.uint8)
    return (np.round(probabilities, 1) if coarse else probabilities), targets


def _reference(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    predictions = (probabilities >= 0.5).astype(int)
    found = {
        "exact_match": reference.accuracy_score(targets, predictions),
        "hamming_loss": reference.hamming_loss(targets, predictions),
        "roc_auc": reference.roc_auc_score(targets, probabilities, average="macro"),
        "average_precision": reference.average_precision_score(targets, probabilities),
        "log_loss": np.mean(
            [
                reference.log_loss(targets[:, k], probabilities[:, k], labels=[0, 1])
                for k in range(targets.shape[1])
            ]
        ),
        "brier": np.mean((probabilities - targets) ** 2),
    }
    for average in ("micro", "macro"):
        values = reference.precision_recall_fscore_support(
            targets, predictions, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), values, strict=False):
            found[f"{name}_{average}"] = value
    return found


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("num_labels", [1, 3, 8])
def test_score_agrees_with_scikit_learn(num_labels, coarse):
    probabilities, targets = _draw(300, num_labels, coarse=coarse)
    scores = score_labels(probabilities, targets, _labels(num_labels), num_resamples=0)
    assert tuple(scores.figures) == FIGURES
    if num_labels == 1:  # scikit-learn takes one column for a binary task; repeating it changes
        probabilities, targets = np.tile(probabilities, (1, 2)), np.tile(targets, (1, 2))  # nothing
    for name, value in _reference(probabilities, targets).items():
        assert scores.figures[name].value == pytest.approx(value, abs=1e-9), name
    predictions = probabilities >= 0.5
    for k, name in enumerate(_labels(num_labels)):
        expected = reference.precision_recall_fscore_support(
            targets[:, k], predictions[:, k], average="binary", zero_division=0
        )
        mine = scores.per_class[name]
        values = (mine.precision.value, mine.recall.value, mine.f1.value)
        assert values == pytest.approx(expected[:3])
        assert mine.support == targets[:, k].sum()


def test_score_by_hand():
    probabilities = np.array([[0.9, 0.2], [0.6, 0.7], [0.4, 0.5]])
    targets = np.array([[1, 0], [0, 1], [1, 1]])
    figures = score_labels(probabilities, targets, _labels(2)).figures
    # decisions: 1 0 / 1 1 / 0 1; one false positive, one miss, three hits
    assert figures["exact_match"].value == pytest.approx(1 / 3)
    assert figures["hamming_loss"].value == pytest.approx(2 / 6)
    assert figures["f1_micro"].value == pytest.approx(2 * 3 / (4 + 4))
    assert figures["f1_macro"].value == pytest.approx((2 * 1 / 4 + 1.0) / 2)
    logs = [math.log(p) for p in (0.9, 0.8, 0.4, 0.7, 0.4, 0.5)]
    assert figures["log_loss"].value == pytest.approx(-sum(logs) / 6)
    assert figures["brier"].value == pytest.approx((0.01 + 0.04 + 0.36 + 0.09 + 0.36 + 0.25) / 6)


def test_a_label_that_never_occurs_and_is_never_given_is_left_out():
    probabilities, targets = _draw(200, 3)
    wide = np.concatenate([probabilities, np.full((200, 1), 0.1)], axis=1)
    wanted = np.concatenate([targets, np.zeros((200, 1), np.uint8)], axis=1)
    with_it, without = (
        score_labels(p, t, _labels(p.shape[1]))
        for p, t in ((wide, wanted), (probabilities, targets))
    )
    for name in ("f1_macro", "precision_macro", "roc_auc", "average_precision", "f1_micro"):
        assert with_it.figures[name].value == pytest.approx(without.figures[name].value), name
    assert math.isnan(with_it.per_class["d"].f1.value)
    assert with_it.to_json()["per_class"]["d"]["f1"] == {"value": None, "low": None, "high": None}


def test_all_right_does_not_claim_certainty():
    targets = np.tile(np.array([[1, 0], [0, 1]], np.uint8), (30, 1))
    figures = score_labels(targets * 0.9 + 0.05, targets, _labels(2)).figures
    for name in FIGURES:
        if name in ("hamming_loss", "log_loss", "brier"):
            continue
        assert figures[name].value == 1.0, name
        assert 0.85 < figures[name].low < 0.97, name
    assert figures["hamming_loss"].value == figures["hamming_loss"].low == 0.0
    assert 0.03 < figures["hamming_loss"].high < 0.1
    assert math.isnan(figures["log_loss"].low)


def test_all_wrong_does_not_claim_certainty():
    targets = np.tile(np.array([[1, 0], [0, 1]], np.uint8), (30, 1))
    figures = score_labels(1.0 - targets * 1.0, targets, _labels(2)).figures
    assert figures["f1_micro"] == Figure(0.0, 0.0, pytest.approx(figures["f1_micro"].high))
    assert 0.03 < figures["f1_micro"].high < 0.2
    assert figures["hamming_loss"].value == 1.0
    assert figures["roc_auc"].value == 0.0


def test_nothing_to_find_and_nothing_given_is_not_an_error():
    found = score_labels(np.full((5, 2), 0.2), np.zeros((5, 2), np.uint8), _labels(2))
    assert found.figures["f1_micro"].value == 0.0
    assert found.figures["exact_match"].value == 1.0
    assert math.isnan(found.figures["roc_auc"].value)
    assert math.isnan(found.figures["average_precision"].value)
    json.dumps(found.to_json(), allow_nan=False)


def test_labels_of_one_item_are_drawn_together():
    """Ten copies of one label hold no more than one: the interval must not shrink."""
    probabilities, targets = _draw(150, 1)
    one = score_labels(probabilities, targets, _labels(1)).figures["f1_micro"]
    copies = score_labels(np.tile(probabilities, 8), np.tile(targets, 8), _labels(8)).figures[
        "f1_micro"
    ]
    assert (copies.value, copies.low, copies.high) == pytest.approx((one.value, one.low, one.high))


def test_the_same_seed_gives_the_same_intervals_and_another_does_not():
    probabilities, targets = _draw(100, 3)
    first, again, other = (
        score_labels(probabilities, targets, _labels(3), seed=s).to_json() for s in (1, 1, 2)
    )
    assert first == again
    assert first["figures"]["log_loss"]["low"] != other["figures"]["log_loss"]["low"]


def test_to_json_has_no_confusion_matrix():
    found = score_labels(*_draw(60, 3), _labels(3)).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == ["num_items", "figures", "per_class"]


@pytest.mark.parametrize(
    ("probabilities", "targets", "words"),
    [
        (np.full((2, 3), 0.5), np.zeros((2, 2), int), r"shape \(2, 3\), expected \(N, 2\)"),
        (np.array([[0.5, np.nan]]), np.zeros((1, 2), int), r"\[0, 1\] is nan.*sigmoid"),
        (np.array([[0.5, 1.5]]), np.zeros((1, 2), int), r"\[0, 1\] is 1\.5"),
        (np.empty((0, 2)), np.zeros((0, 2), int), "N at least 1"),
        (np.full((2, 2), 0.5), np.zeros(2, int), r"shape \(2,\), expected 0 and 1"),
        (np.full((2, 2), 0.5), np.zeros((2, 2)), "float64"),
        (np.full((1, 2), 0.5), np.array([[0, 2]]), r"targets\[0, 1\] is 2, expected 0"),
        (np.full((1, 2), 0.5), np.array([[-1, 0]]), r"targets\[0, 0\] is -1"),
    ],
)
def test_score_refuses_bad_input(probabilities, targets, words):
    with pytest.raises(OptionError, match=words):
        score_labels(probabilities, targets, _labels(2))


def test_score_refuses_a_label_named_twice():
    with pytest.raises(OptionError, match="'a' twice"):
        score_labels(np.full((1, 2), 0.5), np.zeros((1, 2), int), ("a",) * 2)
