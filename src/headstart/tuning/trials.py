"""Short trainings that differ in the learning rate alone, compared item by item.

Each trains from the same weights (the probe's head installed, the frozen part computed once), on
the same samples in the same order, through its whole schedule in fewer steps: a rate that only
looks good before it is annealed would mislead. After each the weights are put back bit for bit, so
that the training that follows knows nothing of it.

The items of the validation split are the same for all, so the difference of two calibrated losses
has a far smaller error than either score. Calibrated,
because the finished model is: a rate should not win by being less sure of itself.

Left out: which rates, how long, and whether there is time (``grid``); trials by several processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.errors import DivergenceError
from headstart.events import unheard
from headstart.model import model_outputs
from headstart.objectives import check_score, item_losses
from headstart.training.loop import Check, Hooks, StopRequested, train
from headstart.training.options.recipe import with_length
from headstart.training.state.average import learned_state, set_tensors
from headstart.tuning.hooks import loop_options, unfreeze
from headstart.tuning.phases import Phases
from headstart.tuning.setup import Bench
from headstart.types import Figure, Inputs, Rows

_SURE = 2.0  # standard errors by which another rate than the family's own must be better


@dataclass(frozen=True)
class Trials:
    """What trials work with.

    Attributes:
        bench: The model, as every trial starts from it, and the recipe.
        phases: Batches, and what they pass through.
        hooks: Those of the training; its looks are not used.
        look: Logits of the validation samples, shape (M, K), with the weights now in the model; may
            raise ``StopRequested``.
        val: The validation samples.
        micro_batch_size: Where memory has no room for the recipe's.
    """

    bench: Bench
    phases: Phases
    hooks: Hooks
    look: Callable[[], Rows]
    val: Inputs
    micro_batch_size: int | None = None


@dataclass(frozen=True)
class Trial:
    """How one rate did.

    Attributes:
        learning_rate: The rate.
        seconds: What the trial took.
        num_steps: Steps taken; fewer than planned where the deadline came first.
        score: As the loop chooses by; higher is better.
        losses: float64, shape (M,): the calibrated loss of each validation item; empty where the
            training diverged.
        figure: The task's leading figure on val; None where the training diverged.
    """

    learning_rate: float
    seconds: float
    num_steps: int
    score: float
    losses: np.ndarray
    figure: Figure | None


def try_rate(
    work: Trials, rate: float, num_steps: int, *, look_seconds: float, deadline: float | None
) -> Trial:
    """Train by one rate from the weights as they are, look once, and put the weights back.

    Args:
        work: The model and all that a training needs.
        rate: The learning rate.
        num_steps: Optimizer steps, through the whole schedule.
        look_seconds: What a look at the validation split is expected to cost.
        deadline: ``time.monotonic()`` value by which the trial has ended; None for no limit.

    Raises:
        StopRequested: If someone asked to stop.
    """
    model, schema = work.bench.model, work.bench.model.schema
    recipe = with_length(replace(work.bench.recipe, learning_rate=rate), num_steps)
    work.phases.restart()
    optimizer = unfreeze(replace(work.bench, recipe=recipe))
    options = loop_options(
        recipe,
        work.phases.order,
        check_seconds=look_seconds,
        micro_batch_size=work.micro_batch_size,
    )
    options = replace(options, steps_per_check=num_steps, check_first=False, patience=0)
    targets = model.standard_targets(work.val.targets)
    seen: list[tuple[Rows, Check]] = []

    def look() -> Check:
        logits = work.look()
        metric, score, loss, error = check_score(schema.task, logits, targets)
        seen.append((logits, Check(score, loss, error, metric)))
        return seen[-1][1]

    live = learned_state(model)
    kept = {name: value.detach().clone() for name, value in live.items()}
    began, steps = time.monotonic(), num_steps
    try:
        with unheard():
            hooks = replace(work.hooks, check=look)
            result = train(model, optimizer, hooks, options, deadline=deadline)
        if result.ended == "interrupted":
            raise StopRequested
        steps = result.state.step
    except DivergenceError:  # three steps gave no number, or the look did not
        seen.clear()
    finally:
        optimizer.zero_grad(set_to_none=True)  # a step that was left midway leaves some
        set_tensors(live, kept)
    seconds = time.monotonic() - began
    if not seen:
        return Trial(rate, seconds, steps, float("-inf"), np.empty(0), None)
    logits, found = seen[-1]
    temperature = model.task.fit_temperature(logits, targets)
    losses = item_losses(schema.task, logits, targets, temperature=temperature)
    decisions = model.task.decisions(model_outputs(model, logits))
    figure = model.task.headline_figure(decisions, work.val.targets)
    return Trial(rate, seconds, steps, found.score, losses, figure)


def gain_over(default: Trial, trial: Trial) -> tuple[float, float]:
    """Return by how much a trial's mean loss is lower than another's, and its standard error."""
    gains = default.losses - trial.losses
    return float(gains.mean()), float(gains.std() / max(1, len(gains) - 1) ** 0.5)


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial to go by: the first, unless another is better beyond noise.

    Better is a loss that is lower by two standard errors of the difference, at a score that is no
    lower. Of several such the one with the best score wins, then the one with the lowest loss.

    Args:
        trials: At least one; the first is by the family's own rate.
    """
    default = trials[0]
    rivals = [trial for trial in trials[1:] if trial.figure is not None]
    if default.figure is not None:
        rivals = [t for t in rivals if t.score >= default.score and _is_surely_better(t, default)]
    return max(rivals, key=lambda t: (t.score, -t.losses.mean())) if rivals else default


def _is_surely_better(trial: Trial, default: Trial) -> bool:
    gain, error = gain_over(default, trial)
    return gain > _SURE * error
