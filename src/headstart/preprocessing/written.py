"""Large columns of numbers and dates as people write them, read by the shapes of their cells.

A shape is a cell with every digit the same: ``1.234,50 €`` and ``9.876,00 €`` have one. A column of
a million different amounts has some dozen shapes, and what a format says of a cell it says of its
shape: so each shape is looked at once in Python, and the digits of all its cells are taken from the
bytes of the column. Zeros that lead other digits stay zeros, because ``007`` is a code.

Left out: times such as ``12:30``, whose digits matter, and columns whose cells mostly differ in
shape; these are read cell by cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.cells import is_gap
from headstart.columnar import letters_of, whole
from headstart.preprocessing.numbers import CLOCK, digit_places, read_number
from headstart.types import NumberFormat

MOST_SHAPES = 10_000
_ZERO, _ONE, _NINE, _POINT = 48, 49, 57, 46
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?")


@dataclass(frozen=True)
class Shapes:
    """The shapes of the N cells of a column of text.

    Attributes:
        column: The cells, a pyarrow array.
        words: The first cell of each shape, in the order in which they stand.
        codes: Which shape each cell has, int64, shape (N,); -1 where it is null.
    """

    column: Any
    words: list[str]
    codes: np.ndarray

    def counts(self) -> dict[str, int]:
        """Return how many cells have the shape of each word."""
        numbers = np.bincount(self.codes[self.codes >= 0], minlength=len(self.words))
        return dict(zip(self.words, numbers.tolist(), strict=True))

    def cells_like(self, words: Sequence[str]) -> Any:
        """Return the cells that have the shape of one of these words."""
        import pyarrow as pa

        wanted = set(words)
        places = [place for place, word in enumerate(self.words) if word in wanted]
        return self.column.filter(pa.array(np.isin(self.codes, places)))


def shapes_of(column: Any) -> Shapes | None:
    """Return the shapes of a column of text; None where its cells mostly differ in shape.

    Args:
        column: A pyarrow array or chunked array of strings.
    """
    import pyarrow as pa

    cells = whole(column)
    letters, starts, lengths = letters_of(cells)
    full = lengths > 0
    is_digit = (letters >= _ZERO) & (letters <= _NINE)
    before, after = np.roll(is_digit, 1), np.roll(is_digit, -1)
    before[starts[full]] = after[(starts + lengths)[full] - 1] = False  # of another cell
    shaped = letters.copy()
    shaped[is_digit & ~((letters == _ZERO) & ~before & after)] = _ONE
    ends = np.append(starts, starts[-1:] + lengths[-1:]) if len(starts) else np.zeros(1, np.int64)
    buffers = [None, pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(shaped)]
    encoded = pa.Array.from_buffers(pa.large_string(), len(cells), buffers).dictionary_encode()
    if len(encoded.dictionary) > MOST_SHAPES:
        return None
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    if cells.null_count:
        codes[cells.is_null().to_numpy(zero_copy_only=False)] = -1
    first = np.full(len(encoded.dictionary) + 1, len(codes))  # the last is that of -1
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    order = np.argsort(first[:-1], kind="stable")
    order = order[first[order] < len(codes)]  # without what only null cells have
    rank = np.full(len(first), -1)
    rank[order] = np.arange(len(order))
    return Shapes(cells, cells.take(pa.array(first[order])).to_pylist(), rank[codes])


def numbers_as_written(shapes: Shapes, number_format: NumberFormat) -> np.ndarray | None:
    """Return the numbers of a column, NaN for gaps; None where a cell is none of the format.

    Args:
        shapes: Of the column.
        number_format: How its numbers are written; times are not read here.
    """
    if number_format == CLOCK:
        return None
    letters, starts, _ = letters_of(shapes.column)
    numbers = np.full(len(shapes.codes), np.nan)
    order = np.argsort(shapes.codes, kind="stable")
    ends = np.searchsorted(shapes.codes[order], np.arange(len(shapes.words) + 1))
    for word, begin, end in zip(shapes.words, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        rows = order[begin:end]
        number = math.nan if not word.strip() else read_number(word, number_format)
        if number is None or math.isinf(number):
            return None
        if math.isnan(number):
            continue
        sign, places, point = digit_places(word, number_format)
        digits = letters[starts[rows][:, None] + np.array(places)]
        if point is not None:
            digits[:, point] = _POINT
        numbers[rows] = sign * _floats(digits)
    return None if np.isinf(numbers).any() else numbers


def _floats(digits: np.ndarray) -> np.ndarray:
    """Return the numbers that rows of characters spell, uint8, shape (N, L)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    num_rows, length = digits.shape
    ends = np.arange(num_rows + 1, dtype=np.int64) * length
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(digits))]
    words = pa.Array.from_buffers(pa.large_string(), num_rows, buffers)
    return np.asarray(pc.cast(words, pa.float64()).to_numpy(zero_copy_only=False))


def dates_as_written(column: Any) -> Any | None:
    """Return a column of ``2024-03-31`` or ``2024-03-31 14:05`` as timestamps; else None.

    Args:
        column: A pyarrow array or chunked array of strings; gaps become null.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    shapes = shapes_of(column)
    if shapes is None:
        return None
    gaps = [word for word in shapes.words if not word.strip() or is_gap(word)]
    others = [word for word in shapes.words if word not in gaps]
    if not others or not all(_ISO.fullmatch(word) for word in others):
        return None
    cells = shapes.column
    if gaps:
        cells = pc.if_else(pc.is_in(cells, value_set=pa.array(gaps, cells.type)), None, cells)
    try:
        return pc.cast(cells, pa.timestamp("us"))
    except pa.ArrowInvalid:  # the 31st of February
        return None
