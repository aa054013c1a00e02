"""Trees that LightGBM grows (extra ``lightgbm``), as arrays: val chooses their number and setting.

LightGBM grows leaf by leaf and divides categories by the order of their gradients, so its trees are
others than scikit-learn's. What it has grown is read from its own description of the model (JSON)
and becomes the arrays of every other tree; answering needs no LightGBM, and nothing is pickled.

The first tree of each output begins with the mean of the targets; that is taken out of its leaves
and added in float64, or their float32 would lose digits of large targets.

Left out: CatBoost. What it is good at, categories by the mean target of the rows before, is no
split of a cell and has no place in these arrays; without that it would be a third scikit-learn.

Source: G. Ke et al., 2017, LightGBM, NeurIPS.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.events import emit
from headstart.tasks import PlainProblem
from headstart.training.contract import StopRequested
from headstart.training.probing.boosting import NEVER, pair_of_label
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
    round_down,
)
from headstart.types import Inputs

_LEAST_STEPS = 25
_COMMON: Mapping[str, Any] = {
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
    "use_missing": False,  # preparing has filled what was missing, and says so in a column
    "feature_pre_filter": False,
}


@dataclass(frozen=True)
class _Setting:
    """Options of LightGBM, the most boosting steps, and how long val may not gain."""

    options: Mapping[str, Any]
    most_steps: int
    patience: int


# its defaults but for the rate; then smaller trees of fewer columns
_SETTINGS = (
    _Setting({"learning_rate": 0.05}, 1_000, 20),
    _Setting(
        {"learning_rate": 0.05, "num_leaves": 15, "feature_fraction": 0.5, "lambda_l2": 1.0},
        1_000,
        20,
    ),
    _Setting(
        {
            "learning_rate": 0.03,
            "num_leaves": 63,
            "min_data_in_leaf": 5,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
        },
        1_500,
        30,
    ),
)


@dataclass(frozen=True)
class _Fitted:
    """A booster, the boosting steps that val chose, its loss, and the place of its setting."""

    booster: Any
    num_steps: int
    loss: float
    setting: int


def grow_lightgbm(job: GrowthJob) -> Grown:
    """Grow trees for a task: a part of the time for each of its plain problems.

    Raises:
        TimeIsShort: If not one setting could be grown in time.
        StopRequested: Between two trees, if someone asked to stop.
    """
    fold = fold_of(job.train)
    tables = _table(job.train, fold), _table(job.val, fold)
    pairs = list(zip(job.problems, job.val_problems, job.weights, strict=True))
    parts, steps, settled = [], list[int](), list[Any]()
    for place, (problem, val_problem, weights) in enumerate(pairs):
        end = None
        if job.deadline is not None:  # each may take its share of what is left
            now = time.monotonic()
            end = now + (job.deadline - now) / (len(pairs) - place)
        one = _Problem(job, tables, problem, val_problem, weights, end)
        trees, chosen = one.grow(None if job.settled is None else job.settled[place])
        steps.append(chosen[1])
        settled.append(chosen)
        parts.append(trees if len(pairs) == 1 else pair_of_label(trees, place, len(pairs)))
    note = f"{max(steps):,} boosting steps by LightGBM"
    return Grown(join_trees(parts), "sum", fold, note, settled)


@dataclass(frozen=True)
class _Problem:
    """One plain problem, with the cells of train and val."""

    job: GrowthJob
    tables: tuple[np.ndarray, np.ndarray]
    problem: PlainProblem
    val: PlainProblem
    weights: np.ndarray | None
    deadline: float | None

    def grow(self, settled: Any) -> tuple[Trees, list[int]]:
        """Return the trees of the setting that val prefers; its place, and how many steps it took.

        Args:
            settled: Both, where they were chosen before; None leaves them to val.
        """
        num_classes = self.problem.num_classes
        seen = np.unique(self.problem.targets) if num_classes else np.empty(0, np.int64)
        if num_classes and len(seen) == 1:  # nothing to tell apart
            base = np.full(num_classes, NEVER)
            base[seen.astype(np.int64)] = 0.0
            return constant_trees(base), [0, 0]
        if settled is not None:
            setting, num_steps = settled
            booster, _ = self._booster(_SETTINGS[setting], seen)
            for _ in range(num_steps):
                booster.update()
            return trees_of(booster, num_steps, seen, num_classes), [setting, num_steps]
        best = self._fit(0, seen)
        for place in range(1, len(_SETTINGS)):
            try:
                best = min(best, self._fit(place, seen), key=lambda one: one.loss)
            except TimeIsShort:
                break
        trees = trees_of(best.booster, best.num_steps, seen, num_classes)
        return trees, [best.setting, best.num_steps]

    def _fit(self, place: int, seen: np.ndarray) -> _Fitted:
        """Grow one setting until val has not gained for a while.

        Raises:
            TimeIsShort: If the deadline would come before ``_LEAST_STEPS``.
            StopRequested: If someone asked to stop.
        """
        setting = _SETTINGS[place]
        booster, width = self._booster(setting, seen)
        most = setting.most_steps
        if self.job.trees_each is not None:
            most = max(1, min(most, self.job.trees_each // width))
        losses, best = list[float](), 0
        began = time.monotonic()
        while len(losses) < most and len(losses) - best <= setting.patience:
            if self.job.stop_requested():
                raise StopRequested
            booster.update()
            losses.append(float(booster.eval_valid()[0][2]))
            best = int(np.argmin(losses))
            each = (time.monotonic() - began) / len(losses)
            if self.deadline is not None and time.monotonic() + each > self.deadline:
                if len(losses) < min(most, _LEAST_STEPS):
                    raise TimeIsShort(each * _LEAST_STEPS)
                emit("note", text=f"LightGBM stopped at {len(losses)} trees: time was short.")
                break
        return _Fitted(booster, best + 1, losses[best], place)

    def _booster(self, setting: _Setting, seen: np.ndarray) -> tuple[Any, int]:
        """Return LightGBM's booster without trees, and how many it grows at a step."""
        import lightgbm

        options = {**_COMMON, **setting.options, "seed": self.job.seed}
        targets, rows, width = self.problem.targets, slice(None), 1
        val_targets = np.asarray(self.val.targets)
        kept = np.arange(len(val_targets))
        if not self.problem.num_classes:
            options |= {"objective": "l2", "metric": "l2"}
        else:  # a class that train lacks cannot be told, and says nothing of the trees
            kept = np.flatnonzero(np.isin(val_targets, seen))
            targets, val_targets = (np.searchsorted(seen, t) for t in (targets, val_targets))
            if len(seen) == 2:
                options |= {"objective": "binary", "metric": "binary_logloss"}
            else:
                width = len(seen)
                options |= {"objective": "multiclass", "metric": "multi_logloss"}
                options["num_class"] = width
        train, val = self.tables
        codes = list(range(self.num_numbers, train.shape[1]))
        learned = lightgbm.Dataset(
            train[rows], targets, weight=self.weights, categorical_feature=codes, params=options
        )
        booster = lightgbm.Booster(options, learned)
        looked = lightgbm.Dataset(val[kept], val_targets[kept], reference=learned, params=options)
        booster.add_valid(looked, "val")
        return booster, width

    @property
    def num_numbers(self) -> int:
        """How many of the columns are numbers; the others are categories."""
        return int(self.job.train.arrays(np.arange(1))[0].shape[1])


def _table(split: Inputs, fold: CategoryFold) -> np.ndarray:
    """Return the cells of a split, float32 (N, F + G): numbers, then categories."""
    numbers, codes = split.arrays(np.arange(len(split)))
    return np.concatenate([numbers, fold.category_of(codes).astype(np.float32)], axis=1)


def trees_of(booster: Any, num_steps: int, seen: np.ndarray, num_classes: int) -> Trees:
    """Return a booster's trees as arrays: scores of K classes, or a value.

    Two classes get half of the one score each, with the sign of each: their softmax is its sigmoid.

    Args:
        booster: LightGBM's.
        num_steps: Boosting steps to take.
        seen: Classes that train has, ascending; empty for numbers.
        num_classes: K, or 0.
    """
    told = booster.dump_model(num_iteration=num_steps)
    width = int(told["num_tree_per_iteration"])
    is_pair = len(seen) == 2
    base = np.zeros(width)
    parts = []
    for number, tree in enumerate(told["tree_info"]):
        found, leaves = _arrays(tree["tree_structure"])
        if number < width:  # the mean of the targets lies in the leaves of the first
            base[number] = leaves[leaves != 0].mean() if (leaves != 0).any() else 0.0
            is_leaf = found.branches[:, 0] == np.arange(len(leaves))
            leaves = np.where(is_leaf, leaves - base[number], 0.0)
        values = np.stack([-leaves / 2, leaves / 2], axis=1) if is_pair else leaves[:, None]
        column = np.full(1, number % width, np.int32)
        parts.append(replace(found, values=values.astype(np.float32), columns=column))
    if is_pair:
        base = np.array([-base[0] / 2, base[0] / 2])
    joined = replace(
        join_trees([replace(part, base=np.zeros(len(base))) for part in parts]), base=base
    )
    if not num_classes:
        return joined
    return joined.widened(seen.astype(np.int64).tolist(), num_classes, NEVER)


def _arrays(root: Mapping[str, Any]) -> tuple[Trees, np.ndarray]:
    """Return one of LightGBM's trees, and what each node adds, float64, 0 where it is no leaf."""
    nodes: list[Mapping[str, Any]] = []
    branches: list[tuple[int, int]] = []
    depths: list[int] = []
    waiting: list[tuple[Mapping[str, Any], int, int, int]] = [(root, -1, 0, 0)]
    while waiting:
        node, parent, side, depth = waiting.pop()
        place = len(nodes)
        nodes.append(node)
        branches.append((place, place))
        depths.append(depth)
        if parent >= 0:
            left, right = branches[parent]
            branches[parent] = (place, right) if side == 0 else (left, place)
        if "split_feature" in node:
            waiting += [
                (node["left_child"], place, 0, depth + 1),
                (node["right_child"], place, 1, depth + 1),
            ]
    is_set = [node.get("decision_type") == "==" for node in nodes]
    sets = np.where(is_set, np.cumsum(is_set) - 1, -1)
    numbers = [
        float(node["threshold"]) if "split_feature" in node and not told_by_set else 0.0
        for node, told_by_set in zip(nodes, is_set, strict=True)
    ]
    words = [
        _words(node["threshold"]) for node, is_one in zip(nodes, is_set, strict=True) if is_one
    ]
    trees = Trees(
        features=np.array([node.get("split_feature", 0) for node in nodes], np.int32),
        thresholds=round_down(np.array(numbers, np.float64)),
        branches=np.array(branches, np.int32),
        sets=sets.astype(np.int32),
        categories=np.array(words, np.uint32).reshape(-1, SET_WORDS).view(np.int32),
        values=np.zeros((len(nodes), 1), np.float32),
        roots=np.zeros(1, np.int32),
        columns=np.zeros(1, np.int32),
        base=np.zeros(1),
        depth=max(depths),
    )
    return trees, np.array([node.get("leaf_value", 0.0) for node in nodes], np.float64)


def _words(told: str) -> Sequence[int]:
    """Return a set of categories, which LightGBM writes as ``1||4||7``, as bits."""
    words = [0] * SET_WORDS
    for category in map(int, str(told).split("||")):
        words[category // 32] |= 1 << category % 32
    return words
