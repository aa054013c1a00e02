"""Read numbers as people write them: one format a column, found in the data and kept with it.

A format is named by a number written in it. ``""`` is the plain one, as programs write
(``1234.5``); a comma, a point, a blank or an apostrophe may stand between thousands, and a comma
before decimals; ``12:30``, ``2h 30m`` and ``PT2H30M`` are times of day or durations, read as hours.
Around the digits of any cell may stand a currency, a percent sign (``12 %`` is 12), a minus behind
them, or the parentheses of bookkeepers, which are a minus; behind them one unit of the whole column
(``units``), which is part of the format. Cells such as ``-`` or ``#DIV/0!`` hold no number.

Whether ``1,234`` has thousands or decimals is known from its neighbours: from a cell that fits one
reading only, from whole numbers above 999 without a mark, from other columns of the table. Where
nothing tells, the readings differ by the same factor in all rows, and the note says which was
taken. Words with leading zeros (``007``) are codes, not numbers, until someone says otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import get_args

from headstart.cells import MOSTLY, as_number, is_gap, known_again
from headstart.errors import quoted
from headstart.preprocessing.doubtful_points import doubtful_points
from headstart.preprocessing.units import ANY, common_unit, fold, several_units, split_unit
from headstart.types import NumberFormat, NumberStyle

FORMATS: tuple[NumberStyle, ...] = get_args(NumberStyle)
CLOCK: NumberStyle = "12:30"
COMMAS: tuple[NumberStyle, ...] = ("1.234,5", "1 234,5", "1'234,5")  # decimal comma
SHOWN = 3

_UNIT = (
    r"US\$|R\$|[$€£¥₹₽₩₺₫฿₪%元円]|kr\.?|zł|Kč|Fr\.?|Rs\.?"
    r"|CHF|USD|EUR|GBP|JPY|CNY|INR|BRL|SEK|NOK|DKK|PLN|CAD|AUD|TRY|RUB"
)
_SIGN = "[-+−]"
_AROUND = re.compile(
    rf"(?:(?P<lead>{_UNIT})\s*(?=\())?(?P<open>\()?\s*"
    rf"(?P<before>{_SIGN})?\s*(?P<first>{_UNIT})?\s*(?P<inner>{_SIGN})?\s*"
    rf"(?P<digits>[.,]?\d(?:[\d.,'’ ]*[\d.,])?(?:[eE][-+]?\d+)?)"
    rf"\s*(?P<last>{_UNIT})?(?P<after>[-−])?\s*(?P<close>\))?",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"(?P<sign>[-+−])?(?:(?P<days>\d+)\s*(?:d|days?),?\s*)?"
    r"(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d(?:[.,]\d+)?))?"
    r"\s?(?:(?P<half>[ap])\.?m\.?)?",
    re.IGNORECASE,
)
# P1DT2H30M of ISO 8601, 2h 30m, 1 day 5 hours
_SPELLED = re.compile(
    r"(?P<sign>[-+−])?(?:P(?=.))?(?:(?P<weeks>\d+)\s*w(?:eeks?)?,?\s*)?"
    r"(?:(?P<days>\d+)\s*d(?:ays?)?,?\s*)?T?"
    r"(?:(?P<hours>\d+)\s*h(?:(?:ou)?rs?)?,?\s*)?(?:(?P<minutes>\d+)\s*m(?:in(?:ute)?s?)?,?\s*)?"
    r"(?:(?P<seconds>\d+(?:[.,]\d+)?)\s*s(?:ec(?:ond)?s?)?)?",
    re.IGNORECASE,
)
_HOURS = {"weeks": 168.0, "days": 24.0, "hours": 1.0, "minutes": 1 / 60, "seconds": 1 / 3600}
_BLANKS = str.maketrans(dict.fromkeys("\u00a0\u202f\u2009\u2007", " "))


def _digits_of(number_format: NumberStyle) -> re.Pattern[str]:
    """Return what the digits of a format look like."""
    thousands, decimal = ("", ".") if not number_format else (number_format[1], number_format[-2])
    mark = "['’]" if thousands == "'" else re.escape(thousands)
    grouped = rf"\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}|" if thousands else ""
    point = re.escape(decimal)
    return re.compile(rf"(?:(?:{grouped}\d+)(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?")


def parts_of(number_format: NumberFormat) -> tuple[NumberStyle, str]:
    """Return the style and the unit of a format, empty where it has none.

    Raises:
        ValueError: It is no format.
    """
    if number_format in FORMATS:
        return number_format, ""
    for style in FORMATS:
        shown = f"{example_of(style)} "
        if style != CLOCK and number_format.startswith(shown) and len(number_format) > len(shown):
            return style, number_format[len(shown) :]
    raise ValueError(number_format)


def is_number_format(value: object) -> bool:
    """Return whether something is a format of numbers."""
    try:
        return isinstance(value, str) and bool(parts_of(value))
    except ValueError:
        return False


_DIGITS = {written: _digits_of(written) for written in FORMATS if written != CLOCK}


@known_again(2**16)
def read_number(word: str, number_format: NumberFormat = "") -> float | None:
    """Return the number that a text holds, NaN for a gap; None where it is none of the format.

    Args:
        word: A cell.
        number_format: How the numbers of its column are written.

    Example:
        >>> read_number("(1.234,50 €)", "1.234,5")
        -1234.5
    """
    if is_gap(word):
        return math.nan
    number_format, unit = parts_of(number_format)
    if unit:
        return _read_amount(word, number_format, unit)
    if number_format == CLOCK:
        return _read_clock(word)
    if not number_format:
        number = as_number(re.sub(r"^([-+]?)0+(?=\d)", r"\1", word.strip()))
        if number is not None:
            return number
    match = _AROUND.fullmatch(word.strip().translate(_BLANKS))
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    units = [match[name] for name in ("lead", "first", "last") if match[name]]
    if len(units) > 1 or not _DIGITS[number_format].fullmatch(match["digits"]):
        return None
    signs = [match[name] for name in ("before", "inner", "after") if match[name]]
    if len(signs) + bool(match["open"]) > 1:
        return None
    thousands = number_format[1] if number_format else ""
    digits = match["digits"]
    for mark in (thousands, "’" if thousands == "'" else ""):
        digits = digits.replace(mark, "") if mark else digits
    number = float(digits.replace(",", "."))
    return -number if match["open"] or (signs and signs[0] != "+") else number


def _read_amount(word: str, style: NumberStyle, unit: str) -> float | None:
    """Return the number before a unit, or alone; None where another unit is behind it."""
    pair = split_unit(word)
    if pair is None or (pair[1] and unit != ANY and fold(pair[1]) != fold(unit)):
        return None
    number = read_number(pair[0], style)
    return None if number is None or math.isnan(number) else number


def digit_places(word: str, number_format: NumberFormat) -> tuple[int, list[int], int | None]:
    """Return where the characters of a number stand in a cell that holds one.

    Args:
        word: A cell that ``read_number`` reads; no time.
        number_format: How the numbers of its column are written.

    Returns:
        1 or -1; the places of digits, decimal mark and exponent among the bytes of the cell; which
        of these is the decimal mark, or None.
    """
    style, unit = parts_of(number_format)
    bare = (split_unit(word) or (word, ""))[0] if unit else word
    match = _AROUND.fullmatch(bare.strip().translate(_BLANKS))
    assert match is not None
    signs = [match[name] for name in ("before", "inner", "after") if match[name]]
    sign = -1 if match["open"] or (signs and signs[0] != "+") else 1
    begin = word.index(bare.strip()) + match.start("digits")
    marks = (style[1], "’") if style else ()
    decimal = style[-2] if style else "."
    places: list[int] = []
    point = None
    for place, character in enumerate(match["digits"], begin):
        if character == decimal:
            point = len(places)
        elif character in marks:
            continue
        places.append(len(word[:place].encode()))
    return sign, places, point


def _read_clock(word: str) -> float | None:
    """Return hours."""
    match = _CLOCK.fullmatch(word.strip())
    if match is None:
        return _read_spelled(word.strip())
    hours = int(match["hours"])
    if match["half"]:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + 12 * (match["half"].lower() == "p")
    seconds = float((match["seconds"] or "0").replace(",", "."))
    found = 24 * int(match["days"] or 0) + hours + int(match["minutes"]) / 60 + seconds / 3600
    return -found if match["sign"] in ("-", "−") else found


def _read_spelled(word: str) -> float | None:
    """Return hours of ``PT2H30M`` or ``2h 30m``."""
    match = _SPELLED.fullmatch(word)
    parts = {} if match is None else {name: match[name] for name in _HOURS if match[name]}
    if match is None or not parts:
        return None
    found = sum(float(n.replace(",", ".")) * _HOURS[name] for name, n in parts.items())
    return -found if match["sign"] in ("-", "−") else found


# A number before a unit, a sign or more of the same: ``5'11"``, ``3.2k``, ``4-9``.
_AMOUNT = re.compile(r"\W{0,2}\d+([.,]\d+)?(\W.*|\s?[^\W\d]{1,4}\W?)?")


def is_like_an_amount(word: str) -> bool:
    """Return whether a text begins with a number as amounts do, in whatever form.

    Example:
        >>> is_like_an_amount("3.2k"), is_like_an_amount("4-9"), is_like_an_amount("customer 7")
        (True, True, False)
    """
    return _AMOUNT.fullmatch(word.strip()) is not None


def is_code(word: str) -> bool:
    """Return whether a text is digits alone after a leading zero.

    Args:
        word: A cell.
    """
    return re.fullmatch(r"0\d+", word.strip()) is not None


def example_of(number_format: NumberFormat) -> str:
    """Return a number in a format.

    Args:
        number_format: How numbers are written.
    """
    return number_format or "1234.5"


def fitting_formats(words: Sequence[str]) -> list[NumberStyle]:
    """Return the formats that all cells fit.

    Args:
        words: Different cells of a column, gaps left out.
    """
    fitting = list(FORMATS)
    for word in words:
        fitting = [written for written in fitting if read_number(word, written) is not None]
        if not fitting:
            break
    return fitting


def best_format(words: Sequence[str]) -> NumberStyle:
    """Return the format that most cells fit, the plain one where others fit no more.

    Args:
        words: Different cells of a column.
    """
    return max(FORMATS, key=lambda w: sum(read_number(word, w) is not None for word in words))


def unclear_units(words: Sequence[str]) -> str | None:
    """Return the units of a column in words, where they are so mixed that numbers cannot be told.

    Args:
        words: Its different cells.
    """
    units: dict[str, str] = {}
    for word in words:
        match = _AROUND.fullmatch(word.strip().translate(_BLANKS))
        if match is not None:
            units.setdefault((match["lead"] or match["first"] or match["last"] or "").lower(), word)
    is_mixed = len(units.keys() - {""}) > 1 or ("%" in units and len(units) > 1)
    return ", ".join(f"'{word}'" for word in list(units.values())[:SHOWN]) if is_mixed else None


def find_number_format(
    words: Sequence[str], name: str, *, has_commas: bool
) -> tuple[NumberFormat | None, str | None]:
    """Return how the numbers of a column are written, None where they are none; and a note.

    Args:
        words: Its different cells, gaps left out.
        name: Its header, for the note.
        has_commas: Whether decimal commas are known from elsewhere in the table.
    """
    fitting = fitting_formats(words)
    if not words:
        return None, None
    if not fitting or (fitting == [CLOCK] and common_unit(words)):
        return _with_unit(words, name, has_commas=has_commas)
    if mixed := unclear_units(words):
        return None, _several(name, mixed)
    shown = ", ".join(f"'{word}'" for word in _telling(words))
    if "" in fitting and not (has_commas and "1.234,5" in fitting and _has(words, ".")):
        decorated = any(as_number(word) is None and not is_code(word) for word in words)
        return "", doubtful_points(f"Column '{name}'", words) or (
            _note(name, shown, words, "") if decorated else None
        )
    if fitting == [CLOCK]:
        return CLOCK, f"Column '{name}' holds times such as {shown}: read as hours."
    fitting = [written for written in fitting if written not in ("", CLOCK)]
    comma, point = "1.234,5" in fitting, "1,234.5" in fitting
    if not (comma and point):
        return fitting[0], _note(name, shown, words, fitting[0])
    # '1,234' in every cell with a mark: thousands, unless large numbers go without
    plain = [abs(number) for word in words if (number := as_number(word)) is not None]
    chosen: NumberStyle = "1.234,5" if has_commas or max(plain, default=0) > 999 else "1,234.5"
    other = "decimals" if chosen == "1,234.5" else "thousands"
    return chosen, (
        f"{_note(name, shown, words, chosen)} None of them shows it: if the comma stands before "
        f"{other}, write the numbers without it."
    )


def _with_unit(
    words: Sequence[str], name: str, *, has_commas: bool
) -> tuple[NumberFormat | None, str | None]:
    """Return the format of numbers that have a unit behind them; None where they are none."""
    unit = common_unit(words)
    if unit is None:
        mixed = several_units(words)
        return None, None if mixed is None else _several(name, mixed)
    bare = [pair[0] for word in words if (pair := split_unit(word)) is not None]
    style, note = find_number_format(bare, name, has_commas=has_commas)
    if style is None or style == CLOCK:
        return None, None
    written = f"{example_of(style)} {unit}"
    first = next(word for word in words if (split_unit(word) or ("", ""))[1])
    sentence = (
        f"Column '{name}' holds numbers with the unit '{unit}': '{first}' is read as "
        f"{read_number(first, written):.12g}."
    )
    doubt = (note or "").partition(" None of them shows it:")[2]
    doubt = f" None of them shows what the comma means:{doubt}" if doubt else ""
    return written, f"{sentence} If that is wrong, say --categorical {name}.{doubt}"


def any_unit(words: Sequence[str]) -> NumberFormat | None:
    """Return the format that reads the digits alone, whatever unit is behind them.

    Args:
        words: The different cells of a column, gaps left out.
    """
    pairs = [split_unit(word) for word in words]
    bare = [pair[0] for pair in pairs if pair is not None]
    if len(bare) < len(words) or not any(pair[1] for pair in pairs if pair is not None):
        return None
    style, _ = find_number_format(bare, "", has_commas=False)
    return None if style is None or style == CLOCK else f"{example_of(style)} {ANY}"


def _several(name: str, mixed: str) -> str:
    return (
        f"Column '{name}' holds amounts in several units, such as {mixed}: read as categories. "
        f"Bring them to one unit, or say --categorical {name} (or --numeric {name} to read "
        "the digits alone)."
    )


def _has(words: Sequence[str], mark: str) -> bool:
    return any(mark in word for word in words)


def _telling(words: Sequence[str]) -> list[str]:
    """Return three cells, those with marks first."""
    return sorted(words, key=lambda word: as_number(word) is not None)[:SHOWN]


def _note(name: str, shown: str, words: Sequence[str], written: NumberFormat) -> str:
    first = _telling(words)[0]
    read = read_number(first, written)
    return (
        f"Column '{name}' holds numbers such as {shown}: '{first}' is read as {read:.12g}. If that "
        f"is wrong, say --categorical {name}."
    )


def say_amounts(name: str, words: Sequence[str]) -> str | None:
    """Return that words look like amounts in a form that is not read; None where they do not."""
    if sum(map(is_like_an_amount, words)) < MOSTLY * len(words):
        return None
    return (
        f"Column '{name}' holds cells such as {quoted(words, limit=SHOWN)}: read as categories. If "
        "these are amounts, write the numbers alone into the column, one a cell; if not, say "
        f"--categorical {name}."
    )
