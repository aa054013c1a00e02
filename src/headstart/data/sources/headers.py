"""Whether the first row of a file names its columns, or is a row of data that lacks a header.

A row of data taken as names is lost, and nothing shows it: ``--label ham`` of a file that begins
with ``ham`` trains well. So each name is held against the cells below it. It speaks for data where
it is a number among numbers, comes back in a column of few words, or is prose above prose; for
names where it is a word above numbers, or a short one above prose. What merely might be either
(years above numbers, numbers that count up) is a header. Only what was read of a file whose header
nobody has said is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from headstart.cells import as_number, is_gap, is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.columns import Table
from headstart.errors import quoted
from headstart.types import Finding

HEADERLESS = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".data", ".tab")
LEAST_ROWS = 5
FEW_WORDS = 0.5  # different words a cell, at the most, of a column whose words come back
LEAST_BACK = 2  # times that a name stands in its column, to be one of its words
PROSE_WORDS, NAME_WORDS = 4, 2  # words of prose on average, at the least; of a name, at the most
MOST_NAMED = 8  # columns that are named on a command line
Speaks = Literal["data", "names", ""]


def describe_header(table: Table, options: ReadOptions) -> list[Finding]:
    """Return that the first row of a file looks like data, with what decides it; empty otherwise.

    Args:
        table: As read, the first row as names.
        options: Where a header was said, nobody is asked.
    """
    name = table.where.lower().removesuffix(".gz")
    if options.header or options.schema is not None or not name.endswith(HEADERLESS):
        return []
    if table.num_rows < LEAST_ROWS or not looks_like_data(table):
        return []
    first = [column if len(column) <= 40 else f"{column[:37]}..." for column in table.columns]
    sentence = (
        f"The first row of {table.where} is taken as the names of its columns, and looks like "
        f"data: {quoted(first, limit=3)}. If it is a row of data, it is lost: {_way_out(table)}"
    )
    return [Finding("reading", "warning", (), sentence)]


def _way_out(table: Table) -> str:
    """Return how names are given to a file without: as an option, or where there are many."""
    number = len(table.columns)
    if number <= MOST_NAMED:
        names = " ".join(f"column{i + 1}" for i in range(number))
        return f"name all {number} columns, for example --header {names}, and --label one of them."
    return (
        f"name all {number:,} columns, for example --header $(seq {number}), and --label one of "
        "these numbers."
    )


def looks_like_data(table: Table) -> bool:
    """Return whether the names of a table's columns are what stands below them."""
    numbers = [as_number(name) for name in table.columns]
    if None not in numbers and _counts_up(np.array(numbers, float)):
        return False
    found = [speaks(name, table.head(name)) for name in table.columns]
    return "names" not in found and "data" in found


def speaks(name: str, cells: Sequence[object]) -> Speaks:
    """Return what a name above cells says of its row: ``data``, ``names``, or nothing.

    Example:
        >>> speaks("5.1", ["4.9", "5.6", "6.0"]), speaks("width", ["4.9", "5.6", "6.0"])
        ('data', 'names')
    """
    present = [cell for cell in cells if not is_missing(cell) and not is_gap(cell)]
    if not present or name.startswith("column "):  # it had no name
        return ""
    numbers = [as_number(cell) for cell in present]
    if None not in numbers:
        return _above_numbers(name, np.array(numbers, float))
    words = [str(cell).strip() for cell in present]
    counts = Counter(words)
    comes_back = counts[name] >= LEAST_BACK and len(counts) <= FEW_WORDS * len(words)
    if comes_back:
        return "data"
    if len(counts) <= len(words) / 10:  # each word ten times, and never the name
        return "names"
    if np.mean([len(word.split()) for word in words]) < PROSE_WORDS:
        return ""
    return "names" if len(name.split()) <= NAME_WORDS else "data"


def _above_numbers(name: str, numbers: np.ndarray) -> Speaks:
    number = as_number(name)
    if number is None:
        return "" if is_gap(name) else "names"
    low, high = float(numbers.min()), float(numbers.max())
    span = max(high - low, abs(high), 1e-12)
    return "data" if low - span <= number <= high + span else "names"


def _counts_up(numbers: np.ndarray) -> bool:
    """Return whether names are numbers in equal steps, as pandas and spectrometers write them."""
    steps = np.diff(numbers)
    return len(steps) > 0 and bool((steps > 0).all() and np.allclose(steps, steps[0]))
