"""Splits of numbers and of several labels: by quantile, by the rarest label, in whole groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.data.balance import describe_splits
from headstart.data.records import Records
from headstart.data.split import assign_splits
from headstart.errors import DataError
from headstart.preprocessing.rows import TextSamples
from headstart.tasks import MULTI_LABEL, REGRESSION

RNG = np.random.default_rng(0)


def records(targets, task="regression", classes=(), groups=None):
    number = len(targets)
    return Records(
        name="prices",
        samples=TextSamples(["x"] * number, [f"row {i + 1}" for i in range(number)]),
        targets=np.asarray(targets),
        classes=classes,
        splits=np.full(number, -1, np.int8),
        origin="column 'split'",
        groups=groups,
        modality="text",
        task=task,
    )


def assign(given, seed=0):
    return assign_splits(given, val_fraction=0.15, test_fraction=0.2, seed=seed)


def test_assign_splits_draws_numbers_from_every_part_of_their_range():
    targets = RNG.lognormal(size=500)
    splits, origin = assign(records(targets))
    rank = np.argsort(np.argsort(targets)) // 50  # ten parts of 50
    for part in range(10):
        assert np.bincount(splits[rank == part], minlength=3)[2] == 10
    assert 55 <= (splits == 1).sum() <= 65
    assert origin["test"] == "20 % of all, stratified by the target, seed 0"
    again, _ = assign(records(targets))
    other, _ = assign(records(targets), seed=1)
    assert np.array_equal(splits, again)
    assert not np.array_equal(splits, other)


def test_assign_splits_of_numbers_does_not_drift():
    """A golden split: a change here changes the fingerprint of every user's data."""
    splits, _ = assign(records(np.arange(20) % 7 + 0.5))
    assert "".join("tvT"[code] for code in splits) == GOLDEN


GOLDEN = "TttvttttTttTttvttttT"


def test_assign_splits_gives_each_side_one_of_three_numbers():
    for number in (3, 4, 7, 12, 25):
        splits, _ = assign(records(np.arange(number) + 0.5))
        assert set(splits.tolist()) == {0, 1, 2}
    with pytest.raises(
        DataError, match="prices has 2 usable texts; at least 3 are needed, one eac"
    ):
        assign(records([1.0, 2.0]))
    with pytest.raises(DataError, match=r"has the target 1.5 in every sample; there is nothing to"):
        assign(records([1.5] * 9))


def test_strata_keep_equal_numbers_together():
    targets = np.repeat([1.0, 2.0, 9.0], [50, 49, 1])
    parts = REGRESSION.strata(targets)
    assert all(len(set(parts[targets == value])) == 1 for value in (1.0, 2.0, 9.0))


def test_assign_splits_puts_rare_labels_on_every_side():
    targets = np.zeros((300, 3), np.uint8)
    targets[:200, 0] = 1
    targets[100:250, 1] = 1
    targets[[5, 70, 120, 150, 260, 261], 2] = 1
    given = records(targets, "multi-label", ("a", "b", "c"))
    assert MULTI_LABEL.strata(targets)[[0, 120, 210, 150, 299]].tolist() == [0, 2, 1, 2, 3]
    splits, origin = assign(given)
    for code in range(3):
        assert (targets[splits == code].sum(axis=0) > 0).all()
    assert origin["val"] == "15 % of train, stratified by the rarest label, seed 0"
    assert [*map(str, describe_splits(given, splits))] == [
        "Labels with fewer than 10 training texts: 'c' (4)."
    ]


@pytest.mark.parametrize("task", ["regression", "multi-label"])
def test_assign_splits_keeps_groups_whole_whatever_the_task(task):
    groups = [f"g{i}" for i in RNG.integers(0, 40, 400)]
    targets = RNG.normal(size=400) if task == "regression" else RNG.integers(0, 2, (400, 2))
    given = records(targets, task, ("a", "b") if task == "multi-label" else (), groups)
    splits, origin = assign(given)
    side = {}
    for group, code in zip(groups, splits.tolist(), strict=True):
        assert side.setdefault(group, code) == code
    assert 0.1 < (splits == 2).mean() < 0.3
    assert origin["test"] == "20 % of all, whole groups, seed 0"
    with pytest.raises(DataError, match="has 2 usable groups; at least 3 are needed"):
        assign(replace(given, groups=["a", "b"] * 200))


def test_describe_splits_of_numbers_speaks_of_their_number_alone():
    given = records(np.arange(50.0))
    splits, _ = assign(given)
    assert [*map(str, describe_splits(given, splits))] == [
        "Only 34 texts to train on; figures will have wide intervals."
    ]
