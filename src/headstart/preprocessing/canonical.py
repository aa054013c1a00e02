"""Columns of a table in the one form that each kind has, whatever type they come in.

``numeric``: float64, NaN and empty become null; times and durations are hours. ``boolean``:
true/false, yes/no, y/n. ``date``: timestamps as the clocks of their place showed them, without
zone. ``categorical``: text, blanks around it taken off; ``nan`` and ``<NA>``, which programs write
for nothing, are empty, while ``NA`` and ``None`` may be names. What kind a column is of
is not decided here but in ``data.kinds``, from train; new rows are read as train was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headstart.cells import as_number, is_gap
from headstart.columnar import (
    Coded,
    array_from,
    cells_of,
    different,
    holds_short,
    is_text,
    is_trimmed,
    mapped,
    whole,
)
from headstart.errors import DataError
from headstart.preprocessing.dates import example, read_date
from headstart.preprocessing.numbers import (
    CLOCK,
    FORMATS,
    example_of,
    fitting_formats,
    read_number,
)
from headstart.preprocessing.written import dates_as_written, numbers_as_written, shapes_of
from headstart.types import ColumnKind, DateFormat, NumberFormat

TRUE_WORDS, FALSE_WORDS = ("true", "yes", "y", "t"), ("false", "no", "n", "f")

# What pandas and others write for nothing; no person names a category so.
PROGRAM_GAPS = ("nan", "NaN", "-nan", "-NaN", "<NA>", "NaT", "#N/A")
MICROSECONDS_AN_HOUR = 3600 * 1e6
MANY_ROWS = 1_000  # from which on cells are read by their shapes
_WRONG = object()

Place = Callable[[int], str]


def canonical(
    values: Any,
    kind: ColumnKind,
    name: str,
    place: Place,
    date_format: DateFormat = "",
    number_format: NumberFormat = "",
) -> Any:
    """Return a column in the canonical form of its kind, as a pyarrow array.

    Args:
        values: A pyarrow array or chunked array of any type.
        kind: What it holds.
        name: Its header, for messages.
        place: Says where a row stands.
        date_format: How days are written in it.
        number_format: How numbers are written in it.

    Raises:
        DataError: A cell does not fit, or is infinite.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = plain_values(values)
    if kind == "categorical":
        return _categories(values)
    if kind == "numeric":
        return _numbers(values, name, place, number_format)
    if kind == "date" and (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        if pa.types.is_timestamp(values.type) and values.type.tz is not None:
            values = pc.local_timestamp(values)
        return values.cast(pa.timestamp("us"), safe=False)
    is_long_text = is_text(values) and len(values) > MANY_ROWS
    may_be_iso = kind == "date" and not date_format and is_long_text
    if may_be_iso and (dates := dates_as_written(values)) is not None:
        return dates
    is_boolean = kind == "boolean"
    expected = "true or false" if is_boolean else f"a date such as {example(date_format)}"
    remedy = "" if is_boolean else ", or name the column with --categorical when training"

    def read(value: object) -> object:
        if is_empty(value) or is_gap(value):
            return None
        cell = _as_boolean(value) if is_boolean else read_date(value, date_format)
        return _WRONG if cell is None else cell

    values = cells_of(values)
    cells = mapped(values, read)
    if any(cell is _WRONG for cell in different(cells)):
        i = next(i for i, cell in enumerate(cells) if cell is _WRONG)
        raise DataError(
            f"Column '{name}' holds '{values[i]}' in {place(i)}; expected {expected}, or an empty "
            f"cell. Correct it{remedy}."
        )
    made = pa.array(list(different(cells)), pa.bool_() if is_boolean else pa.timestamp("us"))
    return made.take(pa.array(cells.codes)) if isinstance(cells, Coded) else made


def is_empty(value: object) -> bool:
    """Return whether a cell holds nothing."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def category(value: object) -> str | None:
    """Return a cell as the name of a category; ``1.0`` and ``1`` are the same."""
    if is_empty(value) or (isinstance(value, str) and value.strip() in PROGRAM_GAPS):
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
    if not is_text(values):
        return pa.array(list(mapped(cells_of(values), category)), pa.string())
    gaps = pa.array(["", *PROGRAM_GAPS], pa.string())
    if is_trimmed(values):
        longest = max(map(len, PROGRAM_GAPS))
        if not holds_short(values, longest) or not _holds_any(values, gaps):
            return values.cast(pa.string())
    words = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.is_in(words, value_set=gaps), None, words)


def _holds_any(values: Any, words: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_in(values, value_set=words.cast(values.type))).as_py())


def plain_values(values: Any) -> Any:
    """Return a column without what pandas puts around its values.

    Categories become their values; intervals and periods their names (``(0, 30]``, ``2024-03``);
    times of day and durations hours.

    Args:
        values: A pyarrow array or chunked array.
    """
    import pyarrow as pa

    kind, t = values.type, pa.types
    if isinstance(values, pa.ChunkedArray) and (
        t.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType)
    ):
        chunks = [plain_values(chunk) for chunk in values.chunks]
        return pa.chunked_array(chunks) if chunks else pa.chunked_array([], pa.string())
    if t.is_dictionary(kind):
        return plain_values(values.dictionary).take(values.indices)
    if isinstance(kind, pa.BaseExtensionType):
        if not getattr(kind, "extension_name", "").startswith("pandas."):
            return values.storage
        cells = zip(values.to_pandas(), values.is_valid().to_pylist(), strict=True)
        return pa.array([str(cell) if is_valid else None for cell, is_valid in cells], pa.string())
    if t.is_duration(kind) or t.is_time(kind):
        if t.is_duration(kind):
            counted = values.cast(pa.duration("us"), safe=False)
        else:
            counted = values.cast(pa.time64("us"), safe=False)
        hours = counted.cast(pa.int64()).to_numpy(zero_copy_only=False) / MICROSECONDS_AN_HOUR
        return pa.array(hours, pa.float64(), from_pandas=True)
    return values


def _numbers(values: Any, name: str, place: Place, number_format: NumberFormat) -> Any:
    """Return a float64 array, null where a cell is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    t = pa.types
    if t.is_integer(values.type) or t.is_floating(values.type) or t.is_boolean(values.type):
        if t.is_boolean(values.type):
            values = values.cast(pa.uint8())
        # Not cast(float64) checked: whole numbers beyond 2^53 are rounded, as everywhere.
        cast = whole(
            values if t.is_float64(values.type) else pc.cast(values, pa.float64(), safe=False)
        )
        numbers = cast.to_numpy(zero_copy_only=False)
    elif (fast := _as_a_whole(values, number_format)) is not None:
        numbers = fast
    else:
        cells = cells_of(values)
        number_format = _format_of(different(cells), number_format)
        read = mapped(cells, lambda value: _as_any_number(value, number_format))
        if any(number is None for number in different(read)):
            i = next(i for i, number in enumerate(read) if number is None)
            raise DataError(
                f"Column '{name}' holds '{cells[i]}' in {place(i)}; expected a number"
                f"{_as_written(cells[i], number_format)} or an empty cell. Correct it, or name "
                "the column with --categorical when training."
            )
        numbers = array_from(read, float, np.float64)
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        more = f" and {len(infinite) - 1:,} more rows" if len(infinite) > 1 else ""
        raise DataError(
            f"Column '{name}' holds {numbers[infinite[0]]} in {place(int(infinite[0]))}{more}; "
            "expected finite numbers. Correct it, or leave the cell empty where it is not known."
        )
    return number_array(numbers)


def number_array(numbers: np.ndarray) -> Any:
    """Return float64 numbers as a pyarrow array, null where they are NaN."""
    import pyarrow as pa

    has_gaps = bool(np.isnan(numbers).any())
    return pa.array(numbers, pa.float64(), from_pandas=has_gaps)


def _cast_words(values: Any) -> np.ndarray | None:
    """Return numbers written as text, by pyarrow; None where a cell is not plainly one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_text(values):
        return None
    try:
        numbers = pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        try:
            numbers = pc.cast(pc.utf8_trim_whitespace(values), pa.float64())
        except pa.ArrowInvalid:
            return None
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _as_a_whole(values: Any, number_format: NumberFormat) -> np.ndarray | None:
    """Return the numbers of a column without a loop; None where each cell has to be looked at."""
    if not number_format and (numbers := _cast_words(values)) is not None:
        return numbers
    if not is_text(values) or len(values) <= MANY_ROWS or number_format == CLOCK:
        return None
    shapes = shapes_of(values)
    return None if shapes is None else numbers_as_written(shapes, number_format)


def _as_any_number(value: object, number_format: NumberFormat) -> float | None:
    """Return the number in a cell of a column known to be numeric: leading zeros are fine."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip():
        return read_number(value, number_format)
    return as_number(value)


def _format_of(cells: Sequence[object], number_format: NumberFormat) -> NumberFormat:
    """Return the format, or the only other one that all cells of the column fit where it fits not.

    Those who learned from a file of one country may predict from one of another.
    """
    words = [cell for cell in dict.fromkeys(cells) if isinstance(cell, str) and cell.strip()]
    if number_format == CLOCK or all(read_number(w, number_format) is not None for w in words):
        return number_format
    fitting = fitting_formats(words)
    is_unclear = {"1,234.5", "1.234,5"} <= set(fitting) and "" not in fitting
    if not fitting or fitting == [CLOCK] or is_unclear:
        return number_format
    return "" if "" in fitting else fitting[0]


def _as_written(value: object, number_format: NumberFormat) -> str:
    """Return how a number should be written, where a cell holds one in another way."""
    others = (written for written in FORMATS if written != number_format)
    is_other = isinstance(value, str) and any(read_number(value, o) is not None for o in others)
    return f" written as {example_of(number_format)}" if number_format or is_other else ""


def _as_boolean(value: object) -> bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    word = str(value).strip().lower()
    if word in (*TRUE_WORDS, "1", "1.0"):
        return True
    return False if word in (*FALSE_WORDS, "0", "0.0") else None
