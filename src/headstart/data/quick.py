"""Columns of many rows that are plainly of one kind, recognised without looking at each cell.

What is found here is what ``kinds`` would find cell by cell; where anything is in doubt, nothing is
found, and every cell is looked at.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np

from headstart.cells import INFINITE
from headstart.data.identity import bytes_of
from headstart.preprocessing.canonical import FALSE_WORDS, TRUE_WORDS
from headstart.preprocessing.dates import is_like_a_date

HEAD = 1_000
UNIT_FIRST = re.compile(r"[a-z]{1,3}\.?\s?[-+(]?\d")  # eur 1,200
_ZERO, _NINE, _PLUS, _MINUS, _SLASH = 48, 57, 43, 45, 47


def plain_kind(values: Any) -> Literal["numeric", "categorical"] | None:
    """Return what a column of text plainly holds, or None where every cell has to be looked at.

    Args:
        values: A pyarrow array or chunked array of strings.
    """
    chunks = [chunk for chunk in getattr(values, "chunks", [values]) if len(chunk)]
    if sum(map(len, chunks)) <= HEAD:
        return None
    head = [word for word in values.slice(0, HEAD).to_pylist() if word and word.strip()]
    if not head:
        return None
    if head[0][0].isalpha():
        is_plain = _head_is_words(head) and all(map(_begin_with_letters, chunks))
        return "categorical" if is_plain else None
    return "numeric" if all(map(_are_plain_numbers, chunks)) else None


def _are_plain_numbers(words: Any) -> bool:
    """Return whether all words are such as 12, -3.5 and 1e-7; not 007, inf, 1,000 or " 1"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, last, data, ends = bytes_of(words)
    if first == last:
        return bool(words.null_count == len(words))
    letters = np.frombuffer(data, np.uint8, last - first, first)
    is_letter = letters > _NINE
    if is_letter.any() and not np.isin(letters[is_letter], np.frombuffer(b"eE", np.uint8)).all():
        return False
    if (letters < _PLUS).any() or (letters == _SLASH).any():
        return False
    starts, lengths = ends[:-1] - first, np.diff(ends)
    if not lengths[words.is_valid().to_numpy(zero_copy_only=False)].all():
        return False
    padded = np.append(letters, np.zeros(3, np.uint8))
    begin = padded[starts]
    is_signed = (begin == _PLUS) | (begin == _MINUS)
    starts = starts + is_signed
    is_code = (padded[starts] == _ZERO) & (lengths - is_signed > 1)
    after = padded[starts + 1]
    if (is_code & (after >= _ZERO) & (after <= _NINE)).any():
        return False
    try:
        numbers = pc.cast(words, pa.float64())
    except pa.ArrowInvalid:
        return False
    return bool(pc.all(pc.is_finite(numbers)).as_py() is not False)


def _head_is_words(head: list[str]) -> bool:
    lower = {word.strip().lower() for word in head}
    if lower <= {*TRUE_WORDS, *FALSE_WORDS} or lower & {*INFINITE}:
        return False
    return not any(is_like_a_date(word) or UNIT_FIRST.match(word) for word in lower)


def _begin_with_letters(words: Any) -> bool:
    """Return whether each word begins with a letter, as neither a number nor most dates do."""
    first, last, data, ends = bytes_of(words)
    if first == last:
        return bool(words.null_count == len(words))
    letters = np.frombuffer(data, np.uint8, last - first, first)
    starts, lengths = ends[:-1] - first, np.diff(ends)
    begin = letters[starts[lengths > 0]] | 32
    return bool(((begin >= ord("a")) & (begin <= ord("z"))).all())
