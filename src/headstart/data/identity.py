"""What a sample is, wherever it stands: a number made of its content alone, columns at a time.

Two numbers a sample, 64 bits each: ``exact`` changes with every character and is what a
fingerprint is made of; ``content`` is the same for samples that differ only in how they are
written, and is what copies are found by:

- words: in small letters, in one Unicode form, each run of blanks one space, ``3.0`` as ``3``;
- numbers: as numbers, ``-0`` as ``0``, and what a float32 holds as the decimal it was written from;
  truth values as 0 and 1;
- an image: its bytes, whatever the file is called.

The number of a row is the sum over its columns of a number made of the cell and the column's
name: the order of the columns does not count, and what a column adds can be taken off again. The
mixing is written out here, so that the numbers stay the same with every version of every library.
They are not made to withstand somebody who looks for two rows of one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from headstart.columnar import blocks_of, bytes_of, give_memory_back, is_text

BLOCK_ROWS = 2**16  # hashed at once: what this takes is some MB, whatever the table has
NUMBER_BLOCK_ROWS = 2**14  # of numbers: what is made on the way then stays in the processor's cache
MAX_LOOPED_BYTES = 1024  # longer cells are hashed one by one
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_THIRD = np.uint64(0x94D049BB133111EB)
_NULL = np.uint64(0x5851F42D4C957F2D)
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)
_BLANKS = r"[\s\p{Z}]+"
_WHOLE = r"^(-?(?:0|[1-9]\d*))\.0+$"


@dataclass(frozen=True)
class Identity:
    """What N samples are.

    Attributes:
        exact: uint64, shape (N,).
        content: uint64, shape (N,), the same for copies and near copies.
    """

    exact: np.ndarray
    content: np.ndarray

    def take(self, places: np.ndarray) -> Identity:
        """Return those of these samples."""
        return Identity(self.exact[places], self.content[places])


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Return numbers in which every bit of the given ones counts; uint64, one to one."""
    if len(numbers) > NUMBER_BLOCK_ROWS:  # a block stays in the processor's cache
        found = np.empty(len(numbers), np.uint64)
        for start in range(0, len(numbers), NUMBER_BLOCK_ROWS):
            part = slice(start, start + NUMBER_BLOCK_ROWS)
            found[part] = mixed(numbers[part])
        return found
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _SECOND
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _THIRD
    return np.asarray(numbers ^ (numbers >> np.uint64(31)))


def seed_of(name: str) -> np.uint64:
    """Return the number that stands for a name."""
    digest = blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def text_identity(texts: Sequence[str]) -> Identity:
    """Return what texts are.

    Args:
        texts: Without half surrogate pairs.
    """
    import pyarrow as pa

    exact, content = [], []
    for start in range(0, len(texts), BLOCK_ROWS):
        block = pa.array(texts[start : start + BLOCK_ROWS], pa.large_string())
        hashed, folded = _hash_words(block, is_category=False)
        exact.append(hashed)
        content.append(folded)
    none = [np.empty(0, np.uint64)]
    return Identity(np.concatenate(exact or none), np.concatenate(content or none))


def row_identity(table: Any, columns: Sequence[str] | None = None) -> Identity:
    """Return what rows are, by these columns or by all.

    Args:
        table: A pyarrow Table whose columns have the types of ``preprocessing.canonical``.
        columns: Names of columns of it.
    """
    exact = np.zeros(table.num_rows, np.uint64)
    content = np.zeros(table.num_rows, np.uint64)
    for name in table.column_names if columns is None else columns:
        for rows, of_exact, of_content in _hash_column(table.column(name), name):
            exact[rows] += of_exact
            content[rows] += of_content
    return Identity(exact, content)


def without(identity: Identity, table: Any, columns: Sequence[str]) -> Identity:
    """Return what rows are without these of their columns.

    Args:
        identity: Of the rows, by these columns and others.
        table: The rows.
        columns: Names.
    """
    exact, content = identity.exact.copy(), identity.content.copy()
    for name in columns:
        for rows, of_exact, of_content in _hash_column(table.column(name), name):
            exact[rows] -= of_exact
            content[rows] -= of_content
    return Identity(exact, content)


def column_identity(column: Any, name: str) -> Identity:
    """Return what a column adds to the numbers of its rows.

    Args:
        column: A pyarrow array or chunked array.
        name: Its name.
    """
    exact = np.empty(len(column), np.uint64)
    content = np.empty(len(column), np.uint64)
    for rows, of_exact, of_content in _hash_column(column, name):
        exact[rows], content[rows] = of_exact, of_content
    return Identity(exact, content)


def _hash_column(column: Any, name: str) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield, for some rows at a time: which, and what the column adds to their numbers."""
    seed, start = seed_of(name), 0
    for cells in blocks_of(column, BLOCK_ROWS if is_text(column) else NUMBER_BLOCK_ROWS):
        hashed, folded = _hash_cells(cells)
        exact = mixed(hashed ^ seed)
        content = exact if folded is hashed else mixed(folded ^ seed)
        yield slice(start, start + len(cells)), exact, content
        start += len(cells)


def _hash_cells(cells: Any) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow as pa

    t = pa.types
    if is_text(cells):
        return _hash_words(cells, is_category=True)
    if t.is_timestamp(cells.type):
        values = cells.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        hashed = mixed(values.astype(np.int64).view(np.uint64))
    else:
        numbers = cells.cast(pa.uint8()) if t.is_boolean(cells.type) else cells
        numbers = numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        hashed = mixed(_plain_numbers(np.nan_to_num(numbers, nan=0.0)).view(np.uint64))
    if cells.null_count:
        hashed[cells.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return hashed, hashed


def _plain_numbers(numbers: np.ndarray) -> np.ndarray:
    """Return float64 as they were written: 0.1 that went through a float32 is 0.1 again."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = numbers + 0.0  # a copy, in which -0 is 0
    with np.errstate(over="ignore", under="ignore"):
        narrow = numbers.astype(np.float32)
    through = narrow == numbers
    if through.any():
        through &= numbers * 4096 != np.floor(numbers * 4096)
    if through.any():
        words = pc.cast(pa.array(narrow[through]), pa.string())
        numbers[through] = pc.cast(words, pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def _hash_words(cells: Any, *, is_category: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers of words as they stand, and of their folded form."""
    import pyarrow.compute as pc

    codes, words = None, cells
    head = cells.slice(0, 1024)
    if is_category and 2 * pc.count_distinct(head, mode="all").as_py() < len(head):
        encoded = cells.dictionary_encode()
        codes, words = encoded.indices, encoded.dictionary
    hashed = hash_strings(words)
    folded_words = fold(words, is_category=is_category)
    folded = hashed if folded_words.equals(words) else hash_strings(folded_words)
    if codes is None:
        return hashed, folded
    places = codes.fill_null(0).to_numpy(zero_copy_only=False)
    empty = codes.is_null().to_numpy(zero_copy_only=False)
    if not len(words):
        hashed = folded = np.full(len(cells), _NULL)
        return hashed, folded
    spread = [np.where(empty, _NULL, numbers[places]) for numbers in (hashed, folded)]
    return spread[0], spread[0] if folded is hashed else spread[1]


def fold(words: Any, *, is_category: bool = False) -> Any:
    """Return words in small letters, in one Unicode form, each run of blanks one space.

    Args:
        words: A pyarrow array of strings.
        is_category: Whether ``3.0`` is ``3``.
    """
    import pyarrow.compute as pc

    if pc.all(pc.string_is_ascii(words)).as_py() is False:
        words = pc.utf8_normalize(words, form="NFKC")
    words = pc.utf8_trim_whitespace(pc.utf8_lower(words))
    if _may_hold_odd_blanks(words):
        words = pc.utf8_trim_whitespace(pc.replace_substring_regex(words, _BLANKS, " "))
    if is_category and pc.any(pc.ends_with(words, ".0")).as_py():
        words = pc.replace_substring_regex(words, _WHOLE, r"\1")
    return words


def _may_hold_odd_blanks(words: Any) -> bool:
    """Return whether other blanks than single spaces may be there: quick, not exact."""
    first, last, data, _ = bytes_of(words)
    if not last - first:
        return False
    letters = np.frombuffer(data, np.uint8, last - first, first)
    is_blank = letters == 32
    return bool(
        (letters < 32).any() or (letters > 126).any() or (is_blank[1:] & is_blank[:-1]).any()
    )


def hash_strings(words: Any) -> np.ndarray:
    """Return a number for each string of a pyarrow array: uint64, shape (N,).

    Eight bytes of all strings at a time; the few long ones one by one.
    """
    first, last, data, ends = bytes_of(words)
    padded = np.zeros(last - first + 8, np.uint8)
    if last > first:
        padded[: last - first] = np.frombuffer(data, np.uint8, last - first, first)
    starts, lengths = ends[:-1] - first, np.diff(ends)
    at_byte = np.lib.stride_tricks.as_strided(
        padded[:8].view(np.uint64), (last - first + 1,), (1,), writeable=False
    )
    hashed = mixed(lengths.astype(np.uint64) * _FIRST + np.uint64(1))
    places = np.flatnonzero((lengths > 0) & (lengths <= MAX_LOOPED_BYTES))
    done = 0
    while len(places):
        rest = np.minimum(lengths[places] - done, 8)
        eight = at_byte[starts[places] + done] & _MASKS[rest]
        hashed[places] = mixed(hashed[places] * _FIRST + eight)
        done += 8
        places = places[lengths[places] > done]
    for place in np.flatnonzero(lengths > MAX_LOOPED_BYTES).tolist():
        content = padded[starts[place] : starts[place] + lengths[place]]
        digest = blake2b(content.tobytes(), digest_size=8).digest()
        hashed[place] = np.uint64(int.from_bytes(digest, "little"))
    if words.null_count:
        hashed[words.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return hashed


def word_numbers(words: Any, places: np.ndarray) -> Any:
    """Return a number for each of some strings of a pyarrow column, the same for the same.

    Args:
        words: Strings.
        places: int64, shape (M,), which of them, ascending.

    Returns:
        A pyarrow array of uint64, null where a string is.
    """
    import pyarrow as pa

    hashed = _numbers_of(words)
    numbers = hashed if len(places) == len(words) else hashed[places]
    return pa.array(numbers, mask=numbers == _NULL if words.null_count else None)


def _numbers_of(words: Any) -> np.ndarray:
    """Return a number for each string of a pyarrow column, uint64, shape (N,)."""
    found, done = np.empty(len(words), np.uint64), 0
    for block in blocks_of(words, BLOCK_ROWS):
        found[done : done + len(block)] = hash_strings(block)
        done += len(block)
    return found


def count_different(cells: Any) -> int:
    """Return how many different cells a pyarrow column holds, strings by their numbers."""
    if is_text(cells):
        ordered = _numbers_of(cells)
        ordered.sort()  # in its own memory
    else:
        ordered = np.sort(cells.to_numpy(zero_copy_only=False))
    return int((ordered[1:] != ordered[:-1]).sum()) + bool(len(ordered))


def has_equal(numbers: np.ndarray) -> bool:
    """Return whether a number stands there twice."""
    ordered = np.sort(numbers)
    return bool((ordered[1:] == ordered[:-1]).any())


def ordinals(contents: np.ndarray) -> np.ndarray:
    """Return of each sample how many of the same content stand before it: int64, shape (N,)."""
    if not has_equal(contents):
        return np.zeros(len(contents), np.int64)
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(order)])
    sizes = np.diff(np.append(begins, len(order)))
    counted = np.empty(len(order), np.int64)
    counted[order] = np.arange(len(order)) - np.repeat(begins, sizes)
    return counted


def sample_ids(exact: np.ndarray) -> np.ndarray:
    """Return a number for each sample: 63 bits, of its content and how many such stand before it.

    The same sample has the same id in every order, file and split; of copies, which nobody can tell
    apart, the first has that of the content, and each further one another.

    Args:
        exact: uint64, shape (N,).

    Returns:
        int64, shape (N,), all different, none negative.
    """
    give_memory_back(len(exact))  # what the split was drawn with
    numbers = mixed(exact)
    if (nth := ordinals(exact)).any():
        numbers += nth.astype(np.uint64) * _FIRST
    del nth  # of a million rows each array counts
    numbers = mixed(numbers)
    ids = (numbers >> np.uint64(1)).astype(np.int64)
    while (again := ordinals(ids)).any():  # two samples that meet by chance, once in 10^7 data sets
        numbers = np.where(again > 0, mixed(numbers + _FIRST), numbers)
        ids = (numbers >> np.uint64(1)).astype(np.int64)
    return ids
