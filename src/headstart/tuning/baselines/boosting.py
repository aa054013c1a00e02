"""The baseline of every table run: gradient-boosted trees from scikit-learn on the same cells.

Trees are hard to beat on tables, so a figure for a network means little without theirs beside it.
The trees see what the network sees (the prepared numbers and codes), learn from train, stop by val,
and answer for the test items once; nothing is tuned beyond that, and nothing is claimed of them.

``HistGradientBoosting`` keeps scikit-learn's defaults but for the number of trees, which val
decides: its own early stopping would split train at random, and fails where a class has one item.

Left out: a search over its options, other boosting libraries, and keeping the trees for later.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from headstart.events import emit
from headstart.tasks import PlainProblem, find_task
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget, slowness, told_seconds
from headstart.tuning.setup import TrainingSetup
from headstart.types import Dataset, Inputs, Rows, Schema

BOOSTING = "gradient boosting"
DEFAULT_TREES = 100  # scikit-learn's own number: fewer would be a weak baseline
MOST_TREES = 500
_TREES_A_STEP = 25
_PATIENCE = 10  # scikit-learn's n_iter_no_change
_SAMPLE_ROWS, _SAMPLE_TREES = 10_000, 5
_MOST_CATEGORIES = 255  # scikit-learn's limit for one column
_TINY = 1e-15


@dataclass(frozen=True)
class BoostedTrees:
    """What the trees say of the test items.

    Attributes:
        outputs: As ``Task.outputs`` gives them.
        num_trees: Boosting steps that val chose, the most of all labels.
        seconds: Time of fitting and answering.
    """

    outputs: Rows
    num_trees: int
    seconds: float


class _TimeIsShort(Exception):
    """The trees cannot be finished in the time left."""


def boost_trees(
    train: Inputs,
    val: Inputs,
    test: Inputs,
    schema: Schema,
    *,
    seed: int,
    seconds: float | None,
) -> BoostedTrees | None:
    """Fit gradient-boosted trees on a table, and return what they say of the test items.

    Args:
        train: Cells to learn from.
        val: Decides the number of trees.
        test: Cells to answer for; their targets are not looked at.
        schema: Task and classes. A class that train lacks gets probability 0.
        seed: Of the bins' sample, where train has more than 200,000 rows.
        seconds: Time left for it; None has no limit.

    Returns:
        The trees' answers; None, and a note, where the time would end them before scikit-learn's
        own 100 trees, since a baseline cut short would flatter the fine-tuning.
    """
    began = time.monotonic()
    deadline = None if seconds is None else began + seconds
    tables, is_categorical = _tables(train, val, test)
    task = find_task(schema.task)
    problems, val_problems = (
        task.plain_problems(split.targets, len(schema.classes)) for split in (train, val)
    )
    found = []
    try:
        for k, (problem, val_problem) in enumerate(zip(problems, val_problems, strict=True)):
            # each may take its share of what is left
            now = time.monotonic()
            end = None if deadline is None else now + (deadline - now) / (len(problems) - k)
            found.append(_fit(tables, is_categorical, problem, val_problem.targets, seed, end))
    except _TimeIsShort:
        text = (
            f"Gradient boosting was left out of the comparison: it would not reach {DEFAULT_TREES} "
            f"trees in the {told_seconds(seconds or 0.0)} that the budget leaves it."
        )
        emit("note", text=text)
        return None
    outputs = task.joined_answers([answers for answers, _ in found])
    num_trees = max(num for _, num in found)
    return BoostedTrees(outputs, num_trees, time.monotonic() - began)


def _says_more(dataset: Dataset, setup: TrainingSetup) -> bool:
    schema = dataset.schema
    problems = find_task(schema.task).plain_problems(dataset.val.targets, len(schema.classes))
    return bool(problems)


def _seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    return 3.0 * slowness()


def _run(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    seconds = None if budget.limit_seconds is None else budget.may_take("boosting")
    schema = items.dataset.schema
    found = boost_trees(
        items.train, items.val, items.test, schema, seed=setup.recipe.seed, seconds=seconds
    )
    if found is None:
        return None
    return Rival(BOOSTING, find_task(schema.task).decisions(found.outputs))


BOOSTING_BASELINE = Baseline(modality="table", says_more=_says_more, seconds=_seconds, run=_run)


def _tables(*splits: Inputs) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the cells of each split as one array, and which of its columns hold codes.

    scikit-learn takes at most 255 categories in a column: the most frequent ones of train keep
    their codes, the others share code 0.

    Returns:
        float64, each (N, F + G); bool, (F + G,).
    """
    tables: list[np.ndarray] = []
    kept: list[np.ndarray] = []
    for split in splits:
        numbers, codes = split.arrays(np.arange(len(split)))
        codes = codes.copy()
        if not tables:
            for column in codes.T:
                found, counts = np.unique(column, return_counts=True)
                kept.append(found[np.argsort(-counts, kind="stable")[: _MOST_CATEGORIES - 1]])
        for place, known in enumerate(kept):
            if len(known) == _MOST_CATEGORIES - 1:
                codes[:, place] = np.where(np.isin(codes[:, place], known), codes[:, place], 0)
        tables.append(np.concatenate([numbers.astype(np.float64), codes], axis=1))
    is_categorical = np.arange(tables[0].shape[1]) >= tables[0].shape[1] - len(kept)
    return tables, is_categorical


def _fit(
    tables: list[np.ndarray],
    is_categorical: np.ndarray,
    problem: PlainProblem,
    val_targets: np.ndarray,
    seed: int,
    deadline: float | None,
) -> tuple[np.ndarray, int]:
    """Fit trees for one problem; return its test answers, and the number of trees.

    Args:
        tables: Cells of train, val and test.
        is_categorical: Which columns hold codes.
        problem: Train's targets.
        val_targets: The same for val.
        seed: See ``boost_trees``.
        deadline: ``time.monotonic()`` value, or None.

    Raises:
        _TimeIsShort: If the deadline would come before ``DEFAULT_TREES`` trees.
    """
    train, val, test = tables
    targets, num_classes = problem.targets, problem.num_classes
    seen = np.unique(targets) if num_classes else np.empty(0)
    if num_classes and len(seen) == 1:  # nothing to tell apart
        return _widen(np.ones((len(test), 1)), seen, num_classes), 0
    booster = _booster(num_classes, is_categorical, seed)
    if deadline is not None:
        each = _seconds_a_tree(num_classes, is_categorical, train, targets)
        if time.monotonic() + each * DEFAULT_TREES > deadline:
            raise _TimeIsShort
    losses: list[float] = []
    best = 0
    while len(losses) - best <= _PATIENCE and len(losses) < MOST_TREES:
        step_began = time.monotonic()
        booster.set_params(max_iter=len(losses) + _TREES_A_STEP)
        booster.fit(train, targets)
        stages = _stages(booster, val, num_classes)
        losses = [_loss(stage, val_targets, seen, num_classes) for stage in stages]
        best = int(np.argmin(losses))
        now = time.monotonic()
        if deadline is not None and now + 1.5 * (now - step_began) > deadline:
            if len(losses) < DEFAULT_TREES:
                raise _TimeIsShort
            emit("note", text=f"Gradient boosting stopped at {len(losses)} trees: time was short.")
            break
    answers = next(islice(_stages(booster, test, num_classes), best, None))
    return (_widen(answers, seen, num_classes) if num_classes else answers), best + 1


def _booster(num_classes: int, is_categorical: np.ndarray, seed: int) -> Any:
    """Return scikit-learn's booster, which goes on from its trees when it is fitted again."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if num_classes else HistGradientBoostingRegressor
    return kind(
        categorical_features=is_categorical,
        early_stopping=False,
        warm_start=True,
        random_state=seed,
    )


def _seconds_a_tree(
    num_classes: int, is_categorical: np.ndarray, train: np.ndarray, targets: np.ndarray
) -> float:
    """Measure one boosting step on some rows, and return what it would take for all."""
    rows = np.unique(np.linspace(0, len(train) - 1, _SAMPLE_ROWS).astype(np.int64))
    if num_classes:  # one row of each class, so that as many trees grow at every step
        rows = np.union1d(rows, np.unique(targets, return_index=True)[1])
    booster = _booster(num_classes, is_categorical, seed=0).set_params(max_iter=_SAMPLE_TREES)
    began = time.monotonic()
    booster.fit(train[rows], targets[rows])
    return (time.monotonic() - began) / _SAMPLE_TREES * len(train) / len(rows)


def _stages(booster: Any, table: np.ndarray, num_classes: int) -> Iterator[np.ndarray]:
    """Return an iterator over the answers after each boosting step."""
    stages: Iterator[np.ndarray] = (
        booster.staged_predict_proba(table) if num_classes else booster.staged_predict(table)
    )
    return stages


def _loss(answers: np.ndarray, targets: np.ndarray, seen: np.ndarray, num_classes: int) -> float:
    """Return the mean log loss, or of numbers the mean squared error."""
    if not num_classes:
        return float(np.mean((answers - targets) ** 2))
    right = _widen(answers, seen, num_classes)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(right, _TINY)).mean())


def _widen(answers: np.ndarray, seen: np.ndarray, num_classes: int) -> np.ndarray:
    """Return probabilities of all classes, (N, K), from those of the seen ones."""
    full = np.zeros((len(answers), num_classes))
    full[:, seen.astype(np.int64)] = answers
    return full
