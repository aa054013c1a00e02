"""Predictors from the plainest to the model on the same items, of several targets for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.evaluation import comparison_to_json, figure_to_json
from headstart.tasks import Task, array_of, find_task
from headstart.tuning.baselines import Rival
from headstart.types import Dataset, Inputs, Rows


def before_after(
    dataset: Dataset, train: Inputs, rivals: list[Rival], model: Rival, test: Inputs
) -> dict[str, object]:
    """Return the ladder of predictors and the paired verdicts, on the same test items.

    Args:
        dataset: The data.
        train: Its targets are what the predictor without a model knows.
        rivals: What other methods decide.
        model: The model's name and decisions.
        test: The items.
    """
    schema, targets, task = dataset.schema, test.targets, find_task(dataset.schema.task)
    naive = Rival(*task.baseline(train.targets, test.targets, schema))
    groups = dataset.test.groups_of(test.ids)
    ladder = [naive, *rivals, model]
    found = _ladder(task, ladder, targets, groups)
    if not task.parts:
        return found
    each: dict[str, object] = {}
    for place, part in enumerate(task.parts):
        column = array_of(targets)[:, place]
        has = np.isfinite(column)
        own = [
            Rival(rival.name, part.present(array_of(rival.predictions)[has, place]))
            for rival in ladder
        ]
        if has.any():
            told = _ladder(
                part.task, own, part.present(column), None if groups is None else groups[has]
            )
            each[part.label] = {"task": part.task.name, "num_items": int(has.sum()), **told}
    return {**found, "parts": each}


def _ladder(
    task: Task, ladder: Sequence[Rival], targets: Rows, groups: np.ndarray | None
) -> dict[str, object]:
    """Return the leading figure of predictors, and the last one against each of the others.

    Args:
        task: What they predict.
        ladder: The plainest first, the model last.
        targets: Of the items.
        groups: Which of these belong together.
    """
    naive, *rivals, _ = ladder
    return verdicts_of(task, ladder, targets, groups, [*rivals, naive])


def verdicts_of(
    task: Task,
    ladder: Sequence[Rival],
    targets: Rows,
    groups: np.ndarray | None,
    order: Sequence[Rival] = (),
) -> dict[str, object]:
    """Return the leading figure of each predictor, and the last one against the others.

    Args:
        task: What they predict.
        ladder: The model last.
        targets: Of the items.
        groups: Which of these belong together.
        order: The others, in the order of the verdicts; as they stand when not given.
    """
    model = ladder[-1]
    verdicts = [
        task.compare(r.name, r.predictions, model.name, model.predictions, targets, groups=groups)
        for r in order or ladder[:-1]
    ]
    figures = {
        r.name: figure_to_json(task.headline_figure(r.predictions, targets, groups=groups))
        for r in ladder
    }
    return {
        "metric": task.headline,
        "figures": figures,
        "comparisons": [comparison_to_json(v) for v in verdicts],
    }
