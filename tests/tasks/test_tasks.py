"""What every task is asked: from target columns and logits to figures, answers and words."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.special import softmax as reference_softmax
from torch import nn

import headstart as hs
from headstart.data import load
from headstart.data.records import Records
from headstart.data.split import assign_splits
from headstart.errors import OptionError
from headstart.evaluation.class_scores import FIGURES as CLASS_FIGURES
from headstart.evaluation.label_scores import FIGURES as LABEL_FIGURES
from headstart.evaluation.value_scores import FIGURES as VALUE_FIGURES
from headstart.model import Model
from headstart.objectives import LOSSES, Wanted, check_score, item_losses, task_loss
from headstart.preprocessing.rows import TextSamples
from headstart.reporting import render_text
from headstart.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, TASKS, find_task
from headstart.training.options.limits import check_applies
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.methods import PROBES
from headstart.training.probing.probe import fit_probe
from headstart.types import Ragged, Schema
from headstart.types.deciding import Deciding

CLASSES = Schema("image", "classification", ("a", "b", "c"))
LABELS = Schema("text", "multi-label", ("a", "b", "c"))
VALUES = Schema("table", "regression", (), label="price")
TAGS = Schema("text", "token-classification", ("O", "B-cat", "I-cat"))


def _logits(columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, columns)).astype(np.float32) * 3


def _targets(schema: Schema, num_items: int = 40) -> np.ndarray:
    rng = np.random.default_rng(1)
    if schema.task == "classification":
        return rng.integers(0, 3, num_items)
    if schema.task == "multi-label":
        return rng.integers(0, 2, (num_items, 3)).astype(np.uint8)
    if schema.task == "token-classification":
        return Ragged.of(rng.integers(0, 3, size) for size in rng.integers(1, 5, num_items))
    return rng.normal(size=num_items) * 7 + 50


def test_outputs_agree_with_scipy():
    logits = _logits(3)
    assert CLASSIFICATION.outputs(logits, CLASSES, temperature=1.7) == pytest.approx(
        reference_softmax(logits.astype(float) / 1.7, axis=1)
    )
    assert MULTI_LABEL.outputs(logits, LABELS, temperature=1.7) == pytest.approx(
        expit(logits.astype(float) / 1.7)
    )


def test_outputs_of_a_regression_are_in_the_units_of_the_data():
    logits = _logits(1)
    found = REGRESSION.outputs(logits, VALUES, target_mean=100.0, target_scale=5.0)
    assert found.dtype == np.float64
    assert found == pytest.approx(logits[:, 0].astype(float) * 5 + 100)


def test_the_interval_of_a_number_lies_around_it_and_is_told_by_its_names():
    task = REGRESSION.deciding_by(Deciding(coverage=0.9, bound=2.0))
    [told] = task.predictions(["a"], np.array([5.0]), VALUES)
    assert (told.low, told.high, told.possible, told.spans) == (3.0, 7.0, (), None)
    assert told.to_json() == {"name": "a", "value": 5.0, "low": 3.0, "high": 7.0}


def test_sigmoid_does_not_overflow():
    found = MULTI_LABEL.outputs(np.array([[1e4, -1e4, 0.0]], dtype=np.float32), LABELS)
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
        find_task(schema.task).outputs(logits, schema)


def test_outputs_refuse_a_bad_temperature():
    with pytest.raises(OptionError, match="expected a positive number"):
        MULTI_LABEL.outputs(np.zeros((1, 3)), LABELS, temperature=0.0)


def test_predictions_by_hand():
    classes = CLASSIFICATION.decisions(np.array([[0.2, 0.5, 0.3]]))
    assert (classes.dtype, classes.tolist()) == (np.int64, [1])
    labels = MULTI_LABEL.decisions(np.array([[0.5, 0.49, 0.9]]))
    assert (labels.dtype, labels.tolist()) == (np.uint8, [[1, 0, 1]])
    assert REGRESSION.decisions(np.array([1.5])).tolist() == [1.5]


@pytest.mark.parametrize("schema", [CLASSES, LABELS, VALUES])
def test_headline_figure_is_the_one_that_score_gives(schema):
    task = find_task(schema.task)
    outputs = task.outputs(_logits(task.num_outputs(schema)), schema)
    targets = _targets(schema)
    figure = task.headline_figure(task.decisions(outputs), targets, seed=3)
    expected = task.scores(outputs, targets, schema, seed=3).figures[task.headline]
    ends = (expected.value, expected.low, expected.high)
    assert (figure.value, figure.low, figure.high) == pytest.approx(ends)


def test_headline_figure_refuses_no_items():
    with pytest.raises(OptionError, match="at least one item"):
        MULTI_LABEL.headline_figure(np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.uint8))


def test_every_figure_has_a_direction():
    for schema in (CLASSES, LABELS, VALUES):
        task = find_task(schema.task)
        outputs = task.outputs(_logits(task.num_outputs(schema)), schema)
        targets = _targets(schema)
        perfect = {
            "classification": lambda t: np.eye(3)[t],
            "multi-label": lambda t: t.astype(float),
            "regression": lambda t: t,
        }[schema.task](targets)
        worse, best = (
            task.scores(o, targets, schema, num_resamples=0).figures for o in (outputs, perfect)
        )
        for name in worse:
            if name == "bias":
                continue
            is_higher_better = task.figures[name].is_higher_better
            assert (best[name].value > worse[name].value) == is_higher_better, name
    assert not REGRESSION.figures["bias"].is_higher_better


def test_naive_baseline_of_labels_is_the_constant_with_the_best_f1():
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 3)) < [0.1, 0.7, 0.4]).astype(np.uint8)
    name, predictions = MULTI_LABEL.baseline(targets, targets, LABELS)
    assert name == "most frequent labels"
    assert predictions.dtype == np.uint8
    assert (predictions == predictions[0]).all()
    mine = MULTI_LABEL.headline_figure(predictions, targets).value
    others = [
        MULTI_LABEL.headline_figure(np.tile(np.array(bits, np.uint8), (200, 1)), targets).value
        for bits in np.ndindex(2, 2, 2)
    ]
    assert mine == pytest.approx(max(others))


def test_naive_baselines_of_classes_and_values():
    name, predictions = CLASSIFICATION.baseline(np.array([2, 2, 0]), np.zeros(4, int), CLASSES)
    assert (name, predictions.tolist()) == ("majority class", [2, 2, 2, 2])
    name, predictions = REGRESSION.baseline(np.array([1.0, 5.0]), np.zeros(2), VALUES)
    assert (name, predictions.tolist()) == ("mean of train", [3.0, 3.0])
    # on train itself the mean explains nothing: R² is 0
    targets = _targets(VALUES)
    _, mean = REGRESSION.baseline(targets, targets, VALUES)
    assert REGRESSION.scores(mean, targets, VALUES, num_resamples=0).figures[
        "r2"
    ].value == pytest.approx(0.0)


def test_naive_baseline_of_tags_says_the_same_of_each_word():
    train, items = Ragged.of([[0, 1, 1], [], [1]]), Ragged.of([[0, 0], [], [2, 0, 1]])
    name, predictions = find_task(TAGS.task).baseline(train, items, TAGS)
    assert name == "most frequent tag"
    assert [row.tolist() for row in predictions] == [[1, 1], [], [1, 1, 1]]


@pytest.mark.parametrize("schema", [CLASSES, LABELS, VALUES, TAGS])
def test_naive_baseline_refuses_no_targets(schema):
    targets = _targets(schema)
    with pytest.raises(OptionError, match="is empty"):
        find_task(schema.task).baseline(targets[:0], targets, schema)


def test_naive_baseline_refuses_targets_of_another_schema():
    with pytest.raises(OptionError, match=r"shape \(4,\), expected \(M, 3\)"):
        MULTI_LABEL.baseline(np.ones(4, int), np.ones((3, 3)), LABELS)


def test_class_weights_have_mean_one_over_the_samples():
    targets = np.repeat([0, 1, 3], [700, 250, 50])
    weights = CLASSIFICATION.class_weights(targets, 4)
    assert weights.dtype == np.float32
    assert weights[targets].mean() == pytest.approx(1.0)
    assert weights[2] == 0  # a class without samples
    assert weights[0] * 700 == pytest.approx(weights[3] * 50)
    assert np.allclose(CLASSIFICATION.class_weights(np.array([0, 1, 2]), 3), 1)
    assert REGRESSION.class_weights(np.array([0.5]), 1) is None


def test_weights_of_labels_are_negatives_over_positives():
    rows = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.uint8)
    assert MULTI_LABEL.class_weights(rows, 3).tolist() == pytest.approx([1 / 3, 3.0, 1.0])


def test_the_temperature_of_numbers_is_one():
    assert REGRESSION.fit_temperature(_logits(1), _targets(VALUES)) == 1.0


def test_targets_of_other_data_are_brought_into_the_order_of_the_models_classes():
    places = np.array([2, 0])  # the data's two classes among the model's three
    assert CLASSIFICATION.align(np.array([0, 1, 1]), places, 3).tolist() == [2, 0, 0]
    rows = np.array([[1, 0], [1, 1]], np.uint8)
    assert MULTI_LABEL.align(rows, places, 3).tolist() == [[0, 0, 1], [1, 0, 1]]
    assert REGRESSION.align(np.array([1.5]), np.zeros(0, int), 0).tolist() == [1.5]


def test_standardised_numbers_have_mean_zero_and_scale_one():
    targets = _targets(VALUES)
    standard = REGRESSION.standard(targets, *REGRESSION.scaling(targets))
    assert standard.dtype == np.float32
    assert (standard.mean(), standard.std()) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert REGRESSION.scaling(np.full(3, 7.0)) == (7.0, 1.0)  # nothing to divide by
    assert CLASSIFICATION.scaling(_targets(CLASSES)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("schema", "said", "words"),
    [
        (CLASSES, {"imbalance": "oversample", "label_smoothing": 0.1}, []),
        (LABELS, {"imbalance": "weights"}, []),
        (LABELS, {"imbalance": "oversample"}, ["one class a sample, and this is multi-label"]),
        (VALUES, {"imbalance": "weights"}, ["needs classes, and this is regression"]),
        (VALUES, {"label_smoothing": 0.1}, ["one class a sample, and this is regression"]),
        (VALUES, {"imbalance": "none", "label_smoothing": None}, []),
    ],
)
def test_a_task_says_which_options_mean_nothing(schema, said, words):
    found = find_task(schema.task).option_problems(said)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("schema", "targets", "outputs", "badness", "mistake"),
    [
        (
            CLASSES,
            np.array([0, 2]),
            np.array([[0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]),
            [0.7, 0.0],
            {"target": "a", "prediction": "b", "probability": 0.7},
        ),
        (
            LABELS,
            np.array([[1, 0, 0], [1, 0, 1]], np.uint8),
            np.array([[0.9, 0.6, 0.7], [0.6, 0.4, 0.5]]),
            [0.7, 0.0],
            {"target": "a", "prediction": "a, b, c", "probability": 0.7},
        ),
        (
            VALUES,
            np.array([3.0, 1.0]),
            np.array([1.5, 1.0]),
            [1.5, 0.0],
            {"target": 3.0, "prediction": 1.5},
        ),
    ],
)
def test_how_wrong_an_item_is_and_how_it_is_told(schema, targets, outputs, badness, mistake):
    task = find_task(schema.task)
    assert task.badness(targets, outputs) == pytest.approx(badness)
    assert task.mistake(targets[:1], outputs[:1], schema) == pytest.approx(mistake)
    columns = task.item_columns(targets, outputs, schema)
    assert columns["target"][0] == mistake["target"]
    assert columns["prediction"][0] == mistake["prediction"]
    told = task.predictions(["x", "y"], outputs, schema)
    assert [record.name for record in told] == ["x", "y"]
    if schema is VALUES:
        assert (told[0].label, told[0].value, told[0].probabilities) == ("1.5", 1.5, ())
        assert set(columns) == {"target", "prediction"}
    else:
        assert told[0].label == mistake["prediction"]
        assert told[0].probability == max(told[0].probabilities) == outputs[0].max()
        assert columns["probabilities"][0].dtype == np.float32


@pytest.mark.parametrize("schema", [CLASSES, LABELS, VALUES])
def test_the_parts_of_a_task_are_put_together_again(schema):
    task, targets = find_task(schema.task), _targets(schema)
    problems = task.plain_problems(targets, len(schema.classes))
    answers = [
        np.eye(problem.num_classes)[problem.targets] if problem.num_classes else problem.targets
        for problem in problems
    ]
    assert np.array_equal(task.decisions(task.joined_answers(answers)), targets)


def test_what_is_asked_is_said_in_words():
    assert CLASSIFICATION.asked("label", 3) == "3 classes"
    assert MULTI_LABEL.asked(None, 5) == "5 labels"
    assert REGRESSION.asked("price", 0) == "target 'price'"
    assert REGRESSION.asked(None, 0) == ""


def test_every_figure_is_named_and_points_the_right_way():
    for task, names in (
        (CLASSIFICATION, CLASS_FIGURES),
        (MULTI_LABEL, LABEL_FIGURES),
        (REGRESSION, VALUE_FIGURES),
    ):
        assert set(task.figures) == set(names)
        assert task.headline in names
        for name, measure in task.figures.items():
            said = "lower is better" in measure.meaning or "best at zero" in measure.meaning
            assert said != measure.is_higher_better, name


def test_every_task_has_a_loss_and_a_probe_and_its_own_name():
    for name, task in TASKS.items():
        assert task.name == name
        assert task.probe in PROBES
        assert name in LOSSES


def test_ragged_rows_are_refused_where_one_row_an_item_is_expected():
    with pytest.raises(OptionError, match="2 rows of different lengths, expected an array"):
        CLASSIFICATION.decisions(Ragged.of([[0.5, 0.5], [1.0]]))


def test_docstring_examples_run():
    for name in ("tasks", "types.ragged"):
        result = doctest.testmod(importlib.import_module(f"headstart.{name}"))
        assert result.attempted > 0
        assert result.failed == 0


@pytest.mark.parametrize("room", ["tasks", "evaluation", "reporting"])
def test_tasks_and_those_who_only_report_load_no_torch(room):
    code = (
        f"import sys, headstart.{room};"
        "print([m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


UNKNOWN = Schema("table", "object-detection", ("a", "b"))


class _Encoder(nn.Module):
    num_features = 3


def _records():
    samples = TextSamples(["x"] * 9, [f"row {i}" for i in range(9)])
    targets, splits = np.arange(9) % 2, np.full(9, -1, np.int8)
    return Records("words", samples, targets, ("a", "b"), splits, "arrays", UNKNOWN.task)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: find_task(UNKNOWN.task),
        lambda: load((np.eye(9), np.arange(9) % 2), schema=UNKNOWN),
        lambda: assign_splits(_records(), val_fraction=0.2, test_fraction=0.2, seed=0),
        lambda: check_applies(TrainingOptions(), UNKNOWN),
        lambda: fit_probe(*[np.eye(4), np.arange(4)] * 2, task=UNKNOWN.task, num_outputs=2),
        lambda: Model(_Encoder(), UNKNOWN),
        lambda: task_loss(UNKNOWN.task, torch.zeros(2, 2), Wanted(torch.zeros(2))),
        lambda: check_score(UNKNOWN.task, np.zeros((2, 2)), np.zeros(2)),
        lambda: item_losses(UNKNOWN.task, np.zeros((2, 2)), np.zeros(2)),
        lambda: render_text({"task": UNKNOWN.task, "test": {"num_items": 2}}, {}, {}, {}),
    ],
    ids=["name", "load", "split", "options", "probe", "model", "loss", "check", "items", "report"],
)
def test_an_unknown_task_is_refused_everywhere_with_the_nearest(ask):
    with pytest.raises(OptionError, match=r"task '?.*object-detection'.*'classification'"):
        ask()


def test_data_of_an_unknown_task_are_refused_before_anything_is_trained(tmp_path):
    data = load((np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2))
    strange = replace(data, schema=replace(data.schema, task=UNKNOWN.task))
    with pytest.raises(OptionError, match="Unknown task 'object-detection'"):
        hs.finetune(strange, start="scratch/linear", out=str(tmp_path / "run"), device="cpu")
