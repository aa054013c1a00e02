"""THE loop: one plain function that every training uses.

It knows neither models nor objectives nor data: it is handed callables. Its state is six things:
weights (with their average and the best ones), optimizer, step, progress, best score, and how many
checks went by since. Random numbers need no state: everything is a function of (seed, step).

Under a deadline the loop shortens itself: it measures what a step costs, and where the planned
steps do not fit, the remaining steps cover the remaining progress of the schedule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import DivergenceError, RunFolderError
from headstart.events import emit
from headstart.training.average import WeightAverage
from headstart.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    optimizer_tensors,
    restore_optimizer,
)
from headstart.training.feed import Batch
from headstart.training.pace import Pace
from headstart.training.randomness import seed_step

_MAX_SKIPPED = 3
_TELL_SECONDS = 0.25


@dataclass(frozen=True)
class Check:
    """What a look at the validation split found: a higher ``score`` wins, then a lower ``loss``."""

    score: float
    loss: float
    standard_error: float


@dataclass
class LoopState:
    """The loop's own numbers; with the tensors, all that resuming needs."""

    step: int
    num_steps: int
    progress: float = 0.0
    best_score: float = float("-inf")
    best_loss: float = float("inf")
    best_step: int = -1
    last_check_step: int = -1
    reference_score: float = float("-inf")
    checks_without_gain: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class LoopResult:
    """How a training ended: ``finished``, ``early`` (patience) or ``interrupted``."""

    ended: str
    state: LoopState


@dataclass(frozen=True)
class LoopOptions:
    """Numbers of the loop; see ``Recipe`` for their meaning.

    ``check_seconds`` is what a look at the validation split is expected to cost, until one was
    measured; a deadline must leave room for the first.
    """

    num_steps: int
    steps_per_check: int
    steps_per_epoch: int
    batch_size: int
    clip: float
    ema_half_life: float
    patience: int
    seed: int
    scale_loss: bool = False
    check_first: bool = False
    checkpoint_seconds: float = 60.0
    check_seconds: float = 0.0


@dataclass(frozen=True)
class Hooks:
    """What the loop is handed.

    Attributes:
        batches: Step number to the micro-batches of that step.
        compute_loss: A micro-batch to its mean loss.
        check: Look at the validation split, with the weights now in the module.
        learning_rate_factor: Progress in [0, 1] to a factor on every group's ``peak``.
        set_mode: Put the module in its training mode.
        stop_requested: Whether someone asked to stop (a signal).
    """

    batches: Callable[[int], Iterator[Batch]]
    compute_loss: Callable[[Batch], Tensor]
    check: Callable[[], Check]
    learning_rate_factor: Callable[[float], float]
    set_mode: Callable[[], None]
    stop_requested: Callable[[], bool]


class Loop:
    """One training run; ``train`` is the door."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        hooks: Hooks,
        options: LoopOptions,
        checkpoints: CheckpointFolder | None,
        deadline: float | None,
    ) -> None:
        self.module, self.optimizer, self.hooks, self.options = module, optimizer, hooks, options
        self.checkpoints, self.deadline = checkpoints, deadline
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.state = LoopState(step=0, num_steps=options.num_steps)
        half_life = options.ema_half_life * options.num_steps
        self.average = WeightAverage(module, half_life) if options.ema_half_life else None
        self.best: dict[str, Tensor] | None = None
        # fp16 needs its loss scaled; otherwise the scaler passes everything through
        self.scaler = torch.amp.GradScaler("cuda", enabled=options.scale_loss)
        self.skipped = 0
        self.pace = Pace(options.check_seconds)
        self.told = self.saved = time.monotonic()

    def run(self) -> LoopResult:
        """Train to the end; afterwards the module holds the best weights seen."""
        self._restore()
        state, options = self.state, self.options
        self.hooks.set_mode()
        ended = "finished"
        if options.check_first and state.step == 0:
            self._check()
        while state.step < state.num_steps:
            began = time.monotonic()
            loss = self._step()
            state.step += 1
            self.pace.took_step(time.monotonic() - began)
            self._tell(loss)
            is_last = state.step >= state.num_steps
            if is_last or state.step % options.steps_per_check == 0:
                if self._check():
                    ended = "early"
                    break
                self._replan()
            elif self.pace.is_slow or state.step % 8 == 0:
                self._replan()
            state.seconds += time.monotonic() - began
            if self.hooks.stop_requested():
                self._save()
                return LoopResult("interrupted", state)
            if time.monotonic() - self.saved > options.checkpoint_seconds:
                self._save()
        if self.best is None:
            raise DivergenceError(
                f"The validation loss was never a finite number in {state.step} steps; expected "
                f"one. Lower --learning-rate, or choose another start."
            )
        self._load_best()
        return LoopResult(ended, state)

    def _step(self) -> Tensor:
        """Take one optimizer step; return its loss, not yet synchronised."""
        state = self.state
        factor = self.hooks.learning_rate_factor(state.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        seed_step(self.options.seed, state.step)
        total: Tensor | None = None
        ids: list[np.ndarray] = []
        for batch in self.hooks.batches(state.step):
            loss = self.hooks.compute_loss(batch)
            scaled = self.scaler.scale(loss * batch.part if batch.part != 1 else loss)
            torch.autograd.backward(scaled)
            part = loss.detach() * batch.part
            total = part if total is None else total + part
            ids.append(batch.ids)
        assert total is not None
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(
            self.parameters, self.options.clip or float("inf"), foreach=True
        )
        # scaled gradients that overflowed are the scaler's business: it skips and lowers its scale
        if bool(torch.isfinite(total if self.options.scale_loss else norm + total)):
            self.scaler.step(self.optimizer)
            self.skipped = 0
            if self.average:
                # half a life is a share of the run as it is planned now
                self.average.half_life_steps = self.options.ema_half_life * state.num_steps
                self.average.update()
        else:
            self._skip(ids)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        state.progress += (1 - state.progress) / max(1, state.num_steps - state.step)
        return total

    def _skip(self, ids: list[np.ndarray]) -> None:
        """Skip a step whose loss or gradient is not finite; stop after three in a row."""
        self.skipped += 1
        emit("note", text=f"Step {self.state.step} gave a loss that is not finite; skipped.")
        if self.skipped >= _MAX_SKIPPED:
            raise DivergenceError(
                f"The loss was not finite at {_MAX_SKIPPED} steps in a row, the last is step "
                f"{self.state.step}; expected a number. Lower --learning-rate, or look at the "
                f"samples with ids {np.concatenate(ids)[:8].tolist()}."
            )

    def _check(self) -> bool:
        """Look at the validation split; keep the best weights; return whether patience is out."""
        state, began = self.state, time.monotonic()
        with self.average.applied() if self.average else nullcontext():
            found = self.hooks.check()
            # weights whose loss is not a number are never kept, whatever their score
            if math.isfinite(found.loss) and (found.score, -found.loss) > (
                state.best_score,
                -state.best_loss,
            ):
                state.best_score, state.best_loss = found.score, found.loss
                state.best_step = state.step
                self.best = {n: v.detach().clone() for n, v in self._learned().items()}
        self.hooks.set_mode()
        state.last_check_step = state.step
        if found.score > state.reference_score + 0.5 * found.standard_error:
            state.reference_score, state.checks_without_gain = found.score, 0
        else:
            state.checks_without_gain += 1
        self.pace.took_check(time.monotonic() - began)
        emit(
            "check",
            step=state.step,
            num_steps=state.num_steps,
            epoch=round(state.step / self.options.steps_per_epoch, 3),
            val_accuracy=found.score,
            val_loss=found.loss,
        )
        patience = self.options.patience
        return bool(patience) and state.checks_without_gain >= patience

    def _replan(self) -> None:
        """Shorten the run where the planned steps do not fit before the deadline."""
        if self.deadline is None:
            return
        state = self.state
        affordable = self.pace.affordable(
            self.deadline - time.monotonic(),
            self.options.num_steps - state.step,
            self.options.steps_per_check,
        )
        # never beyond the plan; a slow start on a busy machine may be made up for later
        num_steps = min(self.options.num_steps, state.step + max(0, affordable))
        if num_steps != state.num_steps:
            if abs(num_steps - state.num_steps) > 0.05 * state.num_steps:
                emit("replan", step=state.step, num_steps=num_steps)
            state.num_steps = num_steps
        if affordable <= 0 and state.last_check_step != state.step:
            self._check()

    def _tell(self, loss: Tensor) -> None:
        now = time.monotonic()
        state = self.state
        if now - self.told < _TELL_SECONDS and state.step < state.num_steps:
            return
        self.told = now
        emit(
            "task",
            name="fine-tune",
            done=state.step,
            total=state.num_steps,
            loss=float(loss),
            val=state.best_score if state.best_step >= 0 else None,
            images_per_second=self.options.batch_size / max(1e-9, self.pace.step_seconds),
            eta_seconds=self._eta(now),
        )

    def _eta(self, now: float) -> float:
        """Return the seconds until the end: by the pace, and never past the deadline."""
        eta = (self.state.num_steps - self.state.step) * self.pace.step_seconds
        return eta if self.deadline is None else min(eta, max(0.0, self.deadline - now))

    def _learned(self) -> dict[str, Tensor]:
        """Return what training changes: parameters that learn, and buffers."""
        learned = {n: p for n, p in self.module.named_parameters() if p.requires_grad}
        return {**learned, **dict(self.module.named_buffers())}

    @torch.no_grad()
    def _load_best(self) -> None:
        if self.best is not None:
            for name, value in self._learned().items():
                value.copy_(self.best[name])

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        tensors = {f"model.{n}": t for n, t in self._learned().items()}
        tensors |= {f"optimizer.{n}": t for n, t in optimizer_tensors(self.optimizer).items()}
        if self.best is not None:
            tensors |= {f"best.{n}": t for n, t in self.best.items()}
        state: dict[str, object] = {"loop": asdict(self.state)}
        if self.options.scale_loss:
            state["scaler"] = self.scaler.state_dict()
        if self.average:
            tensors |= {f"average.{n}": t for n, t in self.average.state.items()}
            state["average_weight"] = self.average.total_weight
        self.checkpoints.save(self.state.step, tensors, state)
        self.saved = time.monotonic()
        emit("checkpoint", step=self.state.step)

    @torch.no_grad()
    def _restore(self) -> None:
        found = self.checkpoints.newest() if self.checkpoints else None
        if found is None:
            return
        try:
            self._take(found)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise RunFolderError(
                f"The checkpoint of step {found.step} does not fit this model "
                f"({type(error).__name__}: {error}); expected one of the same start and version. "
                f"Start anew with --overwrite."
            ) from error
        emit("note", text=f"Resuming at step {self.state.step} of {self.state.num_steps}.")

    def _take(self, found: Checkpoint) -> None:
        """Go on from a checkpoint."""
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in found.tensors.items():
            kind, name = key.split(".", 1)
            parts.setdefault(kind, {})[name] = value
        for name, value in self._learned().items():
            value.copy_(parts["model"][name])
        restore_optimizer(self.optimizer, parts.get("optimizer", {}))
        if "best" in parts:
            device = next(self.module.parameters()).device
            self.best = {n: t.to(device) for n, t in parts["best"].items()}
        if self.average:
            for name, value in self.average.state.items():
                value.copy_(parts["average"][name])
            self.average.total_weight = float(str(found.state["average_weight"]))
        if self.options.scale_loss:
            self.scaler.load_state_dict(found.state["scaler"])  # type: ignore[arg-type]
        loop = found.state["loop"]
        assert isinstance(loop, dict)
        self.state = LoopState(**loop)


def train(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    hooks: Hooks,
    options: LoopOptions,
    *,
    checkpoints: CheckpointFolder | None = None,
    deadline: float | None = None,
) -> LoopResult:
    """Train a module; afterwards it holds the best weights that a check has seen.

    Args:
        module: All weights that may learn.
        optimizer: Over the module's parameters; each group carries its peak rate as ``peak``.
        hooks: Batches, loss, check, schedule, mode, stop.
        options: Numbers of the loop.
        checkpoints: Where state is kept and resumed from; None keeps none.
        deadline: ``time.monotonic()`` value by which the loop has ended; None for no limit.

    Raises:
        DivergenceError: If the loss is not finite at three steps in a row.
    """
    return Loop(module, optimizer, hooks, options, checkpoints, deadline).run()
