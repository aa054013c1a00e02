"""Other divisions of a data set that was loaded: folds, and parts of what is learned from.

Whole groups and copies stay together, folds are stratified as splits are, and everything is drawn
from the seed alone. All samples stand in one pool, so that what is decoded of them is decoded once
for all divisions. Deliberately left out: folds of rows in time, which would learn from days after
those that are tested.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from headstart.data.copies import connected
from headstart.data.draws import shuffled
from headstart.data.sources.samples import ChainSamples
from headstart.data.split import group_pick, stratified_pick, whole_pick
from headstart.errors import DataError
from headstart.preprocessing.rows import TableSamples, TextSamples
from headstart.preprocessing.samples import ArraySamples, take
from headstart.tasks import find_task
from headstart.types import Dataset, Ragged, Rows, Samples, Split, SplitName

_FOLD_CODE, _VAL_CODE, _PART_CODE = 11, 12, 13  # streams of numbers, apart from those of splits


@dataclass(frozen=True)
class DealtFolds:
    """Which fold tests which sample.

    Attributes:
        dataset: As it was loaded.
        pool: All samples that take part, as one train split.
        fold_of: int64, shape (N,), of each of these, from 0.
        together: int64, shape (N,), the same for what stays on one side; None for none.
        seed: Of all draws.
    """

    dataset: Dataset
    pool: Dataset
    fold_of: np.ndarray
    together: np.ndarray | None
    seed: int

    @property
    def num(self) -> int:
        """How many folds there are."""
        return int(self.fold_of.max()) + 1

    def division(self, fold: int) -> Dataset:
        """Return the data in which a fold is tested, and the others are train and val.

        Args:
            fold: Which, from 0.

        Raises:
            DataError: A class cannot be on every side.
        """
        tested = np.flatnonzero(self.fold_of == fold)
        rest = np.flatnonzero(self.fold_of != fold)
        own = self.dataset
        share = len(own.val) / (len(own.train) + len(own.val))
        bits = np.random.PCG64([self.seed, _VAL_CODE, fold])
        chosen = rest[self._pick(rest, share, bits)]
        learned = np.setdiff1d(rest, chosen)
        how = f"fold {fold + 1} of {self.num}, seed {self.seed}"
        found = _divided(self.pool, learned, chosen, tested, how)
        _check_classes(found, how)
        return replace(found, drawn_splits=("val", "test"))

    def _pick(self, places: np.ndarray, share: float, bits: np.random.PCG64) -> np.ndarray:
        task, schema = find_task(self.pool.schema.task), self.pool.schema
        strata = task.strata(self.pool.train.targets)[places]
        if self.together is None:
            return stratified_pick(strata, share, bits)
        codes = self.together[places]
        if self.pool.train.groups is None:
            return whole_pick(strata, codes, share, bits, keep=1)
        classes: Sequence[str] = schema.classes
        if not task.is_exclusive:
            strata, classes = np.zeros(len(places), np.int64), ("any",)
        return group_pick(strata, codes, share, bits, classes=classes, keep=1)


def make_folds(dataset: Dataset, num_folds: int, seed: int) -> DealtFolds:
    """Deal the samples of a data set into folds.

    All samples take part whose split was drawn here: where the data brings its own test split, that
    stays untouched, and train and val are dealt out.

    Args:
        dataset: As it was loaded.
        num_folds: At least 2.
        seed: Of the draw.

    Raises:
        DataError: The rows were split by time, there are fewer samples or groups than folds, or a
            class is in too few of them.
    """
    if any("latest" in how for how in dataset.split_origin.values()):
        raise DataError(
            f"{dataset.name} was split by time, and folds would learn from days after those that "
            "they test. Leave --folds out, or --split time."
        )
    names: list[SplitName] = ["train", "val"]
    if "test" in dataset.drawn_splits:
        names.append("test")
    pool = pooled_data(dataset, names)
    together = _together(pool)
    strata = find_task(dataset.schema.task).strata(pool.train.targets)
    bits = np.random.PCG64([seed, _FOLD_CODE])
    units = np.arange(len(strata)) if together is None else together
    num_units = len(np.unique(units))
    if num_units < num_folds:
        what = "groups" if pool.train.groups is not None else "different samples"
        raise DataError(
            f"{dataset.name} has {num_units} {what}, expected at least {num_folds}, one a fold. "
            "Give a smaller --folds."
        )
    fold_of = _dealt(strata, units, num_folds, bits)
    return DealtFolds(dataset, pool, fold_of, together, seed)


def part_of_train(dataset: Dataset, num: int, seed: int) -> Dataset:
    """Return the data with so many of its training samples; smaller parts lie in larger ones.

    Args:
        dataset: As it was loaded.
        num: How many at the least: whole groups are taken, and every class keeps a sample.
        seed: Of the draw.
    """
    pool = pooled_data(dataset, ["train", "val", "test"])
    num_train, num_val = len(dataset.train), len(dataset.val)
    train = np.arange(num_train)
    strata = find_task(dataset.schema.task).strata(dataset.train.targets)
    groups = dataset.train.groups
    units = train if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    order = shuffled(int(units.max()) + 1, np.random.PCG64([seed, _PART_CODE]))
    rank_of = np.empty(len(order), np.int64)
    rank_of[order] = np.arange(len(order))
    ranks = rank_of[units]
    # every stratum at its own pace, so that a part is stratified whatever its size
    pace = np.empty(num_train)
    for value in np.unique(strata):
        own = np.flatnonzero(strata == value)
        sorted_own = own[np.argsort(ranks[own], kind="stable")]
        pace[sorted_own] = (np.arange(len(own)) + 0.5) / len(own)
        pace[sorted_own[0]] = -1.0  # one of each is always there
    if groups is not None:  # a group comes as a whole, with its first
        first = np.full(len(order), np.inf)
        np.minimum.at(first, units, pace)
        pace = first[units]
    chosen = np.sort(pace, kind="stable")[min(num, num_train) - 1]
    learned = np.flatnonzero(pace <= chosen)
    val, test = (np.arange(len(split)) for split in (dataset.val, dataset.test))
    how = f"{len(learned)} of {num_train} of train, seed {seed}"
    return _divided(pool, learned, num_train + val, num_train + num_val + test, how)


def without_train(dataset: Dataset, ids: Collection[int]) -> Dataset:
    """Return the data without some of its training samples.

    Args:
        dataset: As it was loaded.
        ids: Of the samples that are left out.

    Raises:
        DataError: If none would be left.
    """
    kept = np.flatnonzero(~np.isin(dataset.train.ids, np.array(sorted(ids), np.int64)))
    if not len(kept):
        raise DataError(
            f"All {len(dataset.train):,} training samples of {dataset.name} would be left out; "
            "expected some to learn from. Give samples that test does not hold."
        )
    told = [blake2b(dataset.train.ids[kept].tobytes(), digest_size=8).hexdigest()]
    return replace(
        dataset,
        train=part_of_split(dataset.train, kept),
        fingerprint=_fingerprint(dataset.fingerprint, "without", *told),
    )


def pooled_data(dataset: Dataset, names: Sequence[SplitName]) -> Dataset:
    """Return data whose train split holds the samples of several splits, and the others none.

    Args:
        dataset: As it was loaded.
        names: Of these.
    """
    splits = [dataset.split(name) for name in names]
    rows = [split.beside for split in splits if split.beside is not None]
    whole = Split(
        joined([split.samples for split in splits]),
        _all_rows([_rows(split) for split in splits]),
        np.concatenate([split.ids for split in splits]),
        _all_of([split.contents for split in splits]),
        _all_of([split.groups for split in splits]),
        None if not rows else joined(rows),
        _all_of([split.alone_ids for split in splits]),
    )
    nothing = part_of_split(whole, np.zeros(0, np.int64))
    return replace(
        dataset,
        train=whole,
        val=nothing,
        test=nothing,
        fingerprint=_fingerprint(dataset.fingerprint, "pool", list(names)),
        split_origin={},
        drawn_splits=(),
        findings=(),
        source=None,
        load_seconds=0.0,
    )


def _all_of(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return arrays one after the other; None where one is missing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def joined(parts: Sequence[Samples]) -> Samples:
    """Return the samples of several splits one after the other."""
    texts = [part for part in parts if isinstance(part, TextSamples)]
    if len(texts) == len(parts):
        return TextSamples([t for p in texts for t in p.texts], _names(texts))
    tables = [part for part in parts if isinstance(part, TableSamples)]
    if len(tables) == len(parts):
        import pyarrow as pa

        return TableSamples(pa.concat_tables([part.table for part in tables]), _names(tables))
    arrays = [part for part in parts if isinstance(part, ArraySamples)]
    alike = {(part.images.shape[1:], part.images.dtype) for part in arrays}
    if len(arrays) == len(parts) and len(alike) == 1:
        return ArraySamples(np.concatenate([part.images for part in arrays]), _names(arrays))
    return ChainSamples(parts)


def _names(parts: Sequence[Any]) -> list[str]:
    return [part.name(i) for part in parts for i in range(len(part))]


def _rows(split: Split) -> Rows:
    """Return the targets of a split; of the words of texts a row each, of any length."""
    return split.targets if isinstance(split.targets, Ragged) else np.asarray(split.targets)


def _all_rows(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, one part after the other."""
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if len(ragged) == len(parts):
        return Ragged.joined(ragged)
    return np.concatenate([np.asarray(part) for part in parts])


def part_of_split(split: Split, places: np.ndarray) -> Split:
    """Return some of the samples of a split.

    Args:
        split: Any.
        places: int64, which of them.
    """
    return Split(
        take(split.samples, places),
        _rows(split)[places],
        split.ids[places],
        None if split.contents is None else split.contents[places],
        None if split.groups is None else split.groups[places],
        None if split.beside is None else take(split.beside, places),
        None if split.alone_ids is None else split.alone_ids[places],
    )


def _divided(
    pool: Dataset, learned: np.ndarray, chosen: np.ndarray, tested: np.ndarray, how: str
) -> Dataset:
    """Return a pool's samples as train, val and test."""
    train, val, test = (part_of_split(pool.train, places) for places in (learned, chosen, tested))
    what = [how, *(blake2b(s.ids.tobytes(), digest_size=8).hexdigest() for s in (train, val, test))]
    return replace(
        pool,
        train=train,
        val=val,
        test=test,
        fingerprint=_fingerprint(pool.fingerprint, *what),
        split_origin=dict.fromkeys(("train", "val", "test"), how),
        pool=pool,
        is_repeated=True,
    )


def _fingerprint(*what: object) -> str:
    return blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()


def _together(pool: Dataset) -> np.ndarray | None:
    """Return what stays on one side: groups, joined by what is the same; None for nothing."""
    groups, contents = pool.train.groups, pool.train.contents
    copies = None
    if contents is not None and not pool.alike_by_chance:
        _, copies = np.unique(contents, return_inverse=True)
        copies = copies.reshape(-1)
        if int(copies.max()) + 1 == len(copies):
            copies = None
    if groups is None:
        return copies
    _, told = np.unique(groups, return_inverse=True)
    told = told.reshape(-1)
    return told if copies is None else connected(told, copies)


def _dealt(
    strata: np.ndarray, units: np.ndarray, num_folds: int, bits: np.random.PCG64
) -> np.ndarray:
    """Return the fold of each sample: units as a whole, every stratum evenly.

    Large units first, equal ones in random order; each goes where the counts of its strata are
    the smallest shares of what a fold should have, and of these where the fewest samples are.

    Source:
        The greedy deal is that of scikit-learn's ``StratifiedGroupKFold``.
    """
    _, rows = np.unique(strata, return_inverse=True)
    _, of_unit = np.unique(units, return_inverse=True)
    rows, of_unit = rows.reshape(-1), of_unit.reshape(-1)
    num_units, num_strata = int(of_unit.max()) + 1, int(rows.max()) + 1
    if num_units == len(units):  # each alone: every stratum is dealt out in turn
        fold_of, begun = np.empty(len(units), np.int64), 0
        for value in range(num_strata):
            own = np.flatnonzero(rows == value)
            own = own[shuffled(len(own), bits)]
            fold_of[own] = (begun + np.arange(len(own))) % num_folds
            begun += len(own)
        return fold_of
    counts = np.zeros((num_units, num_strata), np.int64)
    np.add.at(counts, (of_unit, rows), 1)
    wanted = np.maximum(counts.sum(axis=0), 1) / num_folds
    have, fold = np.zeros((num_folds, num_strata)), np.empty(num_units, np.int64)
    mixed = shuffled(num_units, bits)
    for unit in mixed[np.argsort(-counts[mixed].sum(axis=1), kind="stable")]:
        inside = counts[unit] > 0
        full = (have[:, inside] / wanted[inside]).sum(axis=1)
        best = np.lexsort((np.arange(num_folds), have.sum(axis=1), np.round(full, 9)))[0]
        fold[unit] = best
        have[best] += counts[unit]
    return fold[of_unit]


def _check_classes(dataset: Dataset, how: str) -> None:
    """Refuse a division whose train split lacks a class that is tested or chosen by."""
    task, schema = find_task(dataset.schema.task), dataset.schema
    if not task.is_exclusive:
        return
    lacking = np.flatnonzero(task.class_counts(dataset.train.targets, len(schema.classes)) == 0)
    if len(lacking):
        raise DataError(
            f"Class '{schema.classes[int(lacking[0])]}' of {dataset.name} has too few samples or "
            f"groups: {how} has none to learn from. Give a smaller --folds, or add samples of it."
        )
