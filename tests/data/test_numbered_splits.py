"""Columns that say splits or folds by numbers: read where they are clear, else said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from headstart.data import load

N = 100
RNG = np.random.default_rng(0)


def frame(column: str, numbers: list) -> pd.DataFrame:
    x = RNG.normal(size=(N, 2))
    told = [numbers[i % len(numbers)] for i in range(N)]
    return pd.DataFrame(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            column: told,
            "label": [["no", "yes"][i // 7 % 2] for i in range(N)],
        }
    )


@pytest.mark.parametrize(
    ("column", "numbers", "sizes"),
    [
        ("partition", [1, 1, 1, 2, 3], (60, 20, 20)),
        ("Set", [1, 1, 1, 1, 2, 3, 1, 1, 1, 1], (80, 10, 10)),
        ("data_split", [0, 0, 0, 1, 2], (60, 20, 20)),
        ("subset", [0.0, 0.0, 1.0, 2.0], (50, 25, 25)),
        ("split", ["1", "1", "1", "2", "3"], (60, 20, 20)),
        ("partition", [0, 0, 0, 0, 1], (None, None, 20)),  # of two, the second is test
        ("splits", [1, 1, 1, 2], (None, None, 25)),
    ],
)
def test_numbers_in_their_order_are_splits(column, numbers, sizes, tmp_path):
    frame(column, numbers).to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    found = len(data.train), len(data.val), len(data.test)
    assert all(size in (None, found[i]) for i, size in enumerate(sizes))
    assert list(data.column_kinds) == ["a", "b"]
    assert any(f"Column '{column}' says the splits: " in note for note in data.notes)


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        ("partition", [0, 1, 2, 3, 4]),
        ("split", [0, 2, 2, 2, 1]),  # the last has most of the rows
        ("set", [1, 2]),
        ("subset", [1, 3, 5, 7]),
        ("dataset_split", [-1, 0, 1]),
    ],
)
def test_numbers_that_are_not_clear_are_said_and_followed(column, numbers, heard):
    table = frame(column, numbers)
    data = load(table)
    assert list(data.column_kinds) == ["a", "b"]
    (sentence,) = [n for n in data.notes if "may say the splits" in n]
    assert f"{min(numbers)} ({(table[column] == min(numbers)).sum()} rows)" in sentence
    several = (
        ["train", "test"] if len({*numbers}) == 2 else ["train", "train", "test", "val", "val"]
    )
    words = dict(zip(sorted({*numbers}), several, strict=False))
    said = table.assign(**{column: [words[n] for n in table[column]]})
    assert load(said).split_origin["test"] == f"column '{column}'"
    assert column in load(table, categorical=[column]).column_kinds
    heard(sentence)


@pytest.mark.parametrize(
    "column", ["fold", "cv_fold", "Fold No", "kfold_index", "stratified_folds"]
)
def test_folds_are_told_with_what_they_hold(column, heard):
    table = frame(column, [0, 1, 2, 3, 4])
    data = load(table)
    assert list(data.column_kinds) == ["a", "b"]
    (sentence,) = [n for n in data.notes if "number folds" in n]
    assert "0 (20 rows), 1 (20), 2 (20), 3 (20), 4 (20)" in sentence
    split = np.where(table[column] == 4, "test", "train")
    assert len(load(table.assign(split=split)).test) == 20
    heard(sentence)


@pytest.mark.parametrize("column", ["usage", "phase", "manifold", "folder"])
def test_other_numbers_are_inputs(column):
    assert column in load(frame(column, [1, 2, 3])).column_kinds
