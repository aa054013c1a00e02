"""Well-known data sets by name: embedded, found under ``HEADSTART_DATA``, or through torchvision.

Looked for in this order: a folder of that name under ``HEADSTART_DATA`` (IDX files, Parquet or
other tables, or a folder per class), torchvision's own layout in the same place, and a download by
torchvision into that place (``~/.cache/headstart/data`` when the variable is not set). Any other
folder under ``HEADSTART_DATA`` can be named too.
"""

from __future__ import annotations

import gzip
import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.options import ReadOptions
from headstart.data.records import SPLIT_CODES, UNASSIGNED, Records
from headstart.data.sources.folder import read_folder
from headstart.data.sources.folder_tree import Tree
from headstart.data.sources.packaged import EMBEDDED
from headstart.data.sources.samples import ChainSamples, FileSamples
from headstart.data.sources.tables import find_split_files, read_table_files
from headstart.errors import DataError, did_you_mean, quoted
from headstart.preprocessing.arrays import image_array
from headstart.preprocessing.samples import ArraySamples
from headstart.tasks import CLASSIFICATION
from headstart.types import Samples

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
OBJECTS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
FLOWERS = ("daisy", "dandelion", "rose", "sunflower", "tulip")
TEN_MINUTES_SECONDS = 600


@dataclass(frozen=True)
class NamedSet:
    """A data set torchvision knows.

    Attributes:
        torchvision_name: Its class in ``torchvision.datasets``.
        splits: Value of its ``split`` argument for each of our splits; empty where it brings none
            (EuroSAT) or says ``train=True`` (MNIST, CIFAR).
        classes: Names of the integers, or None to take torchvision's.
        raw_folder: Folder of the IDX files in torchvision's layout, for the MNIST family.
    """

    torchvision_name: str
    splits: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] | None = None
    raw_folder: str | None = None


TRAIN_TEST = (("train", "train"), ("test", "test"))
NAMED = {
    "mnist": NamedSet("MNIST", classes=DIGITS, raw_folder="MNIST/raw"),
    "fashion-mnist": NamedSet("FashionMNIST", classes=CLOTHES, raw_folder="FashionMNIST/raw"),
    "kmnist": NamedSet("KMNIST", classes=KUZUSHIJI, raw_folder="KMNIST/raw"),
    "cifar10": NamedSet("CIFAR10", classes=OBJECTS),
    "cifar100": NamedSet("CIFAR100"),
    "svhn": NamedSet("SVHN", TRAIN_TEST, DIGITS),
    "eurosat": NamedSet("EuroSAT"),
    "flowers102": NamedSet("Flowers102", (("train", "train"), ("val", "val"), ("test", "test"))),
    "oxford-pets": NamedSet("OxfordIIITPet", (("train", "trainval"), ("test", "test"))),
    "stl10": NamedSet("STL10", TRAIN_TEST),
    "food101": NamedSet("Food101", TRAIN_TEST),
}
# Integer labels whose names are common knowledge, for tables found under HEADSTART_DATA.
KNOWN_CLASSES = {name: known.classes for name, known in NAMED.items() if known.classes} | {
    "flowers5": FLOWERS
}
NO_SPLITS = ("eurosat",)


def all_names() -> list[str]:
    """Return every name that ``load`` accepts, embedded ones first."""
    return [*EMBEDDED, *NAMED, *(name for name in local_names() if name not in NAMED)]


def local_names() -> list[str]:
    """Return the names of the folders under ``HEADSTART_DATA`` that hold any file.

    A download that failed leaves empty folders behind.
    """
    root = _given_root()
    if root is None or not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(path.name for path in folders if any(files for _, _, files in os.walk(path)))


def read_named(name: str, options: ReadOptions) -> Records | None:
    """Return the records of a named data set, or None when there is no such name.

    Args:
        name: One of ``all_names()``.
        options: What the user said of its columns, where it lies there as a table.

    Raises:
        DataError: It is not on this machine and cannot be downloaded, or it is damaged.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]()
    root, folder = _given_root(), _given_folder(name)
    if folder is not None:
        records = _read_local(folder, name, options)
        if records is not None:
            return records
    known = NAMED.get(name)
    if known is None:
        return None
    store = root or Path("~/.cache/headstart/data").expanduser()
    if known.raw_folder and _idx_files(store / known.raw_folder):
        return _read_idx(_idx_files(store / known.raw_folder), name, known.classes or DIGITS)
    return _read_torchvision(name, known, store)


def is_named(name: str) -> bool:
    """Return whether a data set may be read by this name: one of ours, or a folder given."""
    return name in EMBEDDED or name in NAMED or _given_folder(name) is not None


def _given_folder(name: str) -> Path | None:
    """Return the folder of a name, one below the root, never a path that leads out of it."""
    root, is_plain = _given_root(), Path(name).name == name and name not in ("", ".", "..")
    return root / name if root is not None and is_plain and os.path.isdir(root / name) else None


def _given_root() -> Path | None:
    given = os.environ.get("HEADSTART_DATA")
    return Path(given).expanduser() if given else None


def _read_local(folder: Path, name: str, options: ReadOptions) -> Records | None:
    """Read a folder under ``HEADSTART_DATA``; None for torchvision's own folders."""
    if idx := _idx_files(folder):
        return _read_idx(idx, name, KNOWN_CLASSES.get(name, DIGITS))
    if files := find_split_files(folder):
        return read_table_files(files, name, options, class_names=KNOWN_CLASSES.get(name))
    # A folder of a known name may also be torchvision's own (eurosat/, MNIST/ where case is one).
    is_ours = name not in NAMED or (folder / "train").is_dir()
    return read_folder(Tree(folder), name, options) if is_ours else None


def _idx_files(folder: Path) -> dict[str, Path]:
    """Return the four IDX files of the MNIST family by their stem; empty if one is missing."""
    found = {}
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        for path in (folder / f"{stem}-ubyte", folder / f"{stem}-ubyte.gz"):
            if path.is_file():
                found[stem] = path
                break
    return found if len(found) == 4 else {}


def _read_idx(files: dict[str, Path], name: str, classes: Sequence[str]) -> Records:
    images = [read_idx(files["train-images-idx3"]), read_idx(files["t10k-images-idx3"])]
    targets = [read_idx(files["train-labels-idx1"]), read_idx(files["t10k-labels-idx1"])]
    for side, X, y in zip(("train", "t10k"), images, targets, strict=True):
        if X.ndim != 3 or y.ndim != 1 or len(X) != len(y):
            raise DataError(
                f"The {side} files of '{name}' do not fit: images {X.shape}, labels {y.shape}; "
                "expected (N, H, W) and (N,). Download the four files again."
            )
    return _from_arrays(name, classes, ["train", "test"], images, targets)


def read_idx(path: Path) -> np.ndarray:
    """Return the uint8 array in an IDX file (plain or gzip), the format of MNIST.

    Args:
        path: The file.

    Raises:
        DataError: It is no IDX file of unsigned bytes, or shorter than its header says.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}. Download it again.") from error
    num_axes = content[3] if len(content) > 4 and content[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * num_axes
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4")) if num_axes else ()
    if not shape or len(content) - start != math.prod(shape):
        raise DataError(
            f"{path} is no whole IDX file of unsigned bytes (shape {shape}, {len(content)} bytes). "
            "Download it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_torchvision(name: str, known: NamedSet, store: Path) -> Records:
    """Read a data set through torchvision, from its own layout or by a download."""
    from torchvision import datasets

    build = getattr(datasets, known.torchvision_name)
    arguments: list[tuple[str, dict[str, object]]]
    if known.splits:
        arguments = [(ours, {"split": theirs}) for ours, theirs in known.splits]
    elif name in NO_SPLITS:
        arguments = [("", {})]
    else:
        arguments = [("train", {"train": True}), ("test", {"train": False})]
    parts = []
    for split, chosen in arguments:
        try:
            part = build(root=str(store), download=False, **chosen)
        except (RuntimeError, OSError):  # not there, or not whole
            part = _download(build, name, store, chosen)
        parts.append((split, part))
    return _from_torchvision(name, known, parts)


def _download(build: Any, name: str, store: Path, chosen: dict[str, object]) -> Any:
    try:
        store.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(TEN_MINUTES_SECONDS / 20):
            return build(root=str(store), download=True, **chosen)
    except (RuntimeError, OSError, EOFError) as error:  # URLError and timeouts are OSErrors
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        usable = quoted([*EMBEDDED, *local_names()])
        root = _given_root()
        where = (
            f"under HEADSTART_DATA ({root})" if root else f"in {store} (HEADSTART_DATA is unset)"
        )
        raise DataError(
            f"The data set '{name}' is not {where} and cannot be downloaded: its host is "
            f"unreachable or refused ({reason}). Usable offline: {usable}; or put the data there."
        ) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Limit the wait for a silent host; torchvision's downloads have no limit of their own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_torchvision(name: str, known: NamedSet, parts: Sequence[tuple[str, Any]]) -> Records:
    """Return the records inside torchvision's objects, without decoding anything through them."""
    targets = [np.asarray(_first(part, "targets", "labels", "_labels")) for _, part in parts]
    splits = [split for split, _ in parts]
    num_classes = max(int(values.max()) for values in targets) + 1
    classes = known.classes or getattr(parts[0][1], "classes", None) or range(num_classes)
    classes = tuple(str(label) for label in classes)
    if hasattr(parts[0][1], "data"):
        images = [_channels_last(np.asarray(part.data)) for _, part in parts]
        return _from_arrays(name, classes, splits, images, targets)
    files: list[Samples] = []
    for _, part in parts:
        paths = [
            str(entry[0] if isinstance(entry, tuple) else entry)
            for entry in _first(part, "samples", "_image_files", "_images")
        ]
        root = os.path.commonpath([part.root, *paths])
        files.append(FileSamples(Path(root), [os.path.relpath(path, root) for path in paths]))
    return _join(name, classes, splits, files, targets)


def _first(part: Any, *names: str) -> Any:
    for name in names:
        if hasattr(part, name):
            return getattr(part, name)
    raise DataError(
        f"torchvision's {type(part).__name__} has none of {quoted(names)}; this version of "
        "torchvision is not understood. Give the data as a folder instead."
    )


def _channels_last(images: np.ndarray) -> np.ndarray:
    """Return (N, H, W, C): SVHN and STL10 come with the channels first."""
    return images.transpose(0, 2, 3, 1) if images.ndim == 4 and images.shape[1] == 3 else images


def _from_arrays(
    name: str,
    classes: Sequence[str],
    splits: Sequence[str],
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
) -> Records:
    """Return records of one array a split; joined once, so that splitting makes views."""
    joined = image_array(np.concatenate([np.asarray(part) for part in images]))
    names = [
        f"{split}[{i}]"
        for split, part in zip(splits, targets, strict=True)
        for i in range(len(part))
    ]
    records = _join(name, classes, splits, [ArraySamples(joined, names)], targets)
    return replace(records, origin=f"{name}'s own")


def _join(
    name: str,
    classes: Sequence[str],
    splits: Sequence[str],
    parts: Sequence[Samples],
    targets: Sequence[np.ndarray],
) -> Records:
    codes = [
        np.full(len(values), SPLIT_CODES.get(split, UNASSIGNED), np.int8)
        for split, values in zip(splits, targets, strict=True)
    ]
    return Records(
        name=name,
        samples=parts[0] if len(parts) == 1 else ChainSamples(parts),
        targets=np.concatenate([np.asarray(values, np.int64) for values in targets]),
        classes=tuple(classes),
        splits=np.concatenate(codes),
        origin=f"{name}'s own",
        task=CLASSIFICATION.name,
    )


def unknown_source(source: str, siblings: Sequence[str]) -> DataError:
    """Return the error for a source that is neither a path nor a name.

    Args:
        source: What the user wrote.
        siblings: What lies where the path was looked for.
    """
    names = all_names()
    last = Path(source).name
    hint = did_you_mean(source, names) or did_you_mean(last, siblings) or did_you_mean(last, names)
    return DataError(
        f"Path '{source}' does not exist.{hint} Give a folder, a CSV, Parquet or JSONL file, or "
        f"one of the names {quoted(names, limit=20)}."
    )
