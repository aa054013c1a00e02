"""Columns of a table in the one form that each kind has, whatever type they come in.

``numeric``: float64, NaN and empty become null. ``boolean``: true/false, yes/no, y/n. ``date``:
timestamps without zone. ``categorical``: text, blanks around it taken off. What kind a column is of
is not decided here but in ``data.kinds``, from train; new rows are read as train was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from headstart.cells import as_number
from headstart.errors import DataError
from headstart.preprocessing.dates import example, read_date
from headstart.types import ColumnKind, DateFormat

TRUE_WORDS, FALSE_WORDS = ("true", "yes", "y", "t"), ("false", "no", "n", "f")


UNKNOWN = "?"


Place = Callable[[int], str]


def canonical(
    values: Any, kind: ColumnKind, name: str, place: Place, date_format: DateFormat = ""
) -> Any:
    """Return a column in the canonical form of its kind, as a pyarrow array.

    Args:
        values: A pyarrow array or chunked array of any type.
        kind: What it holds.
        name: Its header, for messages.
        place: Says where a row stands.
        date_format: How days are written in it.

    Raises:
        DataError: A cell does not fit, or is infinite.
    """
    import pyarrow as pa

    if kind == "categorical":
        return _categories(values)
    if kind == "numeric":
        return _numbers(values, name, place)
    if kind == "date" and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        return values.cast(pa.timestamp("us"), safe=False)  # a zone is turned into UTC
    is_boolean = kind == "boolean"
    expected = "true or false" if is_boolean else f"a date such as {example(date_format)}"
    remedy = "" if is_boolean else ", or name the column with --categorical when training"
    cells: list[object] = []
    for i, value in enumerate(values.to_pylist()):
        if is_empty(value) or (kind == "date" and is_unknown(value)):
            cells.append(None)
            continue
        cell = _as_boolean(value) if is_boolean else read_date(value, date_format)
        if cell is None:
            raise DataError(
                f"Column '{name}' holds '{value}' in {place(i)}; expected {expected}, or an empty "
                f"cell. Correct it{remedy}."
            )
        cells.append(cell)
    return pa.array(cells, pa.bool_() if is_boolean else pa.timestamp("us"))


def is_empty(value: object) -> bool:
    """Return whether a cell holds nothing."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def is_unknown(value: object) -> bool:
    """Return whether a cell holds a lone question mark."""
    return isinstance(value, str) and value.strip() == UNKNOWN


def category(value: object) -> str | None:
    """Return a cell as the name of a category; ``1.0`` and ``1`` are the same."""
    if is_empty(value):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).strip()


def _categories(values: Any) -> Any:
    """Return a column of text, null where a cell is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.ChunkedArray):
        if values.num_chunks:
            return pa.chunked_array([_categories(chunk) for chunk in values.chunks], pa.string())
        return pa.array([], pa.string())
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return pa.array([category(value) for value in values.to_pylist()], pa.string())
    words = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.equal(pc.binary_length(words), 0), None, words)


def _numbers(values: Any, name: str, place: Place) -> Any:
    """Return a float64 array, null where a cell is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    t = pa.types
    if t.is_integer(values.type) or t.is_floating(values.type) or t.is_boolean(values.type):
        if t.is_boolean(values.type):
            values = values.cast(pa.uint8())
        # Not cast(float64) checked: whole numbers beyond 2^53 are rounded, as everywhere.
        numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    elif (fast := _cast_words(values)) is not None:
        numbers = fast
    else:
        cells = values.to_pylist()
        numbers = np.empty(len(cells), np.float64)
        for i, value in enumerate(cells):
            number = math.nan if is_unknown(value) else _as_any_number(value)
            if number is None:
                raise DataError(
                    f"Column '{name}' holds '{value}' in {place(i)}; expected a number or an empty "
                    "cell. Correct it, or name the column with --categorical when training."
                )
            numbers[i] = number
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        more = f" and {len(infinite) - 1:,} more rows" if len(infinite) > 1 else ""
        raise DataError(
            f"Column '{name}' holds {numbers[infinite[0]]} in {place(int(infinite[0]))}{more}; "
            "expected finite numbers. Correct it, or leave the cell empty where it is not known."
        )
    return pa.array(numbers, pa.float64(), from_pandas=True)


def _cast_words(values: Any) -> np.ndarray | None:
    """Return numbers written as text, by pyarrow; None where a cell is not plainly one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return None
    try:
        numbers = pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        try:
            numbers = pc.cast(pc.utf8_trim_whitespace(values), pa.float64())
        except pa.ArrowInvalid:
            return None
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _as_any_number(value: object) -> float | None:
    """Return the number in a cell of a column known to be numeric: leading zeros are fine."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        value = re.sub(r"^([-+]?)0+(?=\d)", r"\1", value.strip())
    return as_number(value)


def _as_boolean(value: object) -> bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    word = str(value).strip().lower()
    if word in (*TRUE_WORDS, "1", "1.0"):
        return True
    return False if word in (*FALSE_WORDS, "0", "0.0") else None
