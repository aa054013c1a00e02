"""From logits to decisions, and the figure that leads, for every task."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.special import softmax as reference_softmax

from headstart.errors import OptionError
from headstart.evaluation import (
    headline,
    headline_figure,
    is_higher_better,
    naive_baseline,
    outputs_of,
    predictions_of,
    score,
)
from headstart.types import Schema

CLASSES = Schema("image", "classification", ("a", "b", "c"))
LABELS = Schema("text", "multi-label", ("a", "b", "c"))
VALUES = Schema("table", "regression", (), label="price")


def _logits(columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, columns)).astype(np.float32) * 3


def _targets(schema: Schema, num_items: int = 40) -> np.ndarray:
    rng = np.random.default_rng(1)
    if schema.task == "classification":
        return rng.integers(0, 3, num_items)
    if schema.task == "multi-label":
        return rng.integers(0, 2, (num_items, 3)).astype(np.uint8)
    return rng.normal(size=num_items) * 7 + 50


def test_outputs_agree_with_scipy():
    logits = _logits(3)
    assert outputs_of(CLASSES, logits, temperature=1.7) == pytest.approx(
        reference_softmax(logits.astype(float) / 1.7, axis=1)
    )
    assert outputs_of(LABELS, logits, temperature=1.7) == pytest.approx(
        expit(logits.astype(float) / 1.7)
    )


def test_outputs_of_a_regression_are_in_the_units_of_the_data():
    logits = _logits(1)
    found = outputs_of(VALUES, logits, target_mean=100.0, target_scale=5.0)
    assert found.dtype == np.float64
    assert found == pytest.approx(logits[:, 0].astype(float) * 5 + 100)


def test_sigmoid_does_not_overflow():
    found = outputs_of(LABELS, np.array([[1e4, -1e4, 0.0]], dtype=np.float32))
    assert found.tolist() == [[1.0, 0.0, 0.5]]


@pytest.mark.parametrize(
    ("schema", "logits", "words"),
    [
        (CLASSES, np.zeros((2, 2)), r"shape \(2, 2\), expected \(N, 3\)"),
        (VALUES, np.zeros((2, 3)), r"expected \(N, 1\) for a regression"),
        (VALUES, np.zeros(2), r"shape \(2,\)"),
    ],
)
def test_outputs_refuse_logits_of_another_shape(schema, logits, words):
    with pytest.raises(OptionError, match=words):
        outputs_of(schema, logits)


def test_outputs_refuse_a_bad_temperature():
    with pytest.raises(OptionError, match="expected a positive number"):
        outputs_of(LABELS, np.zeros((1, 3)), temperature=0.0)


def test_predictions_by_hand():
    classes = predictions_of(CLASSES, np.array([[0.2, 0.5, 0.3]]))
    assert (classes.dtype, classes.tolist()) == (np.int64, [1])
    labels = predictions_of(LABELS, np.array([[0.5, 0.49, 0.9]]))
    assert (labels.dtype, labels.tolist()) == (np.uint8, [[1, 0, 1]])
    assert predictions_of(VALUES, np.array([1.5])).tolist() == [1.5]


@pytest.mark.parametrize("schema", [CLASSES, LABELS, VALUES])
def test_headline_figure_is_the_one_that_score_gives(schema):
    outputs = outputs_of(schema, _logits(schema.num_outputs))
    targets = _targets(schema)
    figure = headline_figure(schema, predictions_of(schema, outputs), targets, seed=3)
    expected = score(outputs, targets, schema, seed=3).figures[headline(schema)]
    ends = (expected.value, expected.low, expected.high)
    assert (figure.value, figure.low, figure.high) == pytest.approx(ends)


def test_headline_figure_refuses_no_items():
    with pytest.raises(OptionError, match="at least one item"):
        headline_figure(LABELS, np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.uint8))


def test_every_figure_has_a_direction():
    for schema in (CLASSES, LABELS, VALUES):
        outputs = outputs_of(schema, _logits(schema.num_outputs))
        targets = _targets(schema)
        perfect = {
            "classification": lambda t: np.eye(3)[t],
            "multi-label": lambda t: t.astype(float),
            "regression": lambda t: t,
        }[schema.task](targets)
        worse, best = (
            score(o, targets, schema, num_resamples=0).figures for o in (outputs, perfect)
        )
        for name in worse:
            if name == "bias":
                continue
            assert (best[name].value > worse[name].value) == is_higher_better(name), name


def test_an_unknown_figure_is_refused_with_the_nearest():
    assert not is_higher_better("bias")
    with pytest.raises(OptionError, match=r"'acuracy'.*Did you mean 'accuracy'"):
        is_higher_better("acuracy")


def test_naive_baseline_of_labels_is_the_constant_with_the_best_f1():
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 3)) < [0.1, 0.7, 0.4]).astype(np.uint8)
    name, predictions = naive_baseline(LABELS, targets, num_items=200)
    assert name == "most frequent labels"
    assert predictions.dtype == np.uint8
    assert (predictions == predictions[0]).all()
    mine = headline_figure(LABELS, predictions, targets).value
    others = [
        headline_figure(LABELS, np.tile(np.array(bits, np.uint8), (200, 1)), targets).value
        for bits in np.ndindex(2, 2, 2)
    ]
    assert mine == pytest.approx(max(others))


def test_naive_baselines_of_classes_and_values():
    name, predictions = naive_baseline(CLASSES, np.array([2, 2, 0]), num_items=4)
    assert (name, predictions.tolist()) == ("majority class", [2, 2, 2, 2])
    name, predictions = naive_baseline(VALUES, np.array([1.0, 5.0]), num_items=2)
    assert (name, predictions.tolist()) == ("mean of train", [3.0, 3.0])
    # on train itself the mean explains nothing: R² is 0
    targets = _targets(VALUES)
    _, mean = naive_baseline(VALUES, targets, num_items=40)
    assert score(mean, targets, VALUES, num_resamples=0).figures["r2"].value == pytest.approx(0.0)


@pytest.mark.parametrize("schema", [CLASSES, LABELS, VALUES])
def test_naive_baseline_refuses_no_targets(schema):
    with pytest.raises(OptionError, match="is empty"):
        naive_baseline(schema, _targets(schema)[:0], num_items=3)


def test_naive_baseline_refuses_targets_of_another_schema():
    with pytest.raises(OptionError, match=r"shape \(4,\), expected \(M, 3\)"):
        naive_baseline(LABELS, np.ones(4, int), num_items=3)
