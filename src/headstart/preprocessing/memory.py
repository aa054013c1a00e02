"""Tables in memory, known by their faces: a pandas DataFrame, a pyarrow Table.

Neither library need be the one that made them, and pandas need not be installed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from headstart.cells import as_number, is_missing
from headstart.errors import DataError


class NamedColumns(Protocol):
    """Columns by name, of a file or in memory.

    Attributes:
        where: What a person calls the table.
        columns: Column names.
    """

    where: str
    columns: list[str]

    def values(self, column: str) -> list[object]:
        """Return all values of a column."""
        ...


class MemoryTable:
    """A DataFrame or a pyarrow Table.

    Args:
        values: What a user gave.
        where: What to call it in messages.

    Attributes:
        where: See above.
        columns: Column names.
        num_rows: Number of rows.

    Raises:
        DataError: Two columns have one name.
    """

    def __init__(self, values: Any, where: str) -> None:
        self.where = where
        self._is_frame = is_frame(values)
        self._values = values
        keys = list(values.columns if self._is_frame else values.column_names)
        self.columns = [str(key) for key in keys]
        refuse_duplicates(self.columns, where)
        self._keys = dict(zip(self.columns, keys, strict=True))
        self.num_rows = len(values) if self._is_frame else int(values.num_rows)

    def values(self, column: str) -> list[object]:
        """Return all values of a column."""
        found = self._column(column)
        return list(found.tolist() if self._is_frame else found.to_pylist())

    def arrow(self, column: str) -> Any:
        """Return a column as a pyarrow array."""
        return as_arrow(self._column(column)) if self._is_frame else self._column(column)

    def _column(self, column: str) -> Any:
        key = self._keys[column]
        return self._values[key] if self._is_frame else self._values.column(key)


def is_frame(values: Any) -> bool:
    """Return whether something is a pandas DataFrame."""
    return hasattr(values, "iloc") and hasattr(values, "columns")


def is_arrow_table(values: Any) -> bool:
    """Return whether something is a pyarrow Table."""
    return hasattr(values, "column_names") and hasattr(values, "schema")


def memory_table(values: Any, arrow: str = "the Table") -> MemoryTable | None:
    """Return a DataFrame or a pyarrow Table as named columns; None for anything else.

    Args:
        values: What a user gave.
        arrow: What to call a pyarrow Table in messages.

    Raises:
        DataError: Two columns have one name.
    """
    if is_frame(values):
        return MemoryTable(values, "the DataFrame")
    return MemoryTable(values, arrow) if is_arrow_table(values) else None


def as_arrow(values: Any) -> Any:
    """Return values as a pyarrow array; where they are of several kinds, as text.

    Args:
        values: A pandas column, or a list; NaN and None are missing, periods the day they begin.
    """
    import pyarrow as pa

    if str(getattr(values, "dtype", "")).startswith("period["):
        values = values.dt.to_timestamp()
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError):
        if any(type(value).__name__ == "Period" for value in values):
            return as_arrow([_begin(value) for value in values])
        return pa.array([None if is_missing(value) else str(value) for value in values])


def _begin(value: Any) -> Any:
    """Return the day on which one of pandas' periods (a month, a quarter) begins."""
    return value.to_timestamp() if type(value).__name__ == "Period" else value


def refuse_duplicates(names: tuple[str, ...] | list[str], where: str) -> None:
    """Refuse two columns of one name.

    Raises:
        DataError: There are.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [str(i + 1) for i, name in enumerate(names) if name == twice[0]]
        is_data = any(as_number(name) is not None for name in twice)
        header = " If the first row is data and no header, name all columns with --header."
        raise DataError(
            f"{where} has {len(places)} columns called '{twice[0]}' (columns {', '.join(places)}). "
            f"Give each column a name of its own, or remove one.{header if is_data else ''}"
        )
