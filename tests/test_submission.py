"""``predict --like`` writes the very form of a sample submission."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.recipes.submission import read_sample, write_submission
from headstart.types import Prediction, Schema

RNG = np.random.default_rng(0)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def table_run(tmp_path_factory) -> hs.Run:
    folder = tmp_path_factory.mktemp("submission")
    x = RNG.normal(size=90)
    frame = pd.DataFrame({"x": x, "z": RNG.normal(size=90), "kind": np.where(x > 0, "yes", "no")})
    return hs.finetune(
        hs.load(frame, label="kind"),
        start="scratch/linear",
        out=str(folder / "run"),
        device="cpu",
        num_steps=20,
    )


@pytest.fixture
def test_table(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"Id": range(100, 112), "x": np.linspace(-2, 2, 12), "z": 0.0})
    frame.to_csv(tmp_path / "test.csv", index=False)
    return tmp_path / "test.csv"


def test_names_in_the_order_of_the_sample(table_run, test_table, tmp_path) -> None:
    order = [111, 100, 105]
    lines = ["Id,kind", *(f"{i},no" for i in order)]
    (tmp_path / "sample_submission.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    found = hs.predict(
        table_run,
        [str(test_table)],
        like=str(tmp_path / "sample_submission.csv"),
        out=str(tmp_path / "submission.csv"),
    )
    assert len(found) == 12
    assert (tmp_path / "submission.csv").read_bytes().count(b"\r\n") == 4
    said = {f"{p.name}": p.label for p in found}
    expected = [[str(i), said[f"{test_table} row {i - 99}"]] for i in order]
    assert rows_of(tmp_path / "submission.csv") == [["Id", "kind"], *expected]


def test_ids_that_have_no_prediction_are_named_and_nothing_is_written(
    table_run, test_table, tmp_path
) -> None:
    (tmp_path / "like.csv").write_text("Id,kind\n100,no\n999,no\n")
    out = tmp_path / "out.csv"
    with pytest.raises(hs.DataError, match=r"1 of 2 ids of .*like.csv have no prediction \('999'"):
        hs.predict(table_run, str(test_table), like=str(tmp_path / "like.csv"), out=str(out))
    assert not out.exists()
    frame = pd.read_csv(test_table)
    extra = pd.DataFrame({"Id": [999], "x": [0.5], "z": [0.0]})
    pd.concat([frame, extra]).to_csv(tmp_path / "more.csv", index=False)  # as it says
    hs.predict(table_run, str(tmp_path / "more.csv"), like=str(tmp_path / "like.csv"), out=str(out))
    assert [row[0] for row in rows_of(out)] == ["Id", "100", "999"]
    frame.drop(columns="Id").to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(hs.DataError, match="a table needs its column 'Id'"):
        hs.predict(table_run, str(tmp_path / "bare.csv"), like=str(tmp_path / "like.csv"), out="x")


@pytest.mark.parametrize(
    ("like", "out", "advice"),
    [("a.csv", None, "Add --out"), (None, "b.xlsx", "--out answers.csv"), (None, "b", "--out")],
)
def test_a_form_needs_a_file_and_a_file_a_form(table_run, test_table, like, out, advice) -> None:
    with pytest.raises(hs.OptionError, match=advice):
        hs.predict(table_run, str(test_table), like=like, out=out)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_without_a_sample_the_answers_are_a_table(table_run, test_table, tmp_path, ending) -> None:
    out = tmp_path / f"answers{ending}"
    found = hs.predict(table_run, [str(test_table)], out=str(out))
    if ending == ".jsonl":
        read = [json.loads(line) for line in out.read_text().splitlines()]
        assert [(r["name"], r["label"]) for r in read] == [(p.name, p.label) for p in found]
        return
    frame = pd.read_csv(out, sep="\t" if ending == ".tsv" else ",")
    expected = ["sample", "prediction", "probability", "probability of no", "probability of yes"]
    assert list(frame) == [*expected, "possible"]
    assert list(frame["possible"]) == ["; ".join(p.possible) for p in found]
    assert list(frame["prediction"]) == [p.label for p in found]
    assert frame["probability of yes"].to_numpy() == pytest.approx(
        [p.probabilities[1] for p in found]
    )


def test_the_answers_never_replace_what_is_predicted(table_run, test_table) -> None:
    before = test_table.read_bytes()
    with pytest.raises(hs.OptionError, match="is among what is predicted"):
        hs.predict(table_run, [str(test_table)], out=str(test_table))
    assert test_table.read_bytes() == before


def test_pictures_by_name_and_by_stem(tmp_path: Path) -> None:
    for kind in ("train", "test"):
        for i in range(24):
            pixels = RNG.integers(0, 60, (12, 12, 3)) + np.array([150 * (i % 2), 0, 0])
            folder = tmp_path / kind
            folder.mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"p{i:02d}.png")
    rows = [f"p{i:02d},{('dark', 'red')[i % 2]}" for i in range(24)]
    (tmp_path / "train.csv").write_text("\n".join(["id,breed", *rows]))
    (tmp_path / "sample_submission.csv").write_text("id,red,dark\np03,0.5,0.5\np02,0.5,0.5\n")
    run = hs.finetune(
        hs.load(tmp_path), start="scratch/simple-cnn", out=str(tmp_path / "run"), num_steps=2
    )
    out = tmp_path / "out.csv"
    hs.predict(
        run, [str(tmp_path / "test")], like=str(tmp_path / "sample_submission.csv"), out=str(out)
    )
    found = rows_of(out)
    assert [row[0] for row in found] == ["id", "p03", "p02"]
    assert found[0] == ["id", "red", "dark"]
    assert all(abs(float(a) + float(b) - 1) < 1e-5 for _, a, b in found[1:])
    by_name = {Path(p.name).stem: p for p in hs.predict(run, [str(tmp_path / "test")])}
    assert float(found[1][2]) == pytest.approx(by_name["p03"].probabilities[0])  # dark


# The forms of answers, without a model ------------------------------------------------------------

CLASSES = ("ant", "bee", "cow")


def written(tmp_path: Path, sample: str, classes=CLASSES, task="classification", value=None):
    schema = Schema(modality="text", task=task, classes=tuple(classes))
    size = len(classes)
    predictions = []
    for i, name in enumerate(("a.txt", "b.txt")):
        shares = tuple(0.7 if j in (i, size - 1) else 0.1 for j in range(size))
        label = classes[i] if classes else f"{value}"
        if task == "multi-label":
            label = ", ".join(c for c, p in zip(classes, shares, strict=True) if p > 0.5)
        predictions.append(Prediction(name, label, 0.7, shares, value))
    (tmp_path / "s.csv").write_text(sample)
    out = tmp_path / "o.csv"
    write_submission(predictions, read_sample(str(tmp_path / "s.csv")), str(out), schema, {})
    return out.read_text()


@pytest.mark.parametrize(
    ("sample", "more", "expected"),
    [
        ("id,y\nb,cow\na,cow\n", {}, "id,y\nb,bee\na,ant\n"),
        ("id;y\nb;0\na;0\n", {}, "id;y\nb;1\na;0\n"),
        ("id\ty\na.txt\t0\n", {"classes": ("3", "5")}, "id\ty\na.txt\t3\n"),
        ("id,y\na,0.5\n", {"classes": ("no", "yes")}, "id,y\na,0.7\n"),
        ("id,cow,bee\na,0,0\n", {}, "id,cow,bee\na,0.7,0.1\n"),
        ("id,y\na,0\n", {"classes": (), "task": "regression", "value": 2.5}, "id,y\na,2.5\n"),
        ("id,y\na,ant;bee\n", {"task": "multi-label"}, "id,y\na,ant;cow\n"),
        ("id,y\na,ant bee\nb,\n", {"task": "multi-label"}, "id,y\na,ant cow\nb,bee cow\n"),
    ],
)
def test_the_answer_is_written_as_the_sample_shows_it(tmp_path, sample, more, expected) -> None:
    assert written(tmp_path, sample, **more) == expected


@pytest.mark.parametrize(
    ("sample", "match"),
    [
        ("id,emu,ant\na,0,0\n", "Columns 'emu' of .* are no classes"),
        ("id,y\na,0.5\n", "a column a class"),
        ("id\na\n", "is no sample of a submission"),
        ("id,y\na,ant\na,ant\n", "has the id 'a' in several rows"),
        ("id,y\na,ant\nb\n", r"found a row of 1 cells"),
    ],
)
def test_a_sample_that_cannot_be_followed_is_refused(tmp_path, sample, match) -> None:
    with pytest.raises(hs.DataError, match=match):
        written(tmp_path, sample)


def test_the_sample_is_not_replaced_by_the_answers(tmp_path):
    from headstart.errors import OptionError
    from headstart.recipes.submission import check_form

    sample = tmp_path / "sample.csv"
    sample.write_text("id,label\n1,a\n")
    with pytest.raises(OptionError, match="would replace the sample"):
        check_form(str(sample), str(tmp_path / "." / "sample.csv"))
    check_form(str(sample), str(tmp_path / "submission.csv"))
