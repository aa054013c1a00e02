"""Under what a fine-tuning takes place: the clock, the disk, the others, and what is settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from headstart.training.company import ALONE, Company
from headstart.training.contract import never
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.tuning.decisions import Decisions


def _nothing() -> None:
    """Nobody waits for a usable model."""


@dataclass(frozen=True)
class Conditions:
    """Under what a fine-tuning takes place.

    Attributes:
        checkpoints: Where the state is kept and resumed from; None keeps none.
        deadline: ``time.monotonic()`` value by which training has ended; None for no limit.
        move_deadline: What a validation sample took, in seconds, to the deadline from then on; None
            keeps it.
        seconds_per_sample: One forward pass; None where nobody has measured it.
        stop_requested: Whether someone asked to stop.
        on_usable: Called when the model is worth keeping for the first time: after the probe, or
            after the loop's first validation.
        decisions: What the run has settled.
        company: The processes that train together, of which this is the main one.
        is_micro_batch_said: Whether the user named the micro-batch: then it stays.
        open_options: Options of which nobody has said how steps run: ``precision``,
            ``channels_last``, both or none.
        keeps_last: Whether the weights of the last step are kept, whatever val says of others:
            there is one validation, at the end, and nothing stops before.
    """

    checkpoints: CheckpointFolder | None = None
    deadline: float | None = None
    move_deadline: Callable[[float], float | None] | None = None
    seconds_per_sample: float | None = None
    stop_requested: Callable[[], bool] = never
    on_usable: Callable[[], None] = _nothing
    decisions: Decisions = field(default_factory=Decisions)
    company: Company = ALONE
    is_micro_batch_said: bool = False
    open_options: frozenset[str] = frozenset()
    keeps_last: bool = False
