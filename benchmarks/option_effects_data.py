"""The sets of ``option_effects.py``: small, real, and with training, val and test of their own.

What is drawn is drawn once, by one seed; the seeds of a training change nothing here. ``flowers``
are a few hundred photographs, ``cifar-20to1`` and ``adult-20to1`` have twenty samples of their
largest class for each of their smallest, in val and test, too, as they would have in the field.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from zoo_data import SETS as ZOO_SETS

import headstart as hs
from headstart.types import Dataset

_DRAW = 20_261
RATIO = 20  # of the largest class to the smallest
_ADULT = """age workclass fnlwgt education education_num marital_status occupation relationship race
    sex capital_gain capital_loss hours_per_week native_country income"""
_NUMBERS = "age fnlwgt education_num capital_gain capital_loss hours_per_week"


@dataclass(frozen=True)
class EffectSet:
    """One set, and the training that every option is measured on.

    Attributes:
        title: What the table says of it.
        read: Its parts, of the folder ``HEADSTART_DATA``.
        start: Address.
        options: Of every training: how long it is, and what makes it small.
        figure: What the table shows.
        load: Options of ``hs.load``.
    """

    title: str
    read: Callable[[Path], Mapping[str, Any]]
    start: str
    options: Mapping[str, Any]
    figure: str = "accuracy"
    load: Mapping[str, Any] = field(default_factory=dict)

    def dataset(self, name: str, data: Path) -> Dataset:
        """Return the set, split.

        Args:
            name: To call it.
            data: The folder ``HEADSTART_DATA``.
        """
        return replace(hs.load(dict(self.read(data)), **self.load), name=name)


def _draw(num: int) -> np.ndarray:
    return np.random.default_rng(_DRAW).permutation(num)


def _images(name: str, numbers: tuple[int, int, int], data: Path) -> Mapping[str, Any]:
    """Return train and val of a source's training images, and test of its test images."""
    train, test = ZOO_SETS[name].read(data, data)
    order, held = _draw(len(train[1])), _draw(len(test[1]))[: numbers[2]]
    return {
        "train": _picked(train, order[: numbers[0]]),
        "val": _picked(train, order[numbers[0] :][: numbers[1]]),
        "test": _picked(test, held),
    }


def _picked(part: tuple[Any, Any], places: np.ndarray) -> tuple[Any, Any]:
    return part[0][places], part[1][places]


def _long_tailed(targets: np.ndarray, num: int) -> np.ndarray:
    """Return places of about ``num`` samples: class k has RATIO ** (-k / (K - 1)) of the first."""
    classes = np.unique(targets)
    shares = float(RATIO) ** (-np.arange(len(classes)) / (len(classes) - 1))
    counts = np.maximum(1, np.round(num * shares / shares.sum())).astype(int)
    order = _draw(len(targets))
    found = [order[targets[order] == k][:n] for k, n in zip(classes, counts, strict=True)]
    return np.sort(np.concatenate(found))


def _cifar(data: Path) -> Mapping[str, Any]:
    train, test = ZOO_SETS["cifar10"].read(data, data)
    half = len(train[1]) * 3 // 4
    first = (train[0][:half], train[1][:half])
    rest = (train[0][half:], train[1][half:])
    return {
        "train": _picked(first, _long_tailed(first[1], 1_200)),
        "val": _picked(rest, _long_tailed(rest[1], 400)),
        "test": _picked(test, _long_tailed(test[1], 1_200)),
    }


def _trec(data: Path) -> Mapping[str, Any]:
    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        with (data / "text" / "trec-qc" / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        texts = np.array([row["text"] for row in rows], object)
        return texts, np.array([row["coarse"] for row in rows], object)

    train, test = part("train"), part("test")
    order = _draw(len(train[1]))
    parts = {"train": order[:600], "val": order[600:800]}
    found = {name: _picked(train, places) for name, places in parts.items()}
    found["test"] = test
    return {name: (list(x), list(y)) for name, (x, y) in found.items()}


def _adult_rows(data: Path, name: str) -> list[list[str]]:
    text = gzip.decompress((data / "tabular" / f"adult-{name}.csv.gz").read_bytes()).decode()
    lines = [line.rstrip(".").split(", ") for line in text.splitlines()]
    return [cells for cells in lines if len(cells) == len(_ADULT.split())]


def _adult(data: Path, *, is_rare: bool = False) -> Mapping[str, Any]:
    train, test = _adult_rows(data, "train"), _adult_rows(data, "test")
    order, held = _draw(len(train)), _draw(len(test))
    rows = [train[place] for place in order]
    tested = [test[place] for place in held]
    if is_rare:
        rows, tested = _rare(rows, 15_000), _rare(tested, 8_000)
    parts = {"train": rows[:2_000], "val": rows[2_000:3_000], "test": tested[:4_000]}
    return {name: _table(cells) for name, cells in parts.items()}


def _rare(rows: Sequence[list[str]], most: int) -> list[list[str]]:
    """Return rows in their order, one in RATIO + 1 of them of the rarer class."""
    common = [row for row in rows if row[-1] != ">50K"][:most]
    rare = [row for row in rows if row[-1] == ">50K"][: most // RATIO]
    mixed = common + rare
    return [mixed[place] for place in np.random.default_rng(_DRAW).permutation(len(mixed))]


def _table(rows: Sequence[list[str]]) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    numbers = _NUMBERS.split()
    cells = {
        name: [float(cell) for cell in column] if name in numbers else list(column)
        for name, column in zip(_ADULT.split(), columns, strict=True)
    }
    return pa.table(cells)


SETS = {
    "flowers": EffectSet(
        "flowers5, 240 photographs; MobileNet V1 0.25, pretrained",
        lambda data: _images("flowers5", (240, 120, 886), data),
        "zoo/mobilenet-v1-025",
        {"input_size": 64, "batch_size": 16, "num_steps": 200},
    ),
    "cifar-20to1": EffectSet(
        "CIFAR-10 at 20:1, 1,200 images; quick-cnn-small, random",
        _cifar,
        "scratch/quick-cnn-small",
        {"batch_size": 64, "num_steps": 90},
        figure="f1_macro",
    ),
    "digits": EffectSet(
        "digits of 8 by 8, 500 images; vit-tiny, random",
        lambda data: _images("digits", (500, 200, 797), data),
        "scratch/vit-tiny",
        {"batch_size": 64, "num_steps": 150, "precision": "bf16"},
    ),
    "trec": EffectSet(
        "TREC, 600 questions; MiniLM, pretrained",
        _trec,
        "pip/all-minilm-l6-v2",
        {"batch_size": 16, "num_steps": 40, "max_length": 16, "precision": "bf16"},
    ),
    "adult": EffectSet(
        "Adult, 2,000 rows; MLP, random",
        _adult,
        "scratch/mlp",
        {},
        load={"label": "income"},
    ),
    "adult-20to1": EffectSet(
        "Adult at 20:1, 2,000 rows; MLP, random",
        lambda data: _adult(data, is_rare=True),
        "scratch/mlp",
        {},
        figure="f1_macro",
        load={"label": "income"},
    ),
}
