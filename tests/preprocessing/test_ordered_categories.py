"""The order of categories that the data states is kept, and learned beside their codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headstart.data import load
from headstart.preprocessing import feature_names, fit_table, read_preprocess

N = 60
SIZES = ["S", "M", "L", "XL"]
AGES = np.linspace(0, 80, N)


def frame_of(column) -> pd.DataFrame:
    other = np.tile(np.arange(7.0), 9)[:N] + 0.5
    return pd.DataFrame({"x": column, "other": other, "label": np.where(AGES > 40, "yes", "no")})


ORDERED = {
    "words": pd.Categorical([SIZES[i % 4] for i in range(N)], SIZES, ordered=True),
    "pd.cut": pd.cut(AGES, [-1, 18, 40, 65, 100]),
    "pd.cut with names": pd.cut(AGES, [-1, 18, 65, 100], labels=["z young", "m", "a old"]),
    "whole numbers": pd.Categorical([(30, 4, 100)[i % 3] for i in range(N)], [4, 30, 100], True),
    "a rare and an unused level": pd.Categorical(
        ["low"] * 30 + ["high"] * 29 + ["top"], ["low", "mid", "high", "top"], ordered=True
    ),
}


@pytest.mark.parametrize("column", ORDERED.values(), ids=ORDERED)
def test_the_place_of_a_category_is_a_number(column, tmp_path: Path) -> None:
    frame = frame_of(column)
    sources: list = [frame]
    if not isinstance(column.categories, pd.IntervalIndex):  # which Parquet cannot hold
        frame.to_parquet(tmp_path / "a.parquet")
        sources.append(tmp_path / "a.parquet")
    for source in sources:
        data = load(source, label="label")
        assert data.column_kinds["x"] == "categorical"
        assert any("Column 'x' holds categories in an order" in note for note in data.notes)
        read = fit_table(data)
        assert "x (order)" in feature_names(read.spec)
        rows = frame.drop(columns="label")
        first = read.read(rows).numbers[:, 0]
        places = pd.Series(first).groupby(np.asarray(column.codes)).mean()
        assert (np.diff(places) > 0).all()  # the stated order, not that of the words
        again = read_preprocess(json.loads(json.dumps(read.to_json())), tmp_path, "run")
        words = rows.assign(x=[str(value) for value in column]).to_dict("records")
        assert (again.read(words).numbers[:, 0] == first).all()
        odd = again.read([{"x": "never seen", "other": 1.5}])
        assert odd.numbers[0, 0] == 0  # the middle
        assert any("unknown to the model" in found.sentence for found in odd.findings)


@pytest.mark.parametrize(
    "column",
    [
        pd.Categorical([SIZES[i % 4] for i in range(N)], SIZES),
        [SIZES[i % 4] for i in range(N)],
    ],
)
def test_what_states_no_order_has_none(column) -> None:
    data = load(frame_of(column), label="label")
    assert not data.levels
    assert not any("in an order" in note for note in data.notes)
    assert not any("(order)" in name for name in feature_names(fit_table(data).spec))


def test_a_missing_cell_stands_in_the_middle_and_is_a_category() -> None:
    column = pd.Categorical([None if i % 7 == 0 else SIZES[i % 4] for i in range(N)], SIZES, True)
    read = fit_table(load(frame_of(column), label="label"))
    cells = read.read([{"x": None, "other": 0.5}, {"x": "S", "other": 0.5}])
    assert cells.numbers[0, 0] == 0
    assert cells.numbers[1, 0] < 0
    assert cells.codes[0, 0] > 0
