"""Groups from data to figures: what --group says of a folder, a run, evaluate and the report."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.cli import main

CNN = {"start": "scratch/simple-cnn", "num_steps": 3, "device": "cpu"}


def _animals(root, num_animals=13, each=6, first=0):
    """Make photos of animals of two kinds; those of one animal look alike."""
    draw = np.random.default_rng(first)
    for number in range(first, first + num_animals):
        kind = ("cat", "dog")[number % 2]
        (root / kind).mkdir(parents=True, exist_ok=True)
        coat = draw.integers(0, 255, (16, 16, 3))
        for shot in range(each):
            noise = draw.integers(-20, 20, (16, 16, 3))
            pixels = np.clip(coat + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / kind / f"animal{number:02}_{shot}.png")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("animals")
    data = hs.load(_animals(folder / "photos", 26), group=r"animal(\d+)_", test_fraction=0.5)
    return hs.finetune(data, out=str(folder / "run"), **CNN), folder


def test_a_run_counts_groups_and_says_so(run):
    made, folder = run
    test = made.metrics["test"]
    number = test["num_groups"]
    assert 10 <= number <= 14
    assert test["num_items"] == 6 * number
    said = f"{test['num_items']} items of {number} groups"
    assert said in made.report()
    page = (folder / "run" / "report.html").read_text()
    assert said in page
    few = f"Intervals count the {number} groups, not their {6 * number} items: so few tell little."
    assert few in " ".join(made.report().split())
    assert few in page
    assert "whole groups change sides" in page
    assert "McNemar" not in page


def test_evaluate_agrees_with_the_run_by_its_own_data_and_its_own_path(run):
    made, folder = run
    own = hs.evaluate(str(made.path)).metrics["test"]
    assert own["figures"] == made.metrics["test"]["figures"]
    assert own["num_groups"] == made.metrics["test"]["num_groups"]
    named = hs.evaluate(str(made.path), str(folder / "photos")).metrics["test"]
    assert named["num_groups"] >= own["num_groups"]


def test_evaluate_counts_the_groups_of_other_data_by_the_run_s_own_word(run, tmp_path):
    made, _ = run
    other = _animals(tmp_path / "new", 13, first=40)
    found = hs.evaluate(str(made.path), str(other))
    assert (found.metrics["test"]["num_items"], found.metrics["test"]["num_groups"]) == (78, 13)
    assert "78 items of 13 groups" in found.report()
    plain = hs.evaluate(str(made.path), hs.load(other, schema=made.model.schema))
    wide, narrow = (e.metrics["test"]["figures"]["accuracy"] for e in (found, plain))
    assert wide["value"] == narrow["value"]
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]
    right = [p.label == n.parent.name for p, n in _predicted(made, other)]
    assert np.mean(right) == pytest.approx(wide["value"])  # predict and evaluate agree


def _predicted(made, folder):
    paths = sorted(folder.rglob("*.png"))
    return zip(hs.predict(str(made.path), [str(path) for path in paths]), paths, strict=True)


def test_evaluate_says_that_other_data_have_no_such_groups(run, tmp_path):
    made, _ = run
    other = _animals(tmp_path / "new", 6, first=60)
    for path in other.rglob("*.png"):
        path.rename(path.with_name(path.name.replace("animal", "nobody")))
    found = hs.evaluate(str(made.path), str(other))
    assert found.metrics["test"]["num_items"] == 36
    assert "num_groups" not in found.metrics["test"]
    assert any("which these data have not" in note for note in found.data["notes"])
    # and another word for them is taken
    said = hs.load(other, schema=made.model.schema, group=r"nobody(\d+)_")
    assert hs.evaluate(str(made.path), said).metrics["test"]["num_groups"] == 6


def test_the_command_line_takes_a_pattern_and_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = _animals(tmp_path / "photos", 20, each=3)
    words = ["--start", "scratch/simple-cnn", "--num-steps", "2", "--device", "cpu", "--quiet"]
    assert main(["finetune", "photos", "--group", r"animal(\d+)_", "--out", "a", *words]) == 0
    assert "groups" in capsys.readouterr().out
    for path in sorted(photos.rglob("*.png")):
        animal, _, shot = path.name.partition("_")
        (path.parent / animal).mkdir(exist_ok=True)
        path.rename(path.parent / animal / shot)
    assert main(["finetune", "photos", "--group", "folder", "--out", "b", *words]) == 0
    a, b = (json.loads((tmp_path / n / "metrics.json").read_text())["test"] for n in "ab")
    assert a["num_groups"] == b["num_groups"]
    assert main(["evaluate", "b", "photos", "--group", "folder", "--quiet"]) == 0
    assert main(["finetune", "photos", "--group", "patient", "--out", "c", *words]) == 3
    assert "say 'folder', or give a pattern" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["texts", "rows"])
def test_texts_and_rows_count_groups_by_column_and_by_values(tmp_path, kind):
    draw = np.random.default_rng(0)
    owner = np.repeat(np.arange(30), 6)
    label = np.where(owner % 2 == 0, "good", "bad")
    if kind == "texts":
        words = [["fine", "poor"][o % 2] + f" shop {o} " + str(i) for i, o in enumerate(owner)]
        frame = pd.DataFrame({"text": words, "label": label, "owner": owner})
        start = "scratch/tfidf"
    else:
        values = owner % 2 + draw.normal(size=len(owner))
        frame = pd.DataFrame({"x": values, "y": values**2, "label": label, "owner": owner})
        start = "scratch/linear"
    by_column = hs.finetune(
        hs.load(frame, group="owner"), start=start, out=str(tmp_path / "a"), device="cpu"
    )
    apart = hs.load(frame.drop(columns="owner"), group=frame["owner"])
    by_values = hs.finetune(apart, start=start, out=str(tmp_path / "b"), device="cpu")
    assert by_column.metrics["test"]["num_groups"] == by_values.metrics["test"]["num_groups"] == 6
    assert "36 items of 6 groups" in by_values.report()
