"""What one cell holds: nothing, a number, or something else; of targets as of input columns."""

from __future__ import annotations

import math
import re
from decimal import Decimal

import numpy as np

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
MOSTLY = 0.9  # share of the cells of a column that says what it holds
INFINITE = ("inf", "infinity", "+inf", "-inf", "+infinity", "-infinity")


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: None, NaN, NA, or blanks."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return isinstance(value, str) and not value.strip()


def as_number(value: object) -> float | None:
    """Return the number that a cell holds, NaN for none; None where it holds something else.

    Words with leading zeros (``007``) are codes, not numbers.
    """
    if is_missing(value):
        return math.nan
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, float, np.integer, np.floating, Decimal)):
        return float(value)
    if not isinstance(value, str):
        return None
    word = value.strip()
    if NUMBER.fullmatch(word):
        return None if re.match(r"[-+]?0\d", word) else float(word)
    return float(word) if word.lower() in INFINITE else None


def shown(name: str) -> str:
    r"""Return a name that any file, log and terminal can hold.

    Bytes of a file name that are not UTF-8 reach Python as half surrogate pairs, which nothing can
    write; they become ``\\xe9``, as Python writes them. Every other name stays as it is.
    """
    if name.isascii():
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair that stands for no byte
        return name.encode("utf-8", "backslashreplace").decode("utf-8")
