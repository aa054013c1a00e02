"""Which task a target column asks for, and how its values become targets."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from headstart.cells import as_number
from headstart.data import load
from headstart.data.options import ReadOptions
from headstart.data.targets import read_targets
from headstart.errors import DataError, OptionError
from headstart.tasks import find_task
from headstart.types import Finding

RNG = np.random.default_rng(0)
PRICES = [1000 + 7 * i for i in range(60)]


def read(values, modality="table", **options):
    return read_targets(
        values,
        ReadOptions(**options),
        modality,
        what="Column 'y'",
        place=lambda i: f"row {i + 1} of a.csv",
    )


@pytest.mark.parametrize(
    ("values", "task", "note"),
    [
        (["a", "b"] * 9, "classification", None),
        ([0, 1] * 9, "classification", None),
        ([0.0, 1.0] * 9, "classification", "Column 'y' has 2 distinct whole numbers: classif"),
        (["1.0", "2.0"] * 9, "classification", "Column 'y' has 2 distinct whole numbers: classif"),
        ([True, False] * 9, "classification", None),
        (["01", "02"] * 9, "classification", None),
        ([3, 4, 5, 6, 7] * 9, "classification", "Column 'y' has 5 distinct whole numbers: classif"),
        (list(range(20)) * 9, "classification", "Column 'y' has 20 distinct whole numbers: clas"),
        (list(range(21)) * 9, "regression", "Column 'y' has 21 distinct numbers: regression"),
        (list(range(21)) * 30, "classification", "Column 'y' has 21 distinct whole numbers"),
        (PRICES * 2, "regression", "Column 'y' has 60 distinct numbers: regression"),
        ([2, 4, 6, 8], "regression", "Column 'y' has 4 distinct numbers: regression"),
        ([0.5, 1.0] * 9, "regression", "Column 'y' holds numbers such as 0.5: regression"),
        (["0.5", "1"] * 9, "regression", "Column 'y' holds numbers such as 0.5: regression"),
        ([["a"], ["b", "a"]], "multi-label", None),
        (
            [np.array(["a"]), np.array(["b"])],
            "classification",
            "Column 'y' holds lists of one label",
        ),
        ([np.array(["a", "b"]), np.array(["b"])], "multi-label", None),
    ],
)
def test_read_targets_decides_the_task_and_says_so(values, task, note):
    targets = read(values)
    assert targets.task == task
    if note is None:
        assert not targets.findings
    else:
        assert targets.findings[0].sentence.startswith(note)
        other = "regression" if task == "classification" else "classification"
        other = "multi-label" if "lists" in note else other
        assert targets.findings[0].sentence.endswith(f"(say --task {other} otherwise).")


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        (["a", "b", "a;b", "a;c", "b;c", "a;b;c"] * 4, ";"),
        (["red, blue", "red, green", "blue, green", "red", "green"] * 4, ","),
        (["Bonn, DE", "Graz, AT", "Wien, AT"] * 4, None),
        (["n/a", "yes", "no"] * 4, None),
    ],
)
def test_read_targets_says_how_to_part_classes_that_look_like_several(values, mark):
    for modality in ("text", "image"):
        notes = [found.sentence for found in read(values, modality).findings]
        assert (f"say --separator '{mark}'" in notes[0]) if mark else not notes


def test_read_targets_does_what_is_said_without_a_note():
    targets = read(PRICES, task="classification")
    assert (len(targets.classes), targets.findings) == (60, [])
    targets = read([0, 1] * 5, task="regression")
    assert targets.values.dtype == np.float64
    assert (targets.classes, targets.findings) == ((), [])
    assert read([0.5, 1.0, 0.5], task="classification").classes == ("0.5", "1")
    assert read(PRICES, "image").task == "classification"


def test_read_targets_gives_float_and_text_numbers_the_same_classes():
    for values in ([0.0, 1.0], ["0.0", "1.0"], [0, 1], ["0", " 1"], [np.float32(0), 1.0]):
        assert read(values * 5).classes == ("0", "1")
    assert read(["01", "1"] * 5).classes == ("01", "1")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "is empty or NaN in row 3 of a.csv"),
        (float("nan"), "is empty or NaN in row 3 of a.csv"),
        (float("inf"), "holds inf in row 3 of a.csv"),
        ("-Infinity", "holds -inf in row 3 of a.csv"),
    ],
)
def test_read_targets_names_the_row_of_a_number_that_is_none(value, words):
    values = [0.5, 1.5, value, *PRICES]
    for options in ({}, {"task": "regression"}):
        with pytest.raises(DataError, match=f"{words}; regression expects a finite number"):
            read(values, **options)


def test_read_targets_names_the_word_among_numbers():
    with pytest.raises(DataError) as caught:
        read([*PRICES, "abc"])
    assert str(caught.value) == (
        "Column 'y' holds 'abc' in row 61 of a.csv, where 60 other values are numbers. Correct it, "
        "or say --task classification if all of them are classes."
    )
    with pytest.raises(
        DataError, match=r"holds 'abc' in row 61 of a.csv; regression expects a num"
    ):
        read([*PRICES, "abc"], task="regression")
    assert len(read([*PRICES, "abc"], task="classification").classes) == 61


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([["b", "a"], ["a"], [], ["c", "b"]], {}),
        ([("b", "a"), ("a",), (), ("c", "b")], {}),
        ([{"b", "a"}, {"a"}, set(), {"c", "b"}], {}),
        ([["b", "a", None], ["a"], None, ["c", "b"]], {}),
        (["b; a", "a;", None, "c;b"], {"separator": ";"}),
        (["b|a", "a", "", "c|b"], {"separator": "|", "task": "multi-label"}),
    ],
)
def test_read_targets_reads_several_labels(values, options):
    targets = read(values, **options)
    assert (targets.task, targets.classes) == ("multi-label", ("a", "b", "c"))
    assert targets.values.dtype == np.uint8
    assert targets.values.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]]
    sentence = "1 of 4 samples have no label: none applies."
    assert targets.findings == [Finding("unlabelled", "note", (), sentence)]


def test_read_targets_asks_for_the_separator():
    with pytest.raises(OptionError) as caught:
        read(["drama|war", "war"], task="multi-label")
    assert "holds texts such as 'drama|war'" in str(caught.value)
    assert str(caught.value).endswith("Say it, for example --separator '|'.")
    with pytest.raises(OptionError, match=r"separator is ';' but task is 'regression'"):
        load("digits-8x8", separator=";", task="regression")
    with pytest.raises(OptionError, match=r"task is 'regresion'.* Did you mean 'regression'\?"):
        load("digits-8x8", task="regresion")
    with pytest.raises(OptionError, match="separator is empty"):
        load("digits-8x8", separator="")


def test_read_targets_refuses_lists_that_are_no_labels():
    with pytest.raises(DataError, match=r"lists inside a list in row 2 of a.csv"):
        read([["a"], [["b"]]])
    with pytest.raises(
        DataError, match=r"holds '7' in row 2 of a.csv, where other rows hold lists"
    ):
        read([["a"], 7])
    with pytest.raises(
        DataError, match=r"holds a list in row 1 of a.csv, .* all of them are empty"
    ):
        read([[], []])


@pytest.mark.parametrize(
    ("value", "number"),
    [("1.5", 1.5), (" -2e3 ", -2000.0), ("007", None), ("0.5", 0.5), ("0", 0.0), ("1,5", None)],
)
def test_as_number_reads_numbers_but_not_codes(value, number):
    assert as_number(value) == number
    assert as_number(Decimal("1.5")) == 1.5
    assert as_number(True) is None
    assert np.isnan(as_number(pd.NA))


def test_load_reads_images_with_numbers_or_several_labels_as_targets():
    X = RNG.integers(0, 256, (40, 6, 6), np.uint8)
    data = load((X, np.arange(40) + 0.5), task="regression")
    assert (data.schema.modality, data.schema.task, data.schema.classes) == (
        "image",
        "regression",
        (),
    )
    assert find_task(data.schema.task).num_outputs(data.schema) == 1
    assert data.train.targets.dtype == np.float64
    assert set(data.train.targets) < set(np.arange(40) + 0.5)
    one_hot = np.eye(3, dtype=int)[np.arange(40) % 3]
    one_hot[:, 0] |= 1
    data = load((X, one_hot), task="multi-label")
    assert data.schema.classes == ("0", "1", "2")
    assert data.train.targets.shape == (len(data.train), 3)
    assert data.train.targets[:, 0].all()
    one_hot[4, 1] = 2
    with pytest.raises(DataError, match=r"y holds 2 in y\[4, 1\]; expected 0 or 1"):
        load((X, one_hot), task="multi-label")
    measured = load((X, np.arange(40) + 0.5))
    assert measured.schema.task == "regression"
    said = "y holds numbers such as 0.5: regression (say --task classification otherwise)."
    assert said in measured.notes


def test_load_reads_several_labels_of_texts(tmp_path):
    texts = [f"a long enough sentence about film number {i} and its plot" for i in range(60)]
    genres = [["drama"], ["war", "drama"], ["comedy"]] * 20
    lists = load(pd.DataFrame({"text": texts, "label": genres}))
    assert lists.schema.classes == ("comedy", "drama", "war")
    assert lists.split_origin["test"] == "20 % of all, stratified by the rarest label, seed 0"
    joined = pd.DataFrame({"text": texts, "label": [";".join(g) for g in genres]})
    joined.to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv", separator=";")
    assert data.fingerprint == lists.fingerprint
    assert data.source["separator"] == ";"
    assert load(joined).fingerprint != lists.fingerprint
    one = load(pd.DataFrame({"text": texts, "label": genres}).explode("label"))
    assert one.schema.task == "classification"


def test_days_as_a_target_are_refused_and_a_number_of_each_is_learned(tmp_path, heard):
    days = pd.date_range("2024-01-01", periods=60)
    frame = pd.DataFrame({"a": range(60), "b": [i % 7 for i in range(60)], "due": days.astype(str)})
    with pytest.raises(DataError, match="holds dates such as '2024-01-01'") as caught:
        load(frame, label="due")
    numbers = (days - days[0]).days
    assert load(frame.assign(due=numbers), label="due").schema.task == "regression"
    heard(caught.value)


def test_a_column_of_names_that_all_differ_is_said_to_be_no_classes_perhaps(heard):
    frame = pd.DataFrame(
        {"a": range(60), "id": [f"n{i}" for i in range(60)], "kind": ["x", "y"] * 30}
    )
    with pytest.raises(DataError, match="Where these are no classes, name another") as caught:
        load(frame, label="id")
    assert load(frame, label="kind").schema.classes == ("x", "y")
    heard(caught.value)


@pytest.mark.parametrize("name", ["val_fraction", "test_fraction", "max_bad_fraction", "seed"])
@pytest.mark.parametrize("value", ["0.2", None, True, float("nan")])
def test_numbers_of_another_type_are_refused_by_their_name(name, value):
    with pytest.raises(OptionError, match=f"{name} is {value!r}; expected"):
        load((np.zeros((60, 2)), ["a", "b"] * 30), **{name: value})


def test_numbers_whose_squares_are_none_are_refused_and_divided_ones_are_learned(heard):
    values = np.linspace(1.0, 2.0, 60) * 1e200
    frame = pd.DataFrame({"a": range(60), "y": values})
    with pytest.raises(DataError, match=r"holds 1e\+200 in row 1 .* Divide the column") as caught:
        load(frame, label="y")
    assert load(frame.assign(y=values / 1e200), label="y").schema.task == "regression"
    heard(caught.value)
