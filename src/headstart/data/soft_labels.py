"""Soft labels: shares of classes in place of a class, in one cell or in a column a class.

A sample is learned with the classes that apply, not with shares of them: what holds shares is
refused by name, unless ``--task classification`` asks for the class with the largest of each. In a
cell they stand as a list, as ``{"cat": 0.7, "dog": 0.3}``, as ``[{"label": "cat", "score": 0.7},
…]``, or as numbers between blanks, commas or semicolons.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.cells import is_missing
from headstart.columnar import different
from headstart.errors import DataError, quoted
from headstart.tasks.reading import Place
from headstart.types import Finding

NAME_KEYS = ("label", "name", "class", "category")
SHARE_KEYS = ("score", "value", "probability", "prob", "share", "weight", "confidence")
NUMBERS = re.compile(r"\s*[\d.eE+-]+(\s*[;,|\s]\s*[\d.eE+-]+)+\s*")
NUMERIC = (int, float, np.integer, np.floating)
SUM_ERROR = 0.02  # shares are rounded where they are written


def plain_shares(values: Sequence[Any]) -> tuple[Sequence[Any], list[str]]:
    """Return cells that hold shares as lists of numbers, and the names of classes they say.

    Cells of any other kind come back as they are.
    """
    first = next((value for value in different(values) if not is_missing(value)), None)
    if isinstance(first, str) and NUMBERS.fullmatch(first):
        numbers = [_written(value) for value in values]
        if None not in numbers and are_shares([n for n in numbers if n is not None]):
            return numbers, []
        return values, []
    if _named(first) is None:
        return values, []
    named = [_named(value) for value in values]
    names = list(dict.fromkeys(name for one in named if one for name in one))
    if any(one is None for one in named) or len(names) < 2:
        return values, []
    return [[(one or {}).get(name, 0.0) for name in names] for one in named], names


def _named(value: Any) -> dict[str, float] | None:
    """Return the number that a cell gives each class; None where it is of another form."""
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, Mapping) for v in value):
        value = {_first(one, NAME_KEYS): _first(one, SHARE_KEYS) for one in value}
    if not isinstance(value, Mapping) or not value:
        return None
    shares = {name: share for name, share in value.items() if share is not None}
    is_number = [isinstance(v, NUMERIC) and v == v for v in shares.values()]
    if not shares or not all(is_number) or any(name is None for name in shares):
        return None
    return {str(name): float(share) for name, share in shares.items()}


def _read(word: str) -> Any:
    if word.strip()[:1] not in ("{", "["):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(word)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _first(one: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((one[key] for key in keys if key in one), None)


def _written(value: Any) -> list[float] | None:
    """Return the numbers that a cell writes one after the other."""
    if not isinstance(value, str) or not NUMBERS.fullmatch(value):
        return None
    try:
        return [float(word) for word in re.split(r"[;,|\s]+", value.strip())]
    except ValueError:
        return None


def are_shares(lists: Sequence[Sequence[float]]) -> bool:
    """Return whether lists of one length hold shares that sum to one, and not only 0 and 1."""
    return (
        len({len(one) for one in lists}) == 1
        and all(0 <= share <= 1 for one in lists for share in one)
        and all(abs(sum(one) - 1) < SUM_ERROR for one in lists)
        and any(share not in (0, 1) for one in lists for share in one)
    )


def shares_at(found: Sequence[list[Any] | None]) -> int | None:
    """Return where a list holds a real number: they are shares of classes, or scores, no names."""
    for index, cells in enumerate(found):
        numbers = [float(one) if isinstance(one, NUMERIC) else None for one in cells or ()]
        if cells and (not numbers or None in numbers):
            return None  # names
        if any(n is not None and n != n // 1 for n in numbers):
            return index
    return None


def shares_refused(
    found: Sequence[list[Any] | None], index: int, what: str, place: Place
) -> DataError:
    """Return the error for cells that hold shares, with the way out."""
    shown = [round(float(n), 3) for n in found[index] or ()]
    kind = "soft labels" if abs(sum(shown) - 1) < SUM_ERROR else "scores"
    gaps = [i for i, cells in enumerate(found) if cells is None]
    gap = f" Fill in or remove rows without any, such as {place(gaps[0])}." if gaps else ""
    return DataError(
        f"{what} holds {kind} such as {shown} in {place(index)}; a sample is learned with the "
        "classes that apply, not with shares of them. Say --task classification to learn the class "
        "with the largest share of each, or write 0 and 1 in their place where several apply."
        f"{gap}"
    )


def largest(
    shares: Sequence[list[Any]], what: str, names: Sequence[str] = ()
) -> tuple[list[object], list[Finding]]:
    """Return the class with the largest number of each list, and a finding that says so.

    Args:
        shares: A number for each class, of each sample.
        what: What holds them, for example ``"Column 'label'"``.
        names: Of the classes; where there are none a class is its place.
    """
    places = [max(range(len(one)), key=one.__getitem__) for one in shares]
    classes: list[object] = [names[i] if names else i for i in places]
    ties = sum(one.count(max(one)) > 1 for one in shares)
    also = f" In {ties:,} the largest stands twice: the first of them counts." if ties else ""
    meaning = "the class" if names else "the class of a sample is the place"
    shown = f"'{classes[0]}'" if names else f"{classes[0]}"
    order = f" (of {quoted(names, limit=5)})" if names else ""
    sentence = (
        f"{what} holds a share of each class; {meaning} of the largest"
        f"{' is learned' if names else ''}, such as {shown} of "
        f"{[round(float(n), 3) for n in shares[0]]}{order}.{also}"
    )
    return classes, [Finding("task", "warning" if ties else "note", (), sentence)]
