"""One fine-tuning that can be advanced: begun, carried on as far as somebody wants, and finished.

Whoever drives it from above (a recipe, a grid of learning rates, a search that drops the worse
half) decides how far. An arm that advances in several pieces ends with the bits of one that runs
through, in one process or in several after one another: all that it needs lies in the folder of its
checkpoints, and in the decisions of its run. Without such a folder it runs through, or not at all.

Left out: which arms there are, and which to go on with.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from headstart.events import emit
from headstart.model import Model
from headstart.objectives import check_score, item_losses
from headstart.training.batches.order import Order
from headstart.training.company import Placement, WholePlacement
from headstart.training.contract import LoopState, Pause
from headstart.training.loop import Check, LoopOptions, LoopResult, train
from headstart.training.machine.memory import keep_freed_memory
from headstart.training.options.recipe import Recipe
from headstart.training.probing.probe import Probe
from headstart.training.state.average import learned_state, set_tensors
from headstart.tuning.budget import STEP_PASSES, share_until
from headstart.tuning.conditions import Conditions
from headstart.tuning.hooks import (
    let_learn,
    loop_options,
    place_setup,
    placed_setup,
    share_of,
    unfreeze,
    wire,
)
from headstart.tuning.memory import learning_bytes, settle_micro_batch
from headstart.tuning.messages import send_loop, send_phase
from headstart.tuning.opening import Opener
from headstart.tuning.phases import Phases
from headstart.tuning.setup import TrainingSetup, install
from headstart.tuning.solving import probe, solver_of
from headstart.tuning.step_format import settle_step_format
from headstart.types import Inputs, Rows

_LOOKS_AT_TEXTS = 20  # at val, of one training
_LOOK_SHARE = 0.1  # of the steps' passes, at the most, that looks at single tokens may take
_JUDGED_ITEMS = 5_000  # from so many on a temperature is known well enough


@dataclass(frozen=True)
class Tuned:
    """How a fine-tuning went.

    Attributes:
        fitted: The probe of the first phase; None where the strategy fits none.
        result: How the loop ended; None where the strategy needs no loop.
        val_logits: M rows, of the model as it now stands.
        seconds: From the start of the arm to its end.
    """

    fitted: Probe | None
    result: LoopResult | None
    val_logits: Rows
    seconds: float


class Arm:
    """A fine-tuning of one model by one recipe; the model is left with the best weights seen.

    Args:
        setup: The model and its recipe; settled options are put into the recipe.
        train: Learned from.
        val: Chosen by.
        conditions: Clock, state folder, processes, decisions.

    Attributes:
        fitted: The probe of the first phase; None before it, and where the strategy fits none.
        result: How the loop ended the last time; None before that, and without a loop.
        last_logits: Of the validation samples, shape (M, K), as the loop has seen them last; None
            before that.
    """

    def __init__(
        self, setup: TrainingSetup, train: Inputs, val: Inputs, conditions: Conditions
    ) -> None:
        self.setup, self.train, self.val, self.conditions = setup, train, val, conditions
        self.fitted: Probe | None = None
        self.result: LoopResult | None = None
        self.last_logits: Rows | None = None
        self._began = time.monotonic()
        self._micro_batch_size: int | None = None
        self._is_usable, self._validates_once = False, conditions.keeps_last
        self._val_logits: Rows | None = None  # of the model as it stands
        self._best: tuple[Check, Rows] | None = None  # of the best weights that the loop has seen
        self._checks = LoopState(0, 0)  # remembers the best one
        self._opener: Opener
        self._phases: Phases

    def start(self, fitted: Probe | None = None) -> None:
        """Fit the probe where the strategy has one, and settle what the loop begins with.

        Args:
            fitted: The probe that another arm of the same start has fitted to the same samples;
                None fits one.

        Raises:
            StopRequested: If someone asked to stop.
            DeviceError: If learning takes more memory than there is, on a CPU.
        """
        setup, conditions = self.setup, self.conditions
        company = conditions.company
        self._settle_split()
        model, recipe = setup.model, setup.recipe
        if model.device.type == "cpu":
            keep_freed_memory()
        share = share_of(company, recipe)
        whole = WholePlacement(company, model)
        self._opener = Opener(setup, self.train, self.val, conditions, share, whole)
        self._phases = Phases(setup, self.train, self._opener, partial(send_phase, company))
        strategy = setup.strategy
        if strategy.is_cacheable and self._phases.is_one and not recipe.is_split:
            # before the probe, which then computes only what follows the frozen part
            self._phases.prepare(0.0)
        if strategy.probes:
            self._fit_probe(fitted)
        if strategy.loops:
            emit("stage", text=f"Fine-tuning ({strategy.name})")
            self._micro_batch_size = settle_micro_batch(
                setup, self.train, self._phases, share, conditions
            )
            settle_step_format(
                setup, self.train, self._phases, share, conditions, self._micro_batch_size
            )

    def advance(
        self, *, steps: int | None = None, until: float | None = None, to_step: int | None = None
    ) -> Check:
        """Train on, to the end or to a pause, whichever comes first.

        At a pause the state lies on the disk, and the model holds the best weights so far.

        Args:
            steps: Optimizer steps at the most; None for no such number.
            until: ``time.monotonic()`` value: the step that reaches it is the last; None never.
            to_step: As ``steps``, but counted from the beginning of the training.

        Returns:
            What the last validation found: at a pause that of the weights of that step. Where the
            arm had ended before, what it ended with.

        Raises:
            DivergenceError: If the loss is not finite at three steps in a row.
            OptionError: If a step cannot be divided as the recipe, or the processes, want it.
        """
        pause = Pause(steps, until, to_step)
        if not self.is_ended:
            can_pause = self.conditions.checkpoints is not None
            assert can_pause or pause == Pause(), "an arm that pauses needs a folder for its state"
            self._val_logits = None
            self.result = self._run_loop(pause)
        found = self.result.found if self.result else None
        return found or self._judge(self._present_logits())

    def finish(self) -> Tuned:
        """Return how it went; the model is left with the best weights seen so far."""
        seconds = time.monotonic() - self._began
        return Tuned(self.fitted, self.result, self._present_logits(), seconds)

    @contextmanager
    def branch(self, recipe: Recipe, *, deadline: float | None) -> Iterator[Arm]:
        """Lend the model to another training from the weights as they stand, and take it back.

        The branch has the samples, the frozen part and the micro-batches of this arm, keeps
        nothing on the disk, runs through and validates once, at its end. Afterwards the weights
        are put back bit for bit, so that the training that follows knows nothing of it.

        Args:
            recipe: Of the branch; the strategy is this arm's.
            deadline: ``time.monotonic()`` value by which it has ended; None for no limit.
        """
        self._phases.prepare(0.0)  # what a branch does nobody needs to hear
        let_learn(self.setup)
        model = self.setup.model
        live = learned_state(model)
        kept = {name: value.detach().clone() for name, value in live.items()}
        found = copy.copy(self)
        found.setup = replace(self.setup, recipe=recipe)
        found.conditions = replace(self.conditions, checkpoints=None, deadline=deadline)
        found._is_usable = found._validates_once = True
        found._best, found._checks = None, LoopState(0, 0)
        try:
            yield found
        finally:
            model.zero_grad(set_to_none=True)  # a step that was left midway leaves some
            set_tensors(live, kept)

    @property
    def is_ended(self) -> bool:
        """Whether there is nothing left to advance."""
        if not self.setup.strategy.loops:
            return self.fitted is not None
        return self.result is not None and self.result.ended != "paused"

    @property
    def order(self) -> Order:
        """Which samples each step sees."""
        return self._phases.order

    def _loop_options(self, pause: Pause) -> LoopOptions:
        """Return the numbers of the loop."""
        options = loop_options(
            self.setup.recipe,
            self.order,
            check_seconds=len(self.val) * (self.conditions.seconds_per_sample or 0.0),
            company=self.conditions.company,
            micro_batch_size=self._micro_batch_size,
        )
        # where mirror images count a validation takes twice as long, and comes half as often
        looks = 2 if self.setup.model.encoder.mirrors else 1
        per_check = looks * options.steps_per_check
        if self.setup.model.reads_tokens:  # in float32 and by PyTorch alone: a third of the time
            step = STEP_PASSES * options.batch_size
            per_check = max(per_check, math.ceil(len(self.val) / (_LOOK_SHARE * step)))
        if self.setup.model.task.tells_texts:  # writing takes its time
            per_check = max(per_check, options.num_steps // _LOOKS_AT_TEXTS)
        options = replace(options, pause=pause, steps_per_check=per_check)
        if self._validates_once:
            end = options.num_steps
            options = replace(options, steps_per_check=end, check_first=False, patience=0)
        return options

    def _settle_split(self) -> None:
        """Settle whether the weights are split over the processes."""
        setup = self.setup
        if not setup.strategy.loops:
            return

        def needed() -> int:
            let_learn(setup)
            return learning_bytes(setup.model, setup.recipe)

        setup.recipe = self.conditions.company.settle_split(setup.recipe, needed)

    def _fit_probe(self, fitted: Probe | None) -> None:
        """Fit the probe where it is not there, and put it into the head."""
        setup, conditions = self.setup, self.conditions
        if fitted is None:
            solver = solver_of(setup)
            emit("stage", text=solver.stage)
            fitted = probe(
                setup,
                self.train,
                self.val,
                imbalance=setup.recipe.imbalance,
                limit=_probe_limit(setup, conditions),
                deadline=_probe_deadline(setup, conditions.deadline),
                prefix=self._opener.prefix,
                stop_requested=conditions.stop_requested,
            )
            emit("note", text=solver.told(fitted))
        self.fitted = fitted
        install(setup.model, fitted)
        # a head alone is the probe, and its features were there already
        self._val_logits = fitted.val_logits
        self._is_usable = True
        conditions.on_usable()

    def _run_loop(self, pause: Pause) -> LoopResult:
        """Wire the model, its phases and the loss into the loop's hooks, and run it."""
        setup, conditions, phases = self.setup, self.conditions, self._phases
        company, opener = conditions.company, self._opener
        if phases.restart():
            opener.prefix = None
        let_learn(setup)
        checkpoints = conditions.checkpoints
        # the workers come into the loop, with the model as it stands
        send_loop(company, setup, checkpoints.path if checkpoints else None)
        placed = opener.placed = place_setup(setup, company, checkpoints, self.train)
        laid = placed_setup(setup, placed)
        phases.encoder = laid.model.encoder
        hooks = wire(
            laid,
            self.train,
            phases,
            placed,
            validate=partial(self._validate, placed),
            stop_requested=conditions.stop_requested,
        )
        if (move := conditions.move_deadline) is not None:
            num = max(1, len(self.val))
            hooks = replace(hooks, move_deadline=lambda seconds: move(seconds / num))
        with closing(phases):
            optimizer = unfreeze(laid, placed)
            result = train(
                placed.module,
                optimizer,
                hooks,
                self._loop_options(pause),
                checkpoints=placed.checkpoints,
                deadline=conditions.deadline,
            )
            placed.finish(optimizer)
        opener.placed = WholePlacement(company, setup.model)
        return result

    def _validate(self, placed: Placement) -> Check:
        """Validate the weights that are in the model now.

        Raises:
            StopRequested: If someone asked to stop.
        """
        self.last_logits = self._opener.val_logits(self.conditions.stop_requested)
        found = self._judge(self.last_logits)
        if self._checks.is_best(found):  # by the loop's own rule
            self._best = found, self.last_logits
        if not self._is_usable:
            self._is_usable = True
            placed.lend_whole()
            self.conditions.on_usable()
        return found

    def _present_logits(self) -> Rows:
        """Return the validation logits of the model as it stands, shape (M, K).

        The loop leaves the weights whose check was best, and those logits are here: a pass over
        the split, after the deadline of the training, would give them again.
        """
        if self._val_logits is None and self.result is not None and self._best is not None:
            (found, logits), state = self._best, self.result.state
            if (found.score, found.decisive_loss) == (state.best_score, state.best_loss):
                self._val_logits = logits
        if self._val_logits is None:
            self._val_logits = self._opener.val_logits()
        return self._val_logits

    def _judge(self, logits: Rows) -> Check:
        return judge(self.setup.model, logits, self.val)


def judge(model: Model, logits: Rows, val: Inputs) -> Check:
    """Return score and loss of logits of the validation samples."""
    targets = model.standard_targets(val.targets)
    metric, score, loss, error = check_score(model.schema.task, logits, targets)
    task = model.task
    has_temperature = math.isfinite(loss) and task.has_temperature
    calibrated = calibrated_loss(model, logits, targets) if has_temperature else None
    return Check(score, loss, error, metric, calibrated)


def calibrated_losses(model: Model, logits: Rows, targets: Rows) -> np.ndarray:
    """Return the loss of each item with the temperature that suits them best, float64, (M,).

    Args:
        model: Gives the task.
        logits: M rows.
        targets: As the model learns them (``standard_targets``).
    """
    temperature = model.task.fit_temperature(logits, targets)
    return item_losses(model.schema.task, logits, targets, temperature=temperature)


def calibrated_loss(model: Model, logits: Rows, targets: Rows) -> float:
    """Return the mean of ``calibrated_losses``, of 5,000 of the items where there are more."""
    places = np.unique(np.linspace(0, len(targets) - 1, _JUDGED_ITEMS).astype(np.int64))
    return float(calibrated_losses(model, logits[places], targets[places]).mean())


def _probe_limit(setup: TrainingSetup, conditions: Conditions) -> int:
    """Return how many samples the probe may take: its features get a share of the time left."""
    limit, each = setup.strategy.num_probe_samples, conditions.seconds_per_sample
    if solver_of(setup).keeps_time:
        return sys.maxsize
    if conditions.deadline is None or each is None:
        return limit
    name = "probe features" if setup.strategy.loops else "head features"
    affordable = int(share_until(name, conditions.deadline) / each)
    return max(10 * setup.model.num_outputs, min(limit, affordable))


def _probe_deadline(setup: TrainingSetup, deadline: float | None) -> float | None:
    """Return until when the probe may take: a loop that follows needs most of the time."""
    if deadline is None or not setup.strategy.loops:
        return deadline
    return time.monotonic() + share_until("probe", deadline)
