"""Folds test every sample once, groups as a whole, classes evenly; parts of train are nested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import headstart as hs
from headstart.data.dividing import make_folds, part_of_train
from headstart.errors import DataError

N = 120


def _frame(**more):
    rng = np.random.default_rng(0)
    label = np.array(["rare", "common"])[(np.arange(N) % 6 > 0).astype(int)]
    return pd.DataFrame({"x": rng.normal(size=N), "y": rng.normal(size=N), "label": label, **more})


def _ids(split):
    return set(split.ids.tolist())


def test_every_sample_is_tested_once_and_classes_are_dealt_evenly():
    data = hs.load(_frame())
    folds = make_folds(data, 5, seed=0)
    tested = []
    for fold in range(5):
        division = folds.division(fold)
        sides = [_ids(split) for split in (division.train, division.val, division.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == N
        tested += division.test.ids.tolist()
        assert np.bincount(division.test.targets).tolist() == [20, 4]
        assert set(division.val.targets.tolist()) == {0, 1}
        # a sample keeps its content
        first = int(division.test.ids[0])
        where = next(s for s in (data.train, data.val, data.test) if first in _ids(s))
        place = where.ids.tolist().index(first)
        assert division.test.samples.read(0) == where.samples.read(place)
        assert division.test.samples.name(0) == where.samples.name(place)
    assert len(set(tested)) == len(tested) == N
    assert len({folds.division(fold).fingerprint for fold in range(5)}) == 5
    same, other = make_folds(data, 5, seed=0), make_folds(data, 5, seed=1)
    assert same.fold_of.tolist() == folds.fold_of.tolist() != other.fold_of.tolist()


def test_groups_and_copies_stay_together():
    frame = _frame(owner=np.arange(N) // 4)
    folds = make_folds(hs.load(frame, group="owner"), 4, seed=0)
    for fold in range(4):
        division = folds.division(fold)
        sides = [set(s.groups.tolist()) for s in (division.train, division.val, division.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == N // 4
    texts = [f"text {i % 60} of some words that are told twice" for i in range(N)]
    twice = pd.DataFrame({"text": texts, "label": [("a", "b")[i % 2] for i in range(N)]})
    data = hs.load(twice)
    folds = make_folds(data, 3, seed=0)
    for fold in range(3):
        division = folds.division(fold)
        seen = {division.train.samples.read(i) for i in range(len(division.train))}
        assert not seen & {division.test.samples.read(i) for i in range(len(division.test))}


def test_a_test_split_that_the_data_brings_takes_no_part():
    frame = _frame(split=["test" if i % 4 == 0 else "train" for i in range(N)])
    data = hs.load(frame)
    assert len(data.test) == 30
    folds = make_folds(data, 3, seed=0)
    kept = _ids(data.test)
    for fold in range(3):
        division = folds.division(fold)
        assert not kept & (_ids(division.train) | _ids(division.val) | _ids(division.test))


def test_parts_of_train_are_nested_stratified_and_leave_val_and_test_as_they_are():
    data = hs.load(_frame())
    before: set[int] = set()
    for number in (12, 24, 48):
        part = part_of_train(data, number, seed=0)
        assert number <= len(part.train) <= number + 2
        assert before < _ids(part.train) < _ids(data.train)
        assert np.bincount(part.train.targets)[1] == pytest.approx(len(part.train) / 6, abs=1.5)
        assert part.val.ids.tolist() == data.val.ids.tolist()
        assert part.test.ids.tolist() == data.test.ids.tolist()
        before = _ids(part.train)
    owned = hs.load(_frame(owner=np.arange(N) // 4), group="owner")
    part = part_of_train(owned, 20, seed=0)
    inside = set(part.train.groups.tolist())
    is_left = ~np.isin(owned.train.ids, part.train.ids)
    rest = owned.train.groups[is_left].tolist()
    assert inside.isdisjoint(rest)


def _by_time(**how):
    days = pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d")
    return hs.load(_frame(when=days), **how)


CASES = {
    "time": (
        lambda: make_folds(_by_time(split="time"), 3, 0),
        "was split by time",
        lambda: make_folds(_by_time(), 3, 0),
    ),
    "number": (
        lambda: make_folds(hs.load(_frame(g=np.arange(N) // 20), group="g"), 50, 0),
        "expected at least 50",
        lambda: make_folds(hs.load(_frame(g=np.arange(N) // 20), group="g"), 3, 0),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_folds_that_cannot_be_are_refused_with_what_to_do(name, heard):
    wrong, words, right = CASES[name]
    with pytest.raises(DataError, match=words) as refused:
        wrong()
    right()
    heard(refused.value)


def test_a_class_that_a_fold_would_have_to_learn_unseen_is_refused(heard):
    frame = _frame(owner=np.arange(N) // 4)
    data = hs.load(frame)
    # two groups hold the rare class: by three folds one of them is always learned from
    folds = make_folds(data, 3, 0)
    lone = folds.fold_of.copy()
    lone[np.asarray(folds.pool.train.targets) == 1] = 1
    with pytest.raises(DataError, match="has none to learn from") as refused:
        replace(folds, fold_of=lone).division(1)
    make_folds(data, 2, 0).division(1)
    heard(refused.value)
