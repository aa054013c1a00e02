"""How many cores this process may use: what its affinity and its control groups leave of all.

A container with a quota of two cores still shows every core of its machine. Whoever starts as many
threads as it sees is stopped by the kernel for most of each period, in the middle of a step: slower
than two threads. Libraries look at the affinity alone, so that a command lowers their number where
the quota is smaller. Left out: weights of groups (``cpu.weight``), which limit nobody while a
machine is idle.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may keep busy, at least 1.

    The smallest of its affinity (elsewhere than on Linux: all cores) and the quota of each control
    group around it, versions 1 and 2, rounded up.

    Args:
        root: Where ``proc`` and ``sys`` lie.
    """
    return max(1, min([_allowed_cores(), *_quotas(root)]))


def limit_threads(root: Path = Path("/")) -> None:
    """Keep PyTorch and other libraries, not yet imported, from more threads than usable cores.

    Where a quota leaves fewer cores than the affinity, ``OMP_NUM_THREADS`` is set, for processes
    that this one starts, too. A number that the user has set stands, and that of a library which is
    already imported.

    Args:
        root: Where ``proc`` and ``sys`` lie.
    """
    cores = usable_cores(root)
    if cores < _allowed_cores() and not any(name in os.environ for name in _THREAD_VARIABLES):
        os.environ["OMP_NUM_THREADS"] = str(cores)


def _allowed_cores() -> int:
    """Return how many cores this process may run on, whatever their quota."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[int]:
    """Yield the quota of each control group around this process, in whole cores."""
    for line in read_or_empty(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        own = Path(path.lstrip("/"))
        # a container may show only its own group, as the top, under a path of the world outside
        for folder in (own, *own.parents):
            if number == "0":
                said = read_or_empty(root / "sys/fs/cgroup" / folder / "cpu.max").split()
            elif "cpu" in controllers.split(","):
                group = root / "sys/fs/cgroup/cpu" / folder
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                said = [read_or_empty(group / name).strip() for name in names]
            else:
                continue
            if len(said) == 2 and all(word.isdigit() and int(word) for word in said):
                quota, period = map(int, said)  # microseconds; "max" and -1 are no limit
                yield -(-quota // period)


def read_or_empty(path: Path) -> str:
    """Return what a file of the system says; nothing where it is not there."""
    try:
        return path.read_text()
    except OSError:
        return ""
