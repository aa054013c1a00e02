"""Rows that stand in time: when a random split would test the days between, and a split by time.

A column of dates orders the rows where nine of ten steps from one row to the next lead the same
way, or where every row has a day of its own and these follow one another evenly. A birthday does
neither.
"""

from __future__ import annotations

from collections.abc import Collection
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


def ordering_column(records: Records) -> str | None:
    """Return the column of dates that orders the rows, or None."""
    return next((n for n in date_columns(records) if _orders(_micros(records, n))), None)


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
    ordering = ordering_column(records)
    chosen = named[0] if len(named) == 1 else found[0] if len(found) == 1 else ordering
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


def mixed_column(
    records: Records, splits: np.ndarray, way: SplitWay, kept: Collection[str] | None = None
) -> str | None:
    """Return the column of dates by which days learned from and tested are mixed, or None.

    Args:
        records: The samples.
        splits: int8, shape (N,), the final ones.
        way: How they were drawn.
        kept: Columns that may be meant; None for all.
    """
    name = ordering_column(records) if isinstance(records.samples, TableSamples) else None
    if way == "time" or name is None or (kept is not None and name not in kept):
        return None
    train, test = _days(records, name, splits)
    is_mixed = len(train) and len(test) and test.min() <= train.max()
    return name if is_mixed else None


def _days(records: Records, name: str, splits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of train and of test that are known."""
    times = _micros(records, name)
    train, test = (times[(splits == code) & ~np.isnan(times)] for code in (0, 2))
    return train, test


def describe_times(records: Records, splits: np.ndarray, way: SplitWay) -> list[Finding]:
    """Return that a random split has mixed the days of rows that stand in time.

    Args:
        records: The samples.
        splits: int8, shape (N,), the final ones.
        way: How they were drawn.
    """
    name = mixed_column(records, splits, way)
    if name is None:
        return []
    times = _micros(records, name)
    train, test = _days(records, name, splits)
    between = int((test <= train.max()).sum())
    sentence = (
        f"Column '{name}' orders the rows in time ({day_of(np.nanmin(times))} to "
        f"{day_of(np.nanmax(times))}), and {between:,} of {len(test):,} test rows lie between the "
        "days learned from: how good the model is on later days is another matter. Where days to "
        "come are to be foretold, say --split time (split='time' of load), which tests on the "
        "latest."
    )
    return [Finding("time", "warning", (), sentence)]


def check_way(way: Any, *, for_test: bool = False) -> list[str]:
    """Return what is wrong with how a split is to be drawn: nothing, or one sentence."""
    if way == "time" and for_test:
        return ["split is time, and nothing is split where a run is evaluated. Leave out --split."]
    if way in ("random", "time"):
        return []
    return [f"split is '{way}'; expected random, or time."]
