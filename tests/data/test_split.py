"""Which sample goes where: stratified, in whole groups, from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.data.balance import describe_splits
from headstart.data.records import Records
from headstart.data.split import assign_splits, group_pick, stratified_pick
from headstart.errors import DataError
from headstart.preprocessing.samples import ArraySamples


def records(targets, splits=None, groups=None, classes=None):
    targets = np.asarray(targets, np.int64)
    number = len(targets)
    return Records(
        name="photos",
        samples=ArraySamples(
            np.zeros((number, 2, 2, 1), np.uint8), [f"X[{i}]" for i in range(number)]
        ),
        targets=targets,
        classes=classes or tuple("abcdefgh"[: targets.max() + 1]),
        splits=np.full(number, -1, np.int8) if splits is None else np.asarray(splits, np.int8),
        origin="folder",
        task="classification",
        groups=groups,
    )


def assign(given, seed=0):
    return assign_splits(given, val_fraction=0.15, test_fraction=0.2, seed=seed)


def test_assign_splits_gives_every_class_its_share():
    targets = np.repeat([0, 1, 2], [500, 300, 41])
    splits, origin = assign(records(targets))
    for label, number in enumerate((500, 300, 41)):
        counts = np.bincount(splits[targets == label], minlength=3)
        assert abs(counts[2] - 0.2 * number) <= 1
        assert abs(counts[1] - 0.15 * (number - counts[2])) <= 1
    assert (splits == 2).sum() == round(0.2 * 841)
    assert origin == {
        "train": "what val and test left",
        "val": "15 % of train, stratified, seed 0",
        "test": "20 % of all, stratified, seed 0",
    }


def test_assign_splits_depends_on_the_seed_alone():
    given = records(np.tile([0, 1], 100))
    assert np.array_equal(assign(given)[0], assign(given)[0])
    assert not np.array_equal(assign(given)[0], assign(given, seed=1)[0])


def test_assign_splits_does_not_drift():
    """A golden split: a change here changes the fingerprint of every user's data."""
    splits, _ = assign(records(np.tile([0, 1], 10)))
    assert "".join("tvT"[code] for code in splits) == GOLDEN


GOLDEN = "TttttvttTTttttttttvT"


@pytest.mark.parametrize(
    ("given", "made"),
    [((0, 2), {"val"}), ((0, 1), {"test"}), ((0, 1, 2), set()), ((0,), {"val", "test"})],
)
def test_assign_splits_keeps_the_splits_that_the_data_brings(given, made):
    codes = np.tile(np.asarray(given), 60)[:60]
    targets = np.repeat([0, 1], 30)
    splits, origin = assign(records(targets, codes))
    kept = codes != 0
    assert np.array_equal(splits[kept], codes[kept])
    assert {name for name, how in origin.items() if "seed" in how} == made
    assert set(splits.tolist()) == {0, 1, 2}


def test_assign_splits_puts_a_class_of_three_on_every_side():
    targets = np.repeat([0, 1], [50, 3])
    splits, _ = assign(records(targets))
    assert sorted(splits[targets == 1]) == [0, 1, 2]


def test_assign_splits_refuses_one_class():
    with pytest.raises(DataError, match=r"photos has one class only \('a'\); classification needs"):
        assign(records([0, 0, 0, 0]))


def test_assign_splits_refuses_a_class_that_is_too_small():
    with pytest.raises(
        DataError,
        match="Class 'b' has 1 usable image; at least 3 are needed, one each for train, val, test",
    ):
        assign(records([0] * 9 + [1]))
    with pytest.raises(DataError, match=r"Class 'b' has 2 usable images \(1 more such classes\)"):
        assign(records([0] * 9 + [1, 1, 2]))
    with pytest.raises(DataError, match="Class 'b' has 0 usable images"):
        assign(records([0] * 9 + [2] * 9))
    with pytest.raises(
        DataError, match=r"'b' has 1 usable image in train; at least 2 .* train, val"
    ):
        assign(records([0] * 9 + [1, 1], [0] * 8 + [2, 0, 2]))


def test_assign_splits_refuses_a_class_that_train_lacks():
    with pytest.raises(
        DataError,
        match=r"Class 'c' is in test \(X\[9\]\) but not in train .*'a', 'b'\)\. Write it alike",
    ):
        assign(records([0, 0, 0, 1, 1, 1, 0, 1, 0, 2], [0] * 6 + [1, 1, 2, 2]))


def test_assign_splits_refuses_data_without_train():
    with pytest.raises(DataError, match="brings test but no train samples"):
        assign(records([0, 1, 0, 1], [2] * 4))


def test_assign_splits_keeps_groups_whole():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 600)
    groups = [f"p{number}" for number in rng.integers(0, 60, 600)]
    splits, origin = assign(records(targets, groups=groups))
    sides = {}
    for group, code in zip(groups, splits, strict=True):
        assert sides.setdefault(group, code) == code
    assert 0.15 < (splits == 2).mean() < 0.25
    assert 0.08 < (splits == 1).mean() < 0.17
    for code in range(3):
        assert set(targets[splits == code]) == {0, 1, 2}
    assert "whole groups" in origin["test"]


def test_group_pick_adds_a_group_for_a_class_that_is_still_absent():
    # Class 1 lies in three groups that are large with class 0, so nearness alone takes none.
    targets = np.array(([0] * 40 + [1]) * 3 + [0] * 5 * 10)
    groups = np.repeat([f"g{i}" for i in range(13)], [41] * 3 + [5] * 10)
    bits = np.random.PCG64(0)
    picked = group_pick(targets, groups, 0.1, bits, classes=("a", "b"), keep=2)
    assert set(targets[picked]) == {0, 1}
    left = np.setdiff1d(np.arange(len(targets)), picked)
    assert len(set(groups[left][targets[left] == 1])) == 2


def test_assign_splits_refuses_groups_that_cannot_be_kept_whole():
    targets = [0, 1] * 20 + [1] * 4
    with pytest.raises(DataError, match="Class 'a' is in 2 groups only; 3 are needed"):
        assign(records(targets, groups=["x", "x", "y", "y"] * 10 + ["z"] * 4))
    with pytest.raises(DataError, match="Group 'x' is in both train and test"):
        assign(records([0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 2, 2], groups=["x"] * 6))


def test_stratified_pick_takes_and_leaves_at_least_one():
    targets = np.repeat([0, 1], [2, 2])
    for fraction in (0.01, 0.5, 0.99):
        picked = stratified_pick(targets, fraction, np.random.PCG64(0))
        assert np.bincount(targets[picked]).tolist() == [1, 1]


def test_describe_splits_notes_what_a_user_should_know():
    given = records([0] * 200 + [1] * 9 + [0, 0], [0] * 209 + [2, 2])
    notes = [found.sentence for found in describe_splits(given, given.splits)]
    assert notes == [
        "Classes with fewer than 10 training images: 'b' (9).",
        "Classes are imbalanced: 'a' has 200 training images, 'b' 9 (22 times fewer). --imbalance "
        "auto leaves the loss as it is, so that the rare ones may be found less often: the report "
        "shows the recall of each class. --imbalance weights finds more of them, and is wrong more "
        "often.",
        "Classes without test images, so without test figures: 'b'.",
    ]
    few = records([0, 1] * 20, [0, 2] * 20)
    assert str(describe_splits(few, few.splits)[0]).startswith("Only 20 images to train on")
