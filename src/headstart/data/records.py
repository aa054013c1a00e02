"""What every reader hands over: the samples of a source, before anything is split or dropped.

One record type between reading (folder, tables, arrays, named sets) and splitting, so that a new
source or a new modality adds a reader and changes nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.errors import DataError
from headstart.types import ColumnKind, DateFormat, Modality, Samples, Task

SPLIT_CODES = {"train": 0, "val": 1, "test": 2}
SPLIT_NAMES = ("train", "val", "test")
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# Files may also be called dev; a column of splits may not, where a typing error is likelier.
FILE_SPLIT_WORDS = {**SPLIT_WORDS, "dev": "val"}
UNASSIGNED = -1
# What one sample is called in messages, and several.
NOUNS: dict[Modality, tuple[str, str]] = {
    "image": ("image", "images"),
    "text": ("text", "texts"),
    "table": ("row", "rows"),
}


@dataclass(frozen=True)
class Records:
    """All samples of a source in a fixed order.

    Attributes:
        name: What the user called the source.
        samples: The inputs, N of them.
        targets: As in ``Split.targets``, by task.
        classes: Class names in the order of the targets; empty for regression.
        splits: int8, shape (N,): 0 train, 1 val, 2 test, -1 where the source brings none.
        origin: How the source's own splits are marked, for example ``"folder"``.
        label: Name of the target column, or None where the layout gives the target.
        input_column: Name of the column of images or texts, or None where there is none.
        groups: For each sample the group that must stay on one side, or None.
        notes: Sentences a user should read.
        modality: What a sample is.
        task: What the targets ask for.
        column_kinds: For tables, what each input column holds.
        date_formats: For tables, how the days of each date column are written.
        kept_columns: For tables, columns the user has named, which are therefore never left out.
        columns: For tables, all columns of the source, for messages.
    """

    name: str
    samples: Samples
    targets: np.ndarray
    classes: tuple[str, ...]
    splits: np.ndarray
    origin: str
    label: str | None = None
    input_column: str | None = None
    groups: Sequence[str] | None = None
    notes: list[str] = field(default_factory=list)
    modality: Modality = "image"
    task: Task = "classification"
    column_kinds: dict[str, ColumnKind] | None = None
    date_formats: Mapping[str, DateFormat] = field(default_factory=dict)
    kept_columns: Sequence[str] = ()
    columns: Sequence[str] = ()


def order_classes(names: set[str]) -> tuple[str, ...]:
    """Return class names sorted; by value where all of them are whole numbers."""
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def encode_targets(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return int64 targets, shape (N,), for class names."""
    index = {name: position for position, name in enumerate(classes)}
    return np.fromiter((index[label] for label in labels), np.int64, len(labels))


def class_labels(
    values: Sequence[object], what: str, place: Callable[[int], str], *, allow_real: bool = False
) -> list[str]:
    """Return one class name for each value of a target column.

    Args:
        values: Strings, integers, booleans, or floats that are whole numbers.
        what: What the column is called in messages, for example ``"Column 'label'"``.
        place: Says where the value of an index stands, for example ``row 3 of reviews.csv``.
        allow_real: Whether real numbers may be classes: the user has said so.

    Raises:
        DataError: A value is missing, or the values are real numbers or no scalars.
    """
    absent = [i for i, value in enumerate(values) if is_missing(value)]
    if absent:
        first = place(absent[0])
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise DataError(
            f"{what} is empty or NaN in {first}{more}. Every sample needs a class; "
            "fill it in or remove the sample."
        )
    for i, value in enumerate(values):
        if not isinstance(value, (str, bool, int, float, np.generic)):
            raise DataError(
                f"{what} holds a {type(value).__name__} in {place(i)}; "
                "expected a class name or a whole number. Name another column with --label."
            )
    texts = [str(value.item() if isinstance(value, np.generic) else value) for value in values]
    if all(isinstance(value, (float, np.floating)) for value in values):
        texts = [text[:-2] if text.endswith(".0") else text for text in texts]
    if not allow_real:
        _refuse_real_numbers(texts, what)
    return texts


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: None, NaN, NA, or blanks."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return isinstance(value, str) and not value.strip()


def _refuse_real_numbers(texts: Sequence[str], what: str) -> None:
    """Refuse a target that is a measurement: all numbers, and not all of them whole."""
    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
    real = None
    for text in texts:
        if number.fullmatch(text.strip()) is None:
            return
        if real is None and float(text) != int(float(text)):
            real = text
    if real is not None:
        raise DataError(
            f"{what} holds real numbers such as {real}; expected class names or whole numbers, "
            "because the task is classification. Say --task regression to learn the numbers "
            "themselves, or name another column with --label."
        )
