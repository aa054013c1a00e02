"""Read dates as people write them: one format a column, found in the data and kept with it.

A format says how the day is written, as for ``strptime``; a time of day may follow in any cell
(``14:05``, ``2:05:30 PM``, with or without a zone). The year first, as in ``2024-03-31``,
``2024/3/31``, ``2024.03.31`` and ``2024年3月31日``, is the format ``""``. ``%b`` stands for an
English month, short or whole, whatever the locale. The others are in ``DateFormat``.

Which of two numbers is the month is known only from a value above 12. Dots are read day first, as
they are written. Slashes and dashes are left alone where no value tells, unless the user asks for
dates: then day first, but month first where the second number is the same in every row, as in the
monthly figures of a table from the United States. Eight digits (``20240331``) are dates only when
asked for.

Of years of two digits, 69 is 1969 and 68 is 2068, as POSIX has it, which is said where a date then
lies in the future. ``22-12-31`` has its year first where the first number has fewer different
values in the column than the last, as days have more than years.

pyarrow's own ``strptime`` takes the 31st of February, so Python's is used. Left out: several
formats in one column, month names of other languages.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any, cast, get_args

import numpy as np

from headstart.cells import MOSTLY, known_again
from headstart.types import DateFormat

FORMATS: tuple[DateFormat, ...] = get_args(DateFormat)
COMPACT: DateFormat = "%Y%m%d"
COMPACT_RANGE = 1900_01_01, 2100_12_31
WORDS_LOOKED_AT = 2_000
SHOWN = 3
EXAMPLES = {
    **{"": "2024-03-31", "%d %b %Y": "31 Mar 2024", "%b %d %Y": "Mar 31, 2024"},
    "%d %b %y": "31 Mar 24",
}
YEAR_FIRST: DateFormat = "%y-%m-%d"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR_FIRST = r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?"
_DAY = (
    rf"{_YEAR_FIRST}|\d{{1,2}}(?P<mark>[-/.])\d{{1,2}}(?P=mark)(?:\d{{4}}|\d{{2}})"
    rf"|\d{{1,2}}[\s.-]*{_MONTH}[\s.,-]*(?:\d{{4}}|\d{{2}})|{_MONTH}\.?\s*\d{{1,2}},?\s+\d{{4}}"
    r"|\d{8}(?:\.0+)?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
# Months, quarters, weeks and days of a year: in order, and no days as they stand.
_PERIOD = re.compile(
    rf"{_MONTH}\.?[\s,'/-]*(?:\d{{4}}|\d{{2}})|(?:\d{{4}}|\d{{2}})[\s-]*{_MONTH}"
    r"|\d{4}[-/.](?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])[/.]\d{4}"
    r"|\d{4}[\s-]?Q[1-4]|Q[1-4][\s/'-]*(?:\d{4}|\d{2})|\d{4}-?W\d{2}(?:-?[1-7])?",
    re.IGNORECASE,
)
_CLOCK = (
    r"(?P<hour>\d{1,2})(?P<minutes>:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)\s?(?:(?P<half>[ap])\.?m\.?)?"
    r"\s?(?P<zone>z|[+-]\d{2}:?\d{2})?"
)
_WRITTEN = re.compile(rf"{_WEEKDAY}(?P<day>{_DAY})(?:(?:T|,?\s+){_CLOCK})?", re.IGNORECASE)


def read_date(value: object, date_format: DateFormat = "") -> datetime.datetime | None:
    """Return the point in time a cell names, as written and without zone; None where it is none.

    Args:
        value: A date, a text, or a number whose digits are one.
        date_format: How the column's days are written.

    Example:
        >>> read_date("31.01.2020 9:05", "%d.%m.%Y")
        datetime.datetime(2020, 1, 31, 9, 5)
    """
    try:
        if isinstance(value, datetime.datetime):
            moment = value
        elif isinstance(value, datetime.date):
            return datetime.datetime(value.year, value.month, value.day)
        else:
            moment = _read_word(_as_written(value), date_format)
        moment = moment.replace(tzinfo=None)
    except (ValueError, OverflowError):  # the 31st of February, another format
        return None
    return moment


def _as_written(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 20240331.0: whole numbers beside missing ones
    return str(value).strip()


def _read_word(word: str, date_format: DateFormat) -> datetime.datetime:
    match = _WRITTEN.fullmatch(word)
    if match is None:
        raise ValueError(word)
    day = _read_day(match["day"], date_format)
    if match["hour"] is None:
        return datetime.datetime.combine(day, datetime.time())
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(word)
        hour = hour % 12 + 12 * (match["half"].lower() == "p")
    clock = f"{hour:02d}{match['minutes']}{(match['zone'] or '').upper()}"
    return datetime.datetime.fromisoformat(f"{day.isoformat()}T{clock}")


@known_again(2**16)  # strptime is slow
def _read_day(word: str, date_format: DateFormat) -> datetime.date:
    if date_format == "":
        if re.fullmatch(_YEAR_FIRST, word) is None:
            raise ValueError(word)
        return datetime.date(*(int(part) for part in re.findall(r"\d+", word)))
    pattern: str = date_format
    if date_format == COMPACT:  # strptime alone takes 2024331, too
        word = word.split(".")[0] if re.match(r"\d{8}", word) else ""
    elif "%b" in date_format:
        # Not strptime's own names: those change with the locale that a program has set.
        pattern = pattern.replace("%b", "m%m")
        word = re.sub(_MONTH, lambda name: f" m{_month_number(name[0])} ", word, flags=re.I)
        word = re.sub(r"[\s.,-]+", " ", word).strip()
    return datetime.datetime.strptime(word, pattern).date()


def _month_number(name: str) -> int:
    return _MONTHS.index(name[:3].lower()) + 1


def example(date_format: DateFormat) -> str:
    """Return the last day of March 2024 in a format.

    Args:
        date_format: How days are written.
    """
    return EXAMPLES.get(date_format) or datetime.date(2024, 3, 31).strftime(date_format)


def swapped(date_format: DateFormat) -> str:
    """Return the format with day and month in each other's place.

    Args:
        date_format: How days are written.
    """
    return date_format.translate(str.maketrans("dm", "md"))


def find_format(
    words: Sequence[str], name: str, where: Callable[[str], str], *, is_said: bool
) -> tuple[DateFormat | None, str | None]:
    """Return how the dates of a column are written, None where it is not read as dates; and a note.

    Args:
        words: Its different cells, without the empty ones.
        name: Its header, for the note.
        where: Says where a cell stands.
        is_said: Whether the user wants dates: then there is always a format, the most fitting.
    """
    if not words:
        return "", None
    fitting = [f for f in FORMATS if all(read_date(word, f) is not None for word in words)]
    fitting = _with_year(words, fitting)
    if fitting == [COMPACT] and not is_said:
        return None, None  # a code of eight digits
    if len(fitting) == 1:
        notes = (
            _order_note(words, fitting[0], name, where),
            _century_note(words, fitting[0], name),
        )
        return fitting[0], " ".join(filter(None, notes)) or None
    if not (fitting or is_said or _are_like_dates(words)):
        return None, _say_periods(words, name)
    shown = ", ".join(f"'{word}'" for word in words[:SHOWN]) + f" ({where(words[0])})"
    if fitting:
        chosen = _probable(words, fitting)
        doubt = f"Column '{name}' holds dates such as {shown}, and none of them shows which number "
        doubt += "is the month, as one above 12 would: "
        if is_said:
            note = f"{doubt}read {_order(chosen)}. If that is wrong, {_rewrite(chosen)}."
            return chosen, " ".join(filter(None, (note, _century_note(words, chosen, name))))
        return None, (
            f"{doubt}read as categories. --date {name} reads them {_order(chosen)}; if that is "
            f"wrong, {_rewrite(chosen)}."
        )
    fits = {f: [read_date(word, f) is not None for word in words] for f in FORMATS}
    best = max(FORMATS, key=lambda f: sum(fits[f]))
    if is_said:
        return best, None  # the cell that does not fit is refused where all are read
    if not any(fits[best]):
        return None, (
            f"Column '{name}' looks like dates such as {shown}, but is not written in a way that "
            f"is read: read as categories. Write them as {example('')}, or as "
            f"{example('%d.%m.%Y')}."
        )
    odd, usual = (words[fits[best].index(is_fit)] for is_fit in (False, True))
    return None, (
        f"Column '{name}' looks like dates such as '{usual}', but holds '{odd}' ({where(odd)}): "
        f"read as categories. Correct it or leave the cell empty, or say --categorical {name}."
    )


def _say_periods(words: Sequence[str], name: str) -> str | None:
    """Say that cells are months, quarters or weeks, whose order nobody reads; None for others."""
    if sum(_PERIOD.fullmatch(word.strip()) is not None for word in words) < MOSTLY * len(words):
        return None
    shown = ", ".join(f"'{word}'" for word in words[:SHOWN])
    return (
        f"Column '{name}' holds months, quarters or weeks such as {shown}: read as categories, in "
        f"no order. To keep their order, write the first day of each, as {example('')}."
    )


def look_like_dates(values: Any) -> bool:
    """Return whether a column that was not read as dates could be read so.

    Args:
        values: A pyarrow array of text or float64.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(values.type):
        places = np.linspace(0, len(values) - 1, min(len(values), WORDS_LOOKED_AT)).astype(np.int64)
        words = [word for word in pc.unique(values.take(places)).to_pylist() if word]
        # what no format reads would be refused where it is called a date
        is_read = any(all(read_date(word, f) is not None for word in words) for f in FORMATS)
        return is_read and _are_like_dates(words)
    extremes = pc.min_max(values).as_py()
    low, high = COMPACT_RANGE
    if extremes["min"] is None or extremes["min"] < low or extremes["max"] > high:
        return False
    numbers = pc.unique(values.drop_null()).to_pylist()
    return all(read_date(number, COMPACT) is not None for number in numbers)


def is_like_a_date(word: str) -> bool:
    """Return whether a text has the shape of a date, in whatever format.

    Args:
        word: Any text.
    """
    # Digits alone are as likely a code with leading zeros.
    return not word[:5].isdigit() and _WRITTEN.fullmatch(word.strip()) is not None


def may_be_a_date(word: str) -> bool:
    """Return whether a text has the shape of a date, codes of eight digits too.

    Args:
        word: Any text.
    """
    return _WRITTEN.fullmatch(word.strip()) is not None


def _are_like_dates(words: Sequence[str]) -> bool:
    return 0 < MOSTLY * len(words) <= sum(map(is_like_a_date, words))


def _with_year(words: Sequence[str], fitting: list[DateFormat]) -> list[DateFormat]:
    """Return the formats without those that take the year of two digits for a day, or a day for it.

    Days of a column have more different values than its years.
    """
    if YEAR_FIRST not in fitting or len(fitting) == 1:
        return fitting
    parts = [re.split(r"[-T ]", word.strip()) for word in words]
    first, last = len({p[0] for p in parts}), len({p[2] for p in parts})
    if first == last:
        return fitting
    return [f for f in fitting if (f == YEAR_FIRST) == (first < last)]


def _century_note(words: Sequence[str], date_format: DateFormat, name: str) -> str | None:
    """Return a note on years of two digits of which one lies in the future."""
    if "%y" not in date_format:
        return None
    read = {word: read_date(word, date_format) for word in words}
    last = max(words, key=lambda word: read[word] or datetime.datetime.min)
    latest = read[last]
    if latest is None or latest <= datetime.datetime.now():
        return None
    return (
        f"'{last}' of column '{name}' is read as {latest.date()}, in the future: if it is past, "
        "write years with four digits."
    )


def _order(date_format: DateFormat) -> str:
    if date_format == YEAR_FIRST:
        return "year first"
    return "month first" if date_format.startswith("%m") else "day first"


def _rewrite(date_format: DateFormat) -> str:
    other = "the day" if date_format.startswith("%m") else "the month"
    return f"because {other} stands first, write them as {example('')}"


def _order_note(
    words: Sequence[str], date_format: DateFormat, name: str, where: Callable[[str], str]
) -> str | None:
    """Say that days or months come first, and which cell shows it; None where no one can doubt."""
    if date_format == "" or "%m" not in date_format or date_format == COMPACT:
        return None
    other = swapped(date_format)
    telling = words[0]
    if other in FORMATS or date_format == YEAR_FIRST:
        in_doubt = (word for word in words if read_date(word, cast("DateFormat", other)) is None)
        telling = next(in_doubt, telling)
    return (
        f"Column '{name}' holds dates such as '{telling}' ({where(telling)}): read "
        f"{_order(date_format)}."
    )


def _probable(words: Sequence[str], fitting: Sequence[DateFormat]) -> DateFormat:
    """Return the likelier of day first and month first where every date fits both."""
    days = {word: re.split(r"[-/]", word) for word in words}
    first, second = ({int(parts[i]) for parts in days.values()} for i in (0, 1))
    month_first = next((f for f in fitting if f.startswith("%m")), fitting[0])
    day_first = next((f for f in fitting if f.startswith("%d")), fitting[0])
    return month_first if len(second) == 1 < len(first) else day_first
