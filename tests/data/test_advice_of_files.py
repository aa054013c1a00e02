"""Advice about files of tables, texts and arrays that is followed, and then they are read."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from advised import (
    PIXELS,
    TEXTS,
    Case,
    N,
    X,
    Y,
    csv,
    frame,
    in_extra,
    locked,
    photos,
    without_package,
)

from headstart.data import load
from headstart.data.sources import delimited, samples
from headstart.errors import DataError


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def cut_off(path: Path, keep: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def saved(folder: Path, *splits: str) -> Path:
    """Write what ``save_to_disk`` writes, without its package."""
    (folder / "set").mkdir(exist_ok=True)
    (folder / "set" / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
    for split in splits:
        part = folder / "set" / split
        part.mkdir(exist_ok=True)
        with pa.OSFile(str(part / "data.arrow"), "wb") as file:
            table = pa.Table.from_pandas(frame(), preserve_index=False)
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        (part / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
        (part / "dataset_info.json").write_text(json.dumps({"features": {}}))
    return folder / "set"


def spoiled(path: Path, name: str) -> Path:
    (path / name).write_text("{")
    return path


def shut(path: str | Path, do: Callable[[Path], Any] = load) -> Any:
    with locked(Path(path)):
        return do(Path(path))


def texts_in_folders(folder: Path) -> Path:
    for i in range(N):
        path = folder / "set" / Y[i] / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXTS[i])
    return folder / "set"


def named_texts(folder: Path) -> str:
    texts_in_folders(folder)
    return csv(
        folder / "set", pd.DataFrame({"text": [f"{Y[i]}/{i}.txt" for i in range(N)], "label": Y})
    )


def shut_inside(path: Path, inside: str) -> Any:
    with locked(path.parent / inside if path.is_file() else path / inside):
        return load(path)


def sheet(folder: Path, columns: list[str]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(columns)
    for i in range(N):
        book.active.append([X[i, 0], X[i, 1], Y[i]])
    book.save(folder / "a.xlsx")
    return folder / "a.xlsx"


def arff(folder: Path, *names: str) -> Any:
    head = "\n".join(f"@ATTRIBUTE {name} NUMERIC" for name in names)
    rows = "\n".join(f"{X[i, 0]},{X[i, 1]},{Y[i]}" for i in range(N))
    text = f"@RELATION r\n{head}\n@ATTRIBUTE class {{yes,no}}\n@DATA\n{rows}\n"
    (folder / "a.arff").write_text(text)
    return load(folder / "a.arff")


def arff_without_package(folder: Path) -> Any:
    with without_package("arff"):
        return arff(folder, "a", "b")


def stata(folder: Path) -> Path:
    pyreadstat = pytest.importorskip("pyreadstat")
    pyreadstat.write_dta(frame(), str(folder / "a.dta"))
    return folder / "a.dta"


def libsvm(folder: Path, last: int) -> Any:
    lines = [f"{i % 2} 1:{X[i, 0]:.3f} {last}:{X[i, 1]:.3f}" for i in range(N)]
    (folder / "a.libsvm").write_text("\n".join(lines) + "\n")
    return load(folder / "a.libsvm")


def part_files(folder: Path, rows: int) -> Any:
    for k in range(2):
        csv(folder / "set", frame().iloc[k::2][:rows], f"part-0000{k}.csv")
    return load(folder / "set")


def with_a_limit(limit: int, path: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "MAX_ROW_GROUP_BYTES", limit)
        return load(path)


def picture_bytes(folder: Path, row_group_size: int | None = None) -> Path:
    photos(folder / "raw", lambda i: f"{i}.png")
    files = [(folder / "raw" / f"{i}.png").read_bytes() for i in range(N)]
    table = pa.table({"image": files, "label": Y.tolist()})
    pq.write_table(table, folder / "a.parquet", row_group_size=row_group_size)
    return folder / "a.parquet"


def with_memory(num_bytes: int, path: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "free_memory_bytes", lambda: num_bytes)
        return load(path)


def of_some_rows(folder: Path) -> Any:
    """Take some of the rows with the very command that the message gives."""
    path = csv(folder, frame())
    with pytest.raises(DataError) as refused:
        with_memory(1000, path)
    command = re.search(r"example: (\(.*\) > part\.csv)", str(refused.value))
    assert command
    some = command[1].replace("1000000", "40")
    subprocess.run(["bash", "-c", some], check=True, cwd=folder)
    assert len(pd.read_csv(folder / "part.csv")) == 40
    return load(folder / "part.csv")


NOISE = b"a,b,label\n" + bytes(np.random.default_rng(0).integers(0, 256, 3000, np.uint8))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def lines_of_json(folder: Path) -> Path:
    frame().to_json(folder / "a.jsonl", orient="records", lines=True)
    return folder / "a.jsonl"


def headless(folder: Path) -> Path:
    """Return a table whose first row, which is data, is too long for a header."""
    first = f"{'long ' * 40_000},0.5,yes\n"
    rows = first + "\n".join(f"{TEXTS[i]},{X[i, 1]},{Y[i]}" for i in range(N))
    return _written(folder / "a.csv", rows.encode())


def in_greek(folder: Path) -> Path:
    text = "kείμενο,label\n" + "".join(f"το κείμενο αριθμός {i} είναι,{Y[i]}\n" for i in range(N))
    return _written(folder / "a.csv", text.encode("iso-8859-7"))


HALVES = {"x_train": PIXELS[:40], "y_train": Y[:40], "y_test": Y[40:]}
CASES = {
    "arrays of two shapes": Case(
        lambda f: load(npz(f, x_test=PIXELS[40:, :8], **HALVES)),
        "Save them alike",
        lambda f: load(npz(f, x_test=PIXELS[40:], **HALVES)),
    ),
    "volumes": Case(
        lambda f: load(npz(f, images=np.stack([PIXELS[..., 0]] * 5, -1), labels=Y)),
        "Choose slices, and save these",
        lambda f: load(npz(f, images=PIXELS[..., 0], labels=Y)),
    ),
    "arrays cut off": Case(
        lambda f: load(cut_off(npz(f, images=PIXELS, labels=Y))),
        "cannot be read: .* Save it again",
        lambda f: load(npz(f, images=PIXELS, labels=Y)),
    ),
    "arrays that are none": Case(
        lambda f: load(_written(f / "a.npz", b"no array at all, but bytes")),
        "Save it again|numpy.savez",
        lambda f: load(npz(f, images=PIXELS, labels=Y)),
    ),
    "a saved set without train": Case(
        lambda f: load(saved(f, "test", "validation")),
        "Give the folder of one split, for example",
        lambda f: load(saved(f, "test", "validation") / "test"),
    ),
    "a saved set without names": Case(
        lambda f: load(spoiled(saved(f, "train", "test"), "dataset_dict.json")),
        "Save the data set again with save_to_disk",
        lambda f: load(saved(f, "train", "test")),
    ),
    "a saved split without names": Case(
        lambda f: load(spoiled(saved(f, "train", "test"), "train/state.json")),
        "Save the data set again with save_to_disk",
        lambda f: load(saved(f, "train", "test")),
    ),
    "a table without rights": Case(
        lambda f: shut(csv(f, frame())),
        "Give this user the right to read it",
        lambda f: load(csv(f, frame())),
    ),
    "a workbook without rights": Case(
        lambda f: shut(sheet(f, ["a", "b", "label"])),
        "Give this user the right to read it",
        lambda f: load(sheet(f, ["a", "b", "label"])),
    ),
    "a folder without rights": Case(
        lambda f: shut_inside(texts_in_folders(f), "yes"),
        r"for example chmod -R u\+rX",
        lambda f: load(texts_in_folders(f)),
    ),
    "a text without rights": Case(
        lambda f: shut_inside(texts_in_folders(f), "yes/1.txt"),
        "Give this user the right to read it, or remove it",
        lambda f: load(texts_in_folders(f)),
    ),
    "a text of a row without rights": Case(
        lambda f: shut_inside(Path(named_texts(f)), "yes/1.txt"),
        "Give this user the right to read it, or remove its row",
        lambda f: load(named_texts(f)),
    ),
    "a workbook with a name twice": Case(
        lambda f: load(sheet(f, ["a", "a", "label"])),
        "Give each column a name of its own",
        lambda f: load(sheet(f, ["a", "b", "label"])),
    ),
    "a workbook cut off": Case(
        lambda f: load(cut_off(sheet(f, ["a", "b", "label"]))),
        "Save it again as .xlsx without a password, or as CSV",
        lambda f: load(sheet(f, ["a", "b", "label"])),
    ),
    "a file of Stata cut off": Case(
        lambda f: load(cut_off(stata(f))),
        "Save it again in the program it comes from",
        lambda f: load(stata(f)),
    ),
    "attributes of one name": Case(
        lambda f: arff(f, "a", "a"), "already in use.*correct the file", lambda f: arff(f, "a", "b")
    ),
    "a package of formats": Case(
        arff_without_package,
        r"package liac-arff, .*install .*headstart\[formats\]",
        lambda f: in_extra("liac-arff", "formats") and arff(f, "a", "b"),
    ),
    "a package of formats, as CSV": Case(
        arff_without_package, "or save the table as CSV", lambda f: load(csv(f, frame()))
    ),
    "too many features": Case(
        lambda f: libsvm(f, 9_999_999), "Choose fewer features", lambda f: libsvm(f, 2)
    ),
    "parts without rows": Case(lambda f: part_files(f, 0), "Add rows", lambda f: part_files(f, 30)),
    "a row group too large": Case(
        lambda f: with_a_limit(10_000, picture_bytes(f)),
        "Write the file again with smaller row groups",
        lambda f: with_a_limit(10_000, picture_bytes(f, row_group_size=10)),
    ),
    "a table larger than memory": Case(
        lambda f: with_memory(1000, csv(f, frame())), "Take some of its rows", of_some_rows
    ),
    "a table larger than memory, elsewhere": Case(
        lambda f: with_memory(1000, csv(f, frame())),
        "Or read it where there is more memory",
        lambda f: with_memory(10**9, csv(f, frame())),
    ),
    "a header for lines of JSON": Case(
        lambda f: load(lines_of_json(f), header=["a", "b", "label"]),
        "Leave it out",
        lambda f: load(lines_of_json(f)),
    ),
    "a header that cannot be read": Case(
        lambda f: load(headless(f)),
        "name the columns with --header",
        lambda f: load(headless(f), header=["text", "b", "label"]),
    ),
    "a header of two names alike": Case(
        lambda f: load(csv(f, frame(), header=False), header=["a", "a", "label"]),
        "Give each column its own",
        lambda f: load(csv(f, frame(), header=False), header=["a", "b", "label"]),
    ),
    "no encoding": Case(
        lambda f: load(_written(f / "a.csv", NOISE)),
        "Convert the file to UTF-8",
        lambda f: load(csv(f, frame())),
    ),
    "an encoding to choose": Case(
        lambda f: load(in_greek(f)),
        "Choose by how its first such line reads",
        lambda f: load(in_greek(f), encoding="iso-8859-7"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_advised_of_a_file_reads_it(name: str, follow, heard) -> None:
    follow(CASES[name])
