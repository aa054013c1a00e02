"""Whether days to come are told as well as the days between: one method, two splits, two figures.

Where a random split mixes the days of rows that stand in time, its figure answers for days between
those learned from. Gradient-boosted trees are fitted to the same cells once more, to the earliest
rows of all splits, and asked for the latest ones; nothing but the split differs from the baseline
that every table run has. The fine-tuned model is not trained again: what the split is worth is the
same question for every method, and the answer costs seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headstart.data.times import day_of, latest, times_of
from headstart.evaluation import figure_to_json
from headstart.preprocessing import Cells
from headstart.preprocessing.rows import TableSamples
from headstart.tasks import called, find_task
from headstart.tuning.baselines.baseline import Items, Rival
from headstart.tuning.baselines.boosting import (
    BOOSTING,
    BOOSTING_BASELINE,
    boost_trees,
    is_boosting,
)
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup
from headstart.types import Figure, Finding


@dataclass(frozen=True)
class LaterDays:
    """The figures of one method by two splits.

    Attributes:
        column: The dates.
        metric: Name of the figure: the task's headline.
        between: On the test split, whose days lie between those learned from.
        later: On the latest rows, learned from those before.
        num_later: How many rows these are.
        since: Their first day.
    """

    column: str
    metric: str
    between: Figure
    later: Figure
    num_later: int
    since: str

    @property
    def differs(self) -> bool:
        """Whether the figures differ by more than the halves of their intervals together allow."""
        halves = [(figure.high - figure.low) / 2 for figure in (self.between, self.later)]
        gap = abs(self.between.value - self.later.value)
        return bool(gap > math.hypot(*halves))  # false where one cannot be estimated

    def to_json(self) -> dict[str, object]:
        """Return the record ``later_days`` of ``metrics.json``."""
        return {
            "column": self.column,
            "method": BOOSTING,
            "metric": self.metric,
            "between": figure_to_json(self.between),
            "later": figure_to_json(self.later),
            "num_later": self.num_later,
            "since": self.since,
            "differs": self.differs,
        }

    def finding(self) -> Finding:
        """Return what a reader of the test figure has to know."""
        between, later = map(_written, (self.between, self.later))
        sentence = (
            f"By column '{self.column}', the figures of this run answer for days between those "
            f"learned from, and days to come differ: {BOOSTING} reaches {called(self.metric)} "
            f"{between} on the test split, and {later} on the latest {self.num_later:,} rows (from "
            f"{self.since}) when it learns from those before. To foretell, train with --split time."
        )
        return Finding("time", "error", (), sentence)


def _written(figure: Figure) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def later_days(
    items: Items,
    rivals: list[Rival],
    *,
    seed: int,
    budget: Budget,
    setup: TrainingSetup | None = None,
) -> LaterDays | None:
    """Return both figures; None where days are not mixed, or time is short, which is said.

    Args:
        items: The data, and its splits as cells.
        rivals: What baselines decided for the test items; the trees must be among them, or be
            the model itself.
        seed: Of the trees.
        budget: The trees may take their share of what is left.
        setup: The model; where it is boosted trees, those of the baseline are grown here.
    """
    dataset = items.dataset
    column, trees = dataset.time_column, next((r for r in rivals if r.name == BOOSTING), None)
    parts = [items.train, items.val, items.test]
    if column is None or not all(isinstance(part, Cells) for part in parts):
        return None
    if trees is None and setup is not None and is_boosting(setup):
        trees = BOOSTING_BASELINE.run(items, setup, budget)
    if trees is None:
        return None
    every, times = _joined(items), _times(items, column)
    shares = [len(part) / len(every) for part in (items.test, items.val)]
    test = latest(times, shares[0])
    rest = np.setdiff1d(np.flatnonzero(~np.isnan(times)), test)
    val = rest[latest(times[rest], shares[1] / (1 - shares[0]))]
    train = np.setdiff1d(rest, val)
    if min(map(len, (train, val, test))) < 2:
        return None
    seconds = None if budget.limit_seconds is None else budget.may_take("boosting")
    early, middle, last = (_taken(every, places) for places in (train, val, test))
    found = boost_trees(early, middle, last, dataset.schema, seed=seed, seconds=seconds)
    if found is None:
        return None
    task = find_task(dataset.schema.task)
    figure = task.headline_figure
    return LaterDays(
        column=column,
        metric=task.headline,
        between=figure(trees.predictions, items.test.targets),
        later=figure(task.decisions(found.outputs), last.targets),
        num_later=len(test),
        since=day_of(float(times[test].min())),
    )


def _joined(items: Items) -> Cells:
    """Return the cells of all splits, one after the other."""
    parts = [part for part in (items.train, items.val, items.test) if isinstance(part, Cells)]
    return Cells(
        numbers=np.concatenate([part.numbers for part in parts]),
        codes=np.concatenate([part.codes for part in parts]),
        targets=np.concatenate([np.asarray(part.targets) for part in parts]),
        ids=np.concatenate([part.ids for part in parts]),
        names=[name for part in parts for name in part.names],
    )


def _times(items: Items, column: str) -> np.ndarray:
    """Return float64, shape (N,), microseconds since 1970, of the rows of all splits."""
    dataset, found = items.dataset, []
    pairs = zip(
        (dataset.train, dataset.val, dataset.test),
        (items.train, items.val, items.test),
        strict=True,
    )
    for split, part in pairs:
        assert isinstance(split.samples, TableSamples)
        known = dict(zip(split.ids.tolist(), times_of(split.samples, column), strict=True))
        found.append(np.array([known[id_] for id_ in part.ids.tolist()], np.float64))
    return np.concatenate(found)


def _taken(cells: Cells, places: np.ndarray) -> Cells:
    """Return some of the rows."""
    assert isinstance(cells.targets, np.ndarray)
    return Cells(
        numbers=cells.numbers[places],
        codes=cells.codes[places],
        targets=cells.targets[places],
        ids=cells.ids[places],
        names=[cells.names[place] for place in places.tolist()],
    )
