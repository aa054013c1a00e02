"""Trees as arrays, whoever has grown them: what a network of trees is made of.

A row goes down a tree from its root: at a split of numbers to the left where its cell is at most
the threshold, at a split of categories where its category is in the split's set, until it comes to
a leaf, whose numbers are added up over the trees. The cells are those of the prepared table:
numbers, then codes, each code folded to a category below 255 (``CategoryFold``).

Thresholds are float32, rounded down from the float64 of scikit-learn. A cell is a float32 itself:
it is at most a number exactly where it is at most the largest float32 that is not above it. So
every row goes the same way as there.

Left out: growing (``boosting``, ``forest``), and cells that are NaN, which preparing fills.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.tasks import PlainProblem
from headstart.types import Inputs

MOST_CATEGORIES = 255  # scikit-learn's limit for one column
SET_WORDS = 8  # of 32 bits each: a set of 256 categories
STRANGE = MOST_CATEGORIES  # the category of codes that the trees have not seen


class TimeIsShort(Exception):
    """The trees cannot be finished in the time left.

    Args:
        seconds: What the fewest that are an answer would take.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True)
class Trees:
    """Trees, one after the other, N nodes in all.

    Attributes:
        features: int32, (N,), the column of the cells that a node looks at.
        thresholds: float32, (N,), the largest number that goes to the left.
        branches: int32, (N, 2), left and right; a leaf is its own child.
        sets: int32, (N,), which row of ``categories`` goes to the left; -1 at splits of numbers.
        categories: int32, (S, 8), a bit for each category.
        values: float32, (N, V), what a leaf adds, to V outputs side by side.
        roots: int32, (T,), the first node of each tree.
        columns: int32, (T,), the first output that each tree adds to.
        base: float64, (K,), what the outputs begin with.
        depth: Splits from a root to the deepest leaf.
    """

    features: np.ndarray
    thresholds: np.ndarray
    branches: np.ndarray
    sets: np.ndarray
    categories: np.ndarray
    values: np.ndarray
    roots: np.ndarray
    columns: np.ndarray
    base: np.ndarray
    depth: int

    def scaled(self, factor: float, shift: float = 0.0) -> Trees:
        """Return trees whose outputs are ``(output + shift) * factor``."""
        values = (self.values.astype(np.float64) * factor).astype(np.float32)
        return replace(self, values=values, base=(self.base + shift) * factor)

    def widened(self, outputs: Sequence[int], num_outputs: int, default: float) -> Trees:
        """Return trees that give more outputs; those that no tree adds to are the default.

        Args:
            outputs: Where each of the own outputs stands among all.
            num_outputs: K.
            default: What the others are.
        """
        base = np.full(num_outputs, default)
        base[list(outputs)] = self.base
        if self.values.shape[1] == 1:
            columns = np.asarray(outputs, np.int32)[self.columns]
            return replace(self, base=base, columns=columns)
        values = np.zeros((len(self.values), num_outputs), np.float32)
        values[:, list(outputs)] = self.values
        return replace(self, base=base, values=values)


@dataclass(frozen=True)
class Grown:
    """What a method has grown.

    Attributes:
        trees: Their outputs are in the units of the targets, or scores of the K classes.
        link: How outputs become logits, as ``starts.tables.trees`` names it.
        fold: What codes become before the trees see them.
        note: In words, what was grown.
        settled: What val has chosen for each problem, in numbers that JSON can hold: settings, and
            how many trees of each.
    """

    trees: Trees
    link: str
    fold: CategoryFold
    note: str
    settled: Sequence[Any] = ()


@dataclass(frozen=True)
class GrowthJob:
    """What trees are grown from.

    Attributes:
        train: Cells to learn from.
        val: Decides between settings, and the number of trees.
        problems: The task as plain problems on train, one or one a label.
        val_problems: The same on val.
        weights: For each problem, None or a weight for each row.
        seed: Of what is drawn.
        deadline: ``time.monotonic()`` value by which it should have ended, or None.
        most_trees: No more than so many in all, or None.
        stop_requested: Whether someone asked to stop.
        settled: What val has chosen before, for each problem, as ``Grown`` tells it: that is grown
            again, and val chooses nothing. None leaves it to val.
    """

    train: Inputs
    val: Inputs
    problems: Sequence[PlainProblem]
    val_problems: Sequence[PlainProblem]
    weights: Sequence[np.ndarray | None]
    seed: int
    deadline: float | None
    most_trees: int | None
    stop_requested: Callable[[], bool]
    settled: Sequence[Any] | None = None

    @property
    def trees_each(self) -> int | None:
        """How many trees each of the problems may have, or None."""
        return None if self.most_trees is None else max(1, self.most_trees // len(self.problems))


@dataclass(frozen=True)
class CategoryFold:
    """What codes become before trees see them.

    Attributes:
        known: For each column of codes the codes that are told apart, ascending, at most 255.
        is_full: For each column whether train has others, which then share code 0.
    """

    known: tuple[np.ndarray, ...]
    is_full: tuple[bool, ...]

    @classmethod
    def of(cls, codes: np.ndarray) -> CategoryFold:
        """Return the fold of train's codes, int64, shape (N, G): the frequent ones are told apart.

        scikit-learn takes at most 255 categories in a column: the most frequent ones of train keep
        their codes, the others share code 0.
        """
        known, is_full = [], []
        for column in codes.T:
            found, counts = np.unique(column, return_counts=True)
            full = len(found) >= MOST_CATEGORIES - 1
            if full:
                found = found[np.argsort(-counts, kind="stable")[: MOST_CATEGORIES - 1]]
                if len(counts) > len(found):
                    found = np.union1d(found, [0])
            known.append(np.sort(found))
            is_full.append(full)
        return cls(tuple(known), tuple(is_full))

    def codes(self, codes: np.ndarray) -> np.ndarray:
        """Return a copy of codes, int64, shape (N, G), the rare ones of full columns 0."""
        folded = codes.copy()
        for place, (known, full) in enumerate(zip(self.known, self.is_full, strict=True)):
            if full:
                column = codes[:, place]
                folded[:, place] = np.where(np.isin(column, known), column, 0)
        return folded

    def category_of(self, codes: np.ndarray) -> np.ndarray:
        """Return the category of each code: its place among the known ones, int64, shape (N, G)."""
        found = np.full(codes.shape, STRANGE, np.int64)
        for place, (known, full) in enumerate(zip(self.known, self.is_full, strict=True)):
            column = codes[:, place]
            places = np.minimum(np.searchsorted(known, column), len(known) - 1)
            rest = int(np.searchsorted(known, 0)) if full and 0 in known else STRANGE
            found[:, place] = np.where(known[places] == column, places, rest)
        return found

    def categories(self, sizes: Sequence[int]) -> list[np.ndarray]:
        """Return for each column the category of each of its codes, given how many it has."""
        longest = np.arange(max(sizes, default=0))
        every = self.category_of(np.repeat(longest[:, None], len(sizes), axis=1))
        return [every[:size, place] for place, size in enumerate(sizes)]


def table_of(split: Inputs, fold: CategoryFold | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of a split as one array, and which of its columns hold codes.

    Args:
        split: Prepared rows.
        fold: What its codes become; None leaves them.

    Returns:
        float64, (N, F + G); bool, (F + G,).
    """
    numbers, codes = split.arrays(np.arange(len(split)))
    folded = codes if fold is None else fold.codes(codes)
    table = np.concatenate([numbers.astype(np.float64), folded], axis=1)
    return table, np.arange(table.shape[1]) >= numbers.shape[1]


def fold_of(split: Inputs) -> CategoryFold:
    """Return the fold of train's codes."""
    return CategoryFold.of(split.arrays(np.arange(len(split)))[1])


def round_down(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest float32 that is not above each float64; infinite ones become finite."""
    most = np.finfo(np.float32).max
    clipped = np.clip(thresholds, -most, most)
    rounded: np.ndarray = clipped.astype(np.float32)
    is_above = rounded.astype(np.float64) > clipped
    rounded[is_above] = np.nextafter(rounded[is_above], np.float32(-np.inf))
    return rounded


def widen(answers: np.ndarray, seen: np.ndarray, num_classes: int) -> np.ndarray:
    """Return probabilities of all classes, (N, K), from those of the seen ones."""
    full = np.zeros((len(answers), num_classes))
    full[:, seen.astype(np.int64)] = answers
    return full


def join_trees(parts: Sequence[Trees]) -> Trees:
    """Return trees of the same outputs as one; what the outputs begin with is added up."""
    nodes = np.cumsum([0, *(len(part.features) for part in parts)])
    sets = np.cumsum([0, *(len(part.categories) for part in parts)])

    def every(pick: Callable[[Trees, int, int], Any]) -> np.ndarray:
        found = [pick(part, int(nodes[i]), int(sets[i])) for i, part in enumerate(parts)]
        return np.concatenate(found)

    return Trees(
        features=every(lambda part, node, first: part.features),
        thresholds=every(lambda part, node, first: part.thresholds),
        branches=every(lambda part, node, first: part.branches + np.int32(node)),
        sets=every(
            lambda part, node, first: np.where(
                part.sets < 0, part.sets, part.sets + np.int32(first)
            )
        ),
        categories=every(lambda part, node, first: part.categories),
        values=every(lambda part, node, first: part.values),
        roots=every(lambda part, node, first: part.roots + np.int32(node)),
        columns=every(lambda part, node, first: part.columns),
        base=np.sum([part.base for part in parts], axis=0),
        depth=max(part.depth for part in parts),
    )


def of_label(trees: Trees, scores: np.ndarray, base: float, place: int, num_labels: int) -> Trees:
    """Return the trees of one label among several, with one score: that it applies.

    Args:
        trees: Of one label.
        scores: float64, (N,), what each node adds to the score.
        base: What the score begins with.
        place: Which label it is.
        num_labels: K.
    """
    found = np.zeros(num_labels)
    found[place] = base
    columns = np.full(len(trees.roots), place, np.int32)
    return replace(trees, values=scores[:, None].astype(np.float32), columns=columns, base=found)


def constant_trees(base: np.ndarray) -> Trees:
    """Return one leaf that adds nothing: outputs are what they begin with, float64, shape (K,)."""
    return Trees(
        features=np.zeros(1, np.int32),
        thresholds=np.zeros(1, np.float32),
        branches=np.zeros((1, 2), np.int32),
        sets=np.full(1, -1, np.int32),
        categories=np.zeros((0, SET_WORDS), np.int32),
        values=np.zeros((1, 1), np.float32),
        roots=np.zeros(1, np.int32),
        columns=np.zeros(1, np.int32),
        base=np.asarray(base, np.float64),
        depth=0,
    )
