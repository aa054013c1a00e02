"""Columns as pyarrow keeps them, looked at as a whole: no loop in Python over a million cells.

``Coded`` is a column whose cells repeat, each different one once; what is asked of all cells
(``different``, ``mapped``, ``counted``, ``kinds_of``) is asked of these alone. ``Lazy`` is one
whose cells mostly differ; they become Python values only when somebody asks for them. Both are
sequences, and the functions take any sequence, so that a reader need not know what it has.

Of text pyarrow keeps the bytes one after the other, with the place where each cell begins. Whether
any holds a comma, whether all are plain numbers, whether any has a blank around it can be seen from
the bytes, in a fiftieth of the time that Python takes to look at each cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

MANY_ROWS = 200_000  # from which a column is worth being given back at once
HEAD_ROWS = 1_000  # whose cells say whether those of a column repeat
_ZERO, _NINE, _PLUS, _MINUS, _BLANK, _LAST_ASCII = 48, 57, 43, 45, 32, 127


class Coded(Sequence[Any]):
    """Cells of a column that repeat.

    Args:
        words: The different cells; every one of them occurs.
        codes: Which of them each row holds, integers, shape (N,).
    """

    def __init__(self, words: Sequence[Any], codes: np.ndarray) -> None:
        self.words = words
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self.words[code] for code in self.codes[index].tolist()]
        return self.words[self.codes[index]]

    def __iter__(self) -> Iterator[Any]:
        return map(self.words.__getitem__, self.codes.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class Lazy(Sequence[Any]):
    """Cells of a column that mostly differ.

    Args:
        column: A pyarrow array or chunked array of text or of numbers.
    """

    def __init__(self, column: Any) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self.column[i].as_py() for i in range(*index.indices(len(self)))]
        return self.column[int(index)].as_py()

    def __iter__(self) -> Iterator[Any]:
        for block in blocks_of(self.column, 2**16):
            yield from block.to_pylist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def cells_of(column: Any) -> Sequence[Any]:
    """Return the cells of a pyarrow column as Python values, those that repeat once.

    Args:
        column: An array or chunked array of any type.
    """
    import pyarrow as pa

    t, kind = pa.types, column.type
    if not (is_text(column) or t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind)):
        return list(column.to_pylist())
    head = column.slice(0, HEAD_ROWS).to_pylist()
    if 2 * len(set(head)) > len(head):
        return Lazy(column)
    encoded = whole(column).dictionary_encode()
    words, codes = encoded.dictionary.to_pylist(), encoded.indices
    if codes.null_count:
        codes = codes.fill_null(len(words))
        words.append(None)
    return Coded(words, codes.to_numpy(zero_copy_only=False))


def different(values: Sequence[Any]) -> Sequence[Any]:
    """Return cells among which every one of ``values`` is, as few as are known without a loop."""
    return values.words if isinstance(values, Coded) else values


def mapped(values: Sequence[Any], function: Callable[[Any], Any]) -> Sequence[Any]:
    """Return what a function makes of each cell; it is called once for what is known to repeat."""
    if isinstance(values, Coded):
        return Coded([function(word) for word in values.words], values.codes)
    return [function(value) for value in values]


def array_from(values: Sequence[Any], function: Callable[[Any], Any], dtype: Any) -> np.ndarray:
    """Return what a function makes of each cell, as an array of N."""
    of = different(values)
    made = np.fromiter(map(function, of), dtype, len(of))
    return made[values.codes] if isinstance(values, Coded) else made


def counted(values: Sequence[Any]) -> dict[Any, int]:
    """Return how often each different cell is there; the cells can be keys of a dict."""
    counts: dict[Any, int] = {}
    if isinstance(values, Coded):
        numbers = np.bincount(values.codes, minlength=len(values.words)).tolist()
        for word, number in zip(values.words, numbers, strict=True):
            counts[word] = counts.get(word, 0) + number
        return counts
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def kinds_of(values: Sequence[Any]) -> set[type]:
    """Return the types of the cells."""
    if not isinstance(values, Lazy):
        return set(map(type, different(values)))
    import pyarrow as pa

    column, t = values.column, pa.types
    kind: type = str if is_text(column) else bool if t.is_boolean(column.type) else float
    if t.is_integer(column.type):
        kind = int
    return (
        {type(None)}
        if column.null_count == len(column)
        else ({kind, type(None)} if column.null_count else {kind})
    )


def numbers_of(values: Sequence[Any]) -> np.ndarray | None:
    """Return the numbers of cells that mostly differ, NaN where one is empty; else None.

    None says only that the cells have to be looked at one by one.
    """
    if not isinstance(values, Lazy):
        return None
    import pyarrow as pa
    import pyarrow.compute as pc

    column = values.column
    if is_text(column):
        return plain_numbers(column)
    if pa.types.is_boolean(column.type):
        return None
    return np.asarray(
        pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64
    )


def taken(values: Sequence[Any], places: np.ndarray) -> Sequence[Any]:
    """Return the cells of these rows.

    Args:
        values: Cells of N rows.
        places: int64, shape (M,), which of them.
    """
    if isinstance(values, Lazy):
        return Lazy(values.column.take(places))
    if not isinstance(values, Coded):
        return [values[i] for i in places.tolist()]
    codes = values.codes[places]
    _, first, ranks = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)  # the word that comes first stands first
    place_of = np.empty(len(order), np.int64)
    place_of[order] = np.arange(len(order))
    used = codes[first[order]].tolist()
    return Coded([values.words[code] for code in used], place_of[ranks.reshape(-1)])


def joined(parts: Iterable[Sequence[Any]]) -> Sequence[Any]:
    """Return the cells of several tables, one after the other."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    coded = [part for part in parts if isinstance(part, Coded)]
    if len(coded) < len(parts) or not coded:
        return [value for part in parts for value in part]
    words = [word for part in coded for word in part.words]
    begins = np.cumsum([0, *(len(part.words) for part in coded)]).tolist()
    codes = [part.codes + begin for part, begin in zip(coded, begins, strict=False)]
    return Coded(words, np.concatenate(codes))


def is_text(column: Any) -> bool:
    """Return whether a pyarrow column holds text."""
    import pyarrow as pa

    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def chunks_of(column: Any) -> list[Any]:
    """Return the arrays that a pyarrow column is made of, without empty ones."""
    return [chunk for chunk in getattr(column, "chunks", [column]) if len(chunk)]


def value_counts(column: Any) -> dict[Any, int]:
    """Return how often each different cell of a pyarrow column is there, as they come first."""
    import pyarrow.compute as pc

    return {pair["values"]: pair["counts"] for pair in pc.value_counts(column).to_pylist()}


def whole(column: Any) -> Any:
    """Return a pyarrow array or chunked array as one array, as it is where it has one chunk."""
    import pyarrow as pa

    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def bytes_of(words: Any) -> tuple[int, int, Any, np.ndarray]:
    """Return where the bytes of a pyarrow array begin and end, their buffer, and N + 1 offsets."""
    import pyarrow as pa

    _, offsets, data = words.buffers()
    if offsets is None or not len(words):
        return 0, 0, data, np.zeros(len(words) + 1, np.int64)
    width = np.int64 if pa.types.is_large_string(words.type) else np.int32
    ends = np.frombuffer(offsets, width)[words.offset : words.offset + len(words) + 1]
    return int(ends[0]), int(ends[-1]), data, ends.astype(np.int64)


def letters_of(words: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the bytes of all words of a pyarrow array, and where each begins and how long it is.

    Returns:
        uint8, shape (B,); int64, shape (N,); int64, shape (N,).
    """
    first, last, data, ends = bytes_of(words)
    letters = np.empty(0, np.uint8)
    if last > first:
        letters = np.frombuffer(data, np.uint8, last - first, first)
    return letters, ends[:-1] - first, np.diff(ends)


def holds(column: Any, *letters: str) -> bool:
    """Return whether any of these ASCII characters stands anywhere in a column of text."""
    wanted = [np.uint8(ord(letter)) for letter in letters]
    return any(
        bool((data == letter).any())
        for data, _, _ in map(letters_of, chunks_of(column))
        for letter in wanted
    )


def holds_short(column: Any, longest: int) -> bool:
    """Return whether a word of a column of text is at most so many bytes long; also the empty."""
    for words in chunks_of(column):
        lengths = letters_of(words)[2]
        if words.null_count:
            lengths = lengths[words.is_valid().to_numpy(zero_copy_only=False)]
        if len(lengths) and lengths.min() <= longest:
            return True
    return False


def is_trimmed(column: Any) -> bool:
    """Return whether words surely have no blanks around them; of other than ASCII it says no."""
    for words in chunks_of(column):
        letters, starts, lengths = letters_of(words)
        full = lengths > 0
        if not full.all():
            starts, lengths = starts[full], lengths[full]
        for edge in (letters[starts], letters[starts + lengths - 1]):
            if len(edge) and (edge.min() <= _BLANK or edge.max() >= _LAST_ASCII):
                return False
    return True


def plain_numbers(column: Any) -> np.ndarray | None:
    """Return the numbers of a column of text; None where a cell is no plain finite number.

    Plain is what programs write: ``12``, ``-3.5``, ``1e-7``; not ``007``, ``inf``, ``1,000``,
    ``" 1"`` or an empty text.

    Args:
        column: A pyarrow array or chunked array of strings.

    Returns:
        float64, shape (N,), NaN where there is no cell.
    """
    found = []
    for words in chunks_of(column):
        numbers = _plain_numbers(words)
        if numbers is None:
            return None
        found.append(numbers)
    return np.concatenate(found) if found else np.empty(0, np.float64)


def _plain_numbers(words: Any) -> np.ndarray | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    letters, starts, lengths = letters_of(words)
    if not len(letters):
        return np.full(len(words), np.nan) if words.null_count == len(words) else None
    if not _are_of_numbers(letters):
        return None
    if words.null_count:
        is_valid = words.is_valid().to_numpy(zero_copy_only=False)
        starts, lengths = starts[is_valid], lengths[is_valid]
    if lengths.min() == 0:
        return None
    begin = letters[starts]
    unusual = np.flatnonzero(begin <= _ZERO)  # a sign, a point, or a zero that may lead others
    if len(unusual):
        begin, starts, lengths = begin[unusual], starts[unusual], lengths[unusual]
        is_signed = (begin == _PLUS) | (begin == _MINUS)
        padded = np.append(letters, np.zeros(2, np.uint8))
        starts = starts + is_signed
        after = padded[starts + 1]
        is_long = lengths - is_signed > 1
        is_code = (padded[starts] == _ZERO) & is_long & (after >= _ZERO) & (after <= _NINE)
        if is_code.any():
            return None
    try:
        numbers = pc.cast(words, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return None if np.isinf(numbers).any() else numbers


def _are_of_numbers(letters: np.ndarray) -> bool:
    """Return whether bytes are digits, signs, points and e; also commas, for all that is told."""
    if letters.min() < _PLUS:
        return False
    if letters.max() <= _NINE:
        return True
    rest = letters[letters > _NINE] | 32
    return bool((rest == ord("e")).all())


def begin_with_letters(words: Any) -> bool:
    """Return whether each word of a pyarrow array begins with an ASCII letter, or is empty."""
    letters, starts, lengths = letters_of(words)
    if not len(letters):
        return bool(words.null_count == len(words))
    begin = letters[starts[lengths > 0]] | 32
    return bool(((begin >= ord("a")) & (begin <= ord("z"))).all())


def blocks_of(column: Any, num_rows: int) -> Iterator[Any]:
    """Yield a pyarrow column as arrays of at most so many rows."""
    for chunk in chunks_of(column):
        for start in range(0, len(chunk), num_rows):
            yield chunk.slice(start, num_rows)


def give_memory_back(num_rows: int | None = None) -> None:
    """Return to the system what pyarrow, and on Linux NumPy, keep of columns that are gone.

    Args:
        num_rows: Of the columns, where it is asked for often: of few rows it is not worth it.
    """
    if num_rows is not None and num_rows < MANY_ROWS:
        return
    import ctypes
    import sys

    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
