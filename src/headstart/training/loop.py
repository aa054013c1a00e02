"""THE loop: one plain function that every training uses.

It knows neither models nor objectives nor data: it is handed callables. Its state is six things:
weights (with their average and the best ones), optimizer, step, progress, best score, and how many
checks went by since. Random numbers need no state: everything is a function of (seed, step, rank).

Killed at any moment and resumed, it ends in the same bits as if nothing had happened; where it is
asked to stop it saves first, within a validation, too. Under a deadline it gets shorter: where the
planned steps do not fit, the remaining ones cover the rest of the schedule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import DivergenceError, RunFolderError
from headstart.events import emit
from headstart.training.contract import (
    Check,
    Hooks,
    LoopOptions,
    LoopResult,
    LoopState,
    StopRequested,
    refuse_halving,
)
from headstart.training.machine.device import give_back_freed
from headstart.training.machine.memory import is_out_of_memory
from headstart.training.machine.pace import Pace
from headstart.training.state.average import WeightAverage, learned_state, set_tensors
from headstart.training.state.checkpoint import Checkpoint, CheckpointFolder, gather, give_back
from headstart.training.state.finite import FiniteGuard, RunningStatistics, odd_ids
from headstart.training.state.writer import CheckpointWriter
from headstart.training.whole_step import Accumulation

__all__ = ["Check", "Hooks", "LoopOptions", "LoopResult", "LoopState", "StopRequested", "train"]

_TELL_SECONDS = 0.25


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
        self.deadline = deadline
        self.writer = CheckpointWriter(checkpoints) if checkpoints else None
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        # what learns later on, too: a phase of the run may hold some of it still
        self.learned = learned_state(module)
        self.state = LoopState(0, options.num_steps, micro_batch_size=options.micro_batch_size)
        half_life = options.ema_half_life * options.num_steps
        self.average = WeightAverage(self.learned, half_life) if options.ema_half_life else None
        self.best: dict[str, Tensor] | None = None
        self.found: Check | None = None  # by the last validation of this call
        # fp16 needs its loss scaled; otherwise the scaler passes everything through
        self.scaler = torch.amp.GradScaler("cuda", enabled=options.scale_loss)
        self.device = self.parameters[0].device
        self.guard = FiniteGuard(optimizer, self.device, self._odd_ids)
        self.widest = 0  # samples of the widest micro-batch so far
        self.pace = Pace(options.check_seconds)
        self.told = self.saved = time.monotonic()
        self.saved_step = -1
        self.exchange = hooks.join(self)
        self.accumulate = Accumulation(self)

    def run(self) -> LoopResult:
        """Train to the end; afterwards the module holds the best weights seen, if any were."""
        self._restore()
        self.exchange.align()
        self._set_mode()
        try:
            ended = self._train()
            self.exchange.announce("end")
            self._tell_written(is_waiting=True)
        except KeyboardInterrupt:  # the second signal: leave at once
            raise
        except BaseException:
            if self.writer:
                self.writer.settle()
            raise
        if self.best is None and ended not in ("interrupted", "paused"):
            raise DivergenceError(
                f"The validation loss was never a finite number in {self.state.step} steps; "
                f"expected one. Lower --learning-rate, or choose another start."
            )
        if self.best is not None:
            set_tensors(self.learned, self.best)
        return LoopResult(ended, self.state, self.found)

    def _train(self) -> str:
        """Take the steps that are left; return how it ended."""
        state, first = self.state, self.state.step
        try:
            if self._is_check_due() and self._check():
                return "early"
            if 0 < first < state.num_steps and self._pauses(first):
                return "paused"
            while state.step < state.num_steps:
                self.enter_phase()
                began = time.monotonic()
                self._tell_written()
                self.exchange.announce("step")
                loss = self._step()
                state.step += 1
                since_told = time.monotonic() - self.told
                is_telling = since_told > _TELL_SECONDS or state.step >= state.num_steps
                # the one place where the host waits for a GPU; the pace must see it
                told_loss = float(loss) if is_telling else math.nan
                self.pace.took_step(time.monotonic() - began)
                if is_telling:
                    self._look_back()
                    self._tell(told_loss)
                was_due = self._is_check_due()
                if was_due and self._check():
                    return "early"
                if was_due or self.pace.is_slow or state.step % 8 == 0:
                    self._replan()
                state.seconds += time.monotonic() - began
                if self.hooks.stop_requested():
                    raise StopRequested
                if state.step < state.num_steps and self._pauses(first):
                    return "paused"
                self._keep_safe()
        except StopRequested:
            self._save()
            return "interrupted"
        return "finished"

    def _pauses(self, first: int) -> bool:
        """Return whether it is time to pause; saved first, or what has paused would be another."""
        state = self.state
        if not self.options.pause.is_due(state.step - first, state.step):
            return False
        self._save()
        if state.last_check_step != state.step:
            self._validate(lambda found: self.best is None and math.isfinite(found.loss))
        return True

    def _is_check_due(self) -> bool:
        """Return whether the validation split is to be looked at before the next step."""
        state, options = self.state, self.options
        if state.last_check_step == state.step:
            return False
        if state.step == 0:
            return options.check_first
        return state.step >= state.num_steps or state.step % options.steps_per_check == 0

    def _keep_safe(self) -> None:
        """Save when it is time; before the first time, have memory made ready."""
        since_saved = time.monotonic() - self.saved
        share = since_saved / max(1e-9, self.options.checkpoint_seconds)
        if share <= 0.5 or self.writer is None or self.writer.is_busy:
            return
        # nobody needs a state that is written when the training is over already
        left = math.inf if self.deadline is None else self.deadline - time.monotonic()
        if share > 1 and left > 2 * self.writer.seconds:
            self._save()
        elif not self.writer.is_prepared and left > self.options.checkpoint_seconds:
            best = self.best or self.learned
            self.writer.prepare(gather(self.learned, self.optimizer, self.average, best))

    def _look_back(self) -> None:
        """Read from the device which steps were skipped since the last validation."""
        self.guard.look()
        self.state.skipped_in_a_row = self.guard.skipped

    def enter_phase(self) -> None:
        """Let learn what learns from here on; not part of what a step costs."""
        if self.hooks.enter(self.state.progress):
            self._set_mode()

    def _set_mode(self) -> None:
        self.hooks.set_mode()
        self.statistics = RunningStatistics(self.module)

    def _step(self) -> Tensor:
        """Take one optimizer step; return its loss, not yet synchronised."""
        state, options = self.state, self.options
        factor = self.hooks.learning_rate_factor(state.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.statistics.keep()
        total, ids = self._accumulate_within_memory()
        ids = self.exchange.all_reduce(total, ids)
        self.scaler.unscale_(self.optimizer)
        norm = self.exchange.clip(options.clip, may_read=not self.guard.is_deferred)
        # scaled gradients that overflowed are the scaler's business: it skips and lowers its scale
        figures = (total,) if options.scale_loss else (total, norm)
        if self.guard.passes(state.step, figures, ids, self.statistics):
            self.scaler.step(self.optimizer)
            if self.average:
                # half a life is a share of the run as it is planned now
                self.average.half_life_steps = options.ema_half_life * state.num_steps
                self.average.update()
        state.skipped_in_a_row = self.guard.skipped
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        state.progress += (1 - state.progress) / max(1, state.num_steps - state.step)
        return total

    def _accumulate_within_memory(self) -> tuple[Tensor, list[np.ndarray]]:
        """Accumulate the gradients; where memory runs out, again in smaller micro-batches."""
        while True:
            try:
                with self.exchange.in_step():
                    return self.accumulate()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._halve_micro_batch():
                    raise
            # only here has the error let go of the activations
            self.optimizer.zero_grad(set_to_none=True)
            self.statistics.put_back()
            give_back_freed(self.device)

    def _odd_ids(self, step: int) -> list[int]:
        """Return the samples of a step whose inputs are not finite, of all processes."""
        return odd_ids(self.exchange.batches(step))

    def _halve_micro_batch(self) -> bool:
        """Halve the micro-batch, from now on and in later attempts; return whether that can be."""
        state = self.state
        size = state.micro_batch_size or self.widest or self.options.batch_size
        if size <= 1:
            return False
        why = f"out of memory with {size} at step {state.step}"
        refuse_halving(why, is_sample_mean=self.hooks.is_sample_mean)
        state.micro_batch_size = half = (size + 1) // 2
        emit("choice", name="micro_batch_size", value=half, why=f"{why}; the batch stays whole")
        return True

    def _check(self) -> bool:
        """Look at the validation split; keep the best weights; return whether patience is out."""
        self._look_back()
        state, began = self.state, time.monotonic()
        found = self._validate(state.is_best)
        self._set_mode()
        state.count(found)
        self.pace.took_check(took := time.monotonic() - began)
        if self.hooks.move_deadline is not None:
            self.deadline = self.hooks.move_deadline(took)
        emit(
            "check",
            step=state.step,
            num_steps=state.num_steps,
            epoch=round(state.step / self.options.steps_per_epoch, 3),
            **found.figures,
        )
        patience = self.options.patience
        return bool(patience) and state.checks_without_gain >= patience

    def _validate(self, is_kept: Callable[[Check], bool]) -> Check:
        """Look at the validation split; keep the weights, or their average, if that is wanted."""
        with self.average.applied() if self.average else nullcontext():
            self.exchange.announce("validate")
            found = self.found = self.hooks.check()
            if is_kept(found):
                self.keep_best()
                self.exchange.announce("keep")
        return found

    def _replan(self) -> None:
        """Shorten the run where the planned steps do not fit before the deadline."""
        if self.deadline is None:
            return
        state, left = self.state, self.deadline - time.monotonic()
        to_come, per_check = self.options.num_steps - state.step, self.options.steps_per_check
        affordable = self.pace.affordable(left, to_come, per_check)
        # never beyond the plan; a slow start on a busy machine may be made up for later
        num_steps = min(self.options.num_steps, state.step + max(0, affordable))
        if num_steps != state.num_steps:
            if abs(num_steps - state.num_steps) > 0.05 * state.num_steps:
                emit("replan", step=state.step, num_steps=num_steps)
            state.num_steps = num_steps
        if affordable <= 0 and state.last_check_step != state.step:
            self._check()

    def _tell(self, loss: float) -> None:
        state, self.told = self.state, time.monotonic()
        emit(
            "task",
            name=self.options.task,
            done=state.step,
            total=state.num_steps,
            loss=loss,
            learning_rate=max(group["lr"] for group in self.optimizer.param_groups),
            val=state.best_score if state.best_step >= 0 else None,
            samples_per_second=self.options.batch_size / max(1e-9, self.pace.step_seconds),
            eta_seconds=self.pace.eta(state.num_steps - state.step, self.deadline),
        )

    def keep_best(self) -> None:
        """Keep the weights that are in the module now."""
        self.best = {n: v.detach().clone() for n, v in self.learned.items()}

    def _save(self) -> None:
        """Begin to save; what stands on the disk already is not saved again."""
        self.saved = time.monotonic()
        if self.writer is None or self.saved_step == self.state.step:
            return
        self.exchange.announce("save")
        self._look_back()
        state: dict[str, object] = {"loop": asdict(self.state)}
        if self.options.scale_loss:
            state["scaler"] = self.scaler.state_dict()
        if self.average:
            state["average_weight"] = self.average.total_weight
        tensors = gather(self.learned, self.optimizer, self.average, self.best)
        self.writer.save(self.state.step, tensors, state)
        self.saved_step = self.state.step

    def _tell_written(self, *, is_waiting: bool = False) -> None:
        """Tell which checkpoints have reached the disk; raise what went wrong on the way there."""
        if self.writer:
            for step in self.writer.wait() if is_waiting else self.writer.written():
                emit("checkpoint", step=step)

    def _restore(self) -> None:
        found = self.writer.folder.newest() if self.writer else None
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
        self.best = give_back(found.tensors, self.learned, self.optimizer, self.average)
        if self.average:
            self.average.total_weight = float(str(found.state["average_weight"]))
        if self.options.scale_loss:
            self.scaler.load_state_dict(found.state["scaler"])  # type: ignore[arg-type]
        self.state = LoopState.restored(found.state["loop"], self.options.micro_batch_size)
        self.guard.skipped = self.state.skipped_in_a_row
        self.saved_step = self.state.step


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
    loop = Loop(module, optimizer, hooks, options, checkpoints, deadline)
    try:
        return loop.run()
    finally:
        del (
            loop.exchange,
            loop.guard,
            loop.accumulate,
        )  # circles, in which moments and best weights would stay
