"""Names that stand for the integers of a column: in a file's metadata, or in a file beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LISTS = ("labels.txt", "classes.txt", "class_names.txt", "label_names.txt")
MAPS = ("id2label.json", "label_names.json", "class_names.json", "label_map.json", "config.json")
KEYS = ("id2label", "label_names", "class_names", "classes", "names")
LABELS = ("label", "labels", "class", "target", "y")
MAX_BYTES = 2**20
FILE_NAME = re.compile(r"[^\s,;]+\.(jpe?g|png|webp|bmp|gif|tiff?|txt)\b", re.IGNORECASE)


def names_in(metadata: Mapping[bytes, bytes] | None, column: str) -> list[str] | None:
    """Return the names in the metadata of an Arrow schema; None where it states none.

    Known are a ``ClassLabel`` of Hugging Face datasets, also of lists, the ``StringIndexer`` of
    Spark, and the keys ``id2label``, ``label_names``, ``class_names`` and ``classes``.
    """
    stated = metadata or {}
    readers = (
        (b"huggingface", _of_datasets),
        (b"org.apache.spark.sql.parquet.row.metadata", _of_spark),
    )
    for key, read in readers:
        try:
            names = read(json.loads(stated[key]), column)
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
            continue  # not written by that program, or not such a column
        if names:
            return names
    for key_text in KEYS if column in LABELS else ():
        if (raw := stated.get(key_text.encode())) is not None:
            try:
                return _listed(json.loads(raw))
            except ValueError:
                return None
    return None


def _of_datasets(value: Any, column: str) -> list[str] | None:
    feature = value["info"]["features"][column]
    if isinstance(feature, list):  # as datasets 1 wrote lists
        feature = {"feature": feature[0]}
    return _listed(feature.get("names") or feature["feature"]["names"])


def _of_spark(value: Any, column: str) -> list[str] | None:
    field = next(one for one in value["fields"] if one["name"] == column)
    return _listed(field["metadata"]["ml_attr"]["vals"])


def _listed(value: Any) -> list[str] | None:
    """Return names by number: of a list, or of a map from number to name or back."""
    if isinstance(value, list) and value and not any(isinstance(v, (list, dict)) for v in value):
        return [str(name) for name in value]
    if not isinstance(value, dict) or not value:
        return None
    if all(isinstance(number, int) for number in value.values()):
        value = {number: name for name, number in value.items()}
    try:
        pairs = sorted((int(number), str(name)) for number, name in value.items())
    except ValueError:
        return None
    is_whole = [number for number, _ in pairs] == list(range(len(pairs)))
    return [name for _, name in pairs] if is_whole else None


def names_beside(root: Path, where: str, column: str) -> list[str] | None:
    """Return the names in ``labels.txt``, ``id2label.json`` or the like beside a table file.

    Args:
        root: The folder of the table.
        where: The table's name; a table that is no file has none beside it.
        column: Only columns called label, or the like, are meant by such files.
    """
    if column not in LABELS or not (root / Path(where).name).is_file():
        return None
    for name in (*LISTS, *MAPS):
        path = root / name
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                continue
            text = path.read_text(encoding="utf-8-sig")
            if name in LISTS:
                lines = [line.strip() for line in text.splitlines() if line.strip()]
                if len(set(lines)) == len(lines) > 1 and not any(map(_names_a_file, lines)):
                    return lines
                continue
            value = json.loads(text)
        except (OSError, ValueError):
            continue
        if isinstance(value, dict):
            value = next((value[key] for key in KEYS if key in value), value)
        if names := _listed(value):
            return names
    return None


def _names_a_file(line: str) -> bool:
    """Return whether a line begins with a file name, as the lists of samples and labels do."""
    return FILE_NAME.match(line) is not None
