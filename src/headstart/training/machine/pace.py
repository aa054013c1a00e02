"""How fast a training goes, and so how much of it fits before a deadline.

It only measures and divides; what to do about it is the loop's business.
"""

from __future__ import annotations

import time

_WARMING_STEPS = 3
_SLOW_STEP_SECONDS = 0.05


class Pace:
    """What steps and checks cost, in seconds, as running averages.

    Args:
        check_seconds: What a validation is expected to cost; what it did cost
            takes the place of that.
    """

    def __init__(self, check_seconds: float) -> None:
        self.step_seconds = 0.0
        self.check_seconds = check_seconds
        self._last_seconds = 0.0
        self._steps = 0

    @property
    def is_slow(self) -> bool:
        """Whether a few steps more may already be too many: then every step asks the clock."""
        return self._last_seconds > _SLOW_STEP_SECONDS

    def took_step(self, seconds: float) -> None:
        """Take the time of one more step into the average."""
        self._steps += 1
        self._last_seconds = seconds
        # the first steps pay for warming up and are forgotten
        share = max(0.05, 1 / max(1, self._steps - _WARMING_STEPS))
        self.step_seconds += (seconds - self.step_seconds) * share

    def took_check(self, seconds: float) -> None:
        """Take the time of one more check into account; the dearest of the last ones counts."""
        self.check_seconds = max(seconds, 0.7 * self.check_seconds)

    def affordable(self, seconds: float, planned: int, steps_per_check: int) -> int:
        """Return how many of the planned steps fit into the time, the checks included.

        Args:
            seconds: What is left until the deadline.
            planned: Steps that are still to be taken.
            steps_per_check: How often the validation split is looked at.
        """
        seconds -= self.check_seconds  # the last validation comes after the last step
        if self._steps < _WARMING_STEPS + 2:
            # too early to tell, unless there is no time for another step like the last
            return planned if seconds > self._last_seconds else 0
        each = self.step_seconds + self.check_seconds / steps_per_check
        return int(seconds / each)

    def eta(self, planned: int, deadline: float | None) -> float:
        """Return the seconds until the end: by the pace, and never past the deadline.

        Args:
            planned: Steps that are still to be taken.
            deadline: ``time.monotonic()`` value; None for no limit.
        """
        eta = planned * self.step_seconds
        return eta if deadline is None else min(eta, max(0.0, deadline - time.monotonic()))
