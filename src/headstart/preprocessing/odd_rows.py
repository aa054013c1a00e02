"""Rows of which a cell is not what its column holds: found one by one, so that the others go on.

An empty cell is none of them: it is filled as in training. A column is read as a whole first, which
is all that happens where nothing is wrong; where something is, halves of it are read until each
cell that cannot be is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.preprocessing.base import Preprocess
from headstart.preprocessing.canonical import canonical
from headstart.preprocessing.for_tables import IncomingRows, TablePreprocess
from headstart.types import BadSample, Column

_HERE = "\0"  # stands in a message for the place, which the name of the row says already


def readable_rows(
    preprocess: Preprocess, samples: Any, names: Sequence[str] | None
) -> tuple[Any, Sequence[str] | None, list[BadSample]]:
    """Return those of some samples whose cells can be read, their names, and the others.

    Args:
        preprocess: Of a model; of images and texts without columns nothing is looked at.
        samples: As it takes them.
        names: What to call each of them; None for their numbers.
    """
    table = preprocess.rows
    if not isinstance(table, TablePreprocess):
        return samples, names, []
    is_table = hasattr(samples, "columns") or hasattr(samples, "column_names")
    rows = samples if is_table or isinstance(samples, Mapping) else list(samples)
    is_listed = isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows)
    if not is_table and not is_listed:
        return rows, names, []  # refused where they are read
    listed = IncomingRows.of(rows)
    called = [f"row {i + 1}" for i in range(len(listed))] if names is None else list(names)
    if len(called) != len(listed):
        return rows, names, []
    known = listed.under(table.columns)
    reasons: dict[int, str] = {}
    for column in table.spec.columns:
        if column.name in known.columns:
            for place, reason in _odd_cells(column, known.read(column.name)):
                reasons.setdefault(place, reason)
    if not reasons:
        return rows, names, []
    bad = [BadSample(called[place], reasons[place]) for place in sorted(reasons)]
    kept = np.setdiff1d(np.arange(len(called)), list(reasons))
    return _taken(rows, kept), [called[i] for i in kept.tolist()], bad


def _taken(rows: Any, places: np.ndarray) -> Any:
    """Return some rows of a list, a DataFrame or a pyarrow Table."""
    if isinstance(rows, list):
        return [rows[i] for i in places.tolist()]
    return rows.iloc[places] if hasattr(rows, "iloc") else rows.take(places)


def _odd_cells(column: Column, values: Any, first: int = 0) -> Iterator[tuple[int, str]]:
    """Yield the place of each cell that its column cannot hold, with the reason."""
    formats = (column.date_format, column.number_format)
    try:
        canonical(values, column.kind, column.name, lambda _: _HERE, *formats)
    except DataError as error:
        if len(values) == 1:
            said = str(error).replace(f" in {_HERE}", "").split(". ")[0]
            yield first, said[0].lower() + said[1:]
            return
        half = len(values) // 2
        yield from _odd_cells(column, values[:half], first)
        yield from _odd_cells(column, values[half:], first + half)
