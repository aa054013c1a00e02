"""Rows that stand in time: when a random split would test the days between, and a split by time.

A column of dates orders the rows where nine of ten steps from one row to the next lead the same
way, or where every row has a day of its own and these follow one another evenly. A birthday does
neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.options import SplitWay
from headstart.data.records import Records
from headstart.errors import DataError, OptionError, quoted
from headstart.preprocessing.rows import TableSamples
from headstart.types import Finding

MIN_ROWS, MIN_STEPS = 20, 10
ONE_WAY = 0.9
FEW_MISSING = 0.1


def date_columns(records: Records) -> list[str]:
    """Return the columns of dates."""
    kinds = records.column_kinds or {}
    return [name for name, kind in kinds.items() if kind == "date"]


def ordering_column(records: Records) -> tuple[str, np.ndarray] | None:
    """Return the column of dates that orders the rows, and its times; None without one."""
    each = ((name, _micros(records, name)) for name in date_columns(records))
    return next((one for one in each if _orders(one[1])), None)


def _micros(records: Records, name: str) -> np.ndarray:
    assert isinstance(records.samples, TableSamples)
    return times_of(records.samples, name)


def times_of(samples: TableSamples, name: str) -> np.ndarray:
    """Return float64, shape (N,), microseconds since 1970; NaN where a cell is empty.

    Args:
        samples: Rows.
        name: A column of dates.
    """
    import pyarrow as pa

    column = samples.column(name).cast(pa.int64())
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _orders(micros: np.ndarray) -> bool:
    known = micros[~np.isnan(micros)]
    if len(known) < MIN_ROWS or len(known) < (1 - FEW_MISSING) * len(micros):
        return False
    steps = np.diff(known)
    steps = steps[steps != 0]
    if len(steps) < MIN_STEPS:
        return False
    if max((steps > 0).mean(), (steps < 0).mean()) >= ONE_WAY:
        return True
    gaps = np.diff(np.sort(known))
    return bool((gaps > 0).all() and (gaps == np.median(gaps)).mean() >= ONE_WAY)


def time_of(records: Records, named: tuple[str, ...]) -> tuple[str, np.ndarray]:
    """Return the column that a split by time goes by, and the times.

    Args:
        records: Rows of a table.
        named: Columns that the user has said to hold dates; a single one is the one.

    Raises:
        OptionError: The data holds no rows with dates, or is to be split by groups.
        DataError: Several columns of dates could be meant.
    """
    found = date_columns(records)
    if not found:
        raise OptionError(
            f"split is time, and {records.name} has no column of dates; expected a table with one. "
            "Name it with --date if it was read as something else, or leave out --split."
        )
    if records.groups is not None:
        raise OptionError(
            "split is time and group is given; expected one of them, because a group may be "
            "spread over all days. Leave out --group, or --split."
        )
    chosen = named[0] if len(named) == 1 else found[0] if len(found) == 1 else None
    ordering = ordering_column(records) if chosen is None else None
    if ordering is not None:
        return ordering
    if chosen is None:
        raise DataError(
            f"{records.name} has {len(found)} columns of dates ({quoted(found)}), and none orders "
            f"the rows. Say which one the split goes by: --date {found[0]}."
        )
    return chosen, _micros(records, chosen)


def latest(times: np.ndarray, fraction: float) -> np.ndarray:
    """Return ascending positions of the latest rows, about a share of all.

    Rows of one time stay on one side; rows without a time are not drawn.

    Args:
        times: float64, shape (N,), NaN where there is none.
        fraction: Share to draw, in (0, 1).
    """
    known = np.sort(times[~np.isnan(times)])
    different = np.unique(known)
    if len(different) < 2:
        return np.empty(0, np.int64)
    wanted = max(1, round(len(times) * fraction))
    cut = known[max(0, len(known) - wanted)]
    cut = max(cut, different[1])  # the earliest time is always left to learn from
    return np.flatnonzero(times >= cut)


def day_of(micros: float) -> str:
    """Return the day of a time, for example ``2024-03-31``."""
    return str(np.datetime64(round(micros), "us").astype("datetime64[D]"))


@dataclass(frozen=True)
class MixedDays:
    """Rows that stand in time, of which days learned from and days tested are mixed.

    Attributes:
        column: The column of dates that orders them.
        times: Of all rows: float64, shape (N,), microseconds since 1970; NaN where there is none.
        train: Those of train that are known.
        test: Those of test.
    """

    column: str
    times: np.ndarray
    train: np.ndarray
    test: np.ndarray


def mixed_days(records: Records, splits: np.ndarray, way: SplitWay) -> MixedDays | None:
    """Return by which column days learned from and tested are mixed, and the days; else None.

    Args:
        records: The samples.
        splits: int8, shape (N,), the final ones.
        way: How they were drawn.
    """
    if way == "time" or not isinstance(records.samples, TableSamples):
        return None
    ordering = ordering_column(records)
    if ordering is None:
        return None
    name, times = ordering
    train, test = (times[(splits == code) & ~np.isnan(times)] for code in (0, 2))
    is_mixed = len(train) and len(test) and test.min() <= train.max()
    return MixedDays(name, times, train, test) if is_mixed else None


def describe_times(mixed: MixedDays | None) -> list[Finding]:
    """Return that a random split has mixed the days of rows that stand in time, if it has."""
    if mixed is None:
        return []
    between = int((mixed.test <= mixed.train.max()).sum())
    sentence = (
        f"Column '{mixed.column}' orders the rows in time ({day_of(np.nanmin(mixed.times))} to "
        f"{day_of(np.nanmax(mixed.times))}), and {between:,} of {len(mixed.test):,} test rows lie "
        "between the days learned from: how good the model is on later days is another matter. "
        "Where days to come are to be foretold, say --split time (split='time' of load), which "
        "tests on the latest."
    )
    return [Finding("time", "warning", (), sentence)]


def check_way(way: Any, *, for_test: bool = False) -> list[str]:
    """Return what is wrong with how a split is to be drawn: nothing, or one sentence."""
    if way == "time" and for_test:
        return ["split is time, and nothing is split where a run is evaluated. Leave out --split."]
    if way in ("random", "time"):
        return []
    return [f"split is '{way}'; expected random, or time."]
