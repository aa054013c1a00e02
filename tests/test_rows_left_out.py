"""What ``predict`` cannot use of several samples is named in its place, and the others go on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_runs import TEXTS, N, table

import headstart as hs
from headstart.errors import DataError

BAD = {"x": "many", "y": "inf", "when": "soon", "ok": "perhaps"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "table"
    return hs.finetune(hs.load(table(), label="label"), start="scratch/linear", out=str(out))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("columns", [["x"], ["y", "when"], ["ok", "x", "when"]])
def test_rows_with_a_cell_that_is_none_of_its_column_are_named(run, tmp_path, suffix, columns):
    frame = table().drop(columns="label").head(40).astype(object)
    whole = [one.label for one in run.predict(frame)]
    frame.loc[7, "x"] = None  # an empty cell is filled, as in training
    expected = run.predict(frame)
    for place, name in enumerate(columns):
        frame.loc[3 * place + 10, name] = BAD[name]
    path = tmp_path / f"new{suffix}"
    if suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.astype(str).replace("None", "").to_parquet(path, index=False)
    found = hs.predict(str(run.path), [str(path)])
    bad = {3 * place + 10: name for place, name in enumerate(columns)}
    assert len(found.records) == len(whole) == 40
    for place, one in enumerate(found.records):
        assert one.name == f"{path} row {place + 1}"
        if place in bad:
            said = one.reason.replace("'", "")
            assert said.startswith(f"column {bad[place]} holds {BAD[bad[place]]}; expected "), one
        else:
            assert one.probability == pytest.approx(expected[place].probability, abs=1e-6)
    assert found.exit_code == 3


def test_one_row_alone_and_rows_in_memory_are_refused_and_none_that_is_left_is(
    run, tmp_path, heard
):
    frame = table().drop(columns="label").head(3).astype(object)
    frame.loc[:, "x"] = "many"
    frame.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match=r"No row can be used. 3 of 3 rows left out: .* row 1: col"):
        hs.predict(str(run.path), [str(tmp_path / "new.csv")])
    frame.head(1).to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(
        DataError, match=r"Column 'x' holds 'many' in row 1; exp.* Correct it"
    ) as one:
        hs.predict(str(run.path), [str(tmp_path / "one.csv")])
    frame.head(1).assign(x=1.5).to_csv(tmp_path / "one.csv", index=False)
    assert hs.predict(str(run.path), [str(tmp_path / "one.csv")]).exit_code == 0
    heard(one.value)
    with pytest.raises(DataError, match=r"Column 'x' holds 'many' in row 1"):
        run.predict(frame)
    found, bad = run.predict_usable(frame)
    assert not found
    assert [one.name for one in bad] == ["row 1", "row 2", "row 3"]


def test_of_many_rows_each_bad_one_is_found(run):
    frame = pd.concat([table()] * 30, ignore_index=True).drop(columns="label").astype(object)
    places = np.random.default_rng(0).choice(len(frame), 25, replace=False)
    for place in places.tolist():
        frame.loc[place, "x"] = "n. a. b."
    found, bad = run.predict_usable(frame.to_dict("records"))
    assert [one.name for one in bad] == [f"row {place + 1}" for place in sorted(places)]
    assert len(found) == len(frame) - 25


@pytest.mark.parametrize("beside", [None, ["a"]])
def test_an_empty_text_is_named_and_a_bad_cell_beside_texts(tmp_path, beside):
    frame = pd.DataFrame({"text": TEXTS, "a": np.arange(N) % 7 * 1.0, "label": np.arange(N) % 2})
    data = hs.load(frame, label="label", text="text", beside=beside)
    run = hs.finetune(data, start="scratch/tfidf", out=str(tmp_path / "run"), quiet=True)
    new = frame.drop(columns="label").head(5).astype(object)
    new.loc[1, "text"] = ""
    new.loc[3, "a"] = "many"
    new.loc[4, "a"] = None
    new.to_csv(tmp_path / "new.csv", index=False)
    found = hs.predict(str(run.path), [str(tmp_path / "new.csv")])
    reasons = [getattr(one, "reason", "") for one in found.records]
    assert reasons[1].startswith("the text is ")
    assert bool(reasons[3]) == bool(beside)
    assert not any((reasons[0], reasons[2], reasons[4]))
