"""``predict`` takes a table in parts as ``load`` does: rows, texts, pictures, ids to submit."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import DataError

N = 60
KINDS = ["ant", "bee"]


def rows() -> pd.DataFrame:
    x = np.arange(N) % 2 + np.random.default_rng(0).normal(0, 0.05, N)
    land = [("AT", "CH")[i // 2 % 2] for i in range(N)]
    label = [KINDS[i % 2] for i in range(N)]
    return pd.DataFrame({"x": x, "land": land, "label": label})


def spark(folder: Path, frame: pd.DataFrame, suffix: str = ".csv", number: int = 3) -> Path:
    """Write a frame as Spark does: parts, an empty one, markers."""
    folder.mkdir(parents=True)
    for i, places in enumerate(np.array_split(np.arange(len(frame)), number)):
        part, path = frame.iloc[places], folder / f"part-{i:05d}-0a-c000{suffix}"
        if suffix == ".csv":
            part.to_csv(path, index=False)
        elif suffix == ".json":
            part.to_json(path, orient="records", lines=True)
        else:
            part.to_parquet(path, index=False)
    (folder / "_SUCCESS").touch()
    (folder / f"part-{number:05d}-0a-c000{suffix}").touch()
    (folder / ".part-00000.crc").touch()
    return folder


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    out = tmp_path_factory.mktemp("runs") / "table"
    return hs.finetune(hs.load(rows()), start="scratch/linear", out=str(out), device="cpu")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
@pytest.mark.parametrize("name", ["out", "out.csv"])
def test_rows_of_parts_are_predicted_as_those_of_one_file(table_run, tmp_path, name, suffix):
    given = rows().drop(columns="label")
    given.to_csv(tmp_path / "one.csv", index=False)
    folder = spark(tmp_path / name, given, suffix)
    whole = hs.predict(str(table_run.path), [str(tmp_path / "one.csv")])
    found = hs.predict(str(table_run.path), [str(folder)])
    assert [one.label for one in found] == [one.label for one in whole]
    assert len({one.name for one in found}) == N
    assert found[0].name == f"{folder}/part-00000-0a-c000{suffix} row 1"


def test_columns_in_the_names_of_folders_are_read(table_run, tmp_path):
    given = rows().drop(columns="label")
    for land, part in given.groupby("land"):
        spark(tmp_path / "out" / f"land={land}", part.drop(columns="land"), number=2)
    found = hs.predict(str(table_run.path), [str(tmp_path / "out")])
    assert len(found) == N


def test_a_folder_that_is_no_table_is_refused(table_run, tmp_path):
    (tmp_path / "some.csv").mkdir()
    (tmp_path / "some.csv" / "notes.md").write_text("nothing")
    for folder in (tmp_path, tmp_path / "some.csv"):
        with pytest.raises(DataError, match=r"no table.*folder of the parts"):
            hs.predict(str(table_run.path), [str(folder)])


def test_ids_of_a_submission_stand_in_parts(table_run, tmp_path):
    given = rows().drop(columns="label").assign(key=[f"k{i}" for i in range(N)])
    folder = spark(tmp_path / "out", given)
    sample = pd.DataFrame({"key": given["key"][::-1], "label": "ant"})
    sample.to_csv(tmp_path / "sample.csv", index=False)
    out = tmp_path / "mine.csv"
    like = str(tmp_path / "sample.csv")
    hs.predict(str(table_run.path), [str(folder)], like=like, out=str(out))
    assert pd.read_csv(out)["label"].tolist()[::-1] == rows()["label"].tolist()


def test_texts_of_parts_are_predicted(tmp_path):
    texts = [f"number {i} says {('hum', 'buzz')[i % 2]} and flies away" for i in range(N)]
    frame = pd.DataFrame({"text": texts, "label": [KINDS[i % 2] for i in range(N)]})
    out = str(tmp_path / "run")
    run = hs.finetune(hs.load(frame), start="scratch/tfidf", out=out, device="cpu")
    folder = spark(tmp_path / "out", frame[["text"]], ".parquet")
    found = hs.predict(str(run.path), [str(folder)])
    assert [one.label for one in found] == [one.label for one in run.predict(texts)]


def test_pictures_of_parts_are_predicted(tmp_path):
    def encoded(i: int) -> bytes:
        stream = io.BytesIO()
        shade = np.random.default_rng(i).integers(0, 40, (16, 16, 3)) + 200 * (i % 2)
        Image.fromarray(shade.astype(np.uint8)).save(stream, "PNG")
        return stream.getvalue()

    frame = pd.DataFrame({"image": [encoded(i) for i in range(N)]})
    folder = spark(tmp_path / "train", frame.assign(label=rows()["label"]), ".parquet")
    run = hs.finetune(
        str(folder), start="scratch/simple-cnn", out=str(tmp_path / "run"), num_epochs=1
    )
    found = hs.predict(str(run.path), [str(spark(tmp_path / "new", frame, ".parquet"))])
    assert len(found) == N
