"""One arm of a search while it runs: built, advanced from rung to rung, and judged on val.

Its model lies in memory from its first step on, also while it waits; one that diverged is let go.

Left out: which arms there are and how far each one goes; room for many arms of a large network.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.engines import passes_by
from headstart.errors import DivergenceError, StartError
from headstart.events import emit, listen
from headstart.model import model_outputs
from headstart.searching.arms import ArmSpec
from headstart.searching.context import Contender, SearchContext
from headstart.starts import find_start
from headstart.training.contract import StopRequested
from headstart.training.options.recipe import with_length
from headstart.training.options.training_options import training_options
from headstart.training.probing.probe import Probe
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.arm import Arm, Tuned, calibrated_loss
from headstart.tuning.budget import Budget
from headstart.tuning.conditions import Conditions
from headstart.tuning.cost import seconds_per_sample
from headstart.tuning.cut_off import cut_off
from headstart.tuning.engine_rule import run_rule
from headstart.tuning.mirrored import settle_mirrored
from headstart.tuning.setup import TrainingSetup, set_up
from headstart.types import Figure, Inputs, Rows


@dataclass(frozen=True)
class Standing:
    """How an arm stands.

    Attributes:
        loss: Mean calibrated loss on val; infinite where the training diverged.
        figure: The task's headline figure on val; None where the training diverged.
        step: Optimizer steps taken.
        seconds: What it has taken so far.
    """

    loss: float
    figure: Figure | None
    step: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return what the run keeps of it."""
        figure = None if self.figure is None else asdict(self.figure)
        loss = None if self.loss == float("inf") else self.loss
        return {"loss": loss, "figure": figure, "step": self.step, "seconds": self.seconds}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Standing:
        """Return what ``to_json`` has written."""
        loss = float("inf") if kept["loss"] is None else kept["loss"]
        figure = None if kept["figure"] is None else Figure(**kept["figure"])
        return cls(loss, figure, kept["step"], kept["seconds"])


class ArmRunner:
    """An arm that is advanced, and waits.

    Args:
        spec: What it is.
        context: What all arms share.
        train: Learned from.
        val: Chosen by.

    Attributes:
        seconds: What it has taken so far, in this process.
        fitted: The probe that it begins with, once it is there; another arm may lend its own.
        curve: What its validations have found: the fields of each event ``check``.
    """

    def __init__(self, spec: ArmSpec, context: SearchContext, train: Inputs, val: Inputs) -> None:
        self.spec, self.context, self.train, self.val = spec, context, train, val
        self.seconds = 0.0
        self.fitted: Probe | None = None
        self.curve: list[dict[str, object]] = []
        self._arm: Arm | None = None

    @property
    def setup(self) -> TrainingSetup:
        """The model, as it stands."""
        return self._ready().setup

    def advance(self, to_step: int | None = None, until: float | None = None) -> Standing:
        """Train on, to the end or to a pause; tell how the weights of that moment stand.

        Args:
            to_step: Optimizer steps from the beginning; None to the end.
            until: ``time.monotonic()`` value at which it pauses at the latest.

        Raises:
            StopRequested: If someone asked to stop; the state is kept.
        """
        began = time.monotonic()
        try:
            with self._rule(), listen(self._hear):
                arm = self._ready()
                arm.advance(to_step=to_step, until=until)
        except DivergenceError as error:
            emit("note", text=f"{self.spec.name} was dropped: {error}")
            self.seconds += time.monotonic() - began
            self._arm = None
            return Standing(float("inf"), None, 0, self.seconds)
        self.seconds += time.monotonic() - began
        if arm.result is not None and arm.result.ended == "interrupted":
            raise StopRequested
        step = arm.result.state.step if arm.result else 0
        logits = arm.last_logits if to_step is not None else None
        return self._standing(step, logits)

    def finish(self) -> Contender:
        """Return the model with the best weights it has seen."""
        with self._rule():
            tuned = self._ready().finish()
        tuned = replace(tuned, seconds=self.seconds)
        return Contender(self.spec.name, self.setup, tuned, self.train, self.val)

    @property
    def _checkpoints(self) -> CheckpointFolder:
        return CheckpointFolder(arm_folder(self.context, self.spec))

    def _hear(self, kind: str, fields: dict[str, object]) -> None:
        """Remember what a validation has found."""
        if kind == "check":
            self.curve.append(fields)

    def _ready(self) -> Arm:
        """Return the arm, built and started."""
        if self._arm is None:
            context = self.context
            why = "it was not ready to train when the time for training had ended"
            with cut_off(_half_way(context.deadline, context.budget), lambda: StartError(why)):
                setup = built(self.spec, context)
                budget = context.budget
                each = budget.load * seconds_per_sample(setup, context.dataset, budget)
                arm = Arm(setup, self.train, self.val, self._conditions(setup, each))
                arm.start(self.fitted)
            self.fitted = arm.fitted
            self._arm = arm
        return self._arm

    def _conditions(self, setup: TrainingSetup, each: float) -> Conditions:
        context, spec = self.context, self.spec
        end = context.end
        return Conditions(
            checkpoints=self._checkpoints,
            deadline=context.deadline,
            move_deadline=None if end is None else partial(end.moved, setup),
            seconds_per_sample=each,
            stop_requested=context.stop_requested,
            decisions=context.decisions.within(spec.name),
            open_options=context.open_options,
        )

    def _rule(self) -> AbstractContextManager[None]:
        """Let what holds for the passes of this arm hold, settled under its name."""
        context = self.context
        decisions = context.decisions.within(self.spec.name)
        return passes_by(run_rule(context.asked, context.budget, decisions))

    def _standing(self, step: int, logits: Rows | None) -> Standing:
        arm = self._ready()
        found = arm.finish().val_logits if logits is None else logits
        return Standing(*judged(arm.setup, found, self.val), step, self.seconds)


def _half_way(deadline: float | None, budget: Budget) -> float | None:
    """Return the time half way from a deadline to the end of the budget; None without either."""
    end = budget.deadline()
    return None if deadline is None or end is None else (deadline + end) / 2


def built(spec: ArmSpec, context: SearchContext) -> TrainingSetup:
    """Return the model of an arm, with its recipe: built, or the one that was built to measure."""
    if (spare := context.spare.pop(spec, None)) is not None:
        return spare
    options = replace(training_options(context.asked), strategy=spec.strategy, input_size=spec.size)
    start = find_start(spec.start)
    setup = set_up(context.dataset, start, options, device=context.device, texts=context.texts)
    settle_mirrored(setup, context.dataset, context.budget, context.decisions.within(start.address))
    rate = setup.recipe.learning_rate * spec.rate
    recipe = replace(setup.recipe, learning_rate=rate)
    if spec.length != 1:
        num_steps, _ = recipe.length(len(context.dataset.train))
        recipe = with_length(recipe, round(spec.length * num_steps))
    setup.recipe = recipe
    return setup


def judged(setup: TrainingSetup, logits: Rows, val: Inputs) -> tuple[float, Figure]:
    """Return mean calibrated loss and headline figure of logits of the validation items."""
    model, task = setup.model, setup.model.task
    loss = calibrated_loss(model, logits, model.standard_targets(val.targets))
    figure = task.headline_figure(task.decisions(model_outputs(model, logits)), val.targets)
    return (loss if np.isfinite(loss) else float("inf")), figure


def as_it_stands(
    name: str, setup: TrainingSetup, logits: Rows, train: Inputs, val: Inputs
) -> Contender:
    """Return a model that was made elsewhere as one of those that could be handed over."""
    return Contender(name, setup, Tuned(setup.fitted, None, logits, 0.0), train, val)


def arm_folder(context: SearchContext, spec: ArmSpec) -> Path:
    """Return the folder of an arm's state."""
    return context.state / "arms" / re.sub(r"[^a-z0-9]+", "-", spec.name.lower()).strip("-")
