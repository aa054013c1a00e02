"""Texts and table rows as samples: both live in memory, and stay whole when some are taken.

What makes a text unusable is stated here, once, for ``load`` and for ``predict``: it is missing or
blank, it holds NUL characters or half a surrogate pair (binary data, or a broken decoding), or it
is larger than ``MAX_TEXT_BYTES``. A long text is not: it is cut when it becomes tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.filesize import decimal

from headstart.cells import is_missing
from headstart.columnar import holds, letters_of
from headstart.types import TextPair

MAX_TEXT_BYTES = 64 * 2**20
TEXTS_AT_ONCE = 2**14  # that are looked over
_BLANK = 32
_MANY = 512  # below, each text is looked at sooner than pyarrow is asked of all


class RowNames(Sequence[str]):
    """What a person calls the rows of tables, made when asked for: ``row 17``.

    Args:
        wheres: Of each table, what stands before: ``""``, or ``"test.csv "``.
        num_rows: Of each table.
        places: int64, the rows that these names are of; all when None.
        numbers: Of each table, which row of its file each is, counted from 0; None, or None of a
            table, where no row was left out.
    """

    def __init__(
        self,
        wheres: Sequence[str],
        num_rows: Sequence[int],
        places: np.ndarray | None = None,
        numbers: Sequence[Sequence[int] | None] | None = None,
    ) -> None:
        self._wheres, self._num_rows, self._places = wheres, num_rows, places
        self._numbers = numbers or [None] * len(num_rows)
        self._starts = np.cumsum([0, *num_rows])

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._places is None else len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index = index % len(self)
        place = index if self._places is None else int(self._places[index])
        table = int(np.searchsorted(self._starts, place, side="right")) - 1
        row, numbers = place - int(self._starts[table]), self._numbers[table]
        return f"{self._wheres[table]}row {int(row if numbers is None else numbers[row]) + 1}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def take(self, indices: np.ndarray) -> RowNames:
        """Return the names of these alone."""
        indices = np.asarray(indices, np.int64)
        places = indices if self._places is None else self._places[indices]
        return RowNames(self._wheres, self._num_rows, places, self._numbers)


def take_names(names: Sequence[str], indices: np.ndarray) -> Sequence[str]:
    """Return the names of these samples alone."""
    if isinstance(names, RowNames):
        return names.take(indices)
    return [names[i] for i in np.asarray(indices).tolist()]


class TextSamples:
    """Texts in memory.

    Args:
        texts: One str a sample; before the unusable ones are left out, anything.
        names: What a person calls each of them.
    """

    def __init__(self, texts: Sequence[Any], names: Sequence[str]) -> None:
        self.texts = texts
        self.names = names

    def __len__(self) -> int:
        return len(self.texts)

    def read(self, index: int) -> str:
        """Return the text."""
        text: str = self.texts[index]
        return text

    def name(self, index: int) -> str:
        """Return the row, or the path of the file."""
        return self.names[index]

    def take(self, indices: np.ndarray) -> TextSamples:
        """Return these samples alone."""
        places = np.asarray(indices).tolist()
        return TextSamples([self.texts[i] for i in places], take_names(self.names, indices))


def text_fault(value: object) -> str | None:
    """Return why a value cannot be used as a text, or None when it can."""
    if isinstance(value, TextPair):
        for which, side in (("first", value.first), ("second", value.second)):
            if (fault := text_fault(side)) is not None:
                return f"of the {which} of its two texts: {fault}"
        return None
    if is_missing(value):
        return "the text is empty" if isinstance(value, str) else "the text is missing (NaN)"
    if not isinstance(value, str):
        return f"it is a {type(value).__name__}, not a text"
    if "\0" in value:
        return f"the text holds a NUL character (position {value.index(chr(0)):,})"
    try:
        num_bytes = len(value.encode())
    except UnicodeEncodeError as error:
        return f"the text holds half a surrogate pair (position {error.start:,})"
    if num_bytes > MAX_TEXT_BYTES:
        return f"the text has {decimal(num_bytes)}, the limit is {decimal(MAX_TEXT_BYTES)}"
    return None


def text_faults(texts: Sequence[Any]) -> dict[int, str]:
    """Return the place of each text that cannot be used, with the reason.

    The bytes of many texts tell which few have to be looked at.

    Args:
        texts: Anything.
    """
    found = {}
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        lot = texts[start : start + TEXTS_AT_ONCE]
        for place in _doubtful(lot):
            if (fault := text_fault(lot[place])) is not None:
                found[start + place] = fault
    return found


def _doubtful(lot: Sequence[Any]) -> Iterable[int]:
    """Return the places of texts that ``text_fault`` may find fault with: few, of good ones."""
    if len(lot) < _MANY:
        return range(len(lot))
    import pyarrow as pa
    import pyarrow.compute as pc

    if not set(map(type, lot)) <= {str, type(None)}:
        return range(len(lot))
    try:
        words = pa.array(lot, pa.large_string())
    except (pa.ArrowException, UnicodeError):  # half a surrogate pair
        return range(len(lot))
    doubtful = np.zeros(len(lot), bool)
    letters, starts, lengths = letters_of(pc.utf8_trim_whitespace(words))
    full = lengths > 0
    doubtful[~full] = True
    doubtful[full] = letters[starts[full]] < _BLANK  # what Python alone takes for blanks
    if holds(words, "\0"):
        doubtful |= pc.match_substring(words, "\0").fill_null(True).to_numpy(zero_copy_only=False)
    doubtful |= letters_of(words)[2] > MAX_TEXT_BYTES
    return np.flatnonzero(doubtful).tolist()


class TableSamples:
    """Rows of a table; some of them are a view of it, so that splits are not in memory twice.

    Args:
        table: A pyarrow Table whose columns have the types of ``kinds.canonical``.
        names: What a person calls each row.
        places: int64, shape (N,), which rows of the table they are; all when None.
    """

    def __init__(self, table: Any, names: Sequence[str], places: np.ndarray | None = None) -> None:
        self._whole = table.combine_chunks() if places is None else table
        self._places = places
        self.names = names

    def __len__(self) -> int:
        return int(self._whole.num_rows) if self._places is None else len(self._places)

    @property
    def table(self) -> Any:
        """The rows as a pyarrow Table."""
        return self.columns()

    def read(self, index: int) -> dict[str, Any]:
        """Return the row as a dict from column name to value; None where a cell is empty."""
        place = index if self._places is None else int(self._places[index])
        row: dict[str, Any] = self._whole.slice(place, 1).to_pylist()[0]
        return row

    def name(self, index: int) -> str:
        """Return the row's number, counted from 1."""
        return self.names[index]

    def columns(self, indices: np.ndarray | None = None) -> Any:
        """Return a pyarrow Table of these rows, or of all."""
        places = self._places if indices is None else self._at(indices)
        return self._whole if places is None else self._whole.take(places)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return list(self._whole.column_names)

    def column(self, name: str, indices: np.ndarray | None = None) -> Any:
        """Return one column of these rows, or of all, as a pyarrow chunked array."""
        places = self._places if indices is None else self._at(indices)
        column = self._whole.column(name)
        return column if places is None else column.take(places)

    def take(self, indices: np.ndarray) -> TableSamples:
        """Return these samples alone, as a view."""
        return TableSamples(self._whole, take_names(self.names, indices), self._at(indices))

    def select(self, columns: Sequence[str]) -> TableSamples:
        """Return the same rows with these columns alone."""
        return TableSamples(self._whole.select(list(columns)), self.names, self._places)

    def _at(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices, np.int64)
        return indices if self._places is None else self._places[indices]
