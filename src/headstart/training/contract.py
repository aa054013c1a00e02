"""What the loop is handed, what it keeps, and what it gives back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from headstart.errors import DeviceError
from headstart.training.batches.feed import Batch
from headstart.training.company import Exchange, NoExchange
from headstart.training.whole_step import OverStep

if TYPE_CHECKING:
    from headstart.training.loop import Loop


class StopRequested(Exception):
    """Leave a hook that saw the request to stop midway; the loop saves and ends, interrupted."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


def stoppable(
    compute: Callable[..., Tensor], stop_requested: Callable[[], bool]
) -> Callable[..., Tensor]:
    """Return a function that raises ``StopRequested`` instead, once someone has asked to stop."""

    def compute_or_stop(*inputs: Tensor) -> Tensor:
        if stop_requested():
            raise StopRequested
        return compute(*inputs)

    return compute_or_stop


def refuse_halving(found: str, *, is_sample_mean: bool) -> None:
    """Refuse smaller micro-batches where the losses of parts do not add up to the whole's.

    Args:
        found: Why they would be smaller: how many samples had no room.
        is_sample_mean: Whether the loss is a mean over samples, so that they do add up.

    Raises:
        DeviceError: If it is none.
    """
    if not is_sample_mean:
        raise DeviceError(
            f"{found[0].upper()}{found[1:]}, and the loss is no mean over samples: a step in "
            f"smaller micro-batches would learn something else. Expected room for a whole step. "
            f"Choose a smaller --batch-size or start, --strategy last-n, or a machine with more "
            f"memory."
        )


@dataclass(frozen=True)
class Check:
    """What a validation found.

    Attributes:
        score: ``metric`` of the weights; higher is better.
        loss: Mean loss of the items.
        standard_error: Of the score.
        metric: What the score is.
        calibrated_loss: The loss with the temperature that suits these items best: that of the
            model as it would be handed over. None where nobody has fitted one.
        beside: Other figures of these weights, told and logged with it; nothing is decided by them.
    """

    score: float
    loss: float
    standard_error: float
    metric: str = "accuracy"
    calibrated_loss: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, object]:
        """What is told and logged of it."""
        own = {"metric": self.metric, "val_score": self.score, "val_loss": self.loss}
        return {**own, **self.beside}

    @property
    def decisive_loss(self) -> float:
        """What scores that noise may have parted are told apart by."""
        return self.loss if self.calibrated_loss is None else self.calibrated_loss


@dataclass
class LoopState:
    """The loop's own numbers; with the tensors, all that resuming needs.

    ``micro_batch_size`` is what memory has room for; None where it has room for the recipe's.
    """

    step: int
    num_steps: int
    progress: float = 0.0
    best_score: float = float("-inf")
    best_loss: float = float("inf")
    peak_score: float = float("-inf")
    best_step: int = -1
    last_check_step: int = -1
    reference_score: float = float("-inf")
    checks_without_gain: int = 0
    skipped_in_a_row: int = 0
    micro_batch_size: int | None = None
    seconds: float = 0.0

    @classmethod
    def restored(cls, saved: Any, micro_batch_size: int | None) -> LoopState:
        """Return what a checkpoint holds, in micro-batches no larger than memory has room for now.

        Args:
            saved: The fields by name.
            micro_batch_size: What was settled for this attempt; None where the recipe's fits. It
                may be another than the checkpoint's where another number of processes resumes.
        """
        state = cls(**saved)
        sizes = [size for size in (state.micro_batch_size, micro_batch_size) if size is not None]
        state.micro_batch_size = min(sizes, default=None)
        return state

    def is_best(self, found: Check) -> bool:
        """Return whether a validation found the best weights so far, and remember that.

        Better is a score that is higher by more than its standard error; one that may be noise
        (one more item of forty) decides nothing, and the lower loss wins among all that are no
        lower than the highest so far by more than that. Weights whose loss is not a number are
        never the best, whatever their score.
        """
        loss, noise = found.decisive_loss, found.standard_error
        if not (math.isfinite(found.loss) and math.isfinite(found.score) and math.isfinite(loss)):
            return False
        noise = noise if math.isfinite(noise) else 0.0
        is_surely_higher = found.score > self.best_score + noise
        is_as_high = found.score >= self.peak_score - noise
        is_better = is_surely_higher or (
            is_as_high and (loss, -found.score) < (self.best_loss, -self.best_score)
        )
        self.peak_score = max(self.peak_score, found.score)
        if is_better:
            self.best_score, self.best_loss, self.best_step = found.score, loss, self.step
        return is_better

    def count(self, found: Check) -> None:
        """Count the looks since the last gain of more than half a standard error."""
        self.last_check_step = self.step
        if found.score > self.reference_score + 0.5 * found.standard_error:
            self.reference_score, self.checks_without_gain = found.score, 0
        else:
            self.checks_without_gain += 1


@dataclass(frozen=True)
class LoopResult:
    """How a training ended.

    Attributes:
        ended: ``finished``, ``early`` (patience), ``paused`` or ``interrupted``; ``told`` in a
            worker, whose main process knows which.
        state: The loop's own numbers at the end.
        found: What the last validation of this call found; None where there was none.
    """

    ended: str
    state: LoopState
    found: Check | None = None


@dataclass(frozen=True)
class Pause:
    """Where a loop pauses before its end, whichever comes first.

    Its state is saved there, and the next call goes on with the bits of one that never paused.

    Attributes:
        num_steps: After so many steps of this call; None for no such number.
        time: At the first step that ends at this ``time.monotonic()`` value or later; None never.
        step: When the training has taken so many steps, in whichever calls; None for no such
            number.
    """

    num_steps: int | None = None
    time: float | None = None
    step: int | None = None

    def is_due(self, num_steps: int, step: int) -> bool:
        """Return whether to pause after so many steps of this call, and so many of all."""
        is_far = self.num_steps is not None and num_steps >= self.num_steps
        is_late = self.time is not None and time.monotonic() >= self.time
        return is_far or is_late or self.is_there(step)

    def is_there(self, step: int) -> bool:
        """Return whether the training has taken as many steps as it was to."""
        return self.step is not None and step >= self.step


@dataclass(frozen=True)
class LoopOptions:
    """Numbers of the loop; see ``Recipe`` for their meaning.

    ``check_seconds`` is what a validation is expected to cost, until one was
    measured; a deadline must leave room for the first. ``rank`` is this process's number among
    those that train together; ``checkpoint_seconds`` the time between two saves;
    ``micro_batch_size`` the samples of a pass where memory has no room for the recipe's; ``pause``
    where this call ends before the training does; ``task`` what the console and the log call it.
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
    rank: int = 0
    micro_batch_size: int | None = None
    pause: Pause = Pause()
    task: str = "fine-tune"


class Batches(Protocol):
    """Step number to the micro-batches of that step: a pure function, may be asked again."""

    def __call__(self, step: int, micro_batch_size: int | None = None, /) -> Iterator[Batch]:
        """Yield them, of the usual size or, where memory has run out, of at most the given one."""
        ...


@dataclass(frozen=True)
class Hooks:
    """What the loop is handed.

    Attributes:
        batches: Step number to the micro-batches of that step.
        compute_loss: A micro-batch to its mean loss.
        check: Look at the validation split, with the weights now in the module; may raise
            ``StopRequested``, and is then asked again in the next attempt.
        learning_rate_factor: Progress in [0, 1] to a factor on every group's ``peak``.
        set_mode: Put the module in its training mode.
        stop_requested: Whether someone asked to stop (a signal).
        enter: Progress in [0, 1], before each step, to whether what learns has changed with it.
        join: The loop to what it exchanges with the loops of other processes. Where there are
            some, ``batches`` gives this process's share, and the next two are there for the report
            of a loss that is not finite.
        step_ids: Step number to the ids of all samples of that step, int64, shape (B,).
        whole: Step number to the micro-batches of all processes.
        is_sample_mean: Whether the losses of parts of a step, weighed by their samples, add up to
            that of the whole; where they do not, the loop takes no step in smaller parts than it
            is told to.
        over_step: The loss where it is over the whole step, in place of ``compute_loss``; None
            where its parts add up.
        move_deadline: Seconds that a look at the validation split took to the deadline from then
            on: what follows training is paid for by what a pass was measured at before, and turns
            out cheaper. None keeps the deadline.
    """

    batches: Batches
    compute_loss: Callable[[Batch], Tensor]
    check: Callable[[], Check]
    learning_rate_factor: Callable[[float], float]
    set_mode: Callable[[], None]
    stop_requested: Callable[[], bool]
    enter: Callable[[float], bool] = lambda progress: False
    join: Callable[[Loop], Exchange] = NoExchange
    step_ids: Callable[[int], np.ndarray] | None = None
    whole: Callable[[int], Iterator[Batch]] | None = None
    is_sample_mean: bool = True
    over_step: OverStep | None = None
    move_deadline: Callable[[float], float | None] | None = None
