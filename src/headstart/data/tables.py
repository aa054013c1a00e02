"""Read tables with an image column and a target column: one table, or one file a split.

The image column is found by its values when only one column can be meant. Class names come from
where the data states them: text labels, Hugging Face metadata, or a column that names each integer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.data.columns import Table, read_table
from headstart.data.folder import IMAGE_SUFFIXES, TABLE_SUFFIXES
from headstart.data.records import (
    SPLIT_CODES,
    SPLIT_WORDS,
    UNASSIGNED,
    Records,
    class_labels,
    encode_targets,
    order_classes,
)
from headstart.data.samples import ChainSamples
from headstart.errors import DataError, did_you_mean, quoted

SPLIT_COLUMN = "split"
DEFAULT_LABEL = "label"
NAMING_COLUMNS = ("class", "class_name", "label_name", "label_text")
SPLIT_FILE = re.compile(
    rf"({'|'.join(SPLIT_WORDS)})(-\d+-of-\d+)?({'|'.join(map(re.escape, TABLE_SUFFIXES))})",
    re.IGNORECASE,
)


def find_split_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the files ``train.parquet``, ``test.csv`` … of a folder, each with its split."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []  # the folder reader says why
    matches = [(name, SPLIT_FILE.fullmatch(name)) for name in names]
    found = [(folder / n, SPLIT_WORDS[m.group(1).lower()]) for n, m in matches if m is not None]
    return found if any(split == "train" for _, split in found) else []


def read_table_files(
    files: Sequence[tuple[Path, str | None]],
    name: str,
    *,
    label: str | None,
    image_column: str | None,
    group: str | None,
    class_names: Sequence[str] | None = None,
) -> Records:
    """Return the records of table files.

    Args:
        files: Each file with the split it is, or None.
        name: What the user called the source.
        label: Target column; None means ``label``.
        image_column: Image column; None means the only one that can be meant.
        group: Column of the groups that stay on one side, or None.
        class_names: What integer labels stand for, where that is common knowledge.

    Raises:
        DataError: A file cannot be read, or a column is missing or holds what it should not.
    """
    text = [c for c in (label or DEFAULT_LABEL, image_column, group, SPLIT_COLUMN) if c]
    tables = [read_table(path, path.name, text) for path, _ in files]
    return read_tables(
        list(zip(tables, [split for _, split in files], strict=True)),
        name,
        label=label,
        image_column=image_column,
        group=group,
        class_names=class_names,
    )


def read_tables(
    tables: Sequence[tuple[Table, str | None]],
    name: str,
    *,
    label: str | None,
    image_column: str | None,
    group: str | None,
    class_names: Sequence[str] | None = None,
) -> Records:
    """Return the records of open tables; arguments as in ``read_table_files``."""
    target = label or DEFAULT_LABEL
    labels: list[str] = []
    groups: list[str] = []
    codes: list[int] = []
    parts, notes = [], []
    for table, split in tables:
        _need_column(table, target, "target", "--label")
        if table.num_rows == 0:
            raise DataError(f"{table.where} has no rows. Expected one row an image.")
        values = table.values(target)
        place = f"row {{row}} of {table.where}"
        column = image_column or _find_image_column(table, (target, group))
        _need_column(table, column, "image", "--image-column")
        labels += class_labels(values, f"Column '{target}'", place)
        if group:
            _need_column(table, group, "group", "--group")
            groups += _texts(table.values(group), f"Column '{group}'", place)
        codes += _split_codes(table, split, place)
        paths = table.image_names(column)
        several = f"{table.where} " if len(tables) > 1 else ""
        names = [path or f"{several}row {i + 1}" for i, path in enumerate(paths)]
        parts.append(table.images(column, names))
    labels, classes, note = _name_classes(
        [table for table, _ in tables], target, labels, class_names
    )
    if note:
        notes.append(note)
    has_files = any(split for _, split in tables)
    return Records(
        name=name,
        samples=parts[0] if len(parts) == 1 else ChainSamples(parts),
        targets=encode_targets(labels, classes),
        classes=classes,
        splits=np.array(codes, np.int8),
        origin="one file a split" if has_files else f"column '{SPLIT_COLUMN}'",
        label=target,
        groups=groups or None,
        notes=notes,
    )


def _need_column(table: Table, column: str, role: str, option: str) -> None:
    if column in table.columns:
        return
    example = next((c for c in table.columns if c != "id"), column)
    likely = {"target": ("category", "class", "target", "y"), "image": ("image", "path", "file")}
    example = next((c for c in likely.get(role, ()) if c in table.columns), example)
    raise DataError(
        f"Column '{column}' is missing in {table.where} (found: {quoted(table.columns)})."
        f"{did_you_mean(column, table.columns)} "
        f"Name the {role} column, for example {option} {example}."
    )


def _find_image_column(table: Table, taken: Sequence[str | None]) -> str:
    """Return the only column whose first values can be images."""
    free = [c for c in table.columns if c not in taken and c != SPLIT_COLUMN]
    found = [c for c in free if _looks_like_images(table.head(c))]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{table.where} has {len(found)} columns that could hold the images "
            f"({quoted(found)}). Name one, for example --image-column {found[0]}."
        )
    raise DataError(
        f"{table.where} has no column of image bytes or of paths such as 'photos/1.jpg' "
        f"(found: {quoted(table.columns)}). Name the image column with --image-column."
    )


def _looks_like_images(values: Sequence[object]) -> bool:
    present = [v for v in values if v is not None and v == v and v != ""]
    return bool(present) and all(_looks_like_image(value) for value in present)


def _looks_like_image(value: object) -> bool:
    if isinstance(value, dict):
        return "bytes" in value or "path" in value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True
    if not isinstance(value, (str, os.PathLike)):
        return False
    return os.path.splitext(str(value))[1].lower() in IMAGE_SUFFIXES


def _split_codes(table: Table, split: str | None, place: str) -> list[int]:
    """Return the split of each row: that of the file, of the column, or none."""
    if split:
        return [SPLIT_CODES[split]] * table.num_rows
    if SPLIT_COLUMN not in table.columns:
        return [UNASSIGNED] * table.num_rows
    codes = []
    for i, word in enumerate(_texts(table.values(SPLIT_COLUMN), f"Column '{SPLIT_COLUMN}'", place)):
        if word.strip().lower() not in SPLIT_WORDS:
            raise DataError(
                f"Column '{SPLIT_COLUMN}' holds '{word}' in {place.format(row=i + 1)}; expected "
                "train, val or test. Correct it, or rename the column to have splits made."
            )
        codes.append(SPLIT_CODES[SPLIT_WORDS[word.strip().lower()]])
    return codes


def _texts(values: Sequence[object], what: str, place: str) -> list[str]:
    for i, value in enumerate(values):
        if value is None or value != value or value == "":
            raise DataError(
                f"{what} is empty in {place.format(row=i + 1)}. Fill it in for every row, or "
                "leave the column out."
            )
    return [str(value) for value in values]


def _name_classes(
    tables: Sequence[Table], target: str, labels: list[str], known: Sequence[str] | None
) -> tuple[list[str], tuple[str, ...], str | None]:
    """Return labels and ordered classes under their names, and a note on where these come from."""
    numbers = set(labels)
    note = None
    names = {str(i): name for i, name in enumerate(known)} if known else None
    stated = None if names else tables[0].class_names(target)
    if stated is not None:
        names = {str(i): name for i, name in enumerate(stated)}
    if names is None and all(re.fullmatch(r"\d+", number) for number in numbers):
        names, column = _naming_column(tables, labels)
        note = f"Class names come from column '{column}'." if names else None
    if names is None or not numbers <= names.keys():
        return labels, order_classes(numbers), None
    ordered = order_classes(numbers)
    return [names[text] for text in labels], tuple(names[number] for number in ordered), note


def _naming_column(
    tables: Sequence[Table], labels: list[str]
) -> tuple[dict[str, str] | None, str | None]:
    """Return the names of integer labels where a column gives one name for each."""
    for column in NAMING_COLUMNS:
        if not all(column in table.columns for table in tables):
            continue
        values = [value for table in tables for value in table.values(column)]
        pairs = {
            (number, value)
            for number, value in zip(labels, values, strict=True)
            if isinstance(value, str) and value
        }
        names = {number: str(value) for number, value in pairs}
        if len(pairs) == len(names) == len(set(names.values())) and set(labels) == names.keys():
            return names, column
    return None, None
