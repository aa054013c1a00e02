"""What one cell holds: nothing, a number, or something else; of targets as of input columns."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

# digits in one way only: in two, a cell of a hundred thousand of them takes minutes
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_LONGEST_KEPT = 64  # characters of a cell that is known again
P = ParamSpec("P")
T = TypeVar("T")
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
# Values of these types need no look into NumPy, whose import is most of a command's start.
_WITHOUT_NUMPY = (str, bool, int, float, Decimal)
INFINITE = ("inf", "infinity", "+inf", "-inf", "+infinity", "-infinity")


def known_again(
    num: int,
) -> Callable[[Callable[Concatenate[str, P], T]], Callable[Concatenate[str, P], T]]:
    """Let a function of a cell know what it has read, since columns repeat their cells.

    Long cells are forgotten: they seldom repeat, and whoever sends them to a server would fill its
    memory.

    Args:
        num: Cells that are known at the most.
    """

    def decorate(read: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
        known: Any = lru_cache(maxsize=num)(read)

        @wraps(read)
        def reading(word: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
            found: T = (known if len(word) <= _LONGEST_KEPT else read)(word, *args, **kwargs)
            return found

        return reading

    return decorate


def written_out(value: float) -> str:
    """Return a number in six digits, and one from a million on in all it has before its point.

    Example:
        >>> written_out(0.123456789), written_out(1234567.8)
        ('0.123457', '1234568')
    """
    return f"{value:.0f}" if 999_999.5 <= abs(value) < 1e15 else f"{value:.6g}"


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: None, NaN, NA, or blanks."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return value != value
    if type(value) in _WITHOUT_NUMPY:
        return False
    import numpy as np

    return isinstance(value, np.floating) and bool(np.isnan(value))


def is_gap(value: object) -> bool:
    """Return whether a cell of a column of numbers or dates says that there is none."""
    return isinstance(value, str) and value.strip().lower() in GAPS


def as_number(value: object) -> float | None:
    """Return the number that a cell holds, NaN for none; None where it holds something else.

    Words with leading zeros (``007``) are codes, not numbers.
    """
    if is_missing(value):
        return math.nan
    if isinstance(value, str):
        return _number_of(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float, Decimal)):
        return float(value)
    import numpy as np

    return float(value) if isinstance(value, (np.integer, np.floating)) else None


@known_again(2**14)
def _number_of(word: str) -> float | None:
    """Return the number that a word is."""
    word = word.strip()
    if NUMBER.fullmatch(word):
        return None if re.match(r"[-+]?0\d", word) else float(word)
    return float(word) if word.lower() in INFINITE else None


def plain(value: Any) -> Any:
    """Return a NumPy scalar as the Python number, text or truth that it is, and the rest as given.

    Example:
        >>> plain(np.int64(3)), plain("a")
        (3, 'a')
    """
    if value is None or type(value) in _WITHOUT_NUMPY:
        return value
    import numpy as np

    return value.item() if isinstance(value, np.generic) else value


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


def as_list(value: object) -> list[Any] | None:
    """Return the list that a cell holds, or writes as JSON or as Python does; None for no list.

    Example:
        >>> as_list('["a", "b"]'), as_list("['a']"), as_list("[1 0 1]"), as_list("a")
        (['a', 'b'], ['a'], [1, 0, 1], None)
    """
    if isinstance(value, dict) and set(value) <= {"choices", "labels"} and value:
        return as_list(next(iter(value.values())))
    if isinstance(value, (list, tuple, set)):
        return sorted(value, key=str) if isinstance(value, set) else list(value)
    if not isinstance(value, str) and hasattr(value, "tolist"):
        found = value.tolist()
        return found if isinstance(found, list) else None
    if not isinstance(value, str):
        return None
    word = value.strip()
    if word[:1] == "{" and word[-1:] == "}":
        try:
            inner = json.loads(word)
        except ValueError:
            return None
        return as_list(inner) if isinstance(inner, dict) else None
    if word[:1] + word[-1:] not in ("[]", "()", "{}"):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(word)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, (list, tuple, set)):
            # 'a' 'b' is one text to Python, and two elements of an array to NumPy
            is_glued = len(found) == 1 and word.count("'") > 2 and "' '" in word
            if is_glued:
                break
            return list(found)
    return _array_text(word[1:-1]) if word[0] == "[" else None


def _array_text(inside: str) -> list[Any] | None:
    """Return the elements of an array as NumPy prints it: blanks between them, no commas."""
    words = inside.split()
    try:
        return [float(w) if set(w) & set(".eEn") else int(w) for w in words]
    except ValueError:
        pass
    quote = inside.strip()[:1]
    if quote in ("'", '"') and inside.strip()[-1:] == quote:
        return [part.strip() for part in inside.strip()[1:-1].split(f"{quote} {quote}")]
    return None
