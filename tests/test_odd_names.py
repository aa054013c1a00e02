"""Names with every separator in them, of files, classes and columns, through every verb."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

import headstart as hs
from headstart.cli import main
from headstart.errors import DataError

# fmt: off
ODD = (
    "a,b", "tab\there", "new\nline", 'quo"te', "it's", "semi;colon", "back\\slash", "pi|pe",
    " blank ", "<b>&amp;</b>", "{curly}", "[rich]", "100%", "$(x)", "-dash", "#hash", "née", "猫",
    "a:b", "*", "?", "~", "%s{}", "\u202eright", "e\u0301",
)
# fmt: on


def _paths(odd):
    return [name.replace("/", "_") for name in odd]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd") / "se;t, 'of' \"photos\"\n"
    draw = np.random.default_rng(0)
    for number, kind in enumerate(("cl,a;ss\tone\n", 'the "other"\\class')):
        (root / kind).mkdir(parents=True)
        for name in _paths(ODD):
            pixels = draw.integers(0, 120, (8, 8, 3)) + 130 * number
            Image.fromarray(pixels.astype(np.uint8)).save(root / kind / f"{name}.png")
    return root


def test_files_and_class_folders_go_through_every_verb(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = str(tmp_path / "r,u;n")
    words = ["--start", "scratch/simple-cnn", "--num-steps", "4", "--device", "cpu"]
    assert main(["finetune", str(folder), "--out", out, *words]) == 0
    model = json.loads((tmp_path / "r,u;n" / "model.json").read_text())
    names = model["schema"]["classes"]
    assert len(names) == 2
    given = sorted(str(path) for path in folder.rglob("*.png"))
    found = hs.predict(out, given)
    assert [one.name for one in found] == given
    assert {one.label for one in found} <= set(names)
    capsys.readouterr()
    assert main(["predict", out, *given, "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(given)  # a name with a line break in it does not end its line
    assert main(["evaluate", out]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"next: headstart predict '{out}' FILE…"
    assert hs.evaluate(out).metrics["test"]["num_items"] > 0
    assert main(["report", out]) == 0
    page = (tmp_path / "r,u;n" / "report.html").read_text(encoding="utf-8")
    assert "<b>&amp;</b>" not in page.replace("&lt;b&gt;", "")  # shown, not made bold
    kept = pq.read_table(tmp_path / "r,u;n" / "predictions.parquet").column("name").to_pylist()
    assert all((folder / name).is_file() for name in kept)
    capsys.readouterr()


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_columns_and_cells_go_through_every_verb(tmp_path, kind):
    draw = np.random.default_rng(0)
    which = np.arange(240) % 6
    labels = np.array(ODD[:6])[which]
    frame = pd.DataFrame(
        {name: 4.0 * (which == k) + draw.normal(size=240) for k, name in enumerate(ODD[:12])}
    )
    frame["wo,r\tds"] = np.array(ODD)[draw.integers(0, len(ODD), 240)]
    frame["la;bel"] = labels
    path = tmp_path / f"ta;ble,1.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    data = hs.load(path, label="la;bel")
    told = {name.strip() for name in data.schema.classes}
    assert told == {name.strip() for name in ODD[:6]}
    made = hs.finetune(data, start="scratch/linear", out=str(tmp_path / "run"), device="cpu")
    assert made.metrics["test"]["figures"]["accuracy"]["value"] > 0.8
    found = hs.predict(str(made.path), [str(path)])
    right = [one.label.strip() == name.strip() for one, name in zip(found, labels, strict=True)]
    assert np.mean(right) > 0.8
    assert hs.evaluate(str(made.path)).metrics["test"]["num_items"] == len(data.test)
    assert len(made.predict(frame.head(60))) == 60
    assert all(name.strip() in made.report() for name in ("a,b", "semi;colon"))


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        (["x", "x", "label"], "'x'"),
        (["x", "y", "label", "label"], "'label'"),
        (["a", "b", "a", "label"], "'a'"),
        (["", "", "label"], None),
    ],
)
def test_columns_of_one_name_are_refused_or_told_apart(tmp_path, names, twice):
    draw = np.random.default_rng(0)
    path = tmp_path / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for i in range(60):
            row = [f"{value:.3f}" for value in draw.normal(size=len(names))]
            row = [
                ("u", "v")[i % 2] if n == "label" else v for n, v in zip(names, row, strict=True)
            ]
            writer.writerow(row)
    if twice is None:
        data = hs.load(path)
        assert len(data.schema.classes) == 2
        return
    with pytest.raises(DataError, match=f"{twice}.*Give each column a name of its own"):
        hs.load(path)
    # the advice, followed
    lines = path.read_text().splitlines()
    renamed = [
        f"{name}{i}" if name != "label" or i < len(names) - 1 else name
        for i, name in enumerate(names)
    ]
    path.write_text("\n".join([",".join(renamed), *lines[1:]]))
    assert hs.load(path, label="label").schema.classes == ("u", "v")


def test_columns_that_differ_in_case_and_accents_alone_are_told_apart(tmp_path):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({name: draw.normal(size=200) for name in ("a", "A", "a.1", "à")})
    frame["label"] = np.where(frame["A"] > 0, "up", "down")
    frame.to_csv(tmp_path / "t.csv", index=False)
    made = hs.finetune(
        hs.load(tmp_path / "t.csv"), start="scratch/linear", out=str(tmp_path / "run"), device="cpu"
    )
    assert made.metrics["test"]["figures"]["accuracy"]["value"] > 0.9
    found = made.predict(frame.drop(columns="label")[["à", "A", "a.1", "a"]])
    right = [one.label == label for one, label in zip(found, frame["label"], strict=True)]
    assert np.mean(right) > 0.9
