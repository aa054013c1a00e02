"""A column of a table that tells whose a row is: offered as groups, whatever its cells are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from headstart.data import load

RNG = np.random.default_rng(0)


def measured(column: str, name=lambda i: i, groups: int = 15, each: int = 8) -> pd.DataFrame:
    owner = np.repeat(np.arange(groups), each)
    x = RNG.normal(size=(len(owner), 2))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], column: [name(int(i)) for i in owner]})
    return table.assign(label=np.where(x[:, 0] + RNG.normal(size=len(x)) > 0, "yes", "no"))


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("patient", lambda i: i + 1000),
        ("Subject ID", lambda i: i * 17),
        ("speaker", lambda i: f"S{i:02d}"),
        ("userId", lambda i: float(i)),
        ("animal", lambda i: i),
        ("mouse_nr", lambda i: i + 1),
        ("store_id", lambda i: 100 * i),
    ],
)
def test_whose_rows_they_are_is_offered_as_groups(column, name, heard, tmp_path):
    measured(column, name).to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv")
    (sentence,) = [f.sentence for f in data.findings if f.kind == "group"]
    grouped = load(tmp_path / "a.csv", group=column)
    assert grouped.train.groups is not None
    assert column not in grouped.column_kinds
    assert not [f for f in grouped.findings if f.kind == "group"]
    heard(sentence)


@pytest.mark.parametrize(
    "column",
    ["engine", "car", "batch", "age", "unit", "num_patients_seen", "n_customers", "total_users"],
)
def test_properties_are_no_groups(column):
    assert not [f for f in load(measured(column)).findings if f.kind == "group"]


def test_a_row_each_is_no_group():
    table = measured("patient", groups=100, each=1)
    assert not [f for f in load(table).findings if f.kind == "group"]
