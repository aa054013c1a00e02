"""Units behind numbers: ``5 kg``, ``3.2cm``, ``12 months``; one in a whole column is no category.

A unit is whatever stands behind the number in every cell; where cells differ, only such as are
known to be units make amounts in several units of them (``12A`` and ``13B`` are codes).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ANY = "*"  # the digits alone, where someone says so
# fmt: off
KNOWN = frozenset((
    "kg", "g", "mg", "t", "lb", "oz", "µg", "ug", "ton", "tonne", "gram", "pound", "stone",
    "mm", "cm", "dm", "m", "km", "in", "inch", "inche", "ft", "feet", "foot", "yd", "mi", "mile",
    "meter", "metre", "nm", "µm", "\"", "'", "″", "′",
    "m2", "m²", "m^2", "km2", "km²", "cm2", "cm²", "sqft", "sq ft", "sqm", "sq m", "ha", "acre",
    "ft2", "ft²", "m3", "m³", "cm3", "cm³", "ml", "cl", "dl", "l", "hl", "gal", "litre", "liter",
    "pt", "cup", "tsp", "tbsp", "cc", "ccm",
    "ms", "s", "sec", "second", "min", "minute", "h", "hr", "hour", "d", "day", "wk", "week", "mo",
    "month", "y", "yr", "year", "year old", "am", "pm",
    "°c", "°f", "°", "k", "c", "f", "km/h", "kph", "kmh", "mph", "m/s", "kn", "w", "kw", "mw",
    "gw", "hp", "bhp", "ps", "wh", "kwh", "mwh", "gwh", "j", "kj", "mj", "cal", "kcal", "nm",
    "pa", "hpa", "kpa", "mpa", "bar", "mbar", "psi", "mmhg", "b", "kb", "mb", "gb", "tb", "pb",
    "hz", "khz", "mhz", "ghz", "v", "mv", "kv", "a", "ma", "mah", "ah", "px", "dpi", "ppm", "ppb",
    "mg/dl", "g/dl", "mmol/l", "µmol/l", "g/l", "mg/l", "kmpl", "km/kg", "mpg", "l/100km", "rpm",
    "pc", "piece", "pcs", "x", "bn", "mn", "mio", "million", "billion", "thousand",
))
# fmt: on
_TIMES = frozenset(("k", "m", "M", "b", "bn", "mn", "mio", "million", "billion", "thousand"))
_WITH_UNIT = re.compile(
    r"(?P<number>[-+−(]?\s*[.,]?\d[\d.,'’\s]*?)\s*"
    r"(?P<unit>(?:[^\W\d_]|[°\"″'′])[^\s,;()]{0,11}(?: [^\W\d_]{1,8})?)\s*"
)


def split_unit(word: str) -> tuple[str, str] | None:
    """Return the number and the unit of a cell, empty where it has none; None without a number.

    Args:
        word: A cell.

    Example:
        >>> split_unit("1,200 kg"), split_unit("7"), split_unit("kg")
        (('1,200', 'kg'), ('7', ''), None)
    """
    match = _WITH_UNIT.fullmatch(word.strip())
    if match is not None:
        return match["number"].strip(), match["unit"]
    return (word.strip(), "") if word.strip()[-1:].isdigit() else None


def fold(unit: str) -> str:
    """Return what is the same in all spellings of a unit: ``Months`` and ``month``."""
    folded = unit.casefold().rstrip(".")
    return folded[:-1] if len(folded) > 2 and folded.endswith("s") else folded


def common_unit(words: Sequence[str]) -> str | None:
    """Return the one unit of a column, as its first cell writes it; None where there is none.

    A unit that is not known to be one has to stand in every cell.

    Args:
        words: The different cells of a column, gaps left out.
    """
    found = [split_unit(word) for word in words]
    units = [unit for pair in found if pair is not None and (unit := pair[1])]
    if None in found or not units or len(set(map(fold, units))) > 1:
        return None
    if len({unit[0] for unit in units if unit[0] in "mM"}) > 1 and min(map(len, units)) < 4:
        return None  # mW and MW
    is_known = fold(units[0]) in KNOWN and len(units[0]) > 1
    is_sure = len(units) == len(words) or (is_known and 2 * len(units) > len(words))
    return units[0] if is_sure else None


def several_units(words: Sequence[str]) -> str | None:
    """Return examples of the units of a column in words, where it holds several; else None.

    Args:
        words: Its different cells.
    """
    examples: dict[str, str] = {}
    for word in words:
        pair = split_unit(word)
        if pair is None or (pair[1] and fold(pair[1]) not in KNOWN):
            return None
        examples.setdefault(pair[1] if pair[1][:1] in "mM" else fold(pair[1]), word)
    units = examples.keys() - {""}
    is_amount = max(map(len, examples)) > 1 or any("." in word for word in words)  # 1A, 2B: codes
    several = is_amount and (len(units) > 1 or ("" in examples and units & _TIMES))
    return ", ".join(f"'{word}'" for word in list(examples.values())[:3]) if several else None
