"""Forests: random forests and extremely randomised trees, grown by scikit-learn, chosen by val.

Trees of both kinds are grown a piece at a time until there are enough, or time is short; taken is
what answers val best, one of the two or both together. A forest averages the shares of the classes
in its leaves, or their mean target. Codes go in as the order they have.

Left out: a search over options, and out-of-bag figures, which say of train what val says better.

Source:
    L. Breiman, "Random Forests", Machine Learning 45, 2001; P. Geurts, D. Ernst and L. Wehenkel,
    "Extremely randomized trees", Machine Learning 63, 2006.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from headstart.tasks import PlainProblem
from headstart.training.contract import StopRequested
from headstart.training.probing.trees import (
    SET_WORDS,
    CategoryFold,
    Grown,
    GrowthJob,
    TimeIsShort,
    Trees,
    constant_trees,
    fold_of,
    join_trees,
    of_label,
    round_down,
    widen,
)
from headstart.types import Inputs

MOST_TREES = 200
_PIECE = 20
_MOST_NODES = 3_000_000  # of all trees: 60 MB, and 4 more a class
_FEATURES = 0.4  # share of the columns that a split may look at
_SAMPLE_ROWS = 5_000
_TINY = 1e-7
KINDS = ("random forest", "extra trees")


def grow_forest(job: GrowthJob) -> Grown:
    """Grow forests for a task.

    Raises:
        TimeIsShort: If there is no time for one piece of them.
        StopRequested: If someone asked to stop.
    """
    fold = fold_of(job.train)
    train, val = _table(job.train, fold), _table(job.val, fold)
    parts: list[Trees] = []
    notes: list[str] = []
    settled: list[Any] = []
    pairs = list(zip(job.problems, job.val_problems, job.weights, strict=True))
    for place, (problem, val_problem, weights) in enumerate(pairs):
        end = None
        if job.deadline is not None:
            now = time.monotonic()
            end = now + (job.deadline - now) / (len(pairs) - place)
        told = None if job.settled is None else job.settled[place]
        trees, note, chosen = _grow_one(
            job, (train, val), (problem, val_problem), weights, end, told
        )
        notes.append(note)
        settled.append(chosen)
        parts.append(trees if len(pairs) == 1 else _of_label(trees, place, len(pairs)))
    link = "log-odds" if len(pairs) > 1 else "log" if job.problems[0].num_classes else "sum"
    return Grown(join_trees(parts), link, fold, max(set(notes), key=notes.count), settled)


def _grow_one(
    job: GrowthJob,
    tables: tuple[np.ndarray, np.ndarray],
    problems: tuple[PlainProblem, PlainProblem],
    weights: np.ndarray | None,
    deadline: float | None,
    settled: Any,
) -> tuple[Trees, str, Any]:
    """Return the trees of one problem, which they are, and that in numbers.

    Args:
        job: Seed, and whether someone asked to stop.
        tables: Cells of train and val.
        problems: Their targets.
        weights: Of train's rows, or None.
        deadline: ``time.monotonic()`` value, or None.
        settled: Which kinds, and how many trees of each, were chosen before; None leaves it to val.

    Raises:
        TimeIsShort: If there is no time for one piece of them.
        StopRequested: Between two pieces, if someone asked to stop.
    """
    (train, val), (problem, val_problem) = tables, problems
    num_classes = problem.num_classes
    seen = np.unique(problem.targets) if num_classes else np.empty(0, np.int64)
    if num_classes and len(seen) == 1:
        base = np.zeros(num_classes)
        base[seen.astype(np.int64)] = 1.0
        return constant_trees(base), "one class", [[], 0]
    if deadline is not None and settled is None:
        needed = 2 * _PIECE * _seconds_a_tree(train, problem, job.seed)
        if time.monotonic() + needed > deadline:
            raise TimeIsShort(needed)
    # both kinds may be taken
    most = MOST_TREES if job.trees_each is None else min(MOST_TREES, job.trees_each // 2)
    if settled is not None:
        most, deadline = settled[1], None
    forests = _forests(len(train), num_classes, job.seed)
    sums = [np.zeros(1)] * len(forests)
    while True:
        began = time.monotonic()
        for place, forest in enumerate(forests):
            if job.stop_requested():
                raise StopRequested
            num = len(getattr(forest, "estimators_", ()))
            forest.set_params(n_estimators=min(most, num + _PIECE))
            forest.fit(train, problem.targets, sample_weight=weights)
            for tree in forest.estimators_[num:]:
                sums[place] = sums[place] + _answers(tree, val, num_classes)
        num = len(forests[0].estimators_)
        now = time.monotonic()
        if num >= most or (deadline is not None and now + 1.5 * (now - began) > deadline):
            break
    answers = [found / num for found in sums]
    choices = [([0], answers[0]), ([1], answers[1]), ([0, 1], (answers[0] + answers[1]) / 2)]
    losses = [_loss(found, val_problem, seen) for _, found in choices]
    chosen = choices[int(np.argmin(losses))][0] if settled is None else settled[0]
    trees = [tree for place in chosen for tree in forests[place].estimators_]
    joined = join_trees([_arrays(tree, num_classes).scaled(1 / len(trees)) for tree in trees])
    note = f"{len(trees)} trees, {' and '.join(KINDS[place] for place in chosen)}"
    if not num_classes:
        return joined, note, [chosen, num]
    return joined.widened(seen.astype(np.int64).tolist(), num_classes, 0.0), note, [chosen, num]


def _forests(num_rows: int, num_classes: int, seed: int) -> list[Any]:
    """Return a forest of each kind, without trees."""
    import torch
    from sklearn import ensemble

    kinds = (
        (ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier)
        if num_classes
        else (ensemble.RandomForestRegressor, ensemble.ExtraTreesRegressor)
    )
    # a tree of N rows has about 1.3 N nodes over the rows of a leaf
    least = int(np.ceil(1.3 * num_rows * MOST_TREES / _MOST_NODES))
    return [
        kind(
            warm_start=True,
            max_features=_FEATURES,
            min_samples_leaf=max(own, least),
            random_state=seed,
            n_jobs=torch.get_num_threads(),
        )
        for kind, own in zip(kinds, (1, 2), strict=True)
    ]


def _seconds_a_tree(train: np.ndarray, problem: PlainProblem, seed: int) -> float:
    """Measure a tree on some rows, and return what it would take for all."""
    rows = np.unique(np.linspace(0, len(train) - 1, _SAMPLE_ROWS).astype(np.int64))
    forest = _forests(len(train), problem.num_classes, seed)[0].set_params(n_estimators=2)
    began = time.monotonic()
    forest.fit(train[rows], problem.targets[rows])
    share = len(train) / len(rows)
    return (time.monotonic() - began) / 2 * share * (1 + math.log(share) / 9)


def _answers(tree: Any, table: np.ndarray, num_classes: int) -> np.ndarray:
    """Return what one tree says of rows: shares of the classes that are seen, or values."""
    found: np.ndarray = tree.predict_proba(table) if num_classes else tree.predict(table)
    return found


def _loss(answers: np.ndarray, val: PlainProblem, seen: np.ndarray) -> float:
    """Return the mean log loss, or of numbers the mean squared error."""
    if not val.num_classes:
        return float(np.mean((answers - val.targets) ** 2))
    right = widen(answers, seen, val.num_classes)[np.arange(len(val.targets)), val.targets]
    return float(-np.log(np.maximum(right, _TINY)).mean())


def _arrays(estimator: Any, num_classes: int) -> Trees:
    """Return one of scikit-learn's trees."""
    tree = estimator.tree_
    own = np.arange(tree.node_count)
    branches = np.stack([tree.children_left, tree.children_right], axis=1)
    is_leaf = branches[:, 0] < 0
    branches[is_leaf] = own[is_leaf, None]
    values = tree.value[:, 0, :]
    if num_classes:
        values = values / values.sum(axis=1, keepdims=True)
    return Trees(
        features=np.where(is_leaf, 0, tree.feature).astype(np.int32),
        thresholds=round_down(np.where(is_leaf, 0.0, tree.threshold)),
        branches=branches.astype(np.int32),
        sets=np.full(len(own), -1, np.int32),
        categories=np.zeros((0, SET_WORDS), np.int32),
        values=np.where(is_leaf[:, None], values, 0.0).astype(np.float32),
        roots=np.zeros(1, np.int32),
        columns=np.zeros(1, np.int32),
        base=np.zeros(values.shape[1]),
        depth=int(tree.max_depth),
    )


def _of_label(trees: Trees, place: int, num_labels: int) -> Trees:
    """Return trees of the shares that lack and have a label as trees of the share that has it."""
    width = trees.values.shape[1]
    scores = trees.values[:, 1] if width == 2 else np.zeros(len(trees.values))
    return of_label(trees, scores.astype(np.float64), float(trees.base[1]), place, num_labels)


def _table(split: Inputs, fold: CategoryFold) -> np.ndarray:
    """Return the cells of a split, float32, (N, F + G), each code as its category."""
    numbers, codes = split.arrays(np.arange(len(split)))
    return np.concatenate([numbers, fold.category_of(codes).astype(np.float32)], axis=1)
