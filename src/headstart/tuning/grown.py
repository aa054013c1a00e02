"""A start that is grown: trees from train into the network, in the place of a probe of features.

``scratch/boosting``, ``scratch/forest`` and ``scratch/lightgbm`` have the strategy of a head: they
learn at once and take no steps. What is solved for is not the head but the encoder, whose features
are the logits; the head hands them on. So a grown model is saved, resumed, served and judged as
every other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.errors import StartError
from headstart.events import emit
from headstart.model import Model, run_batches
from headstart.tasks import PlainProblem, array_of
from headstart.training.contract import never
from headstart.training.options.common_options import Imbalance
from headstart.training.probing.boosting import grow_boosting
from headstart.training.probing.forest import grow_forest
from headstart.training.probing.lightgbm import grow_lightgbm
from headstart.training.probing.methods import PROBES
from headstart.training.probing.probe import Probe
from headstart.training.probing.trees import Grown, GrowthJob, TimeIsShort
from headstart.tuning.slowness import slowness
from headstart.types import Inputs

_TREE_SECONDS, _FEWEST_TREES = 0.2e-6, 50  # a row through one, on one idle core
# by the address of a start
# Of what trees took: where less time was left when they ended, it may be the time that ended them.
_ENOUGH_LEFT = 0.5
GROWERS: dict[str, Callable[[GrowthJob], Grown]] = {
    "scratch/boosting": grow_boosting,
    "scratch/forest": grow_forest,
    "scratch/lightgbm": grow_lightgbm,
}
_ARRAYS = (
    *("features", "thresholds", "branches", "sets", "categories", "values"),
    *("roots", "columns", "base"),
)


class TooManyRowsError(StartError):
    """Trees of so many rows take longer than there is.

    Args:
        share: Of what the fewest trees would take that is left.
        message: In words.
    """

    def __init__(self, share: float, message: str) -> None:
        super().__init__(message)
        self.share = share


def grow(
    model: Model,
    train: Inputs,
    val: Inputs,
    *,
    imbalance: Imbalance,
    seed: int,
    deadline: float | None,
    most_seconds: float | None,
    stop_requested: Callable[[], bool],
) -> Probe:
    """Grow the trees of a model from train; val chooses between settings.

    Args:
        model: Its network is one of trees; they are put into it.
        train: Learned from.
        val: Chosen by.
        imbalance: Anything but ``none`` weighs classes as the task does.
        seed: Of what is drawn.
        deadline: ``time.monotonic()`` value by which it should have ended, or None.
        most_seconds: What a row may take to go through all trees, or None.
        stop_requested: Whether someone asked to stop.

    Returns:
        The head, which hands the logits on, and what val says of it.

    Raises:
        StartError: If the task is no problem for trees.
        TooManyRowsError: If the time does not suffice.
        StopRequested: If someone asked to stop.
    """
    job = _job(model, train, val, imbalance, seed)
    most_trees = None
    if most_seconds is not None:
        most_trees = max(_FEWEST_TREES, int(most_seconds / (_TREE_SECONDS * slowness())))
    job = replace(job, deadline=deadline, most_trees=most_trees, stop_requested=stop_requested)
    return _grown(model, job)


def grow_again(
    model: Model, train: Inputs, val: Inputs, fitted: Probe, *, imbalance: Imbalance, seed: int
) -> Probe:
    """Grow trees from other rows with the settings and the numbers that val has chosen before.

    Args:
        model: As ``grow`` takes it.
        train: Learned from.
        val: Tells how good they are, and chooses nothing.
        fitted: What ``grow`` has given.
        imbalance: As ``grow`` takes it.
        seed: Of what is drawn.

    Raises:
        StartError: If the task is no problem for trees.
    """
    return _grown(model, replace(_job(model, train, val, imbalance, seed), settled=fitted.settled))


def _job(model: Model, train: Inputs, val: Inputs, imbalance: Imbalance, seed: int) -> GrowthJob:
    """Return what trees are grown from, without a limit.

    Raises:
        StartError: If the task is no problem for trees.
    """
    task, num_classes = model.task, len(model.schema.classes)
    problems = task.plain_problems(train.targets, num_classes)
    val_problems = task.plain_problems(val.targets, num_classes)
    address = model.encoder.start.address
    if not problems:
        raise StartError(
            f"'{address}' grows trees, which tell one class, one number or several labels of a "
            f"row; the task is {task.name}. Choose another start."
        )
    weights = _weights(model, problems, imbalance)
    return GrowthJob(
        train=train,
        val=val,
        problems=problems,
        val_problems=val_problems,
        weights=weights,
        seed=seed,
        deadline=None,
        most_trees=None,
        stop_requested=never,
    )


def _grown(model: Model, job: GrowthJob) -> Probe:
    """Grow trees, put them into the model, and judge them on val.

    Raises:
        TooManyRowsError: If the time does not suffice.
        StopRequested: If someone asked to stop.
    """
    began, task, val = time.monotonic(), model.task, job.val
    network: Any = model.encoder.network
    address = model.encoder.start.address
    emit("task", name=f"growing {address}", done=0, total=1)
    try:
        grown = GROWERS[address](job)
    except TimeIsShort as error:
        left = max(0.0, (job.deadline or 0.0) - time.monotonic())
        raise TooManyRowsError(
            left / error.seconds,
            f"Start '{address}' needs {error.seconds:.1f} s for the fewest trees that are worth "
            f"it, and {left:.1f} s are left for them. Raise --budget, or choose another start.",
        ) from error
    now = time.monotonic()
    is_cut = job.deadline is not None and job.deadline - now < _ENOUGH_LEFT * (now - began)
    emit("task", name=f"growing {address}", done=1, total=1)
    emit("note", text=f"{address}: {grown.note}.")
    trees = grown.trees.scaled(1 / model.target_scale, -model.target_mean)
    arrays = {name: getattr(trees, name) for name in _ARRAYS}
    folded = grown.fold.categories(network.sizes)
    network.take(arrays, folded, depth=trees.depth, link=grown.link)
    model.encoder.architecture["options"] = network.options
    logits = array_of(run_batches(model, val, model.features, phase=None))
    method = PROBES[task.probe]
    loss, score = method.judge(logits, array_of(model.standard_targets(val.targets)))
    num_outputs = model.num_outputs
    return Probe(
        weight=np.eye(num_outputs, dtype=np.float32),
        bias=np.zeros(num_outputs, np.float32),
        val_logits=logits,
        val_score=score,
        val_loss=loss,
        strength=float("nan"),
        seconds=time.monotonic() - began,
        metric=task.validation_metric,
        settled=grown.settled,
        is_cut=is_cut,
    )


def _weights(
    model: Model, problems: Sequence[PlainProblem], imbalance: Imbalance
) -> list[np.ndarray | None]:
    """Return for each problem the weights of its rows, or None."""
    if imbalance == "none":
        return [None] * len(problems)
    if len(problems) == 1:
        counted = model.task.class_weights(problems[0].targets, len(model.schema.classes))
        assert counted is not None
        return [counted[problems[0].targets]]
    labels = np.stack([problem.targets for problem in problems], axis=1)
    positives = model.task.class_weights(labels, len(problems))
    assert positives is not None
    return [
        np.where(problem.targets > 0, positive, 1.0)
        for problem, positive in zip(problems, positives, strict=True)
    ]
