"""What one cell holds: nothing, a number, or something else; of targets as of input columns."""

from __future__ import annotations

import math
import re
from decimal import Decimal

import numpy as np

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
MOSTLY = 0.9  # share of the cells of a column that says what it holds
# What people and programs write where a number or a date is not known.
# fmt: off
GAPS = frozenset((
    "?", "??", "???", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "*", "n/a", "n.a.",
    "na", "n.a", "nan", "none", "null", "nil", "#n/a", "#na", "#div/0!", "#value!", "#ref!",
    "#name?", "#num!", "#null!", "#error!", "<na>", "nat", "unknown", "unk", "missing",
    "undefined", "\\n", "k.a.", "s/d", "s.o.", "(null)", "(none)", "(blank)", "(missing)", "tbd",
    "not available", "not applicable", "not known", "no data", "keine angabe", "non disponible",
    "未知", "不明",
))
# fmt: on
INFINITE = ("inf", "infinity", "+inf", "-inf", "+infinity", "-infinity")


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: None, NaN, NA, or blanks."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return isinstance(value, str) and not value.strip()


def is_gap(value: object) -> bool:
    """Return whether a cell of a column of numbers or dates says that there is none."""
    return isinstance(value, str) and value.strip().lower() in GAPS


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
