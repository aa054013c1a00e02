"""What tasks decide by tuned thresholds, in which sets, and when they do not know."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import OptionError
from headstart.events import listen
from headstart.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, find_task
from headstart.tuning.deciding import (
    DecidingAsked,
    check_deciding,
    judge_deciding,
    settle_deciding,
    stated,
)
from headstart.types import PLAINLY, Deciding, Ragged, Schema

TWO = Schema("table", "classification", ("ham", "spam"))
THREE = Schema("table", "classification", ("a", "b", "c"))
LABELS = Schema("table", "multi-label", ("a", "b"))
NUMBER = Schema("table", "regression", ())
TAGS = Schema("text", "token-classification", ("O", "B-x", "I-x"))


def test_a_threshold_of_two_classes_moves_every_decision_and_figure():
    outputs = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]])
    targets = np.array([0, 1, 1])
    task = CLASSIFICATION.deciding_by(Deciding((0.25,), 1, "f1"))
    assert CLASSIFICATION.decisions(outputs).tolist() == [0, 0, 1]
    assert task.decisions(outputs).tolist() == [0, 1, 1]
    assert task.scores(outputs, targets, TWO).figures["accuracy"].value == 1.0
    assert task.badness(targets, outputs).tolist() == [0, 0, 0]
    told = task.predictions(["x", "y", "z"], outputs, TWO)
    assert [(one.label, one.probability) for one in told] == [
        ("ham", 0.9),
        ("spam", 0.3),
        ("spam", 0.6),
    ]
    # and so from the other side
    other = CLASSIFICATION.deciding_by(Deciding((0.75,), 0))
    assert other.decisions(outputs).tolist() == [0, 1, 1]
    # what thresholds have no say in
    plain, tuned = (one.scores(outputs, targets, TWO).figures for one in (CLASSIFICATION, task))
    assert all(plain[name] == tuned[name] for name in ("roc_auc", "log_loss", "brier", "ece"))


def test_each_label_has_its_own_threshold():
    outputs = np.array([[0.3, 0.3], [0.6, 0.6]])
    task = MULTI_LABEL.deciding_by(Deciding((0.2, 0.7)))
    assert task.decisions(outputs).tolist() == [[1, 0], [1, 0]]
    targets = np.array([[1, 0], [1, 0]], np.uint8)
    figures = task.scores(outputs, targets, LABELS).figures
    assert figures["exact_match"].value == figures["f1_micro"].value == 1.0
    assert MULTI_LABEL.scores(outputs, targets, LABELS).figures["exact_match"].value == 0.0
    assert [one.label for one in task.predictions(["x", "y"], outputs, LABELS)] == ["a", "a"]
    assert task.confidence(outputs) == pytest.approx([0.3, 0.4])


def test_a_set_holds_what_a_threshold_decides_for():
    outputs, targets = np.array([[0.8, 0.2], [0.95, 0.05]]), np.array([1, 0])
    task = CLASSIFICATION.deciding_by(Deciding((0.15,), 1, "f1", coverage=0.9, bound=0.3))
    told = task.predictions(["x", "y"], outputs, TWO)
    assert [(one.label, one.possible) for one in told] == [
        ("spam", ("ham", "spam")),
        ("ham", ("ham",)),
    ]
    assert task.misfits(outputs, targets).tolist() == [0.0, 0.0]  # so is coverage counted
    several = MULTI_LABEL.deciding_by(Deciding((0.5, 0.2), coverage=0.9, bound=0.1))
    (one,) = several.predictions(["x"], np.array([[0.9, 0.25]]), LABELS)
    assert (one.label, one.possible) == ("a, b", ("a", "b"))
    assert several.misfits(np.array([[0.9, 0.25]]), np.array([[0, 1]])).tolist() == [0.0]


def test_of_tags_it_is_said_that_no_sets_are_told():
    outputs = Ragged.of([np.full((2, 3), 1 / 3)] * 40)
    targets = Ragged.of([np.zeros(2, np.int64)] * 40)
    told: list[str] = []
    with listen(lambda kind, fields: told.append(fields["text"]) if kind == "note" else None):
        task = find_task("token-classification")
        found = settle_deciding(DecidingAsked(coverage=0.9), task, outputs, targets, TAGS)
    assert found == (PLAINLY, {})
    assert told == [
        "No sets of answers are told: they are for classes and numbers, not for a tag for each "
        "word."
    ]


def test_sets_intervals_and_unknown_are_told_beside_the_answer():
    outputs = np.array([[0.5, 0.4, 0.1], [0.96, 0.03, 0.01]])
    task = CLASSIFICATION.deciding_by(Deciding(coverage=0.9, bound=0.65, least=0.6))
    unsure, sure = task.predictions(["x", "y"], outputs, THREE)
    assert (unsure.label, unsure.guess, unsure.possible) == ("unknown", "a", ("a", "b"))
    assert (sure.label, sure.guess, sure.possible) == ("a", None, ("a",))
    assert unsure.to_json()["possible"] == ("a", "b")
    assert unsure.decided == "a"
    assert task.set_sizes(outputs).tolist() == [2, 1]
    (number,) = REGRESSION.deciding_by(Deciding(coverage=0.9, bound=2.0)).predictions(
        ["x"], np.array([10.0]), NUMBER
    )
    assert (number.value, number.low, number.high) == (10.0, 8.0, 12.0)
    assert number.to_json() == {"name": "x", "value": 10.0, "low": 8.0, "high": 12.0}
    # a model of before says what it always said
    (plain,) = REGRESSION.predictions(["x"], np.array([10.0]), NUMBER)
    assert plain.to_json() == {"name": "x", "value": 10.0}
    assert "possible" not in CLASSIFICATION.predictions(["x"], outputs[:1], THREE)[0].to_json()


@pytest.mark.parametrize(
    "deciding",
    [PLAINLY, Deciding((0.25,), 1, "f1", 0.9, 0.7, 0.6, "risk=0.1"), Deciding((0.25, 0.5))],
)
def test_how_a_model_decides_is_stored_and_read(deciding):
    assert Deciding.from_json(deciding.to_json(), 2) == deciding
    assert Deciding.from_json(None, 2) == PLAINLY


@pytest.mark.parametrize(
    "record",
    [
        {"thresholds": [0.5, 0.5, 0.5]},
        {"thresholds": [0.5], "positive": 2},
        {"positive": 1},
        {"bound": float("nan")},
        {"least": -1.0},
        {"least": True},
    ],
)
def test_a_damaged_record_of_deciding_is_refused(record):
    with pytest.raises(ValueError, match="deciding"):
        Deciding.from_json(record, 2)


def _labels(num, rng):
    """Return true probabilities of two labels, one of them rare, and what applied."""
    outputs = rng.beta((0.5, 0.3), (1.0, 2.5), (num, 2))
    return outputs, (rng.random((num, 2)) < outputs).astype(np.uint8)


def test_what_is_settled_on_val_is_judged_on_other_items():
    rng = np.random.default_rng(0)
    asked = DecidingAsked(threshold="f1", coverage=0.9, reject="risk=0.3")
    outputs, targets = _labels(600, rng)
    deciding, record = settle_deciding(asked, MULTI_LABEL, outputs, targets, LABELS)
    task = MULTI_LABEL.deciding_by(deciding)
    told = judge_deciding(record, task, *_labels(2_000, rng), LABELS, groups=None)
    tuned, plain = (told["thresholds"]["test"][name] for name in ("tuned", "plain"))
    assert tuned["f1_macro"]["value"] > plain["f1_macro"]["value"]
    assert set(told["thresholds"]["values"]) == {"a", "b"}
    covered = told["conformal"]["test"]["coverage"]
    assert covered["low"] <= told["conformal"]["expected"][1]
    assert covered["high"] >= 0.9
    kept = told["rejection"]["test"]
    assert 0 < kept["answered"]["value"] < 1
    assert kept["accuracy"]["high"] > 0.7
    # what the stored model says of itself can be judged, too
    again = judge_deciding(
        stated(deciding, LABELS.classes), task, *_labels(500, rng), LABELS, groups=None
    )
    assert again["thresholds"]["values"] == told["thresholds"]["values"]
    assert again["conformal"]["test"]["coverage"]["value"] > 0.8


def test_a_label_that_val_hardly_has_keeps_a_half_and_few_items_give_no_sets():
    outputs = np.array([[0.3, 0.1], [0.4, 0.2], [0.9, 0.1], [0.8, 0.3], [0.2, 0.1], [0.7, 0.2]])
    targets = np.array([[0, 0], [1, 0], [1, 0], [1, 0], [0, 0], [0, 1]], np.uint8)
    asked = DecidingAsked(threshold="f1", coverage=0.9)
    deciding, record = settle_deciding(asked, MULTI_LABEL, outputs, targets, LABELS)
    assert deciding.thresholds[1] == 0.5
    assert deciding.thresholds[0] == pytest.approx(0.35)
    assert "1 items of it" in record["thresholds"]["notes"][0]
    assert deciding.bound is None
    assert "conformal" not in record


ADVISED = {
    "tags": (DecidingAsked(threshold="f1", reject="risk=0.1"), TAGS, DecidingAsked()),
    "positive of labels": (
        DecidingAsked(threshold="f1", positive="a"),
        LABELS,
        DecidingAsked(threshold="f1"),
    ),
    "threshold": (DecidingAsked(threshold="f1"), THREE, DecidingAsked()),
    "numbers": (DecidingAsked(threshold="f1"), NUMBER, DecidingAsked()),
    "reject": (DecidingAsked(reject="risk=0.1"), NUMBER, DecidingAsked()),
    "positive alone": (
        DecidingAsked(positive="spam"),
        TWO,
        DecidingAsked(threshold="f1", positive="spam"),
    ),
    "positive": (
        DecidingAsked(threshold="f1", positive="spma"),
        TWO,
        DecidingAsked(threshold="f1", positive="spam"),
    ),
}


@pytest.mark.parametrize("name", ADVISED)
def test_what_cannot_be_settled_is_refused_with_what_to_do(name, heard):
    wrong, schema, right = ADVISED[name]
    with pytest.raises(OptionError) as refused:
        check_deciding(wrong, schema)
    check_deciding(right, schema)
    heard(refused.value)
