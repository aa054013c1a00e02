"""Numbers of which nobody knows whether the point stands before decimals or between thousands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headstart.cells import as_number

_TRIPLE = re.compile(r"\s*[-+]?[1-9]\d{0,2}\.\d{3}\s*")  # 6.328: six, or six thousand
_SHOWN = 3


def doubtful_points(what: str, words: Sequence[str]) -> str | None:
    """Return what to know of ``6.328``, ``27.481``: read with decimals, and none of them shows it.

    Args:
        what: Holds the cells: ``Column 'price'``.
        words: Different cells, gaps left out.

    Returns:
        None where a cell shows it: another number of decimals, a zero in front, a number above 999
        without a point; and where fewer than three have a point.
    """
    pointed = [word for word in words if "." in word]
    if len(pointed) < _SHOWN or not all(map(_TRIPLE.fullmatch, pointed)):
        return None
    numbers = [as_number(word) for word in words if "." not in word]
    if any(number is not None and abs(number) > 999 for number in numbers):
        return None
    shown = ", ".join(f"'{word}'" for word in pointed[:_SHOWN])
    return (
        f"{what} holds numbers such as {shown}, each with three digits behind its point: "
        f"'{pointed[0]}' is read as {float(pointed[0]):.12g}. If the point stands between "
        "thousands, write the numbers without it."
    )
