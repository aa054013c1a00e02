"""A list of what to leave out of data and on which side of the split to put what: read, applied.

``headstart check DATA --fix LIST.csv`` writes one; a person may change it. A row is about one
sample: it is found by its name together with what it is (its id), so that a list never touches a
sample which has changed since. A file that was renamed is found by what it is alone, where no other
is the same. The user's files are never touched.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from headstart.data.copies import Copies, connected, joined_groups
from headstart.data.records import NOUNS, SPLIT_CODES, SPLIT_NAMES, Records
from headstart.errors import DataError, OptionError, did_you_mean, quoted
from headstart.preprocessing.samples import take
from headstart.tasks import array_of
from headstart.types import Finding, SplitName

COLUMNS = ("sample", "content", "action", "group", "reason")
LEAVE_OUT, LOOK = "leave out", "look"
ACTIONS = (LEAVE_OUT, *SPLIT_NAMES, LOOK)
SIDES: dict[str, SplitName] = {"train": "train", "val": "val", "test": "test"}
SHOWN = 3
LEAST_FOUND = 0.5  # of the samples of a list: with fewer it is about other data


@dataclass(frozen=True)
class Fix:
    """What is to be done with one sample.

    Attributes:
        sample: Its name.
        content: Its id, 16 hexadecimal digits; empty where a person has written the name alone.
        action: One of ``ACTIONS``; ``look`` is for a person and does nothing.
        group: The same for samples that stay on one side; empty where it stands alone.
        reason: For a person.
    """

    sample: str
    content: str
    action: str
    group: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Fixes:
    """A list as it was read.

    Attributes:
        path: Where it lies.
        rows: What it says.
    """

    path: str
    rows: tuple[Fix, ...]


def written_id(number: int) -> str:
    """Return the id of a sample as a list writes it."""
    return f"{number:016x}"


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
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([row.sample, row.content, row.action, row.group, row.reason])


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
                    f"columns {quoted(COLUMNS)}."
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


@dataclass(frozen=True)
class Placed:
    """A list whose samples were found among N records.

    Attributes:
        fixes: The list.
        left_out: int64, shape (L,), places of what is left out.
        sides: Of the other places that it speaks of, the split.
        groups: Of those places, the group; empty for none.
        num_looks: Rows for a person.
        missing: Samples that were not found.
    """

    fixes: Fixes
    left_out: np.ndarray
    sides: Mapping[int, SplitName]
    groups: Mapping[int, str]
    num_looks: int
    missing: Sequence[str]


def place_fixes(fixes: Fixes, records: Records, ids: np.ndarray) -> Placed:
    """Find the samples that a list speaks of.

    Args:
        fixes: The list.
        records: The samples, N of them.
        ids: int64, shape (N,).

    Raises:
        DataError: Most of them are not there: the list is about other data.
    """
    acting = [row for row in fixes.rows if row.action != LOOK]
    names = [records.samples.name(i) for i in range(len(ids))] if acting else []
    by_name: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        by_name.setdefault(name, []).append(place)
    by_id = {written_id(number): place for place, number in enumerate(ids.tolist())}
    left_out: list[int] = []
    sides: dict[int, SplitName] = {}
    groups: dict[int, str] = {}
    missing: list[str] = []
    for row in acting:
        found = _find(row, by_name.get(row.sample, []), by_id, ids)
        if found is None:
            missing.append(row.sample)
        elif row.action == LEAVE_OUT:
            left_out.append(found)
        else:
            sides[found] = SIDES[row.action]
            groups[found] = row.group
    if acting and len(acting) - len(missing) < LEAST_FOUND * len(acting):
        raise DataError(_other_data(fixes, records, acting, missing))
    gone = np.unique(np.array(left_out, np.int64))
    return Placed(fixes, gone, sides, groups, len(fixes.rows) - len(acting), missing)


def _find(row: Fix, named: Sequence[int], by_id: Mapping[str, int], ids: np.ndarray) -> int | None:
    """Return the place of the sample of a row, or None."""
    if not row.content:
        return named[0] if len(named) == 1 else None
    for place in named:
        if written_id(int(ids[place])) == row.content:
            return place
    return by_id.get(row.content)


def _other_data(
    fixes: Fixes, records: Records, acting: Sequence[Fix], missing: Sequence[str]
) -> str:
    several = NOUNS[records.modality][1]
    return (
        f"'{fixes.path}' is a list of fixes for other data: {len(acting) - len(missing):,} of its "
        f"{len(acting):,} {several} are in {records.name} as they were then ({_few(missing)} not). "
        f"Expected the data, and the options of reading it, that the list was made with. Make one "
        f"for these: headstart check {records.name} --fix NEW.csv."
    )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def without_left_out(placed: Placed, records: Records) -> tuple[Records, np.ndarray]:
    """Return the records that stay, with the sides that the list gives them, and their places.

    Only where the data brings splits are sides given here; a split that is drawn is corrected
    after the draw (``settle_sides``).

    Raises:
        DataError: Nothing stays.
    """
    kept = np.setdiff1d(np.arange(len(records.targets)), placed.left_out)
    if not len(kept):
        raise DataError(
            f"'{placed.fixes.path}' leaves out all of {records.name}; nothing is left to learn "
            "from. Change its actions."
        )
    splits = records.splits.copy()
    for place, side in placed.sides.items():
        if splits[place] >= 0:
            splits[place] = SPLIT_CODES[side]
    groups = records.groups
    return replace(
        records,
        samples=take(records.samples, kept),
        targets=records.targets[kept],
        splits=splits[kept],
        groups=None if groups is None else [groups[i] for i in kept.tolist()],
    ), kept


def settle_sides(
    placed: Placed, kept: np.ndarray, records: Records, copies: Copies, splits: np.ndarray
) -> np.ndarray:
    """Return the splits as the list wants them; what belongs together stays together.

    A sample takes along its copies, those of its group in the list, and those of its group in the
    data. Where they are told different sides the most count, and train of equally many.

    Args:
        placed: The list, by places of all samples.
        kept: int64, shape (N,), the places of those that stayed.
        records: Those.
        copies: What is the same among them.
        splits: int8, shape (N,), as drawn.

    Returns:
        int8, shape (N,).

    Raises:
        DataError: A split would be empty, or train without a class that val or test holds.
    """
    now = {place: i for i, place in enumerate(kept.tolist())}
    told = {now[place]: side for place, side in placed.sides.items() if place in now}
    if not told:
        return splits
    alone = np.arange(len(kept))
    of_list = alone.copy()
    first: dict[str, int] = {}
    for place, group in placed.groups.items():
        if group and place in now:
            of_list[now[place]] = first.setdefault(group, now[place])
    own = joined_groups(copies, records.groups)
    together = connected(of_list, alone if own is None else own)
    votes: dict[int, Counter[SplitName]] = {}
    for place, side in told.items():
        votes.setdefault(int(together[place]), Counter())[side] += 1
    settled = splits.copy()
    code_of = np.full(int(together.max()) + 1, -1, np.int8)
    for group_number, counted in votes.items():
        best = min(counted, key=lambda name: (-counted[name], SPLIT_CODES[name]))
        code_of[group_number] = SPLIT_CODES[best]
    moved = code_of[together]
    settled[moved >= 0] = moved[moved >= 0]
    _refuse_empty(placed, records, splits, settled)
    return settled


def _refuse_empty(
    placed: Placed, records: Records, splits: np.ndarray, settled: np.ndarray
) -> None:
    """Refuse a list that takes a split all its samples, or train all those of a class."""
    for name in SPLIT_NAMES:
        code = SPLIT_CODES[name]
        if (splits == code).any() and not (settled == code).any():
            raise DataError(
                f"'{placed.fixes.path}' leaves {name} of {records.name} empty. Change its actions, "
                f"so that some samples stay in {name}."
            )
    if not records.asks.is_exclusive:
        return
    targets = array_of(records.targets)
    lost = np.setdiff1d(targets[settled > 0], targets[settled == SPLIT_CODES["train"]])
    if len(lost):
        raise DataError(
            f"'{placed.fixes.path}' leaves train of {records.name} without class "
            f"'{records.classes[int(lost[0])]}', which val or test holds. Change its actions, so "
            "that some of it stays in train."
        )


def describe_fixes(placed: Placed, records: Records) -> Finding:
    """Return what the list has done.

    Args:
        placed: The list.
        records: All samples, before any was left out.
    """
    one, several = NOUNS[records.modality]
    number_out = len(placed.left_out)
    counts = Counter(placed.sides.values())
    sides = ", ".join(f"{number:,} in {name}" for name, number in sorted(counts.items()))
    parts = [f"{number_out:,} {one if number_out == 1 else several} left out"]
    parts += [f"{sides}, where their likes are"] if sides else []
    looks = ""
    if placed.num_looks:
        verb = "is as it was" if placed.num_looks == 1 else "are as they were"
        looks = f"; {placed.num_looks:,} to be looked at {verb}"
    missing = ""
    if placed.missing:
        missing = (
            f" {len(placed.missing):,} of its {several} are not there as they were, and nothing "
            f"was done for them: {_few(placed.missing)}."
        )
    sentence = f"By {placed.fixes.path}: {', '.join(parts)}{looks}.{missing}"
    return Finding(
        "reading", "warning" if placed.missing else "note", list(placed.missing), sentence
    )


def check_fixes(fixes: object) -> None:
    """Refuse what names no file.

    Raises:
        OptionError: It is neither text nor a path.
    """
    if not isinstance(fixes, str | Path | None):
        raise OptionError(
            f"fixes is a {type(fixes).__name__}; expected the path of a list that "
            "'headstart check DATA --fix LIST.csv' has written."
        )
