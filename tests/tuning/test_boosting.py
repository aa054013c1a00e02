"""The boosting baseline: parity with scikit-learn, classes that are missing, and a short time."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from headstart.events import listen
from headstart.tasks import CLASSIFICATION, TASKS
from headstart.training.probing.tree_settings import MOST_TREES
from headstart.tuning.baselines import BASELINES
from headstart.tuning.baselines.boosting import BoostedTrees, boost_trees
from headstart.types import BadSample, PlainInputs, Schema

REGRESSION = Schema("table", "regression", (), "price")


class Cells(PlainInputs):
    """Prepared rows in memory."""

    bad_samples: Sequence[BadSample] = ()

    def __init__(self, numbers: np.ndarray, codes: np.ndarray, targets: np.ndarray) -> None:
        self.numbers, self.codes, self.targets = numbers.astype(np.float32), codes, targets
        self.ids = np.arange(len(targets))
        self.names = [f"row {i}" for i in self.ids]

    def __len__(self) -> int:
        return len(self.targets)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        if np.array_equal(places, self.ids):
            return self.numbers, self.codes  # as a cache would: whoever writes in it is found out
        return self.numbers[places], self.codes[places]


def _split(numbers: np.ndarray, codes: np.ndarray, targets: np.ndarray) -> list[Cells]:
    """Return train, val and test: 60 %, 20 % and 20 % in order."""
    a, b = len(targets) * 6 // 10, len(targets) * 8 // 10
    return [
        Cells(numbers[s], codes[s], targets[s]) for s in (slice(0, a), slice(a, b), slice(b, None))
    ]


def _rows(num: int, num_categories: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(num, 2)), generator.integers(1, num_categories + 1, (num, 1))


def _control(splits: list[Cells], schema: Schema, seconds: float | None = None) -> BoostedTrees:
    control = boost_trees(*splits, schema, seed=0, seconds=seconds)
    assert control is not None
    assert control.seconds > 0
    return control


def _table(cells: Cells) -> np.ndarray:
    return np.concatenate([cells.numbers, cells.codes], axis=1).astype(np.float64)


def test_regression_is_scikit_learn_with_the_trees_that_val_chose() -> None:
    numbers, codes = _rows(800, num_categories=12)
    generator = np.random.default_rng(1)
    effects, noise = generator.normal(size=13), generator.normal(0, 0.3, 800)
    splits = _split(numbers, codes, np.sin(2 * numbers[:, 0]) + effects[codes[:, 0]] + noise)
    train, val, test = splits
    control = _control(splits, REGRESSION)
    mask = [False, False, True]

    def fit(num_trees: int, is_code: list[bool] | None) -> HistGradientBoostingRegressor:
        booster = HistGradientBoostingRegressor(
            max_iter=num_trees, early_stopping=False, categorical_features=is_code
        )
        return booster.fit(_table(train), train.targets)

    same = fit(control.num_trees, mask).predict(_table(test))
    assert control.outputs == pytest.approx(same, rel=1e-9)
    as_order = fit(control.num_trees, None).predict(_table(test))
    assert control.outputs != pytest.approx(as_order, rel=1e-2)
    errors = [
        np.mean((stage - val.targets) ** 2)
        for stage in fit(control.num_trees + 10, mask).staged_predict(_table(val))
    ]
    assert int(np.argmin(errors)) + 1 == control.num_trees < MOST_TREES


def test_classification_is_scikit_learn_with_the_trees_that_val_chose() -> None:
    numbers, codes = _rows(600)
    targets = (numbers[:, 0] > 0) + 2 * (numbers[:, 1] * (codes[:, 0] - 2) > 0).astype(np.int64)
    splits = _split(numbers, codes, targets)
    control = _control(splits, Schema("table", "classification", tuple("abcd")))
    booster = HistGradientBoostingClassifier(
        max_iter=control.num_trees, early_stopping=False, categorical_features=[False, False, True]
    ).fit(_table(splits[0]), splits[0].targets)
    assert control.outputs == pytest.approx(booster.predict_proba(_table(splits[2])), abs=1e-9)
    assert (control.outputs.argmax(axis=1) == splits[2].targets).mean() > 0.8


def test_probabilities_stand_at_the_right_class_where_train_lacks_one() -> None:
    numbers, codes = _rows(200)
    splits = _split(numbers, codes, np.where(numbers[:, 0] > 0, 3, 1))
    splits[1].targets[0] = 2  # val knows a class that train does not
    control = _control(splits, Schema("table", "classification", tuple("abcd")))
    assert control.outputs.shape == (40, 4)
    assert not control.outputs[:, [0, 2]].any()
    assert control.outputs.sum(axis=1) == pytest.approx(np.ones(40))
    assert (control.outputs.argmax(axis=1) == splits[2].targets).mean() > 0.9


def test_a_class_with_one_item_is_no_obstacle() -> None:
    numbers, codes = _rows(200)
    targets = (numbers[:, 0] > 0).astype(np.int64)
    targets[0] = 2
    control = _control(
        _split(numbers, codes, targets), Schema("table", "classification", tuple("abc"))
    )
    assert control.outputs.shape == (40, 3)


def test_multi_label_gives_a_probability_for_each_label() -> None:
    numbers, codes = _rows(300)
    always = np.ones(300)
    targets = np.stack([numbers[:, 0] > 0, codes[:, 0] == 1, always], axis=1).astype(np.uint8)
    splits = _split(numbers, codes, targets)
    control = _control(splits, Schema("table", "multi-label", ("x", "y", "z")))
    assert control.outputs.shape == (60, 3)
    assert ((control.outputs > 0.5) == splits[2].targets).mean() > 0.95
    assert (control.outputs[:, 2] == 1).all()


def test_more_categories_than_scikit_learn_takes_and_unknown_ones() -> None:
    numbers, codes = _rows(1500, num_categories=600)
    splits = _split(numbers, codes, 5.0 * numbers[:, 0])
    splits[2].codes[:10] = 0
    before = [cells.codes.copy() for cells in splits]
    control = _control(splits, REGRESSION)
    assert np.corrcoef(control.outputs, splits[2].targets)[0, 1] > 0.9
    for cells, codes_before in zip(splits, before, strict=True):
        assert np.array_equal(cells.codes, codes_before)


def test_table_without_codes_and_without_numbers() -> None:
    numbers, codes = _rows(200)
    empty = np.empty((200, 0), dtype=np.int64)
    _control(_split(numbers, empty, numbers[:, 0]), REGRESSION)
    _control(_split(empty, codes, codes[:, 0] * 1.0), REGRESSION)


def test_short_time_leaves_it_out_and_says_so() -> None:
    numbers, codes = _rows(200)
    told: list[str] = []
    with listen(lambda kind, fields: told.append(f"{kind}: {fields.get('text')}")):
        found = boost_trees(
            *_split(numbers, codes, numbers[:, 0]), REGRESSION, seed=0, seconds=1e-6
        )
    assert found is None
    assert told == [
        "note: Gradient boosting was left out of the comparison: it would not reach 100 trees in "
        "the 0.0 s that the budget leaves it."
    ]


def test_enough_time_changes_nothing() -> None:
    numbers, codes = _rows(300)
    splits = _split(numbers, codes, numbers[:, 0] * numbers[:, 1])
    free, limited = _control(splits, REGRESSION), _control(splits, REGRESSION, seconds=300.0)
    assert np.array_equal(free.outputs, limited.outputs)


def _setup_of(address):
    start = SimpleNamespace(address=address)
    return SimpleNamespace(model=SimpleNamespace(encoder=SimpleNamespace(start=start)))


def test_trees_stand_beside_tables_whose_task_is_a_plain_problem(monkeypatch):
    class Tags(type(CLASSIFICATION)):
        def plain_problems(self, targets, num_classes):
            return ()

    monkeypatch.setitem(TASKS, "tags", Tags(**{**vars(CLASSIFICATION), "name": "tags"}))
    applies = BASELINES["gradient boosting"].applies
    val = SimpleNamespace(targets=np.arange(4) % 2)
    mlp, itself = (_setup_of(f"scratch/{name}") for name in ("mlp", "boosting"))
    for modality, task, expected in (
        ("table", "classification", True),
        ("table", "tags", False),
        ("image", "classification", False),
    ):
        schema = Schema(modality, task, ("a", "b"))
        data = SimpleNamespace(schema=schema, val=val)
        assert applies(data, mlp) == expected
        assert not applies(data, itself)  # nothing is shown beside itself
