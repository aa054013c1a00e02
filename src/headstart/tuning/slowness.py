"""How slow this machine is now: beside the one that constants come from, and by others' work."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

_PIECE_SECONDS = 0.0042  # a piece of work, where the seconds of other constants were measured
_ROUNDS = 24


def scheduled_seconds() -> tuple[float, float]:
    """Return how long this thread has worked, and has waited for a core to work on.

    Linux counts both; elsewhere the second is 0.
    """
    try:
        worked, waited, *_ = Path("/proc/thread-self/schedstat").read_text().split()
        return int(worked) / 1e9, int(waited) / 1e9
    except (OSError, ValueError):
        return time.thread_time(), 0.0


def undisturbed_seconds(took: float, before: tuple[float, float]) -> float:
    """Return what work took but for the time in which this thread waited for a core.

    Whoever plans multiplies by the load of the machine (``Budget.load``): a figure that holds the
    waiting of the moment in which it was measured would be multiplied twice.

    Args:
        took: Seconds by the clock.
        before: What ``scheduled_seconds`` said when it began.
    """
    worked, waited = np.subtract(scheduled_seconds(), before)
    return float(min(took, max(took - waited, worked)))


def slowness(load: float = 1.0) -> float:
    """Return how many times slower this machine is now than the one that constants come from.

    By a small piece of work of the kind that figures and their intervals are made of; at least 1.
    An old laptop is slower, and so is a machine whose cores are taken by others: a piece so small
    is done before these get their turn, so that their load is measured over the run.

    Args:
        load: As ``Budget.load`` says.
    """
    worked = time.thread_time()
    began = time.monotonic()
    draws = np.arange(20_000)[::-1] % 7_919
    total = 0
    for part in range(_ROUNDS):
        total += int(np.sort(draws, kind="stable")[part])
        total += sum(place % 7 for place in range(2_000))
    worked, took = time.thread_time() - worked, time.monotonic() - began
    return max(1.0, (took if load == 1.0 else max(took, load * worked)) / _PIECE_SECONDS)
