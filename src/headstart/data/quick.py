"""Columns of many rows that are plainly of one kind, recognised without looking at each cell.

What is found here is what ``kinds`` would find cell by cell; where anything is in doubt, nothing is
found, and every cell is looked at.
"""

from __future__ import annotations

import re
from typing import Any

from headstart.cells import INFINITE, is_gap
from headstart.columnar import begin_with_letters, blocks_of, chunks_of, holds, is_text
from headstart.preprocessing.canonical import FALSE_WORDS, TRUE_WORDS
from headstart.preprocessing.dates import is_like_a_date
from headstart.preprocessing.numbers import COMMAS, fitting_formats
from headstart.types import NumberStyle

HEAD = 1_000
SAMPLED = 1_000
BLOCK_ROWS = 2**14
UNIT_FIRST = re.compile(r"[a-z]{1,3}\.?\s?[-+(]?\d")  # eur 1,200


def plain_words(values: Any) -> bool:
    """Return whether a column of text plainly holds words, neither numbers nor dates.

    Args:
        values: A pyarrow array or chunked array of strings.
    """
    if len(values) <= HEAD:
        return False
    head = [word for word in values.slice(0, HEAD).to_pylist() if word and word.strip()]
    if not head or not head[0][0].isalpha():
        return False
    return _head_is_words(head) and all(map(begin_with_letters, chunks_of(values)))


def _head_is_words(head: list[str]) -> bool:
    lower = {word.strip().lower() for word in head}
    if lower <= {*TRUE_WORDS, *FALSE_WORDS} or lower & {*INFINITE}:
        return False
    return not any(is_like_a_date(word) or UNIT_FIRST.match(word) for word in lower)


def has_decimal_commas(column: Any) -> bool:
    """Return whether the numbers of a column can only have been written with a decimal comma.

    Args:
        column: A pyarrow array or chunked array of any type.
    """
    import pyarrow.compute as pc

    if not is_text(column):
        return False
    words: dict[str, None] = {}
    fitting: list[NumberStyle] = []
    for block in blocks_of(column, BLOCK_ROWS):
        if not holds(block, ","):
            continue
        words |= dict.fromkeys(pc.unique(block.filter(pc.match_substring(block, ","))).to_pylist())
        fitting = fitting_formats([word for word in list(words)[:SAMPLED] if not is_gap(word)])
        if not fitting or len(words) >= SAMPLED:
            break
    return bool(words and fitting) and set(fitting) <= set(COMMAS)
