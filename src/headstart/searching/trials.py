"""Short trainings that differ in the learning rate alone, compared item by item.

Each is a branch of the arm that it is for: from the same weights (the probe's head installed, the
frozen part computed once), on the same samples in the same order, through its whole schedule in
fewer steps, since a rate that only looks good before it is annealed would mislead.

The items of the validation split are the same for all, so the difference of two calibrated losses
has a far smaller error than either score. Calibrated,
because the finished model is: a rate should not win by being less sure of itself.

Left out: which rates, how long, and whether there is time (``learning_rates``); trials by several
processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.errors import DivergenceError
from headstart.events import unheard
from headstart.model import model_outputs
from headstart.objectives import item_losses
from headstart.training.loop import Check, StopRequested
from headstart.training.options.recipe import with_length
from headstart.tuning.arm import Arm
from headstart.types import Figure

_SURE = 2.0  # standard errors by which another rate than the family's own must be better


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


def try_rate(arm: Arm, rate: float, num_steps: int, *, deadline: float | None) -> Trial:
    """Train by one rate from the weights as they are, validate once, and put the weights back.

    Args:
        arm: The training that the trial is for, started and not advanced yet.
        rate: The learning rate.
        num_steps: Optimizer steps, through the whole schedule.
        deadline: ``time.monotonic()`` value by which the trial has ended; None for no limit.

    Raises:
        StopRequested: If someone asked to stop.
    """
    recipe = with_length(replace(arm.setup.recipe, learning_rate=rate), num_steps)
    found: Check | None = None
    began, steps = time.monotonic(), num_steps
    with arm.branch(recipe, deadline=deadline) as branch:
        try:
            with unheard():
                found = branch.advance()
        except DivergenceError:  # three steps gave no number, or the validation did not
            pass
    result, logits = branch.result, branch.last_logits
    if result is not None:
        if result.ended == "interrupted":
            raise StopRequested
        steps = result.state.step
    seconds = time.monotonic() - began
    if found is None or logits is None:
        return Trial(rate, seconds, steps, float("-inf"), np.empty(0), None)
    model, val = arm.setup.model, arm.val
    task, targets = model.task, model.standard_targets(val.targets)
    temperature = task.fit_temperature(logits, targets)
    losses = item_losses(model.schema.task, logits, targets, temperature=temperature)
    figure = task.headline_figure(task.decisions(model_outputs(model, logits)), val.targets)
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
