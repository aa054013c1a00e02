"""A list of fixes on disk: what is to be done with which sample, written by ``check``, read again.

A person may change it. How samples are found, and what is done with them, stands in
``data/fixes.py``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from headstart.data.records import SPLIT_NAMES
from headstart.errors import DataError, OptionError, did_you_mean, quoted

COLUMNS = ("sample", "content", "action", "group", "reason", "cells")
LEAVE_OUT, LOOK = "leave out", "look"
ACTIONS = (LEAVE_OUT, *SPLIT_NAMES, LOOK)


@dataclass(frozen=True)
class Fix:
    """What is to be done with one sample.

    Attributes:
        sample: Its name.
        content: Its id, 16 hexadecimal digits; empty where a person has written the name alone.
        action: One of ``ACTIONS``; ``look`` is for a person and does nothing.
        group: The same for samples that stay on one side; empty where it stands alone.
        reason: For a person.
        cells: Of rows of a table, what each of its columns holds (``row_cells``): by it a row is
            known in data that have other columns beside.
    """

    sample: str
    content: str
    action: str
    group: str = ""
    reason: str = ""
    cells: str = ""


@dataclass(frozen=True)
class Fixes:
    """A list as it was read.

    Attributes:
        path: Where it lies.
        rows: What it says.
    """

    path: str
    rows: tuple[Fix, ...]


def write_fixes(path: Path, rows: Iterable[Fix]) -> None:
    """Write a list.

    Args:
        path: A file, which is replaced.
        rows: One for each sample.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        kept = list(rows)
        columns = COLUMNS if any(row.cells for row in kept) else COLUMNS[:-1]
        writer.writerow(columns)
        for row in kept:
            writer.writerow([getattr(row, name) for name in columns])


def read_fixes(source: str | Path) -> Fixes:
    """Read a list that ``check --fix`` has written, or a person: ``sample`` and ``action`` do.

    Args:
        source: A CSV file.

    Raises:
        DataError: It cannot be read, or says something that is no action.
    """
    path = Path(source).expanduser()
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, delimiter=_delimiter(file), strict=True)
            named = [name.strip().casefold() for name in reader.fieldnames or ()]
            reader.fieldnames = named
            if missing := [name for name in ("sample", "action") if name not in named]:
                raise DataError(
                    f"'{path}' has no column {quoted(missing)} (found: {quoted(named)}); expected "
                    f"the list that 'headstart check DATA --fix {path.name}' writes, with the "
                    f"columns {quoted(COLUMNS[:-1])}."
                )
            rows = [_fix(path, reader.line_num, row) for row in reader if _says_something(row)]
    except OSError as error:
        raise DataError(
            f"The list of fixes '{path}' cannot be read ({error.strerror}). Expected what "
            f"'headstart check DATA --fix LIST.csv' writes; correct the name, or leave out --fixes."
        ) from error
    except csv.Error as error:
        raise DataError(
            f"'{path}' is no list of fixes ({error}). Expected what 'headstart check DATA --fix "
            "LIST.csv' writes."
        ) from error
    _refuse_twice(path, rows)
    return Fixes(str(path.absolute()), tuple(rows))


def _delimiter(file: TextIO) -> str:
    """Return what stands between the cells: where the comma is the decimal mark, Excel takes ;."""
    first = file.readline()
    file.seek(0)
    return max(",;\t", key=first.count)


def _says_something(row: Mapping[str, str | None]) -> bool:
    return any((row.get(name) or "").strip() for name in COLUMNS)


def _fix(path: Path, line: int, row: Mapping[str, str | None]) -> Fix:
    said = {name: (row.get(name) or "").strip() for name in COLUMNS if name != "sample"}
    action = said["action"].casefold()
    if action not in ACTIONS:
        raise DataError(
            f"'{path}', line {line}: action is '{said['action']}'; expected one of "
            f"{quoted(ACTIONS)}.{did_you_mean(action, ACTIONS)}"
        )
    content = said["content"].casefold()
    return Fix(row.get("sample") or "", **{**said, "action": action, "content": content})


def _refuse_twice(path: Path, rows: Sequence[Fix]) -> None:
    """Refuse a sample to which two different things are to be done."""
    seen: dict[tuple[str, str], str] = {}
    for row in rows:
        former = seen.setdefault((row.sample, row.content), row.action)
        if former != row.action:
            raise DataError(
                f"'{path}' says both '{former}' and '{row.action}' of '{row.sample}'; expected one "
                "action for each sample. Remove one of the lines."
            )


def named_fixes(fixes: object) -> Fixes | None:
    """Read the list that a user has named; None where none is.

    Raises:
        OptionError: It is neither text nor a path.
        DataError: As ``read_fixes`` does.
    """
    if not isinstance(fixes, str | Path | None):
        raise OptionError(
            f"fixes is a {type(fixes).__name__}; expected the path of a list that "
            "'headstart check DATA --fix LIST.csv' has written."
        )
    return None if fixes is None else read_fixes(fixes)
