"""Columns of many rows that are plainly of one kind, recognised without looking at each cell.

What is found here is what ``kinds`` would find cell by cell; where anything is in doubt, nothing is
found, and every cell is looked at.
"""

from __future__ import annotations

from typing import Any, Literal

from headstart.preprocessing.canonical import FALSE_WORDS, TRUE_WORDS
from headstart.preprocessing.dates import is_like_a_date

HEAD = 1_000
MANY_WORDS = 10_000
# Digits, and what may stand among them; no words for infinity, no zero before another digit.
_PLAIN = r"^\s*[-+]?(0|[1-9][0-9]*|[0-9]?)(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*$"
_HAS_NUMBER = r"^\s*[-+$€£(]*\.?[0-9]"


def plain_kind(values: Any) -> Literal["numeric", "categorical"] | None:
    """Return what a column of text plainly holds, or None where every cell has to be looked at.

    Args:
        values: A pyarrow array or chunked array of strings.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(values) <= HEAD:
        return None
    head = [word for word in values.slice(0, HEAD).to_pylist() if word and word.strip()]
    if not head:
        return None
    if pc.all(pc.match_substring_regex(pa.array(head), _PLAIN)).as_py():
        return "numeric" if _are_plain_numbers(values) else None
    return "categorical" if _are_plain_words(values, head) else None


def _are_plain_numbers(values: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = values
    try:
        pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        return False
    # What pyarrow takes for a number and the product does not, or not without a word: 007, inf, nan
    odd = r"^[-+]?0[0-9]|[a-df-zA-DF-Z_]"
    return not pc.any(pc.match_substring_regex(trimmed, odd)).as_py()


def _are_plain_words(values: Any, head: list[str]) -> bool:
    """Return whether there are very many different words, none of them with a number in front."""
    import pyarrow.compute as pc

    if len(set(head)) < len(head) / 2 or any(is_like_a_date(word) for word in head[:20]):
        return False
    if {word.strip().lower() for word in head} <= {*TRUE_WORDS, *FALSE_WORDS}:
        return False
    if pc.any(pc.match_substring_regex(values, _HAS_NUMBER)).as_py():
        return False
    return int(pc.count_distinct(values).as_py()) > MANY_WORDS
