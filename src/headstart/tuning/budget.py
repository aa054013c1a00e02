"""The budget: a hard wall-clock limit that counts from the first moment of the command."""

from __future__ import annotations

import re
import time

import numpy as np

from headstart.errors import OptionError

_PIECE_SECONDS = 0.021  # a piece of work, where the seconds of other constants were measured
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Clock:
    """What is left of a budget.

    Args:
        budget_seconds: The limit, or None for no limit.
        spent_seconds: What was spent before this object was made (imports, loading, a former life).
    """

    def __init__(self, budget_seconds: float | None, spent_seconds: float = 0.0) -> None:
        self.started = time.monotonic() - spent_seconds
        self.budget_seconds = budget_seconds

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds until the limit; infinite without one, negative past it."""
        if self.budget_seconds is None:
            return float("inf")
        return self.budget_seconds - self.spent

    def deadline(self, reserve_seconds: float = 0.0) -> float | None:
        """Return the ``time.monotonic()`` value at which only the reserve is left."""
        if self.budget_seconds is None:
            return None
        return self.started + self.budget_seconds - reserve_seconds


def slowness() -> float:
    """Return how many times slower this machine is now than the one that constants come from.

    By a small piece of work of the kind that figures and their intervals are made of; at least 1.
    An old laptop is slower, and so, less surely, is a machine whose cores are taken by others.
    """
    began = time.monotonic()
    draws = np.arange(20_000)[::-1] % 7_919
    total = 0
    for part in range(120):
        total += int(np.sort(draws, kind="stable")[part])
        total += sum(place % 7 for place in range(2_000))
    return max(1.0, (time.monotonic() - began) / _PIECE_SECONDS)


def parse_budget(text: str | float | None) -> float | None:
    """Return a budget in seconds.

    Args:
        text: Seconds, or a number with a unit: ``90``, ``90s``, ``2m``, ``1.5h``, ``1h30m``.

    Raises:
        OptionError: If it cannot be read, or is shorter than ten seconds.
    """
    if text is None:
        return None
    written = str(text).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd]?)", written)
    if not parts or "".join(n + u for n, u in parts) != written.replace(" ", ""):
        raise OptionError(
            f"budget '{text}' is not a length of time; expected for example 90s, 2m, 1.5h or "
            f"1h30m. Change --budget."
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds < 10:
        raise OptionError(
            f"budget '{text}' is {seconds:g} seconds; expected at least 10, since importing "
            f"PyTorch alone takes some. Raise --budget."
        )
    return seconds
