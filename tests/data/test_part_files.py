r"""One table in parts, as engines write it, and quotes escaped by ``\``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from headstart.data import load
from headstart.errors import DataError

N = 90


def frame() -> pd.DataFrame:
    labels = [("ant", "bee", "cow")[i % 3] for i in range(N)]
    country = [("AT", "CH")[i % 2] for i in range(N)]
    return pd.DataFrame(
        {
            "x": [i + 0.5 for i in range(N)],
            "y": [i % 7 for i in range(N)],
            "land": country,
            "label": labels,
        }
    )


def cut(number: int = 3) -> list[pd.DataFrame]:
    return [frame().iloc[i * N // number : (i + 1) * N // number] for i in range(number)]


def truth(data) -> dict[int, str]:
    return {
        int(split.samples.table["x"][i].as_py()): data.schema.classes[split.targets[i]]
        for split in (data.train, data.val, data.test)
        for i in range(len(split))
    }


EXPECTED = {i: ("ant", "bee", "cow")[i % 3] for i in range(N)}
NAMES = {
    "spark": "part-{0:05d}-5c0f2e1b-77f1-c000",
    "old spark": "part-r-{0:05d}",
    "dask": "part.{0}",
    "bigquery": "data-{0:012d}",
    "snowflake": "data_0_0_{0}",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("suffix", [".csv", ".snappy.parquet", ".json"])
def test_parts_are_one_table(tmp_path: Path, name: str, suffix: str) -> None:
    folder = tmp_path / f"out{suffix}"
    folder.mkdir()
    for i, part in enumerate(cut()):
        path = folder / (name.format(i) + suffix)
        if suffix == ".csv":
            part.to_csv(path, index=False)
        elif suffix == ".json":
            part.to_json(path, orient="records", lines=True)
        else:
            part.to_parquet(path, index=False)
    (folder / "_SUCCESS").touch()
    (folder / "._SUCCESS.crc").write_bytes(b"crc")
    data = load(folder)
    assert truth(data) == EXPECTED
    assert any("is read as one table in 3 parts" in note for note in data.notes)
    assert load(**data.source).fingerprint == data.fingerprint


def test_one_part_and_an_empty_one(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "part-00000.csv", index=False)
    (tmp_path / "part-00001.csv").touch()
    frame().head(0).to_csv(tmp_path / "part-00002.csv", index=False)
    assert truth(load(tmp_path)) == EXPECTED


@pytest.mark.parametrize("depth", [1, 2])
def test_folders_name_a_column_and_its_value(tmp_path: Path, depth: int) -> None:
    for (land, y), part in frame().groupby(["land", "y"]):
        folder = tmp_path / f"land={land}"
        folder = folder / f"y={y}" if depth == 2 else folder
        folder.mkdir(parents=True, exist_ok=True)
        named = ["land", "y"] if depth == 2 else ["land"]
        part.drop(columns=named).to_parquet(folder / f"part-{y}.parquet", index=False)
    data = load(tmp_path)
    assert truth(data) == EXPECTED
    assert data.column_kinds["land"] == "categorical"
    assert depth == 1 or data.column_kinds["y"] == "numeric"
    rows = data.train.samples.table.to_pylist()
    assert all(row["land"] == ("AT", "CH")[int(row["x"]) % 2] for row in rows)
    assert any("from the names of its folders" in note for note in data.notes)


def test_folders_that_name_the_splits(tmp_path: Path) -> None:
    for name, part in zip(("train", "validation", "test"), cut(), strict=True):
        (tmp_path / name).mkdir()
        part.to_csv(tmp_path / name / "part-00000.csv", index=False)
        (tmp_path / name / "_SUCCESS").touch()
    data = load(tmp_path)
    assert [len(data.train), len(data.val), len(data.test)] == [30, 30, 30]
    assert truth(data) == EXPECTED


def test_parts_without_a_header_are_refused_and_read_with_one(tmp_path: Path) -> None:
    for i, part in enumerate(cut()):
        part.assign(y=i + 7).to_csv(tmp_path / f"part-{i:05d}.csv", index=False, header=False)
    with pytest.raises(DataError, match=r"3 parts, whose columns differ.*--header"):
        load(tmp_path)
    assert truth(load(tmp_path, header=["x", "y", "land", "label"])) == EXPECTED  # as it says


def test_folders_of_other_things_are_no_parts(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "people.csv", index=False)
    frame().to_csv(tmp_path / "houses.csv", index=False)
    with pytest.raises(DataError, match="To read the table, give its path"):
        load(tmp_path)
    assert truth(load(tmp_path / "houses.csv")) == EXPECTED


TEXTS = {
    "spark": ('"he said \\"yes\\", twice"', 'he said "yes", twice'),
    "a backslash at the end": ('"say \\"C:\\\\"', 'say "C:\\'),
    "several lines": ('"one\n\\"two\\" three"', 'one\n"two" three'),
    "other backslashes stay": ('"a\\nb \\"c\\" d"', 'a\\nb "c" d'),
    "doubled": ('"he said ""no"", twice"', 'he said "no", twice'),
    "a path": ('"C:\\"', "C:\\"),
}


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize(("cell", "text"), TEXTS.values(), ids=TEXTS)
def test_quotes_in_cells(tmp_path: Path, cell: str, text: str, delimiter: str) -> None:
    more = [f'"the long text of number {i}, which someone wrote"' for i in range(40)]
    rows = [f"{c}{delimiter}{('no', 'yes')[i % 2]}" for i, c in enumerate([cell, *more])]
    (tmp_path / "a.csv").write_text("\n".join([f"text{delimiter}label", *rows]))
    data = load(tmp_path / "a.csv")
    parts = (data.train, data.val, data.test)
    found = {s.samples.read(i) for s in parts for i in range(len(s))}
    assert text in found
    assert len(found) == 41
