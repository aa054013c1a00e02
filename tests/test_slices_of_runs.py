"""``evaluate``: slices that are named or found, ``evaluation.json``, ``--json``."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.cli import main
from headstart.errors import OptionError
from headstart.events import listen


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run on a table in which one region is told by chance."""
    root = tmp_path_factory.mktemp("slices")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=900).round(3)})
    frame["region"] = rng.choice(["north", "south", "west"], 900)
    noise = rng.random(900) < np.where(frame["region"] == "west", 0.5, 0.02)
    frame["kind"] = np.where((frame["x"] > 0) ^ noise, "yes", "no")
    frame.to_csv(root / "rows.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(root / "cache"))
        data = hs.load(str(root / "rows.csv"), label="kind", test_fraction=0.4)
        yield hs.finetune(data, start="scratch/linear", out=str(root / "run"), device="cpu")


def test_the_worst_part_is_found_without_being_named(run):
    found = hs.evaluate(run)
    first = found.slices["slices"][0]
    assert (first["column"], first["value"]) == ("region", "west")
    assert first["p_value"] < 0.01
    assert "region = west" in found.report()
    assert "region = north" not in found.report()
    assert json.loads((run.path / "evaluation.json").read_text()) == json.loads(
        json.dumps(found.record)
    )


def test_named_columns_are_told_part_by_part(run, capsys):
    words = ["evaluate", str(run.path), "--slice", "region"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert all(f"region = {name}" in told for name in ("north", "south", "west"))
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((run.path / "evaluation.json").read_text())
    assert printed["test"] == run.metrics["test"]
    assert printed["slices"]["columns"] == ["region"]


def test_a_column_that_is_not_there_is_refused_by_the_nearest(run):
    with pytest.raises(OptionError, match=r"'regoin' is no column .* Did you mean 'region'"):
        hs.evaluate(run, slice=["regoin"])
    assert hs.evaluate(run, slice=["region"]).slices["columns"] == ["region"]


def test_too_many_columns_are_not_looked_for_but_those_that_are_named_are(run, monkeypatch, heard):
    notes = []
    monkeypatch.setattr("headstart.recipes.sliced._MAX_CELLS", 1)
    with listen(lambda kind, fields: notes.append(str(fields.get("text")))):
        assert hs.evaluate(run).slices is None
        assert hs.evaluate(run, slice=["region"]).slices["columns"] == ["region"]
    (told,) = [note for note in notes if "are not looked for. Name some with --slice" in note]
    heard(told)


def test_the_target_is_no_column_to_slice_by_and_no_other_is_proposed(run, heard):
    label = run.model_record["schema"]["label"]
    with pytest.raises(
        OptionError, match=f"'{label}' is what is told of .* Leave it out"
    ) as refused:
        hs.evaluate(run, slice=[label])
    assert "Did you mean" not in str(refused.value)
    heard(refused.value)


def test_one_column_may_be_named_as_it_is(run):
    named = hs.evaluate(run, slice="region").slices
    assert named == hs.evaluate(run, slice=["region"]).slices


def test_what_a_training_has_settled_is_not_told_after_it(tmp_path):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=150)})
    frame["price"] = 3.0 * frame["x"] + draw.normal(size=150)
    out = str(tmp_path / "run")
    made = hs.finetune(hs.load(frame, label="price"), start="scratch/linear", out=out, device="cpu")
    assert "--task" in made.report()
    assert "--task" not in hs.evaluate(made, hs.load(frame, label="price")).report()
