"""Recognise what the columns of a table hold, and bring each into one canonical form.

Kinds: ``numeric`` (float64, NaN and empty become null), ``boolean`` (true/false, yes/no, y/n),
``date`` (days, with or without a time, as timestamps without zone; ``dates`` says how they may be
written), ``categorical`` (text, blanks around it taken off). What is recognised can be overridden
with ``numeric``, ``categorical`` and ``date``; there is no ``boolean``, because a column of two
values teaches the same as numbers 0 and 1, or as two categories.

A column is numeric when every cell that is not empty is a number, written in one of the ways of
``preprocessing.numbers``; cells such as ``?``, ``-``, ``None`` or ``#DIV/0!`` among numbers or
dates count as empty, however many, and are said to. A column of many different numbers with a few
other words in it is refused by the first such word, because both readings of it lose something the
user should know of; with few different numbers it is a column of codes, and said to be one. Numbers
with leading zeros are codes, and what pandas calls a category is one, whatever its values are.

Left out: lists.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.cells import MOSTLY, is_gap
from headstart.columnar import holds, is_text, plain_numbers, value_counts, whole
from headstart.data.levels import levels_of, pandas_categories, said_order
from headstart.data.options import ReadOptions
from headstart.data.quick import HEAD, SAMPLED, has_decimal_commas, plain_words
from headstart.data.targets import MANY_VALUES
from headstart.errors import DataError, quoted
from headstart.preprocessing.canonical import (
    FALSE_WORDS,
    TRUE_WORDS,
    Place,
    canonical,
    category,
    number_array,
    plain_values,
)
from headstart.preprocessing.dates import find_format, look_like_dates, may_be_a_date
from headstart.preprocessing.doubtful_points import doubtful_points
from headstart.preprocessing.numbers import (
    CLOCK,
    any_unit,
    best_format,
    find_number_format,
    is_code,
    read_number,
    say_amounts,
)
from headstart.preprocessing.written import Shapes, dates_as_written, numbers_as_written, shapes_of
from headstart.types import ColumnKind, DateFormat, Finding, FindingKind, NumberFormat

SOME = 0.3  # share of numbers from which words among them are told
SHOWN = 3
FEW_NUMBERS, FEW_WORDS = 10, 2


@dataclass(frozen=True)
class Recognised:
    """A table in canonical form.

    Attributes:
        table: A pyarrow Table.
        kinds: What each of its columns holds.
        date_formats: How the days of each date column are written.
        number_formats: How the numbers of a column are written, where not plainly.
        levels: The categories of a column in their order, where the data states one.
        findings: What a user should know of them.
    """

    table: Any
    kinds: dict[str, ColumnKind]
    date_formats: dict[str, DateFormat]
    number_formats: dict[str, NumberFormat]
    levels: dict[str, tuple[str, ...]]
    findings: list[Finding]


@dataclass(frozen=True)
class _Found:
    """What a column holds (None: no input), a sentence on it, how it is written.

    And its numbers, where they are read already: float64, NaN where a cell is empty.
    """

    kind: ColumnKind | None
    note: str | None = None
    date_format: DateFormat = ""
    number_format: NumberFormat = ""
    numbers: np.ndarray | None = None

    def findings(self) -> list[Finding]:
        """Return what to know of it; how numbers and days are written is no warning."""
        if self.note is None:
            return []
        about: FindingKind = "unused" if self.kind is None else "reading"
        is_read = self.kind in ("date", "numeric")
        return [Finding(about, "note" if is_read else "warning", (), self.note)]


def recognise(parts: list[Any], options: ReadOptions, place: Place) -> Recognised:
    """Return a table in canonical form, with what each column holds.

    Args:
        parts: pyarrow Tables with the same columns, one after the other; the list is emptied, so
            that a column as it was is let go of as soon as it is in its new form.
        options: Columns whose kind the user has said.
        place: Says where a row stands, counted over all parts.

    Raises:
        DataError: A cell does not fit its column, or is infinite.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {}
    kinds: dict[str, ColumnKind] = {}
    dates: dict[str, DateFormat] = {}
    numbers: dict[str, NumberFormat] = {}
    levels: dict[str, tuple[str, ...]] = {}
    findings: list[Finding] = []
    said = pandas_categories(parts[0])
    said_ordered = pandas_categories(parts[0], ordered=True)
    has_commas = any(has_decimal_commas(column) for part in parts for column in part.columns)
    held = [dict(zip(part.column_names, part.columns, strict=True)) for part in parts]
    parts.clear()
    for name in list(held[0]):
        raw = [columns_of_part.pop(name) for columns_of_part in held]
        values = _join([plain_values(column) for column in raw])
        is_category = name in said or any(pa.types.is_dictionary(c.type) for c in raw)
        if is_category and not options.trained_column(name):
            said.add(name)
        is_clock = any(pa.types.is_duration(c.type) or pa.types.is_time(c.type) for c in raw)
        found = _kind_of(values, name, options, place, said=said, has_commas=has_commas)
        findings += found.findings()
        if found.kind is None:
            continue
        written: NumberFormat = CLOCK if is_clock else found.number_format
        if found.numbers is not None:
            columns[name] = number_array(found.numbers)
        else:
            columns[name] = canonical(values, found.kind, name, place, found.date_format, written)
        if found.kind == "categorical" and (stated := levels_of(raw, said_ordered, name)):
            levels[name] = stated
            findings.append(said_order(name, stated))
        if found.kind in ("numeric", "date") and columns[name].null_count > values.null_count:
            findings += _gap_cells(values, name)
        columns[name] = whole(columns[name])
        kinds[name] = found.kind
        if found.kind == "date":
            dates[name] = found.date_format
        elif found.kind == "numeric":
            if written:
                numbers[name] = written
            if name not in options.kept_columns:
                findings += _eight_digits(columns[name], name)
    return Recognised(pa.table(columns), kinds, dates, numbers, levels, findings)


def _join(columns: Sequence[Any]) -> Any:
    """Return columns of several tables as one; as text where their types differ."""
    import pyarrow as pa

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


def _kind_of(
    values: Any,
    name: str,
    options: ReadOptions,
    place: Place,
    *,
    said: Collection[str],
    has_commas: bool,
) -> _Found:
    """Return what a column holds, and a note; ``said`` are the categories of pandas."""
    import pyarrow as pa

    t, kind = pa.types, values.type
    if trained := options.trained_column(name):
        return _Found(trained.kind, None, trained.date_format, trained.number_format)
    if name in options.categorical:
        return _Found("categorical")
    if name in options.numeric:
        return _said_numbers(values, name, has_commas=has_commas)
    if t.is_date(kind) or t.is_timestamp(kind):
        return _Found("date")
    if name in options.date:
        date_format, note = _find_dates(values, name, place, is_said=True)
        return _Found("date", note, date_format or "")
    if name in said:
        return _Found("categorical")
    if t.is_boolean(kind):
        return _Found("boolean")
    if t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind):
        return _Found("numeric")
    if t.is_string(kind) or t.is_large_string(kind):
        return _kind_of_words(values, name, place, has_commas=has_commas)
    if t.is_null(kind):
        return _Found("categorical")  # empty: left out later, by name
    return _Found(None, f"Left out column '{name}': it holds {kind}, which a table cannot use.")


def _said_numbers(values: Any, name: str, *, has_commas: bool) -> _Found:
    """Return how the numbers of a column are written that the user calls numeric."""
    if not is_text(values):
        return _Found("numeric")
    words = _present_words(values)
    number_format, note = find_number_format(words, name, has_commas=has_commas)
    if number_format is None:  # the cell that does not fit is refused where all are read
        number_format, note = any_unit(words) or best_format(words[:SAMPLED]), None
    return _Found("numeric", note, number_format=number_format)


def _present_words(values: Any) -> list[str]:
    """Return the different cells of a column of text, gaps left out."""
    import pyarrow.compute as pc

    different = pc.unique(values).to_pylist()
    return [word for word in different if category(word) and not is_gap(word)]


def _find_dates(
    values: Any, name: str, place: Place, *, is_said: bool
) -> tuple[DateFormat | None, str | None]:
    """Return how the dates of a column are written, None where it holds none, and a note."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(values) and len(values) > HEAD and dates_as_written(values) is not None:
        return "", None
    different = values if pa.types.is_nested(values.type) else pc.unique(values)
    found = [word for word in map(category, different.to_pylist()) if word is not None]
    words = [word for word in found if not is_gap(word)]
    if found and not words:
        return ("", None) if is_said else (None, None)

    def where(word: str) -> str:
        return place(next(i for i, cell in enumerate(values.to_pylist()) if category(cell) == word))

    return find_format(list(dict.fromkeys(words)), name, where, is_said=is_said)


def _gap_cells(values: Any, name: str) -> list[Finding]:
    """Return a finding on the words of a column of numbers or dates that say there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_text(values):
        return []
    shapes = shapes_of(values)
    different = pc.unique(values).to_pylist() if shapes is None else shapes.words
    words = [word for word in different if is_gap(word)]
    if not words:
        return []
    number = pc.sum(pc.is_in(values, value_set=pa.array(words, values.type))).as_py()
    shown = quoted(list(dict.fromkeys(word.strip() for word in words)), limit=SHOWN)
    sentence = (
        f"Column '{name}' holds {shown} in {number:,} rows: they count as missing. If "
        f"they mean something, --categorical {name} keeps them as categories."
    )
    return [Finding("missing", "note", (), sentence)]


def _eight_digits(values: Any, name: str) -> list[Finding]:
    if not look_like_dates(values):
        return []
    first = int(values.drop_null()[0].as_py())
    sentence = (
        f"Column '{name}' holds numbers that look like dates, such as {first}: read as numbers. "
        f"--date {name} reads them as dates."
    )
    return [Finding("reading", "warning", (), sentence)]


def _kind_of_words(values: Any, name: str, place: Place, *, has_commas: bool) -> _Found:
    """Return what a column of text holds, from its different cells."""
    if not has_commas and values.null_count < len(values):
        if (numbers := plain_numbers(values)) is not None:
            head = [word for word in values.slice(0, HEAD).to_pylist() if word]
            return _Found("numeric", doubtful_points(f"Column '{name}'", head), numbers=numbers)
        if plain_words(values):
            return _Found("categorical")
    shapes = shapes_of(values) if len(values) > HEAD and not holds(values, ":") else None
    counted = shapes.counts() if shapes else value_counts(values)
    counts = {str(word): count for word, count in counted.items() if category(word) is not None}
    if not counts:
        return _Found("categorical")
    lower = {word.strip().lower() for word in counts}
    if lower <= {*TRUE_WORDS, *FALSE_WORDS} and len(lower) == 2:
        return _Found("boolean")
    present = [word for word in counts if not is_gap(word)]
    if codes := [word for word in present if is_code(word)]:
        return _Found("categorical", _codes_note(codes, present, name))
    number_format, note = find_number_format(present, name, has_commas=has_commas)
    if number_format is None and shapes and any_unit(present):
        # which units a column has depends on how many of its cells bear one
        number_format, note = find_number_format(
            _present_words(values), name, has_commas=has_commas
        )
    if number_format is not None:
        numbers = numbers_as_written(shapes, number_format) if shapes else None
        return _Found("numeric", note, number_format=number_format, numbers=numbers)
    doubt = None
    if shapes is None or any(map(may_be_a_date, present)):
        date_format, doubt = _find_dates(values, name, place, is_said=False)
        if date_format is not None:
            return _Found("date", doubt, date_format)
    present_counts = {word: counts[word] for word in present}
    return _mixed(values, present_counts, name, place, note or doubt, shapes)


def _codes_note(codes: list[str], present: list[str], name: str) -> str | None:
    """Return a note on leading zeros where someone may have meant numbers."""
    if not all(word.strip().isdigit() for word in present):
        return None
    return (
        f"Column '{name}' holds digits after a leading zero, such as {quoted(codes, limit=3)}: "
        f"codes, read as categories. --numeric {name} reads them as numbers."
    )


def _mixed(
    values: Any,
    counts: dict[str, int],
    name: str,
    place: Place,
    note: str | None,
    shapes: Shapes | None,
) -> _Found:
    """Return what a column holds whose words are neither all numbers nor all dates.

    Args:
        values: The column.
        counts: How often each word is there; with ``shapes`` how often any of its shape is.
        name: Its header.
        place: Says where a row stands.
        note: What is known already.
        shapes: Those of the column, where it is large.

    Raises:
        DataError: It is a column of numbers but for a few words.
    """
    import pyarrow.compute as pc

    number_format = best_format(list(counts)[:SAMPLED])
    numbers = [word for word in counts if read_number(word, number_format) is not None]
    read = set(numbers)
    strange = [word for word in counts if word not in read]
    total, num_strange = sum(counts.values()), sum(counts[word] for word in strange)
    if not note and not numbers and len(strange) >= FEW_NUMBERS:
        note = say_amounts(name, strange)
    if note or not strange or not numbers:
        return _Found("categorical", note)
    shown = quoted([word.strip() for word in strange], limit=SHOWN)
    num_numbers = len(pc.unique(shapes.cells_like(numbers))) if shapes else len(numbers)
    is_many = num_numbers > MANY_VALUES
    if total - num_strange < MOSTLY * total:
        # a word or two beside many different numbers stand for what is not known
        is_gapped = num_numbers >= FEW_NUMBERS and len(strange) <= FEW_WORDS
        if not is_gapped and (not is_many or total - num_strange < SOME * total):
            return _Found("categorical")
        return _Found(
            "categorical",
            f"Column '{name}' holds {total - num_strange:,} numbers and {num_strange:,} other "
            f"cells, such as {shown}: read as categories. If it holds numbers, leave the other "
            f"cells empty; if not, say --categorical {name}.",
        )
    first = pc.index(values, strange[0]).as_py()
    if is_many:
        more = f" and {num_strange - 1:,} more rows" if num_strange > 1 else ""
        more += f" (such cells: {shown})" if len(strange) > 1 else ""
        raise DataError(
            f"Column '{name}' holds '{strange[0]}' in {place(first)}{more}, where "
            f"{total - num_strange:,} other cells are numbers. Correct it, leave the cell empty, "
            f"or say --categorical {name} (or --drop {name})."
        )
    return _Found(
        "categorical",
        f"Column '{name}' holds {num_numbers} different numbers and words such as "
        f"'{strange[0]}' ({place(first)}): read as categories.",
    )
