"""Decide which samples are learned from, which chosen by, and which read once at the end.

The data's own splits are kept. What is missing is taken from train: test first, then val, each
stratified and drawn from the seed alone; what the strata are is the task's. Copies move together.
With groups, whole groups move, by the shares of the classes where a sample has one, and by their
size alone otherwise. The algorithms are written out here, and not taken from a library, so that a
split never changes with a version.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.data.balance import class_counts
from headstart.data.copies import Copies, joined_groups
from headstart.data.draws import drawn, shuffled
from headstart.data.records import NOUNS, SPLIT_CODES, SPLIT_NAMES, UNASSIGNED, Records
from headstart.data.times import latest
from headstart.errors import DataError, did_you_mean, quoted
from headstart.tasks import array_of

MOST_SMALL = 20  # more classes than these, most of them too small, are probably none
TRAIN, VAL, TEST = (SPLIT_CODES[name] for name in SPLIT_NAMES)


def assign_splits(
    records: Records,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    copies: Copies | None = None,
    times: tuple[str, np.ndarray] | None = None,
    may_tear: bool = False,
) -> tuple[np.ndarray, dict[str, str]]:
    """Return the split of each sample, and for each split how it came to be.

    Args:
        records: The usable samples.
        val_fraction: Share of train that becomes val where the data brings none.
        test_fraction: Share of train that becomes test where the data brings none.
        seed: Of the draw.
        copies: What is the same among the samples, and so stays on one side.
        times: The column that a split by time goes by, and the times, NaN where there is none; the
            latest rows are test then, and the latest of the others val.
        may_tear: Whether the data's own splits may tear groups apart.

    Returns:
        int8, shape (N,), 0 train, 1 val, 2 test; and one sentence part a split.

    Raises:
        DataError: One class only, a class too small to be on every side, a class that train
            lacks, a group on two sides, or no train split.
    """
    splits, task = records.splits.copy(), records.asks
    task.check_learnable(records.name, records.targets, records.classes)
    given = {name for name in SPLIT_NAMES if SPLIT_CODES[name] in splits}
    if given and "train" not in given:
        raise DataError(
            f"{records.name} brings {' and '.join(sorted(given))} but no train samples; there is "
            "nothing to learn from. Add a train split, or remove the split marks."
        )
    origin = dict.fromkeys(given, records.origin)
    splits[splits == UNASSIGNED] = TRAIN
    made = [name for name in ("test", "val") if name not in given]
    if task.is_exclusive:
        _check_class_sizes(records, splits, made)
    _check_number(records, splits, made)
    if not may_tear:
        check_groups(records)
    groups = records.groups if copies is None else joined_groups(copies, records.groups)
    for name in made:
        fraction = test_fraction if name == "test" else val_fraction
        pool = np.flatnonzero(splits == TRAIN)
        # One stream of numbers a split, so that neither draw depends on the other's.
        bits = np.random.PCG64([seed, SPLIT_CODES[name]])
        is_first = name == "test" and "val" in made
        if times is not None:
            picked = latest(times[1][pool], fraction)
        else:
            picked = _pick(records, pool, fraction, bits, groups, keep=2 if is_first else 1)
        splits[pool[picked]] = SPLIT_CODES[name]
        if groups is not None and task.is_exclusive:
            _give_back(records, splits, pool, np.asarray(groups))
        whole = "all" if name == "test" and not given else "train"
        how = task.stratified
        if records.groups is not None:
            how = f"{how}, whole groups" if task.is_exclusive else "whole groups"
        if times is not None:
            origin[name] = f"the latest {fraction * 100:.4g} % of {whole} by column '{times[0]}'"
            continue
        origin[name] = f"{fraction * 100:.4g} % of {whole}, {how}, seed {seed}"
    origin.setdefault("train", "what val and test left")
    if task.is_exclusive:
        _check_unseen(records, splits)
    return splits, {name: origin[name] for name in SPLIT_NAMES}


def only_held_out(
    records: Records, fraction: float, seed: int, copies: Copies
) -> tuple[np.ndarray, dict[str, str]]:
    """Return the splits of samples without labels: some are val, the others train, none is test.

    Args:
        records: The usable samples; their targets are all the same.
        fraction: Share that is held out.
        seed: Of the draw.
        copies: What is the same among the samples, and so stays on one side.

    Returns:
        As ``assign_splits``.

    Raises:
        DataError: There is nothing to hold out, or nothing would be left.
    """
    groups = joined_groups(copies, records.groups)
    num = len(records.targets) if groups is None else len(np.unique(groups))
    several = NOUNS[records.modality][1]
    if num < 2:
        raise DataError(
            f"{records.name} has {num} different usable {several}; expected at least 2: one to "
            f"learn from, and one that is held out. Add {several}."
        )
    splits = np.full(len(records.targets), TRAIN, np.int8)
    bits = np.random.PCG64([seed, VAL])
    picked = _pick(records, np.arange(len(splits)), fraction, bits, groups, keep=1)
    splits[picked] = VAL
    return splits, {"train": "what val left", "val": f"{fraction * 100:.4g} % of all, seed {seed}"}


def only_test(records: Records) -> tuple[np.ndarray, dict[str, str]]:
    """Return the splits of data that nothing is to be learned from.

    Its test split is test; without one its val split is, and without either all of it.

    Returns:
        As ``assign_splits``; nothing else is asked for.
    """
    for code in (SPLIT_CODES["test"], SPLIT_CODES["val"]):
        chosen = records.splits == code
        if chosen.any():
            return np.where(chosen, TEST, TRAIN).astype(np.int8), {"test": records.origin}
    return np.full(len(records.splits), TEST, np.int8), {"test": "all samples"}


def _pick(
    records: Records,
    pool: np.ndarray,
    fraction: float,
    bits: np.random.PCG64,
    groups: Sequence[str] | np.ndarray | None,
    *,
    keep: int,
) -> np.ndarray:
    """Return which positions of the pool are drawn, in whole groups where there are groups."""
    targets = records.asks.strata(records.targets)[pool]
    if groups is None:
        return stratified_pick(targets, fraction, bits, keep=keep)
    chosen = np.asarray(groups)[pool]
    if records.groups is None:
        return whole_pick(targets, chosen, fraction, bits, keep=keep)
    classes = records.classes
    if not records.asks.is_exclusive:
        targets, classes = np.zeros(len(pool), np.int64), ("any",)
    return group_pick(targets, chosen, fraction, bits, classes=classes, keep=keep)


def stratified_pick(
    targets: np.ndarray, fraction: float, bits: np.random.PCG64, *, keep: int = 1
) -> np.ndarray:
    """Return ascending positions of a stratified draw: every class gives its share, at least one.

    Args:
        targets: int64, shape (N,).
        fraction: Share to draw, in (0, 1).
        bits: Source of the draw.
        keep: How many of each class must be left over.
    """
    classes, counts = np.unique(targets, return_counts=True)
    shares = counts * fraction
    quota = np.floor(shares).astype(np.int64)
    missing = round(len(targets) * fraction) - int(quota.sum())
    # Largest remainder, so that the total is right too.
    for i in np.argsort(-(shares - quota), kind="stable")[: max(0, missing)]:
        quota[i] += 1
    quota = np.minimum(np.maximum(quota, 1), np.maximum(counts - keep, 0))
    picked = [
        np.flatnonzero(targets == value)[drawn(count, number, bits)]
        for value, count, number in zip(classes, counts, quota, strict=True)
    ]
    return np.sort(np.concatenate(picked))


def whole_pick(
    targets: np.ndarray, copies: np.ndarray, fraction: float, bits: np.random.PCG64, *, keep: int
) -> np.ndarray:
    """Return ascending positions of a stratified draw in which copies stay together.

    Without copies it is the draw of ``stratified_pick``. Copies count to the class of the first. Of
    a class with too few different samples for every side, single samples are drawn.

    Args:
        targets: int64, shape (N,).
        copies: int64, shape (N,), the same for copies.
        fraction: Share to draw, in (0, 1).
        bits: Source of the draw.
        keep: How many different samples of each class must be left over.
    """
    _, first, group_of, sizes = np.unique(
        copies, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first, kind="stable")  # as they stand, as without copies
    first, sizes = first[order], sizes[order]
    place_of = np.empty(len(order), np.int64)
    place_of[order] = np.arange(len(order))
    group_of = place_of[group_of.reshape(-1)]
    classes, counts = np.unique(targets[first], return_counts=True)
    shares = np.bincount(targets[first], sizes, classes.max() + 1)[classes] * fraction
    quota = np.floor(shares).astype(np.int64)
    missing = round(len(targets) * fraction) - int(quota.sum())
    for i in np.argsort(-(shares - quota), kind="stable")[: max(0, missing)]:
        quota[i] += 1
    taken = np.zeros(len(targets), bool)
    for value, count, number in zip(classes, counts, np.maximum(quota, 1), strict=True):
        members = np.flatnonzero(targets[first] == value)
        if count <= keep:  # too few different ones to be on every side: single samples are drawn
            torn = np.flatnonzero(np.isin(group_of, members))
            torn = torn[shuffled(len(torn), bits)]
            taken[torn[: max(0, min(number, len(torn) - keep))]] = True
            continue
        members = members[shuffled(count, bits)]
        light = members[sizes[members] <= number]
        light = light if len(light) else members[np.argsort(sizes[members], kind="stable")[:1]]
        fitting = light[np.cumsum(sizes[light]) <= number]
        fitting = fitting if len(fitting) else light[:1]
        taken |= np.isin(group_of, fitting[: count - keep])
    return np.flatnonzero(taken)


def _give_back(records: Records, splits: np.ndarray, pool: np.ndarray, groups: np.ndarray) -> None:
    """Give back to train the groups of a class that it has lost with copies of another class."""
    targets = array_of(records.targets)
    lost = np.setdiff1d(targets[pool], targets[splits == TRAIN])
    for value in lost.tolist():
        chosen = pool[targets[pool] == value]
        splits[pool[np.isin(groups[pool], groups[chosen])]] = TRAIN


def group_pick(
    targets: np.ndarray,
    groups: np.ndarray,
    fraction: float,
    bits: np.random.PCG64,
    *,
    classes: Sequence[str],
    keep: int,
) -> np.ndarray:
    """Return ascending positions of whole groups that come near the share of every class.

    Greedy: large groups first, equal ones in random order; a group is taken when that brings the
    counts of the classes nearer to their share. Then every class that is still absent gets the
    smallest group that holds it.

    Args:
        targets: int64, shape (N,).
        groups: str, shape (N,).
        fraction: Share to draw, in (0, 1).
        bits: Source of the draw.
        classes: Names, for messages.
        keep: How many groups of each class must be left over.

    Raises:
        DataError: A class is in too few groups to be on every side.
    """
    _, group_of = np.unique(groups, return_inverse=True)
    num_groups = int(group_of.max()) + 1
    counts = np.zeros((num_groups, len(classes)), np.int64)
    np.add.at(counts, (group_of, targets), 1)
    present = counts > 0
    num_per_class = present.sum(axis=0)
    for index in np.flatnonzero((num_per_class > 0) & (num_per_class < keep + 1)).tolist():
        raise DataError(
            f"Class '{classes[index]}' is in {num_per_class[index]} groups only; {keep + 1} are "
            "needed to have it on every side of the split. Add groups, or leave out --group."
        )
    totals = np.maximum(counts.sum(axis=0), 1)
    wanted, have = totals * fraction, np.zeros(len(classes))
    taken = np.zeros(num_groups, bool)
    mixed = shuffled(num_groups, bits)
    order = mixed[np.argsort(-counts[mixed].sum(axis=1), kind="stable")]
    left = num_per_class.copy()

    def take_group(group: int) -> None:
        taken[group] = True
        have[:] += counts[group]
        left[:] -= present[group]

    for group in order:
        before = np.sum(((have - wanted) / totals) ** 2)
        after = np.sum(((have + counts[group] - wanted) / totals) ** 2)
        if after < before and np.all(left[present[group]] > keep):
            take_group(group)
    for index in np.flatnonzero((have == 0) & (num_per_class > 0)).tolist():
        if have[index] > 0:
            continue  # a group taken for another class brought it
        spare = [g for g in order[::-1] if present[g, index] and np.all(left[present[g]] > keep)]
        if not spare:
            raise DataError(
                f"Class '{classes[index]}' cannot be on every side of the split without tearing "
                "a group apart. Add groups that hold it, or leave out --group."
            )
        take_group(spare[0])
    return np.flatnonzero(taken[group_of])


def _check_number(records: Records, splits: np.ndarray, made: Sequence[str]) -> None:
    """Refuse samples, or groups, that are too few to give one to each side."""
    sides = ["train", *reversed(made)]
    number, noun = int((splits == TRAIN).sum()), NOUNS[records.modality][1]
    if records.groups is not None and not records.asks.is_exclusive:
        pool = np.flatnonzero(splits == TRAIN)
        number, noun = len({records.groups[i] for i in pool.tolist()}), "groups"
    if number < len(sides):
        raise DataError(
            f"{records.name} has {number} usable {noun}; at least {len(sides)} are needed, one "
            f"each for {', '.join(sides)}. Add {noun}."
        )


def _check_class_sizes(records: Records, splits: np.ndarray, made: Sequence[str]) -> None:
    """Refuse a class that is too small to give one sample to train and to each new split."""
    counts, total = (class_counts(records, chosen) for chosen in (splits == TRAIN, splits >= TRAIN))
    sides = ["train", *reversed(made)]
    small = [i for i in range(len(counts)) if counts[i] < len(sides) and (made or total[i] == 0)]
    # A class that train lacks altogether but test has is named by _check_unseen, with its place.
    small = [i for i in small if counts[i] > 0 or total[i] == 0]
    if not small:
        return
    first = small[0]
    inside = "" if len(made) == 2 else " in train"
    one, several = NOUNS[records.modality]
    number = f"{counts[first]} usable {one if counts[first] == 1 else several}{inside}"
    more = f" ({len(small) - 1} more such classes)" if len(small) > 1 else ""
    is_none = len(small) > max(MOST_SMALL, len(counts) // 2)
    other = " Where these are no classes, name another column with --label." if is_none else ""
    raise DataError(
        f"Class '{records.classes[first]}' has {number}{more}; at least {len(sides)} are needed, "
        f"one each for {', '.join(sides)}. Add {several} or remove the class.{other}"
    )


def _check_unseen(records: Records, splits: np.ndarray) -> None:
    """Refuse a class that val or test holds and train does not."""
    targets = array_of(records.targets)
    counts = [class_counts(records, splits == code) for code in (TRAIN, VAL, TEST)]
    for code in (VAL, TEST):
        unseen = np.flatnonzero((counts[code] > 0) & (counts[TRAIN] == 0))
        if len(unseen):
            first = unseen[0]
            where = np.flatnonzero((splits == code) & (targets == first))[0]
            known = [records.classes[i] for i in np.flatnonzero(counts[TRAIN])]
            raise DataError(
                f"Class '{records.classes[first]}' is in {SPLIT_NAMES[code]} "
                f"({records.samples.name(int(where))}) but not in train (classes there: "
                f"{quoted(known)}).{did_you_mean(records.classes[first], known)} Write it "
                f"alike, add training {NOUNS[records.modality][1]} of it, or remove it."
            )


def check_groups(records: Records) -> None:
    """Refuse a group that the data's own splits have torn apart.

    Raises:
        DataError: Naming it.
    """
    side: dict[str, int] = {}
    splits = np.where(records.splits == UNASSIGNED, TRAIN, records.splits)
    for group, code in zip(records.groups or (), splits.tolist(), strict=False):
        if side.setdefault(group, code) != code:
            raise DataError(
                f"Group '{group}' is in both {SPLIT_NAMES[side[group]]} and {SPLIT_NAMES[code]}; "
                "a group has to stay on one side. Correct the splits that the data brings, leave "
                "out --group, or let headstart check --fix list what to leave out."
            )
