"""Advice about samples that a finished run is given: refused, said, done, and then answered."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from advised import PIXELS, TEXTS, Case, N, X, Y, csv, frame, photos

import headstart as hs
from headstart.recipes.run import Run
from headstart.recipes.submission import read_sample, write_submission
from headstart.types import Prediction, Schema

DAYS = [f"{1 + i % 12:02d}/{1 + i % 28:02d}/2024" for i in range(N)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Return a short run on rows, on texts and on pictures."""
    folder = tmp_path_factory.mktemp("runs")
    data: dict[str, Any] = {
        "row": (
            partial(hs.load, frame(day=DAYS, is_new=Y == "no"), label="label"),
            "scratch/linear",
        ),
        "text": (hs.load((TEXTS, Y)), "scratch/tfidf"),
        "image": (hs.load((PIXELS, Y)), "scratch/simple-cnn"),
    }
    return {
        kind: hs.finetune(of, start=start, num_steps=2, device="cpu", out=str(folder / kind))
        for kind, (of, start) in data.items()
    }


def predicted(runs: dict[str, Run], kind: str, *given: Any) -> Any:
    return hs.predict(str(runs[kind].path), list(given))


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def rows(**columns: Any) -> pd.DataFrame:
    return frame(**{"day": DAYS, "is_new": Y == "no", **columns})


def parquet(folder: Path) -> str:
    rows().drop(columns="label").to_parquet(folder / "a.parquet")
    return str(folder / "a.parquet")


def submitted(runs: dict[str, Run], folder: Path, *names: str) -> Any:
    """Predict pictures, of which two may have one name, in the form of a sample."""
    given = [photos(folder / name, lambda i: f"{i}.png", 3) for name in names]
    sample = csv(folder, pd.DataFrame({"id": range(3), "label": "no"}), "sample.csv")
    return hs.predict(str(runs["image"].path), given, like=sample, out=str(folder / "out.csv"))


def written_as(folder: Path, sample: str) -> str:
    """Write an answer of one of three classes in the form of a sample."""
    schema = Schema(modality="text", task="classification", classes=("ant", "bee", "cow"))
    answer, path = Prediction("a", "ant", 0.7, (0.7, 0.2, 0.1), None), folder / "sample.csv"
    path.write_text(sample)
    write_submission([answer], read_sample(str(path)), str(folder / "out.csv"), schema, {})
    return (folder / "out.csv").read_text()


CASES = {
    "a folder without images": Case(
        lambda r, f: predicted(r, "image", str(written(f / "x" / "a.doc", "a").parent)),
        "Name the files themselves",
        lambda r, f: predicted(r, "image", photos(f / "x", lambda i: f"{i}.png", 2) + "/0.png"),
    ),
    "a folder without texts": Case(
        lambda r, f: predicted(r, "text", str(written(f / "x" / "a.doc", "a").parent)),
        "Name the files themselves",
        lambda r, f: predicted(r, "text", str(written(f / "x" / "a.txt", "a good text"))),
    ),
    "a file of unknown content": Case(
        lambda r, f: predicted(r, "text", str(written(f / "a.doc", "a"))),
        "Save it as one of these",
        lambda r, f: predicted(r, "text", str(written(f / "a.txt", "a good text"))),
    ),
    "no table": Case(
        lambda r, f: predicted(r, "row", str(written(f / "a.doc", "a"))),
        "Give such a file",
        lambda r, f: predicted(r, "row", csv(f, rows())),
    ),
    "a table without rows": Case(
        lambda r, f: predicted(r, "row", csv(f, rows()[:0])),
        "expected one row a sample. Add them",
        lambda r, f: predicted(r, "row", csv(f, rows()[:3])),
    ),
    "a table without images": Case(
        lambda r, f: predicted(r, "image", csv(f, frame())),
        "Give a table with one such column, or the files",
        lambda r, f: predicted(r, "image", pictured(f)),
    ),
    "a path for a text": Case(
        lambda r, f: r["text"].predict([written(f / "a.txt", "a good text")]),
        r"Give what is in the file, Path\(…\).read_text\(\), or let .*headstart.predict read it",
        lambda r, f: (
            r["text"].predict([written(f / "a.txt", "a good text").read_text()])
            and predicted(r, "text", written(f / "a.txt", "a good text"))
        ),
    ),
    "bytes for a text": Case(
        lambda r, f: r["text"].predict([b"a good text"]),
        "Give a list of texts",
        lambda r, f: r["text"].predict(["a good text"]),
    ),
    "one text": Case(
        lambda r, f: r["text"].predict("a good text"),
        "Put it into a list",
        lambda r, f: r["text"].predict(["a good text"]),
    ),
    "texts of another name": Case(
        lambda r, f: r["text"].predict(pd.DataFrame({"words": TEXTS})),
        "Rename the column",
        lambda r, f: r["text"].predict(pd.DataFrame({"text": TEXTS})),
    ),
    "a frame for images": Case(
        lambda r, f: r["image"].predict(pd.DataFrame({"image": list(PIXELS)})),
        "Give the column that holds them",
        lambda r, f: r["image"].predict(pd.DataFrame({"image": list(PIXELS)})["image"]),
    ),
    "two columns of a name": Case(
        lambda r, f: r["row"].predict(pd.DataFrame(X[:, :2], columns=["1", "1"])),
        "Give each column a name of its own, or remove one",
        lambda r, f: r["row"].predict(rows().drop(columns="label")),
    ),
    "a date that is none": Case(
        lambda r, f: r["row"].predict(rows(day="soon").drop(columns="label")),
        "or an empty cell. Correct it",
        lambda r, f: r["row"].predict(rows(day=None).drop(columns="label")),
    ),
    "data of another kind": Case(
        lambda r, f: r["text"].preprocess.prepare(hs.load((PIXELS, Y)), "test"),
        "Give text data, or a start for image data",
        lambda r, f: r["text"].preprocess.prepare(hs.load((TEXTS, Y)), "test"),
    ),
    "columns read otherwise": Case(
        lambda r, f: r["row"].preprocess.prepare(
            hs.load(rows(), label="label", categorical=["a"]), "test"
        ),
        "Leave its option out; or load the data in Python with preprocess=run.preprocess",
        lambda r, f: r["row"].preprocess.prepare(hs.load(rows(), label="label"), "test"),
    ),
    "columns left out": Case(
        lambda r, f: r["row"].preprocess.prepare(
            hs.load(rows(), label="label", drop=["a"]), "test"
        ),
        "Add it; if it is there, load the data in Python with preprocess=run.preprocess",
        lambda r, f: r["row"].preprocess.prepare(
            hs.load(rows(), label="label", preprocess=r["row"].preprocess), "test"
        ),
    ),
    "an encoding of no characters": Case(
        lambda r, f: hs.predict(str(r["row"].path), [parquet(f)], encoding="utf-8"),
        "--encoding utf-8 cannot be used: .* Leave it out",
        lambda r, f: hs.predict(str(r["row"].path), [parquet(f)]),
    ),
    "an id of two files": Case(
        lambda r, f: submitted(r, f, "train", "test"),
        "Give the files of the test alone",
        lambda r, f: submitted(r, f, "test"),
    ),
    "numbers for three classes": Case(
        lambda r, f: written_as(f, "id,y\na,0.5\n"),
        "Expected a class, its number, or a column a class. Write one of these into the sample",
        lambda r, f: [
            written_as(f, f"id,{text}\n") for text in ("y\na,ant", "y\na,0", "ant,bee,cow\na,0,0,0")
        ],
    ),
    "days and months changed": Case(
        lambda r, f: r["row"].preprocess.prepare(turned(f), "test"),
        "Write them as .*, or load the data in Python with preprocess=run.preprocess",
        lambda r, f: r["row"].preprocess.prepare(turned(f, as_trained=r["row"].preprocess), "test"),
    ),
}


def pictured(folder: Path) -> str:
    photos(folder, lambda i: f"{i}.png", 5)
    return csv(folder, pd.DataFrame({"image": [f"{i}.png" for i in range(5)]}))


def turned(folder: Path, as_trained: Any = None) -> Any:
    days = [f"{1 + i % 28:02d}/{1 + i % 12:02d}/2024" for i in range(N)]
    if as_trained is not None:
        days = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)]
    return hs.load(rows(day=days), label="label")


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_new_samples_answers(name: str, runs, follow, heard) -> None:
    case = CASES[name]
    follow(Case(partial(case.wrong, runs), case.said, partial(case.right, runs), case.error))
