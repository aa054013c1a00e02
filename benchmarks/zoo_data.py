"""The target sets of the zoo: small ones of real images, drawn by one seed and kept as they are.

Six sources: four of ``HEADSTART_DATA`` (its README tells where they are from), scikit-learn's
digits, and the textile images of the package conformal-clip-data (MIT; simulated, not photographs),
read from the wheel that pip has downloaded: ``pip download --no-deps conformal-clip-data==0.1.4``.
Two of them stand a second time with twenty training images a class. Sets of one source are a
family: what is chosen by some sets is told on others of other families.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

import headstart as hs
from headstart.types import Dataset

Split = tuple[np.ndarray, np.ndarray]
FEW = 20  # a class
_HALF = 1_000  # of a source that brings no test split: train and val
_DRAW = 20_261  # of the samples; the same for every seed of training


@dataclass(frozen=True)
class TargetSet:
    """One target set.

    Attributes:
        family: Of which source.
        read: Its training and test images, as the source has them.
        side: Of the input of networks that were pretrained on larger images.
        num_train: Training images.
        num_val: Images that choose.
        num_test: Images of the truth, at the most.
        few: Whether it has twenty training images a class.
    """

    family: str
    read: Callable[[Path, Path], tuple[Split, Split]]
    side: int = 64
    num_train: int = 240
    num_val: int = 120
    num_test: int = 600
    few: bool = False

    def load(self, name: str, data: Path, packages: Path) -> Dataset:
        """Return the set, split.

        Args:
            name: To call it.
            data: The folder ``HEADSTART_DATA``.
            packages: Folder of the wheel.
        """
        train, test = self.read(data, packages)
        draw = np.random.default_rng(_DRAW)
        order = draw.permutation(len(train[1]))
        val, left = order[: self.num_val], order[self.num_val :]
        rest = left[: self.num_train]
        if self.few:
            rest = np.concatenate([left[train[1][left] == k][:FEW] for k in np.unique(train[1])])
        held = draw.permutation(len(test[1]))[: self.num_test]
        parts = {"train": _part(train, rest), "val": _part(train, val), "test": _part(test, held)}
        return _named(hs.load(parts), name)


def _part(split: Split, places: np.ndarray) -> Split:
    return split[0][places], split[1][places]


def _named(dataset: Dataset, name: str) -> Dataset:
    from dataclasses import replace

    return replace(dataset, name=name)


@cache
def _idx(folder: str, data: Path, packages: Path) -> tuple[Split, Split]:
    del packages

    def part(name: str) -> Split:
        with gzip.open(data / folder / f"{name}-images-idx3-ubyte.gz") as file:
            images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        with gzip.open(data / folder / f"{name}-labels-idx1-ubyte.gz") as file:
            return images, np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)

    return part("train"), part("t10k")


@cache
def _parquet(folder: str, data: Path, packages: Path) -> tuple[Split, Split]:
    del packages

    def part(name: str) -> Split:
        table = pq.read_table(data / folder / f"{name}.parquet").slice(0, 6_000)
        pictures = (Image.open(io.BytesIO(row["bytes"])) for row in table["image"].to_pylist())
        images = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
        return images, np.asarray(table["label"].to_pylist(), np.int64)

    return part("train"), part("test")


def _halves(images: np.ndarray, targets: np.ndarray) -> tuple[Split, Split]:
    order = np.random.default_rng(_DRAW).permutation(len(targets))
    first, rest = np.split(order, [_HALF])
    return (images[first], targets[first]), (images[rest], targets[rest])


@cache
def _digits(data: Path, packages: Path) -> tuple[Split, Split]:
    del data, packages
    found = load_digits()
    return _halves((found.images * 15.9375).astype(np.uint8), found.target.astype(np.int64))


@cache
def _textile(data: Path, packages: Path) -> tuple[Split, Split]:
    del data
    wheel = next(packages.glob("conformal_clip_data-*.whl"))
    kinds, images, targets = ("nominal", "local", "global"), [], []
    with zipfile.ZipFile(wheel) as file:
        for name in sorted(file.namelist()):
            if name.endswith(".jpg"):
                picture = Image.open(io.BytesIO(file.read(name))).convert("L")
                images.append(np.asarray(picture.resize((128, 128), Image.Resampling.BOX)))
                targets.append(kinds.index(name.split("/")[-2]))
    return _halves(np.stack(images), np.asarray(targets, np.int64))


SETS = {
    "flowers5": TargetSet(
        "flowers5",
        partial(_parquet, "flowers5"),
        num_train=800,
        num_val=200,
        num_test=1_000,
    ),
    "cifar10": TargetSet("cifar10", partial(_parquet, "cifar10")),
    "fashion": TargetSet("fashion", partial(_idx, "fashion-mnist")),
    "mnist": TargetSet("mnist", partial(_idx, "mnist")),
    "textile": TargetSet("textile", _textile),
    "digits": TargetSet("digits", _digits),
    "flowers5-20": TargetSet("flowers5", partial(_parquet, "flowers5"), few=True),
    "cifar10-20": TargetSet("cifar10", partial(_parquet, "cifar10"), few=True),
}
