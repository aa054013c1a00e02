"""Gradient-boosted trees: grown by scikit-learn, their number and their setting chosen by val.

``HistGradientBoosting`` with categories as categories. Each setting grows until val has not gained
for a while; the one with the least validation loss is taken, or the mean of the scores of the best
two or three, which is one sum of trees again. Which settings, and in which order, was measured:
docs/experiments.md, "Which trees". scikit-learn's own early stopping would split train at random,
and fails where a class has one item.

Left out: a search over more options, and other boosting libraries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from headstart.events import emit
from headstart.tasks import PlainProblem
from headstart.training.contract import StopRequested
from headstart.training.probing.tree_settings import SETTINGS, Setting
from headstart.training.probing.trees import (
    SET_WORDS,
    STRANGE,
    Grown,
    GrowthJob,
    TimeIsShort,
    Trees,
    constant_trees,
    fold_of,
    join_trees,
    of_label,
    round_down,
    table_of,
    widen,
)

DEFAULT_TREES = 100  # scikit-learn's own number: fewer would be a weak baseline
NEVER = -30.0  # the score of a class that train lacks, which nothing makes up for
_TREES_A_STEP, _GROWTH = 25, 4
_SAMPLE_ROWS, _SAMPLE_TREES = 10_000, 5
_TINY = 1e-15
_MOST_MEMBERS = 3


@dataclass(frozen=True)
class BoostJob:
    """One plain problem to boost.

    Attributes:
        train: Cells, float64, (N, F + G), codes folded.
        is_code: bool, (F + G,).
        problem: Targets of train.
        val: Cells, (M, F + G).
        val_targets: Of val.
        weights: (N,), or None.
        seed: Of the bins' sample, where train has more than 200,000 rows, and of the columns that
            a split may look at.
        deadline: ``time.monotonic()`` value, or None.
        least_trees: Fewer than that are no answer where time is short.
        most_trees: No more than so many, counting one for each class at a step; None for no limit.
        stop_requested: Whether someone asked to stop.
    """

    train: np.ndarray
    is_code: np.ndarray
    problem: PlainProblem
    val: np.ndarray
    val_targets: np.ndarray
    weights: np.ndarray | None
    seed: int
    deadline: float | None
    least_trees: int
    most_trees: int | None
    stop_requested: Callable[[], bool]

    @property
    def seen(self) -> np.ndarray:
        """The classes that train has, ascending; empty for numbers."""
        problem = self.problem
        return np.unique(problem.targets) if problem.num_classes else np.empty(0, np.int64)

    @property
    def trees_a_step(self) -> int:
        """One; for more than two classes one for each."""
        return max(1, len(self.seen)) if len(self.seen) > 2 else 1

    def most_steps(self, setting: Setting) -> int:
        """Return the most boosting steps of a setting."""
        if self.most_trees is None:
            return setting.most_trees
        return max(1, min(setting.most_trees, self.most_trees // self.trees_a_step))


@dataclass(frozen=True)
class Boosted:
    """Trees that scikit-learn has grown for one problem.

    Attributes:
        booster: The estimator, which may hold more trees; None where there is one class alone.
        num_trees: Boosting steps that val chose.
        seen: Classes that train has, ascending; empty for numbers.
        num_classes: K, or 0.
        val_answers: Probabilities of all classes (M, K), or values (M,), of val.
        val_loss: Mean log loss, or squared error.
        setting: Place of its setting among ``SETTINGS``.
    """

    booster: Any
    num_trees: int
    seen: np.ndarray
    num_classes: int
    val_answers: np.ndarray
    val_loss: float
    setting: int = 0

    def answers(self, table: np.ndarray) -> np.ndarray:
        """Return probabilities (N, K), or values (N,), of rows."""
        if self.booster is None:
            return widen(np.ones((len(table), 1)), self.seen, self.num_classes)
        stages = _stages(self.booster, table, self.num_classes)
        found = next(islice(stages, self.num_trees - 1, None))
        return widen(found, self.seen, self.num_classes) if self.num_classes else found


def boost(job: BoostJob, setting: Setting) -> Boosted:
    """Grow trees of one setting until val has not gained for a while.

    Raises:
        TimeIsShort: If the deadline would come before ``least_trees``.
        StopRequested: Between two pieces, if someone asked to stop.
    """
    problem, seen = job.problem, job.seen
    targets, num_classes = problem.targets, problem.num_classes
    if num_classes and len(seen) == 1:  # nothing to tell apart
        answers = widen(np.ones((len(job.val), 1)), seen, num_classes)
        loss = _loss(answers, job.val_targets, np.arange(num_classes), num_classes)
        return Boosted(None, 0, seen, num_classes, answers, loss)
    booster = _booster(job, setting)
    if job.deadline is not None:
        needed = _seconds_a_tree(job, setting) * job.least_trees
        if time.monotonic() + needed > job.deadline:
            raise TimeIsShort(needed)
    losses: list[float] = []
    best, step, most = 0, _TREES_A_STEP, job.most_steps(setting)
    while len(losses) - best <= setting.patience and len(losses) < most:
        if job.stop_requested():
            raise StopRequested
        began = time.monotonic()
        booster.set_params(max_iter=min(most, len(losses) + step))
        booster.fit(job.train, targets, sample_weight=job.weights)
        stages = _stages(booster, job.val, num_classes)
        losses = [_loss(stage, job.val_targets, seen, num_classes) for stage in stages]
        best = int(np.argmin(losses))
        now = time.monotonic()
        step = max(_TREES_A_STEP, len(losses) // _GROWTH)
        if job.deadline is not None and now + 1.5 * (now - began) > job.deadline:
            if len(losses) < min(most, job.least_trees):
                raise TimeIsShort((now - began) * job.least_trees / _TREES_A_STEP)
            emit("note", text=f"Gradient boosting stopped at {len(losses)} trees: time was short.")
            break
    found = Boosted(booster, best + 1, seen, num_classes, np.empty(0), losses[best])
    return Boosted(booster, best + 1, seen, num_classes, found.answers(job.val), losses[best])


def grow_boosting(job: GrowthJob) -> Grown:
    """Grow trees for a task: a part of the time for each of its plain problems.

    Raises:
        TimeIsShort: If not one piece of trees could be grown in time.
        StopRequested: If someone asked to stop.
    """
    fold = fold_of(job.train)
    train, is_code = table_of(job.train, fold)
    val, _ = table_of(job.val, fold)
    parts, notes, settled = [], list[int](), list[Any]()
    pairs = list(zip(job.problems, job.val_problems, job.weights, strict=True))
    for place, (problem, val_problem, weights) in enumerate(pairs):
        end = None
        if job.deadline is not None:  # each may take its share of what is left
            now = time.monotonic()
            end = now + (job.deadline - now) / (len(pairs) - place)
        one = BoostJob(
            train=train,
            is_code=is_code,
            problem=problem,
            val=val,
            val_targets=val_problem.targets,
            weights=weights,
            seed=job.seed,
            deadline=end,
            least_trees=_TREES_A_STEP,
            most_trees=job.trees_each,
            stop_requested=job.stop_requested,
        )
        if job.settled is not None:
            members = [_again(one, *told) for told in job.settled[place]]
        else:
            most = one.most_trees and one.most_trees // one.trees_a_step
            members = best_members(_grow_settings(one), val_problem, most)
        settled.append([[member.setting, member.num_trees] for member in members])
        notes.append(max(member.num_trees for member in members))
        trees = join_trees([trees_of(m, is_code).scaled(1 / len(members)) for m in members])
        parts.append(trees if len(pairs) == 1 else pair_of_label(trees, place, len(pairs)))
    note = f"{max(notes):,} boosting steps"
    return Grown(join_trees(parts), "sum", fold, note, settled)


def _again(job: BoostJob, setting: int, num_trees: int) -> Boosted:
    """Grow so many trees of a setting, without a look at val.

    Raises:
        StopRequested: If someone asked to stop.
    """
    if job.stop_requested():
        raise StopRequested
    booster, seen, num_classes = None, job.seen, job.problem.num_classes
    if not num_classes or len(seen) > 1:
        booster = _booster(job, SETTINGS[setting]).set_params(max_iter=num_trees)
        booster.fit(job.train, job.problem.targets, sample_weight=job.weights)
    nothing = np.empty(0)
    return Boosted(booster, num_trees, seen, num_classes, nothing, float("nan"), setting)


def _grow_settings(job: BoostJob) -> list[Boosted]:
    """Grow one setting after the other, as many as there is time for; the first in any case."""
    found = [boost(job, SETTINGS[0])]
    if found[0].booster is None:
        return found
    for place, setting in enumerate(SETTINGS[1:], 1):
        try:
            found.append(replace(boost(job, setting), setting=place))
        except TimeIsShort:
            break
    return found


def best_members(
    found: Sequence[Boosted], val: PlainProblem, most_steps: int | None = None
) -> list[Boosted]:
    """Return what answers val best: the best one, or the best two or three by their mean score.

    Args:
        found: At least one.
        val: Targets of val.
        most_steps: Of all that are taken; None for no limit. The best one is taken in any case.
    """
    order = sorted(found, key=lambda one: one.val_loss)
    if most_steps is not None:
        steps = np.cumsum([one.num_trees for one in order])
        order = order[: max(1, int((steps <= most_steps).sum()))]
    losses = [_mean_loss(order[: num + 1], val) for num in range(min(_MOST_MEMBERS, len(order)))]
    return order[: int(np.argmin(losses)) + 1]


def _mean_loss(members: Sequence[Boosted], val: PlainProblem) -> float:
    """Return the validation loss of the mean of scores: of logarithms, or of values."""
    answers = [member.val_answers for member in members]
    if not val.num_classes:
        return _loss(np.mean(answers, axis=0), val.targets, np.empty(0), 0)
    scores = np.mean([np.log(np.maximum(found, _TINY)) for found in answers], axis=0)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return _loss(shares, val.targets, np.arange(val.num_classes), val.num_classes)


def trees_of(one: Boosted, is_code: np.ndarray) -> Trees:
    """Return a booster's trees as arrays: scores of K classes, or a value.

    Two classes get half of the one score each, with the sign of each: their softmax is its sigmoid.

    Args:
        one: The booster.
        is_code: Which columns hold codes: scikit-learn moves these to the front.
    """
    if one.booster is None:
        base = np.full(one.num_classes, NEVER)
        base[one.seen.astype(np.int64)] = 0.0
        return constant_trees(base)
    order = np.concatenate([np.flatnonzero(is_code), np.flatnonzero(~is_code)])
    num_seen = len(one.seen)
    is_pair = num_seen == 2
    steps = one.booster._predictors[: one.num_trees]
    width = 2 if is_pair else 1
    parts = [
        _arrays(predictor, order, column, width)
        for step in steps
        for column, predictor in enumerate(step)
    ]
    base = np.asarray(one.booster._baseline_prediction, np.float64).reshape(-1)
    base = np.array([-base[0] / 2, base[0] / 2]) if is_pair else base
    joined = replace(join_trees(parts), base=base)
    if not one.num_classes:
        return joined
    return joined.widened(one.seen.astype(np.int64).tolist(), one.num_classes, NEVER)


def _arrays(predictor: Any, order: np.ndarray, column: int, width: int) -> Trees:
    """Return one of scikit-learn's trees."""
    nodes = predictor.nodes
    own = np.arange(len(nodes))
    is_leaf = nodes["is_leaf"].astype(bool)
    is_set = nodes["is_categorical"].astype(bool) & ~is_leaf
    branches = np.stack([nodes["left"], nodes["right"]], axis=1).astype(np.int64)
    branches[is_leaf] = own[is_leaf, None]
    features = np.where(is_leaf, 0, order[np.where(is_leaf, 0, nodes["feature_idx"])])
    thresholds = np.where(is_leaf | is_set, 0.0, nodes["num_threshold"])
    sets = np.full(len(nodes), -1, np.int64)
    sets[is_set] = np.arange(int(is_set.sum()))
    words = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][is_set]].astype(np.uint32)
    words = words.reshape(-1, SET_WORDS)
    # an unknown category goes where scikit-learn sends a missing one
    word, bit = divmod(STRANGE, 32)
    goes_left = nodes["missing_go_to_left"][is_set].astype(np.uint32)
    words[:, word] = (words[:, word] & ~np.uint32(1 << bit)) | (goes_left << np.uint32(bit))
    values = np.where(is_leaf, nodes["value"], 0.0)
    halves = np.stack([-values / 2, values / 2], axis=1)
    return Trees(
        features=features.astype(np.int32),
        thresholds=round_down(thresholds),
        branches=branches.astype(np.int32),
        sets=sets.astype(np.int32),
        categories=words.view(np.int32),
        values=(halves if width == 2 else values[:, None]).astype(np.float32),
        roots=np.zeros(1, np.int32),
        columns=np.full(1, column, np.int32),
        base=np.zeros(1),
        depth=int(nodes["depth"].max()),
    )


def pair_of_label(trees: Trees, place: int, num_labels: int) -> Trees:
    """Return trees that score lacking and having a label as trees that score having it."""
    pair = trees.values.astype(np.float64)
    scores = pair[:, 1] - pair[:, 0] if pair.shape[1] == 2 else np.zeros(len(pair))
    return of_label(trees, scores, trees.base[1] - trees.base[0], place, num_labels)


def _booster(job: BoostJob, setting: Setting) -> Any:
    """Return scikit-learn's booster, which goes on from its trees when it is fitted again."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    is_classes = job.problem.num_classes > 0
    kind = HistGradientBoostingClassifier if is_classes else HistGradientBoostingRegressor
    return kind(
        categorical_features=job.is_code,
        early_stopping=False,
        warm_start=True,
        random_state=job.seed,
        **setting.options,
    )


def _seconds_a_tree(job: BoostJob, setting: Setting) -> float:
    """Measure one boosting step on some rows, and return what it would take for all."""
    rows = np.unique(np.linspace(0, len(job.train) - 1, _SAMPLE_ROWS).astype(np.int64))
    targets = job.problem.targets
    if job.problem.num_classes:  # one row of each class, so that as many trees grow at every step
        rows = np.union1d(rows, np.unique(targets, return_index=True)[1])
    booster = _booster(job, setting).set_params(max_iter=_SAMPLE_TREES)
    began = time.monotonic()
    booster.fit(job.train[rows], targets[rows])
    return (time.monotonic() - began) / _SAMPLE_TREES * len(job.train) / len(rows)


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
    right = widen(answers, seen, num_classes)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(right, _TINY)).mean())
