"""When all training of a search has ended: what comes after it is put by, by what passes take.

At first that is planned by a pass that was measured on a few samples, times what the run had waited
for cores by then: on a busy machine 13 of 60 s were put by for an end that took six. So it is told
anew as soon as an arm has validated, and before what is decided by the time that is left.

Left out: an end that comes earlier than was planned, but for models whose passes are slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from headstart.tuning.budget import Budget
from headstart.tuning.cost import note_pass
from headstart.tuning.setup import TrainingSetup


class TrainingEnd:
    """The time by which all training has ended.

    Args:
        budget: The budget.
        needed: What comes after training takes, in seconds, as far as is known when it is asked.

    Attributes:
        at: ``time.monotonic()`` value; None for no limit.
    """

    def __init__(self, budget: Budget, needed: Callable[[], float]) -> None:
        self._budget, self._needed = budget, needed
        self._put_by = 0.0
        self.at = budget.deadline(needed())

    @property
    def left(self) -> float:
        """Seconds until then; infinite without a limit."""
        return float("inf") if self.at is None else self.at - time.monotonic()

    def put_by(self, seconds: float) -> None:
        """Put more time by for what comes after training."""
        self._put_by += seconds
        if self.at is not None:
            self.at -= seconds

    def settle(self) -> float | None:
        """Return it as it is known now; it is never earlier than it was told before."""
        if self.at is not None:
            now = self._budget.deadline(self._needed() + self._put_by)
            self.at = max(self.at, now or self.at)
        return self.at

    def moved(self, setup: TrainingSetup, each: float) -> float | None:
        """Return it when a sample has taken so many seconds in a real pass of a model.

        Args:
            setup: The model.
            each: Seconds.
        """
        note_pass(setup, self._budget, each)
        return self.settle()
