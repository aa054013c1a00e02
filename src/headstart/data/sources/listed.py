"""Tables that are made while reading: rows of plain Python values, and changed views of others.

Formats that are no columns by nature (annotation exports, sheets, lines of fastText) end up in a
``ListTable``. An ``EditedTable`` is another table of which some rows are left out and some columns
replaced; what it does not touch is read from that table, so that images stay on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.columnar import taken
from headstart.data.sources.samples import ValueSamples
from headstart.preprocessing.memory import as_arrow, refuse_duplicates
from headstart.preprocessing.samples import take
from headstart.types import Samples

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

HEAD_ROWS = 100
Numbers = Sequence[int] | np.ndarray


class ListTable:
    """Columns of Python values.

    Args:
        columns: Each of N values.
        where: What a person calls the table.
        root: The folder that paths in the table start from.
        target: The column that the format itself says is to be learned, where it does.
        names: What the integers of a column stand for, where the format says so.
        numbers: The row of the file that each row was made from, from 0; None where one is one.
    """

    def __init__(
        self,
        columns: Mapping[str, list[Any]],
        where: str,
        root: Path,
        target: str | None = None,
        names: Mapping[str, list[str]] | None = None,
        numbers: Numbers | None = None,
    ) -> None:
        self.where, self.root, self.target = where, root, target
        self._columns = dict(columns)
        self._names = dict(names or {})
        self.columns = list(self._columns)
        refuse_duplicates(self.columns, where)
        self.num_rows = len(next(iter(self._columns.values()), ()))
        self.numbers = numbers

    def head(self, column: str) -> list[object]:
        """Return the first values."""
        return self._columns[column][:HEAD_ROWS]

    def values(self, column: str) -> list[object]:
        """Return all values."""
        return list(self._columns[column])

    def cells(self, column: str) -> Sequence[Any]:
        """Return all values."""
        return self._columns[column]

    def images(self, column: str, names: Sequence[str]) -> Samples:
        """Return the images of a column."""
        return ValueSamples(self.values(column), names, self.root)

    def image_names(self, column: str) -> list[str | None]:
        """Return the paths of a column."""
        return [_path_in(value) for value in self._columns[column]]

    def class_names(self, column: str) -> list[str] | None:
        """Return the names the format states."""
        return self._names.get(column)

    def arrow(self, columns: Sequence[str]) -> Any:
        """Return these columns as a pyarrow Table; cells of several kinds become text."""
        import pyarrow as pa

        return pa.table({column: _plain(self._columns[column]) for column in columns})


class EditedTable:
    """Some rows of a table, some of its columns replaced or added.

    Args:
        table: The table as it is.
        places: The rows that stay; None for all.
        replaced: Values of columns that are other ones, for the rows that stay.
        names: What the integers of a column stand for, where that is other than the table says.
        target: The column to learn, where the data itself says it.
        dropped: Columns that it no longer has.
        counts_from_one: Whether the integers of the target counted from one, before they were
            replaced.
    """

    def __init__(
        self,
        table: Table,
        places: Numbers | None = None,
        replaced: Mapping[str, Sequence[Any]] | None = None,
        names: Mapping[str, list[str]] | None = None,
        target: str | None = None,
        dropped: Sequence[str] = (),
        counts_from_one: bool = False,
    ) -> None:
        self._table, self._replaced = table, dict(replaced or {})
        self._places = np.asarray(range(table.num_rows) if places is None else places, np.int64)
        self._names = dict(names or {})
        self.where, self.root, self.target = table.where, table.root, target
        every = dict.fromkeys([*table.columns, *self._replaced])
        self.columns = [column for column in every if column not in dropped]
        self.num_rows = len(self._places)
        self.counts_from_one: bool = counts_from_one or getattr(table, "counts_from_one", False)
        inner = getattr(table, "numbers", None)
        self.numbers: Numbers = self._places if inner is None else np.asarray(inner)[self._places]

    def head(self, column: str) -> list[object]:
        """Return the first values."""
        return self.values(column)[:HEAD_ROWS]

    def values(self, column: str) -> list[object]:
        """Return all values."""
        return list(self.cells(column))

    def cells(self, column: str) -> Sequence[Any]:
        """Return all values, those that repeat once where the table knows them."""
        if column in self._replaced:
            return self._replaced[column]
        return taken(self._table.cells(column), self._places)

    def images(self, column: str, names: Sequence[str]) -> Samples:
        """Return the images of a column, read where the table has them."""
        if column in self._replaced:
            return ValueSamples(list(self._replaced[column]), names, self.root)
        every = [""] * self._table.num_rows
        for place, name in zip(self._places.tolist(), names, strict=True):
            every[place] = name
        return take(self._table.images(column, every), self._places)

    def image_names(self, column: str) -> list[str | None]:
        """Return the paths of a column."""
        if column in self._replaced:
            return [_path_in(value) for value in self._replaced[column]]
        names = self._table.image_names(column)
        return [names[i] for i in self._places]

    def class_names(self, column: str) -> list[str] | None:
        """Return the names given, else those of the table."""
        return self._names.get(column) or self._table.class_names(column)

    def arrow(self, columns: Sequence[str]) -> Any:
        """Return these columns as a pyarrow Table."""
        import pyarrow as pa

        kept = [column for column in columns if column not in self._replaced]
        table = self._table.arrow(kept).take(pa.array(self._places)) if kept else None
        return pa.table(
            {
                c: table.column(c) if table is not None and c in kept else _plain(self._replaced[c])
                for c in columns
            }
        )


def row_number(table: Table, index: int) -> int:
    """Return which row of its file a row of a table is, counted from 1."""
    numbers = getattr(table, "numbers", None)
    return int(index if numbers is None else numbers[index]) + 1


def from_rows(rows: Iterable[Mapping[str, Any]], where: str, root: Path, **more: Any) -> ListTable:
    """Return a table of rows; what a row lacks is None. ``more`` as of ``ListTable``."""
    rows = list(rows)
    columns = dict.fromkeys(key for row in rows for key in row)
    return ListTable({key: [row.get(key) for row in rows] for key in columns}, where, root, **more)


def _path_in(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("path")
    return value if isinstance(value, str) and value else None


def _plain(values: Sequence[Any]) -> Any:
    """Return values as an arrow column; what is nested is written as JSON."""
    values = list(values)
    if any(isinstance(value, (dict, list, tuple)) for value in values):
        values = [
            json.dumps(v, ensure_ascii=False, default=str)
            if isinstance(v, (dict, list, tuple))
            else v
            for v in values
        ]
    return as_arrow(values)
