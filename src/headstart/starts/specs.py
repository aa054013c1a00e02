"""Preprocessings as JSON and back, and the checks that every such record shares.

A record may come from a file that a stranger wrote: keys, types and lengths are compared with the
dataclass, and nothing more is done with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, get_args

from headstart.errors import StartError, quoted
from headstart.types import (
    Column,
    ColumnKind,
    DateFormat,
    ImageSpec,
    Modality,
    Spec,
    TableSpec,
    TextSpec,
)

_COLUMN_NUMBERS = ("mean", "scale", "edges")


def spec_to_json(spec: Spec) -> dict[str, object]:
    """Return a preprocessing as JSON-able dict; tuples become lists."""
    if isinstance(spec, ImageSpec):
        return {**asdict(spec), "mean": list(spec.mean), "std": list(spec.std)}
    if isinstance(spec, TextSpec):
        return asdict(spec)
    columns = []
    for column in spec.columns:
        record = asdict(column)
        columns.append({n: list(v) if isinstance(v, tuple) else v for n, v in record.items()})
    return {"columns": columns}


def spec_from_json(value: object, modality: Modality) -> Spec:
    """Return the preprocessing that ``spec_to_json`` wrote.

    Args:
        value: A JSON value.
        modality: What it is a preprocessing of.

    Raises:
        StartError: If keys, types or lengths differ.
    """
    if modality == "image":
        return _read_image(value)
    if modality == "text":
        return _read_text(value)
    record = read_record(value, ("columns",), "spec")
    if not isinstance(record["columns"], list):
        raise _damaged("spec", record, "a list of columns")
    return TableSpec(tuple(_read_column(column) for column in record["columns"]))


def _read_image(value: object) -> ImageSpec:
    record = read_record(value, _names(ImageSpec), "spec")
    whole = [record[n] for n in ("size", "channels", "decode_size", "decode_channels")]
    lists = [record["mean"], record["std"]]
    if (
        not all(isinstance(n, int) and n > 0 for n in whole)
        or not all(isinstance(n, list | tuple) and len(n) == record["channels"] for n in lists)
        or not all(isinstance(x, int | float) for n in lists for x in n)
        or record["interpolation"] not in ("bilinear", "bicubic")
    ):
        raise _damaged(
            "spec",
            record,
            "whole sizes and channels, one mean and std a channel, and 'bilinear' or 'bicubic'",
        )
    mean, std = (tuple(float(x) for x in n) for n in lists)
    return ImageSpec(**{**record, "mean": mean, "std": std})


def _read_text(value: object) -> TextSpec:
    record = read_record(value, _names(TextSpec), "spec")
    length = record["max_length"]
    is_whole = isinstance(length, int) and not isinstance(length, bool)
    fits = {"tokens": is_whole and 0 < length <= 1_000_000, "terms": is_whole and length == 0}
    if not isinstance(record["kind"], str) or not fits.get(record["kind"], False):
        raise _damaged("spec", record, "'tokens' with a max_length, or 'terms' with max_length 0")
    return TextSpec(**record)


def _read_column(value: object) -> Column:
    if isinstance(value, dict):  # of a version that knew one way to write dates
        value = {"date_format": "", **value}
    record = read_record(value, tuple(field.name for field in fields(Column)), "column")
    numbers = [record[name] for name in _COLUMN_NUMBERS]
    categories = record["categories"]
    if (
        not isinstance(record["name"], str)
        or record["kind"] not in get_args(ColumnKind)
        or not isinstance(record["fill"], int | float)
        or not isinstance(record["has_missing"], bool)
        or record["date_format"] not in get_args(DateFormat)
        or not all(isinstance(n, list | tuple) for n in (*numbers, categories))
        or not all(isinstance(x, int | float) for n in numbers for x in n)
        or not all(isinstance(category, str) for category in categories)
    ):
        raise _damaged("column", record, "a name, a kind, a known date_format, and lists")
    tuples = {name: tuple(float(x) for x in record[name]) for name in _COLUMN_NUMBERS}
    return Column(**{**record, **tuples, "categories": tuple(categories)})


def read_json(path: Path) -> dict[str, object]:
    """Return the object of a JSON file.

    Raises:
        StartError: If the file cannot be read or is no JSON object.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(
            f"'{path}' cannot be read ({error}). Expected a JSON file. Restore it."
        ) from error
    if not isinstance(record, dict):
        raise StartError(f"'{path}' holds no JSON object. Expected one. Restore the file.")
    return record


def read_record(value: object, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    """Return a JSON object that has exactly these keys.

    Args:
        value: A JSON value.
        keys: The names it needs.
        what: Names it in a refusal.

    Raises:
        StartError: If it is something else, or a key is unknown or missing.
    """
    if not isinstance(value, dict):
        raise StartError(
            f"The record '{what}' is {value!r}. Expected a JSON object. The file is damaged."
        )
    check_keys(value, keys, f"record '{what}'")
    return value


def check_keys(value: Mapping[str, object], keys: tuple[str, ...], what: str) -> None:
    """Refuse a record with other keys.

    Raises:
        StartError: If a key is unknown or missing.
    """
    unknown = [str(key) for key in value if key not in keys]
    missing = [key for key in keys if key not in value]
    if unknown or missing:
        parts = [f"unknown key {quoted(unknown)}"] if unknown else []
        parts += [f"missing key {quoted(missing)}"] if missing else []
        raise StartError(
            f"The {what} has {' and '.join(parts)}. Expected {quoted(keys, 12)}. The file is from "
            f"another version of headstart, or damaged."
        )


def _names(record_class: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record_class) if field.default is MISSING)


def _damaged(what: str, record: Mapping[str, object], expected: str) -> StartError:
    return StartError(
        f"The record '{what}' is {record!r}. Expected {expected}. The file is damaged."
    )
