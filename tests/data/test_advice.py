"""Every case makes something that is refused, reads the advice, does as it says, and succeeds.

A case is a pair: what is handed to ``load`` first, with what its message says, and what its reader
would then do. Advice that other files of tests follow already is not here.
"""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headstart.data import load
from headstart.errors import DataError, OptionError
from headstart.types import Dataset

N = 48
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = np.where(np.arange(N) % 2, "yes", "no")
PICTURES = RNG.integers(0, 256, (N, 8, 8, 3)).astype(np.uint8)
Load = Callable[[Path], Dataset]


@dataclass(frozen=True)
class Case:
    """What is refused, what is said, and what is then done.

    Attributes:
        wrong: Loads what is refused.
        said: Part of the message, as a regular expression.
        right: Does as the message says, and loads.
        error: Its kind.
    """

    wrong: Load
    said: str
    right: Load
    error: type[Exception] = DataError


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": Y, **columns})


def texts(**columns: Any) -> pd.DataFrame:
    words = [f"the long review of number {i}, which someone has written" for i in range(N)]
    return pd.DataFrame({"text": words, "label": Y, **columns})


def csv(folder: Path, table: pd.DataFrame, name: str = "a.csv", **how: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / name, index=False, **how)
    return folder / name


def stub(name: str) -> Load:
    """Return what loads a file of a suffix, whatever is in it."""

    def wrong(folder: Path) -> Dataset:
        (folder / name).write_bytes(b"content of a format that is not read")
        return load(folder / name)

    return wrong


def class_folders(folder: Path, under: str = "") -> Path:
    for i, label in enumerate(Y):
        path = folder / under / label
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PICTURES[i]).save(path / f"{i}.png")
    return folder


def flat(folder: Path, under: str = "") -> Path:
    (folder / under).mkdir(parents=True, exist_ok=True)
    for i in range(N):
        Image.fromarray(PICTURES[i]).save(folder / under / f"{i:03d}.png")
    return folder


def named() -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{i:03d}.png" for i in range(N)], "label": Y})


def sqlite(folder: Path) -> Path:
    with sqlite3.connect(folder / "a.db") as connection:
        frame().to_sql("rows", connection, index=False)
    return folder / "a.db"


def from_sqlite(folder: Path) -> Dataset:
    with sqlite3.connect(sqlite(folder)) as connection:
        return load(csv(folder, pd.read_sql("select * from rows", connection)))


def orc(folder: Path) -> Path:
    from pyarrow import orc as format_

    format_.write_table(pa.Table.from_pandas(frame(), preserve_index=False), folder / "a.orc")
    return folder / "a.orc"


def from_orc(folder: Path) -> Dataset:
    import pyarrow.orc

    pyarrow.parquet.write_table(pyarrow.orc.read_table(orc(folder)), folder / "data.parquet")
    return load(folder / "data.parquet")


def from_mat(folder: Path) -> Dataset:
    from scipy.io import loadmat, savemat

    savemat(folder / "a.mat", {"X": X, "y": Y})
    held = loadmat(folder / "a.mat")
    return load((held["X"], held["y"].ravel()))


def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", PICTURES)
    return folder / "a.npy"


def from_npy(folder: Path) -> Dataset:
    images = np.load(npy(folder))
    data = load((images, Y))
    np.savez(folder / "a.npz", images=images, labels=Y)
    assert load(folder / "a.npz").fingerprint == data.fingerprint
    return data


def unpacked(folder: Path) -> Dataset:
    return load(class_folders(folder / "unpacked"))


def zipped(folder: Path, name: str) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr(name, frame().to_csv(index=False))
    return folder / "a.zip"


def damaged(folder: Path) -> Path:
    whole = zipped(folder, "a.csv").read_bytes()
    (folder / "a.zip").write_bytes(whole[: len(whole) // 2])
    return folder / "a.zip"


def coco(folder: Path) -> Path:
    boxes = [{"image_id": i, "category_id": 1, "bbox": [0, 0, 1, 1]} for i in range(N)]
    images = [{"id": i, "file_name": f"{i:03d}.png"} for i in range(N)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "yes"}]}
    (flat(folder) / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"


def yolo(folder: Path) -> Path:
    for i in range(N):
        (flat_once(folder) / f"{i:03d}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    return folder


def flat_once(folder: Path) -> Path:
    return folder if (folder / "000.png").is_file() else flat(folder)


def two_tables(folder: Path) -> Path:
    csv(flat(folder), named(), "people.csv")
    csv(folder, named(), "places.csv")
    return folder


def save_xlsx(folder: Path) -> Dataset:
    pytest.importorskip("openpyxl")
    frame().to_excel(folder / "a.xlsx", index=False)
    return load(folder / "a.xlsx")


def wide(folder: Path) -> Path:
    (folder / "a.csv").write_bytes(frame().to_csv(index=False).encode("utf-16"))
    return folder / "a.csv"


def two_splits(folder: Path, *names: str) -> Path:
    for name in names:
        class_folders(folder, name)
    return folder


CASES = {
    # formats that are not read
    "xls": Case(stub("a.xls"), "Save it as .xlsx or CSV", save_xlsx),
    "ods": Case(stub("a.ods"), "Save it as .xlsx or CSV", lambda f: load(csv(f, frame()))),
    "pickle": Case(stub("a.pkl"), "In Python give load the object itself", lambda f: load(frame())),
    "h5": Case(stub("a.h5"), r"give \(X, y\) of the arrays in it", lambda f: load((X, Y))),
    "mat": Case(stub("a.mat"), r"give \(X, y\) of scipy.io.loadmat\(file\)", from_mat),
    "npy": Case(lambda f: load(npy(f)), r"numpy.load\(file\), or save both", from_npy),
    "tfrecord": Case(stub("a.tfrecord"), "Write the images into a folder per class", unpacked),
    "lmdb": Case(stub("a.lmdb"), "Write the images into a folder per class", unpacked),
    "sqlite": Case(lambda f: load(sqlite(f)), "Export the table as CSV", from_sqlite),
    "orc": Case(lambda f: load(orc(f)), r"pyarrow.parquet.write_table\(pyarrow.orc", from_orc),
    "7z": Case(stub("a.7z"), "Unpack it and give the folder", unpacked),
    "rar": Case(stub("a.rar"), "Unpack it and give the folder", unpacked),
    # archives
    "damaged zip": Case(
        lambda f: load(damaged(f)), "download it again", lambda f: load(zipped(f, "a.csv"))
    ),
    "zip that leads outside": Case(
        lambda f: load(zipped(f, "../a.csv")), "Unpack it yourself", lambda f: load(csv(f, frame()))
    ),
    # text files
    "UTF-16": Case(
        lambda f: load(wide(f)),
        "Say --encoding utf-16",
        lambda f: load(wide(f), encoding="utf-16"),
    ),
    "wrong encoding": Case(
        lambda f: load(wide(f), encoding="ascii"),
        "Say another --encoding",
        lambda f: load(wide(f), encoding="utf-16"),
        DataError,
    ),
    "a row too long": Case(
        lambda f: load(
            _lines(f, ["a,b,label", *[f"{i},{i % 5},{Y[i]}" for i in range(N)], "1,2,3,4"])
        ),
        "Put quotes around cells that hold ','",
        lambda f: load(_lines(f, ["a,b,label", *[f'"{i},5",{i % 5},{Y[i]}' for i in range(N)]])),
    ),
    "two columns of one name": Case(
        lambda f: load(_lines(f, ["a,a,label", *[f"{i}.5,{i % 5},{Y[i]}" for i in range(N)]])),
        "Give each column a name of its own",
        lambda f: load(_lines(f, ["a,b,label", *[f"{i}.5,{i % 5},{Y[i]}" for i in range(N)]])),
    ),
    "no header": Case(
        lambda f: load(_lines(f, [f"{i}.5,{i % 5},{Y[i]}" for i in range(N)])),
        "name all columns with --header",
        lambda f: load(
            _lines(f, [f"{i}.5,{i % 5},{Y[i]}" for i in range(N)]), header=["a", "b", "label"]
        ),
    ),
    "an unknown name with a header": Case(
        lambda f: load(csv(f, frame(), "table.data", header=False)),
        "under any name when --header names its columns",
        lambda f: load(csv(f, frame(), "table.data", header=False), header=["a", "b", "label"]),
    ),
    "JSON of another form": Case(
        lambda f: load(_json(f, [1, 2, 3])),
        "one a sample; write it so, or as CSV",
        lambda f: load(_json(f, texts().to_dict("records"))),
    ),
    # columns
    "no label": Case(
        lambda f: load(csv(f, frame().rename(columns={"label": "kind"}))),
        "--label kind",
        lambda f: load(csv(f, frame().rename(columns={"label": "kind"})), label="kind"),
    ),
    "two columns of texts": Case(
        lambda f: load(csv(f, texts(title=texts()["text"].str.upper()))),
        "--text text",
        lambda f: load(csv(f, texts(title=texts()["text"].str.upper())), text="text"),
    ),
    "two columns of images": Case(
        lambda f: load(csv(flat(f), named().assign(other=named()["image"]))),
        "--image-column image",
        lambda f: load(csv(flat(f), named().assign(other=named()["image"])), image_column="image"),
    ),
    "texts or a table": Case(
        lambda f: load(csv(f, texts(p=X[:, 0], q=X[:, 1], r=X[:, 2]))),
        "--drop text for the table",
        lambda f: load(csv(f, texts(p=X[:, 0], q=X[:, 1], r=X[:, 2])), drop=["text"]),
    ),
    "a named column that is missing": Case(
        lambda f: load(csv(f, frame()), numeric=["aa"]),
        "Did you mean 'a'",
        lambda f: load(csv(f, frame()), numeric=["a"]),
        OptionError,
    ),
    "a column that a split lacks": Case(
        lambda f: load(_splits(f, frame(), frame().drop(columns="b"))),
        "leave it out with --drop b",
        lambda f: load(_splits(f, frame(), frame().drop(columns="b")), drop=["b"]),
    ),
    "words among numbers": Case(
        lambda f: load(csv(f, _spoiled("lost"))),
        "leave the cell empty",
        lambda f: load(csv(f, _spoiled(""))),
    ),
    "infinite": Case(
        lambda f: load(_spoiled(np.inf)), "leave the cell empty", lambda f: load(_spoiled(None))
    ),
    "an empty group": Case(
        lambda f: load(csv(f, frame(who=["", *["p", "q", "r", "s"] * 12][:N])), group="who"),
        "Fill it in for every row",
        lambda f: load(
            csv(f, frame(who=["p", "p", "q", "q", "r", "r", "s", "s"] * 6)), group="who"
        ),
    ),
    "an odd word for a split": Case(
        lambda f: load(csv(f, frame(split=["train", "odd"] * (N // 2)))),
        "rename the column to have splits made",
        lambda f: load(csv(f, frame(side=["train", "odd"] * (N // 2)))),
    ),
    "no train": Case(
        lambda f: load(csv(f, frame(split=["test", "val"] * (N // 2)))),
        "remove the split marks",
        lambda f: load(csv(f, frame())),
    ),
    "one class": Case(
        lambda f: load(csv(f, frame(label="yes"))),
        "at least two",
        lambda f: load(csv(f, frame())),
    ),
    "a tiny class": Case(
        lambda f: load(csv(f, frame(label=["odd", *Y[1:]]))),
        "remove the class",
        lambda f: load(csv(f, frame()[1:])),
    ),
    "y with columns": Case(
        lambda f: load((frame()[["a"]], frame()[["b", "label"]])),
        r"Give one of them, y\['b'\]",
        lambda f: load((frame()[["a", "b"]], frame()["label"])),
    ),
    "a set": Case(
        lambda f: load(({1, 2}, Y)), r"Give list\(…\)", lambda f: load((list(texts()["text"]), Y))
    ),
    "a target of another length": Case(
        lambda f: load((X, Y[:-1])), "as many", lambda f: load((X, Y))
    ),
    # folders
    "an empty folder": Case(
        lambda f: load(f), "a folder per class", lambda f: load(class_folders(f))
    ),
    "images without classes": Case(
        lambda f: load(flat(f)),
        "give a CSV with the columns image and label",
        lambda f: load(csv(flat(f), named())),
    ),
    "images without classes, moved": Case(
        lambda f: load(flat(f)), "Move them", lambda f: load(class_folders(f / "moved"))
    ),
    "two tables beside images": Case(
        lambda f: load(two_tables(f)), "people.csv", lambda f: load(two_tables(f) / "people.csv")
    ),
    "a table that names no image": Case(
        lambda f: load(csv(flat(f), frame()).parent),
        "move the table elsewhere",
        lambda f: load(
            csv(class_folders(f / "images"), frame(), "../elsewhere.csv").parent / "images"
        ),
    ),
    "two folders of one split": Case(
        lambda f: load(two_splits(f, "train", "test", "testing")),
        "Merge or rename them",
        lambda f: load(two_splits(f, "train", "test")),
    ),
    "boxes of COCO": Case(
        lambda f: load(coco(f)),
        "write a CSV with the columns image and label",
        lambda f: load(csv(flat(f), named())),
    ),
    "boxes of YOLO": Case(
        lambda f: load(yolo(f)), "Cut the objects out into a folder per class", unpacked
    ),
    "a task that class folders cannot have": Case(
        lambda f: load(class_folders(f), task="multi-label"),
        "Leave it out, or give a table",
        lambda f: load(class_folders(f)),
        OptionError,
    ),
    "a label column for class folders": Case(
        lambda f: load(class_folders(f), label="label"),
        "Leave it out, or give a table",
        lambda f: load(class_folders(f)),
        OptionError,
    ),
    "a path that is not there": Case(
        lambda f: load(csv(f, frame()).with_name("b.csv")),
        "Did you mean 'a.csv'",
        lambda f: load(csv(f, frame())),
    ),
    "a Parquet that is none": Case(
        lambda f: load(_bytes(f, "a.parquet", b"text")),
        "correct the file",
        lambda f: load(_parquet(f)),
    ),
    "Arrow that is none": Case(
        lambda f: load(_bytes(f, "a.feather", b"text")),
        "with to_feather or to_parquet",
        lambda f: load(_feather(f)),
    ),
    "npz of objects": Case(
        lambda f: load(_npz(f, images=PICTURES, labels=np.array([{}] * N, object))),
        r"numpy.savez\(path, images=…, labels=…\)",
        lambda f: load(_npz(f, images=PICTURES, labels=Y)),
    ),
    "npz under other names": Case(
        lambda f: load(_npz(f, one=PICTURES, two=Y)),
        "Save it under such names",
        lambda f: load(_npz(f, images=PICTURES, labels=Y)),
    ),
}


def _lines(folder: Path, lines: list[str]) -> Path:
    (folder / "a.csv").write_text("\n".join(lines) + "\n")
    return folder / "a.csv"


def _json(folder: Path, content: Any) -> Path:
    (folder / "a.json").write_text(json.dumps(content))
    return folder / "a.json"


def _splits(folder: Path, train: pd.DataFrame, test: pd.DataFrame) -> Path:
    csv(folder, train, "train.csv")
    return csv(folder, test, "test.csv").parent


def _spoiled(cell: Any) -> pd.DataFrame:
    cells: list[Any] = X[:, 0].tolist()
    cells[5] = cell
    return frame(a=cells)


def _bytes(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def _parquet(folder: Path) -> Path:
    pq.write_table(pa.Table.from_pandas(frame()), folder / "a.parquet")
    return folder / "a.parquet"


def _feather(folder: Path) -> Path:
    frame().to_feather(folder / "a.feather")
    return folder / "a.feather"


def _npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_advised_succeeds(case: Case, tmp_path: Path, heard) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "right").mkdir()
    with pytest.raises(case.error, match=case.said) as refused:
        case.wrong(tmp_path / "wrong")
    data = case.right(tmp_path / "right")
    assert data.schema.task == "classification"
    assert len(data.train) > 0 < len(data.test)
    heard(refused.value)
