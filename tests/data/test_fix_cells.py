"""A list of fixes knows the rows of a table that has other columns than the list was made with."""

import functools

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.data import load
from headstart.data.fix_cells import CellFinder, row_cells
from headstart.data.fix_lists import Fix
from headstart.errors import DataError


def _frame() -> pd.DataFrame:
    draw, num = np.random.default_rng(0), 300
    frame = pd.DataFrame(
        {
            "age": draw.normal(40, 10, num).round(2),
            "town": draw.choice(["Ulm", "Bonn", "Kiel"], num),
            "height": draw.normal(170, 10, num).round(2),
            "extra": draw.normal(5, 1, num).round(3),
            "split": np.where(np.arange(num) < 220, "train", "test"),
        }
    )
    frame["pays"] = np.where(frame["age"] + draw.normal(0, 5, num) > 40, "yes", "no")
    copies = frame.iloc[:12].assign(split="test")
    return pd.concat([frame, copies], ignore_index=True)


@pytest.fixture
def listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _frame().to_csv("rows.csv", index=False)
    hs.check(functools.partial(hs.load, "rows.csv", label="pays"), fix="fixes.csv", out="out")
    assert len(pd.read_csv("fixes.csv")) == 12
    return tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f, {"drop": ["extra"]}),
        (lambda f: f.drop(columns=["extra"]), {}),
        (lambda f: f.drop(columns=["extra", "age"]), {}),
        (lambda f: f.assign(more=np.arange(len(f)) % 7 + 0.5), {}),
        (lambda f: f[f.columns[::-1]].drop(columns=["town"]), {}),
    ],
    ids=["dropped", "lacking", "two lacking", "one more", "reversed"],
)
def test_a_table_with_other_columns_is_mended_all_the_same(listed, change, said) -> None:
    change(_frame()).to_csv("other.csv", index=False)
    dataset = load("other.csv", label="pays", fixes="fixes.csv", **said)
    told = next(f.sentence for f in dataset.findings if "fixes.csv" in f.sentence)
    assert "12 rows left out" in told
    assert "12 are known by the columns that these rows share" in told
    assert len(dataset.train) + len(dataset.val) == 220 - 12


def test_a_row_is_known_at_another_place_where_no_other_holds_the_same() -> None:
    samples = load(_frame(), label="pays").train.samples
    cells = row_cells(samples, [3, 7])
    kept = samples.take(np.arange(5, 50)).select(["age", "height"])
    finder = CellFinder(kept)
    assert finder.find(Fix("row 8", "", "leave out", cells=cells[1]), [40]) == 2
    assert finder.find(Fix("row 4", "", "leave out", cells=cells[0]), [3]) is None
    twice = CellFinder(samples.take(np.array([7, 9, 7])).select(["age", "town"]))
    assert twice.find(Fix("row 8", "", "leave out", cells=cells[1]), []) is None
    assert (
        CellFinder(load((["a b", "c d"] * 40, ["x", "y"] * 40)).train.samples).find(
            Fix("row 8", "", "leave out", cells=cells[1]), [0]
        )
        is None
    )


def test_rows_that_hold_something_else_are_other_data(listed) -> None:
    frame = _frame().drop(columns=["extra"])
    frame["age"] += 1
    frame.to_csv("other.csv", index=False)
    with pytest.raises(DataError, match="other data"):
        load("other.csv", label="pays", fixes="fixes.csv")


def test_evaluate_takes_the_list_for_a_table_that_lacks_a_column_of_the_list(listed) -> None:
    run = hs.finetune(
        functools.partial(load, "rows.csv", label="pays", drop=["extra"], fixes="fixes.csv"),
        start="scratch/linear",
        out="run",
        budget="20s",
    )
    _frame().drop(columns=["extra"]).to_csv("fewer.csv", index=False)
    frames = {"same columns": "rows.csv", "fewer": "fewer.csv"}
    for name in frames.values():
        later = functools.partial(load, name, fixes="fixes.csv")
        found = hs.evaluate(str(run.path), later)
        assert found.data["counts"]["test"] == 92
        assert any("12 rows left out" in note for note in found.data["notes"])
