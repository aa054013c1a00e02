"""What the main process has all processes do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from headstart.training.company import Act

ACTS: tuple[Act, ...] = get_args(Act)


@dataclass(frozen=True)
class Instruction:
    """What all processes do next.

    Attributes:
        act: What to do.
        num_steps: Steps of the run as it is planned now.
        progress: Progress of the schedule, in [0, 1].
        micro_batch_size: Samples a forward pass, where memory has run out somewhere.
    """

    act: Act
    num_steps: int = 0
    progress: float = 0.0
    micro_batch_size: int | None = None
