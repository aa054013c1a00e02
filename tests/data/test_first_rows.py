"""A first row that is data and no header: said for every reader, and never of a real header."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data import load
from headstart.errors import DataError, OptionError

N = 60
RNG = np.random.default_rng(0)
Rows = list[list[Any]]


def flowers() -> Rows:
    return [
        [f"{v:.2f}" for v in RNG.normal(5, 1, 3)] + [["rose", "tulip"][i % 2]] for i in range(N)
    ]


def messages() -> Rows:
    return [[["ham", "spam"][i % 2], f"is it number {i} you call about today"] for i in range(N)]


def pixels() -> Rows:
    rows = [[i % 5, *RNG.integers(0, 256, 12).tolist()] for i in range(N)]
    rows[0][1:] = [8, 7, 3, 9, 250, 17, 90, 33, 41, 4, 66, 81]
    return rows


def people() -> Rows:
    return [
        [20 + i % 40, ["Private", "State"][i // 2 % 2], ["<=50K", ">50K"][i % 2]] for i in range(N)
    ]


def weather() -> Rows:
    return [[f"2024-01-{i % 28 + 1:02d}", -5 + i % 30, ["rain", "sun"][i % 2]] for i in range(N)]


def written(path: Path, rows: Rows, mark: str = ",") -> Path:
    text = "".join(mark.join(map(str, row)) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append([float(c) if re.fullmatch(r"[\d.]+", str(c)) else c for c in row])
        book.save(path)
    else:
        path.write_text(text)
    return path


def said(data: Any) -> str:
    return next((f.sentence for f in data.findings if "first row of" in f.sentence), "")


@pytest.mark.parametrize(
    ("name", "mark", "rows", "label"),
    [
        ("a.csv", ",", flowers, -1),
        ("a.tsv", "\t", messages, 0),
        ("a.csv", ";", people, -1),
        ("a.csv.gz", ",", weather, -1),
        ("a.csv", ",", pixels, 0),
        ("a.xlsx", "", flowers, -1),
        ("a.csv", "|", messages, 0),
    ],
)
def test_a_first_row_of_data_is_said_and_named_columns_keep_it(
    tmp_path, heard, name, mark, rows: Callable[[], Rows], label
):
    made = rows()
    path = written(tmp_path / name, made, mark)
    sentence = said(load(path, label=str(made[0][label])))
    assert all(f"'{cell}'" in sentence for cell in map(str, made[0][: 1 if mark in "\t|" else 3]))
    if "$(seq" in sentence:
        header = [str(i + 1) for i in range(int(re.search(r"\$\(seq (\d+)\)", sentence)[1]))]
    else:
        header = re.search(r"--header ([\w ]+), and --label one", sentence)[1].split()
    whole = load(path, header=header, label=header[label])
    assert len(whole.train) + len(whole.val) + len(whole.test) == N
    assert not said(whole)
    heard(sentence)


def test_parts_without_a_header_are_said(tmp_path):
    (tmp_path / "set").mkdir()
    for k in range(2):
        written(tmp_path / "set" / f"part-0000{k}.csv", [[0.5, "x", "rose"], *flowers_of_three()])
    assert "'0.5', 'x', 'rose'" in said(load(tmp_path / "set", label="rose"))


def flowers_of_three() -> Rows:
    return [[f"{i / 10}", "xyz"[i % 3], ["rose", "tulip"][i % 2]] for i in range(N)]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (["a", "b", "c", "kind"], flowers),
        (["label", "text"], messages),
        (["2019", "2020", "2021", "kind"], flowers),  # years
        (["400.0", "402.5", "405.0", "kind"], flowers),  # wavelengths
        ([str(i) for i in range(13)], pixels),  # as pandas writes a frame of an array
        (["age", "", "income"], people),
        (["text about it", "what was said by them"], messages),
    ],
)
def test_a_header_is_believed(tmp_path, header, rows: Callable[[], Rows]):
    path = written(tmp_path / "a.csv", [header, *rows()], "|")
    label = "text about it" if header[0].startswith("text") else ""
    label = label or next((h for h in header if h in ("kind", "label", "income")), "0")
    assert not said(load(path, label=label))


def test_a_header_is_for_files_without_one(tmp_path, heard):
    import pandas as pd

    frame = pd.DataFrame(flowers(), columns=["a", "b", "c", "kind"])
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(OptionError, match="names its columns itself") as refused:
        load(tmp_path / "a.parquet", header=["x", "y", "z", "k"], label="k")
    assert len(load(tmp_path / "a.parquet", label="kind").schema.classes) == 2
    heard(str(refused.value))
    path = written(tmp_path / "a.xlsx", flowers())
    with pytest.raises(DataError, match="has 4 columns, and --header names 3") as refused:
        load(path, header=["x", "y", "k"], label="k")
    assert len(load(path, header=["x", "y", "z", "k"], label="k").schema.classes) == 2
    heard(str(refused.value))


def test_a_vertex_csv_is_read_with_its_columns_named(tmp_path, photos):
    folder = photos(cat=12, dog=12)
    words = ["TRAIN", "TRAIN", "VALIDATION", "TEST", "UNASSIGNED", "TRAIN"]
    paths = sorted(folder.rglob("*.jpg"))
    for i, path in enumerate(paths):
        path.rename(tmp_path / f"{i}.jpg")
    rows = [[words[i % 6], f"gs://pets/a/{i}.jpg", ["cat", "dog"][i % 2]] for i in range(24)]
    path = written(tmp_path / "vertex.csv", rows)
    with pytest.raises(DataError, match="name all columns with --header"):
        load(path)
    data = load(path, header=["set", "image", "label"])
    assert data.schema.classes == ("cat", "dog")
    assert len(data.train) + len(data.val) + len(data.test) == 24
    assert len(data.test) >= 4
