"""The baseline of every table run: gradient-boosted trees from scikit-learn on the same cells.

Trees are hard to beat on tables, so a figure for a network means little without theirs beside it.
The trees see what the network sees (the prepared numbers and codes), learn from train, stop by val,
and answer for the test items once; nothing is tuned beyond that, and nothing is claimed of them.
They are grown by the code of the start ``scratch/boosting``, which tries more than scikit-learn's
defaults: beside a model that is that start they say nothing more, and are not shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from headstart.events import emit
from headstart.tasks import find_task
from headstart.training.contract import never
from headstart.training.probing.boosting import (
    DEFAULT_TREES,
    BoostJob,
    boost,
)
from headstart.training.probing.tree_settings import DEFAULT
from headstart.training.probing.trees import TimeIsShort, fold_of, table_of
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget, told_seconds
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.slowness import slowness
from headstart.types import Dataset, Inputs, Rows, Schema

BOOSTING = "gradient boosting"
_START = "scratch/boosting"


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
    fold = fold_of(train)
    (cells, is_code), (val_cells, _), (test_cells, _) = (
        table_of(split, fold) for split in (train, val, test)
    )
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
            job = BoostJob(
                train=cells,
                is_code=is_code,
                problem=problem,
                val=val_cells,
                val_targets=val_problem.targets,
                weights=None,
                seed=seed,
                deadline=end,
                least_trees=DEFAULT_TREES,
                most_trees=None,
                stop_requested=never,
            )
            boosted = boost(job, DEFAULT)
            found.append((boosted.answers(test_cells), boosted.num_trees))
    except TimeIsShort:
        text = (
            f"Gradient boosting was left out of the comparison: it would not reach {DEFAULT_TREES} "
            f"trees in the {told_seconds(seconds or 0.0)} that the budget leaves it."
        )
        emit("note", text=text)
        return None
    outputs = task.joined_answers([answers for answers, _ in found])
    num_trees = max(num for _, num in found)
    return BoostedTrees(outputs, num_trees, time.monotonic() - began)


def is_boosting(setup: TrainingSetup) -> bool:
    """Return whether a model is boosted trees itself."""
    return setup.model.encoder.start.address == _START


def _says_more(dataset: Dataset, setup: TrainingSetup) -> bool:
    if is_boosting(setup):
        return False
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
