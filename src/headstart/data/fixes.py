"""A list of what to leave out of data and on which side of the split to put what, applied.

``headstart check DATA --fix LIST.csv`` writes one; a person may change it. A row is about one
sample: it is found by its name together with what it is (its id), so that a list never touches a
sample which has changed since. A file that was renamed is found by what it is alone, where no other
is the same. A row of a table that has other columns now is known by the cells of those that it
still has. The user's files are never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.data.copies import Copies, connected, joined_groups
from headstart.data.fix_cells import CellFinder
from headstart.data.fix_lists import LEAVE_OUT, LOOK, Fix, Fixes
from headstart.data.records import NOUNS, SPLIT_CODES, SPLIT_NAMES, Records
from headstart.errors import DataError
from headstart.tasks import array_of
from headstart.types import Finding, SplitName

SIDES: dict[str, SplitName] = {"train": "train", "val": "val", "test": "test"}
SHOWN = 3
LEAST_FOUND = 0.5  # of the samples of a list: with fewer it is about other data


def written_id(number: int) -> str:
    """Return the id of a sample as a list writes it."""
    return f"{number:016x}"


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
        num_by_cells: Rows that are known by the columns that these data share with the list's.
    """

    fixes: Fixes
    left_out: np.ndarray
    sides: Mapping[int, SplitName]
    groups: Mapping[int, str]
    num_looks: int
    missing: Sequence[str]
    num_by_cells: int = 0


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
    by_cells = CellFinder(records.samples)
    left_out: list[int] = []
    sides: dict[int, SplitName] = {}
    groups: dict[int, str] = {}
    missing: list[str] = []
    num_by_cells = 0
    for row in acting:
        named = by_name.get(row.sample, [])
        found = _find(row, named, by_id, ids)
        if found is None:
            found = by_cells.find(row, named)
            num_by_cells += found is not None
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
    return Placed(fixes, gone, sides, groups, len(fixes.rows) - len(acting), missing, num_by_cells)


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
    return replace(records, splits=splits).take(kept), kept


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
    if placed.num_by_cells:
        missing = (
            f" {placed.num_by_cells:,} are known by the columns that these {several} share with "
            "those of the list."
        )
    if placed.missing:
        missing += (
            f" {len(placed.missing):,} of its {several} are not there as they were, and nothing "
            f"was done for them: {_few(placed.missing)}."
        )
    sentence = f"By {placed.fixes.path}: {', '.join(parts)}{looks}.{missing}"
    return Finding(
        "reading", "warning" if placed.missing else "note", list(placed.missing), sentence
    )
