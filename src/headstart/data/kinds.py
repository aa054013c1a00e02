"""Recognise what the columns of a table hold, and bring each into one canonical form.

Kinds: ``numeric`` (float64, NaN and empty become null), ``boolean`` (true/false, yes/no, y/n),
``date`` (days, with or without a time, as timestamps without zone; ``dates`` says how they may be
written), ``categorical`` (text, blanks around it taken off). What is recognised can be overridden
with ``numeric``, ``categorical`` and ``date``; there is no ``boolean``, because a column of two
values teaches the same as numbers 0 and 1, or as two categories.

A column is numeric when every cell that is not empty is a number; a lone ``?`` among numbers or
dates counts as empty, and is said to. A column of many different numbers with a few words in it is
refused by the first such word, because both readings of it lose something the user should know of;
with few different numbers it is a column of codes, and said to be one. Numbers with leading zeros
are codes.

Left out: times of day alone, durations, lists, thousands separators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.cells import MOSTLY, as_number
from headstart.data.options import ReadOptions
from headstart.data.quick import may_hold, plain_kind
from headstart.data.targets import MANY_VALUES
from headstart.errors import DataError
from headstart.preprocessing.canonical import (
    FALSE_WORDS,
    TRUE_WORDS,
    UNKNOWN,
    Place,
    canonical,
    category,
    is_empty,
    is_unknown,
)
from headstart.preprocessing.dates import find_format, look_like_dates
from headstart.types import ColumnKind, DateFormat, Finding, FindingKind


@dataclass(frozen=True)
class Recognised:
    """A table in canonical form.

    Attributes:
        table: A pyarrow Table.
        kinds: What each of its columns holds.
        date_formats: How the days of each date column are written.
        findings: What a user should know of them.
    """

    table: Any
    kinds: dict[str, ColumnKind]
    date_formats: dict[str, DateFormat]
    findings: list[Finding]


@dataclass(frozen=True)
class _Found:
    """What a column holds, None where it cannot be an input, and a sentence on it."""

    kind: ColumnKind | None
    note: str | None = None
    date_format: DateFormat = ""

    def findings(self) -> list[Finding]:
        """Return what to know of it; that days and months were told apart is no warning."""
        if self.note is None:
            return []
        about: FindingKind = "unused" if self.kind is None else "reading"
        return [Finding(about, "note" if self.kind == "date" else "warning", (), self.note)]


def recognise(parts: Sequence[Any], options: ReadOptions, place: Place) -> Recognised:
    """Return a table in canonical form, with what each column holds.

    Args:
        parts: pyarrow Tables with the same columns, one after the other.
        options: Columns whose kind the user has said.
        place: Says where a row stands, counted over all parts.

    Raises:
        DataError: A cell does not fit its column, or is infinite.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {}
    kinds: dict[str, ColumnKind] = {}
    formats: dict[str, DateFormat] = {}
    findings: list[Finding] = []
    for name in parts[0].column_names:
        values = _join([part.column(name) for part in parts])
        found = _kind_of(values, name, options, place)
        findings += found.findings()
        if found.kind is None:
            continue
        columns[name] = canonical(values, found.kind, name, place, found.date_format)
        kinds[name] = found.kind
        if found.kind in ("numeric", "date"):
            findings += _unknown_cells(values, name)
        if found.kind == "date":
            formats[name] = found.date_format
        elif found.kind == "numeric" and name not in options.kept_columns:
            findings += _eight_digits(columns[name], name)
    return Recognised(pa.table(columns), kinds, formats, findings)


def _join(columns: Sequence[Any]) -> Any:
    """Return columns of several tables as one; as text where their types differ."""
    import pyarrow as pa

    columns = [_decoded(column) for column in columns]
    types = {column.type for column in columns if not pa.types.is_null(column.type)}
    if len(types) > 1:
        is_number = all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in types)
        wanted = pa.float64() if is_number else pa.string()
        columns = [column.cast(wanted) for column in columns]
    elif types:
        columns = [column.cast(next(iter(types))) for column in columns]
    arrays = [a.chunks if isinstance(a, pa.ChunkedArray) else [a] for a in columns]
    chunks = [chunk for part in arrays for chunk in part]
    return pa.chunked_array(chunks, columns[0].type if columns else None)


def _decoded(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):  # categories of pandas
        return column.cast(column.type.value_type)
    return column


def _kind_of(values: Any, name: str, options: ReadOptions, place: Place) -> _Found:
    """Return what a column holds, and a note."""
    import pyarrow as pa

    t, kind = pa.types, values.type
    if trained := options.trained_column(name):
        return _Found(trained.kind, None, trained.date_format)
    if name in options.categorical:
        return _Found("categorical")
    if name in options.numeric:
        return _Found("numeric")
    if t.is_date(kind) or t.is_timestamp(kind):
        return _Found("date")
    if name in options.date:
        date_format, note = _find_dates(values, name, place, is_said=True)
        return _Found("date", note, date_format or "")
    if t.is_boolean(kind):
        return _Found("boolean")
    if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        return _Found("numeric")
    if t.is_string(kind) or t.is_large_string(kind):
        return _kind_of_words(values, name, place)
    if t.is_null(kind):
        return _Found("categorical")  # empty: left out later, by name
    return _Found(None, f"Left out column '{name}': it holds {kind}, which a table cannot use.")


def _find_dates(
    values: Any, name: str, place: Place, *, is_said: bool
) -> tuple[DateFormat | None, str | None]:
    """Return how the dates of a column are written, None where it holds none, and a note."""
    import pyarrow as pa
    import pyarrow.compute as pc

    different = values if pa.types.is_nested(values.type) else pc.unique(values)
    found = [word for word in map(category, different.to_pylist()) if word is not None]
    words = [word for word in found if not is_unknown(word)]
    if found and not words:
        return ("", None) if is_said else (None, None)

    def where(word: str) -> str:
        return place(next(i for i, cell in enumerate(values.to_pylist()) if category(cell) == word))

    return find_format(list(dict.fromkeys(words)), name, where, is_said=is_said)


def _unknown_cells(values: Any, name: str) -> list[Finding]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return []
    if not may_hold(values, UNKNOWN):
        return []
    number = pc.sum(pc.equal(pc.utf8_trim_whitespace(values), UNKNOWN)).as_py()
    sentence = f"Column '{name}' holds '?' in {number or 0:,} rows: they count as missing."
    return [Finding("missing", "note", (), sentence)] if number else []


def _eight_digits(values: Any, name: str) -> list[Finding]:
    if not look_like_dates(values):
        return []
    first = int(values.drop_null()[0].as_py())
    sentence = (
        f"Column '{name}' holds numbers that look like dates, such as {first}: read as numbers. "
        f"--date {name} reads them as dates."
    )
    return [Finding("reading", "warning", (), sentence)]


def _kind_of_words(values: Any, name: str, place: Place) -> _Found:
    """Return what a column of text holds, from its different cells."""
    import pyarrow.compute as pc

    if plain := plain_kind(values):
        return _Found(plain)
    counted = [(pair["values"], pair["counts"]) for pair in pc.value_counts(values).to_pylist()]
    counts = {str(word): count for word, count in counted if not is_empty(word)}
    if not counts:
        return _Found("categorical")
    words = {word.strip() for word in counts}
    lower = {word.lower() for word in words}
    if lower <= {*TRUE_WORDS, *FALSE_WORDS} and len(lower) == 2:
        return _Found("boolean")
    numbers = {word for word in counts if as_number(word) is not None}
    strange = [word for word in counts if word not in numbers and not is_unknown(word)]
    if numbers and not strange:
        return _Found("numeric")
    date_format, doubt = _find_dates(values, name, place, is_said=False)
    if date_format is not None:
        return _Found("date", doubt, date_format)
    total = sum(counts.values())
    if sum(counts[word] for word in numbers) < MOSTLY * total:
        return _Found("categorical", doubt)
    first = next(i for i, value in enumerate(values.to_pylist()) if value in strange)
    if len(numbers) > MANY_VALUES:
        num_strange = sum(counts[word] for word in strange)
        more = f" and {num_strange - 1:,} more rows" if num_strange > 1 else ""
        raise DataError(
            f"Column '{name}' holds '{strange[0]}' in {place(first)}{more}, where "
            f"{total - num_strange:,} other cells are numbers. Correct it, leave the cell empty, "
            f"or say --categorical {name} (or --drop {name})."
        )
    return _Found(
        "categorical",
        f"Column '{name}' holds {len(numbers)} different numbers and words such as "
        f"'{strange[0]}' ({place(first)}): read as categories.",
    )
