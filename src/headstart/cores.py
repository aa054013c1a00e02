"""How many cores this process may use: what its affinity and its control groups leave of all.

A container with a quota of two cores still shows every core of its machine. Whoever starts as many
threads as it sees is stopped by the kernel for most of each period, in the middle of a step: slower
than two threads. Libraries look at the affinity alone, so that a command lowers their number where
the quota is smaller. Left out: weights of groups (``cpu.weight``), which limit nobody while a
machine is idle.

How much memory is free: the smallest of what the machine and each control group have left.
A container or a SLURM job is killed at its own limit, whatever the machine has. Swap, in which no
training gets on, is told apart. Left out: limits on swap of control groups of version 1, which
count it together with memory; and systems that do not tell without a package of their own (macOS,
Windows).
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_WAITING_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_SPINS = 1_000  # a few microseconds
# Of scikit-learn, SciPy and pyarrow, imported after PyTorch, with what their threads keep.
_ADDRESSES_TO_COME = 1_000_000_000
ROOM_OF_LIBRARIES = (
    "PyTorch alone takes 4 GB of addresses, with the libraries of a GPU. Raise the limit "
    "(ulimit -v unlimited)"
)
_KERNEL_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_BF16_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux abbreviates them; the last is ARM's
_WITHOUT_BF16 = {
    *("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
}


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may keep busy, at least 1.

    The smallest of its affinity (elsewhere than on Linux: all cores) and the quota of each control
    group around it, versions 1 and 2, rounded up.

    Args:
        root: Where ``proc`` and ``sys`` lie.
    """
    return max(1, min([_allowed_cores(), *_quotas(root)]))


def limit_threads(root: Path = Path("/")) -> None:
    """Keep threads of PyTorch and other libraries, not yet imported, from costing others and us.

    GNU's OpenMP lets a thread that waits for another spin for milliseconds; where other programs
    want the core, too, it keeps the very thread that it waits for from running, and steps take
    twice as long or more. So it spins shortly (docs/experiments.md, "Threads that wait").

    Where a quota leaves fewer cores than the affinity, ``OMP_NUM_THREADS`` is set. Both hold for
    processes that this one starts, too; what the user has set stands, and so does what a library
    that is already imported has read.

    Args:
        root: Where ``proc`` and ``sys`` lie.
    """
    cores = usable_cores(root)
    if cores < _allowed_cores() and not any(name in os.environ for name in _THREAD_VARIABLES):
        os.environ["OMP_NUM_THREADS"] = str(cores)
    if not any(name in os.environ for name in _WAITING_VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = str(_SPINS)


def processor(root: Path = Path("/")) -> str:
    """Return the name of the processor with a digest of what it can do, as the system tells them.

    The name alone is not enough: a virtual machine calls many processors the same, and may leave
    out their units for bf16.

    Args:
        root: Where ``proc`` lies.
    """
    from hashlib import blake2b  # OpenSSL, which no help page needs

    told = _told_of_processor(root)
    can = " ".join(sorted(_abilities(told)))
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name} {blake2b(can.encode(), digest_size=4).hexdigest()}"


def has_bf16_units(root: Path = Path("/")) -> bool:
    """Return whether the processor multiplies bf16 in units of its own, and kernels may use them.

    AVX512-BF16, AMX or ARM's own, by the flags that Linux tells. A limit that a user has set for
    oneDNN (``ONEDNN_MAX_CPU_ISA``) below these counts as none. Other systems do not tell: none.

    Args:
        root: Where ``proc`` lies.
    """
    limits = (os.environ.get(name, "").upper() for name in _KERNEL_LIMITS)
    if any(limit in _WITHOUT_BF16 for limit in limits):
        return False
    return not _BF16_UNITS.isdisjoint(_abilities(_told_of_processor(root)))


def _abilities(told: dict[str, str]) -> list[str]:
    """Return what a core can do, as Linux abbreviates it: x86 calls them flags, ARM features."""
    return told.get("flags", told.get("Features", "")).split()


def _told_of_processor(root: Path) -> dict[str, str]:
    """Return what Linux tells of the first core, by name; nothing elsewhere."""
    told: dict[str, str] = {}
    for line in read_or_empty(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    return told


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


# limit, use, and the part of the use that is file cache: the kernel gives it back before it kills
_GROUP_V2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_GROUP_V1 = (
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_SWAP_V2 = ("memory.swap.max", "memory.swap.current", ())
_Names = tuple[str, str, tuple[str, ...]]


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still take; None where the system does not tell.

    Linux: what the kernel could give without swapping (MemAvailable), and what is left below the
    limit of each control group around this process, versions 1 and 2, file cache not counted as
    used. Elsewhere the free pages, where ``os.sysconf`` knows them.

    Args:
        root: Where ``proc`` and ``sys`` lie.
    """
    amounts = [*_kernel_table(root / "proc/meminfo"), *_groups_left(root, _GROUP_V2, _GROUP_V1)]
    if amounts:
        return max(0, min(amounts))
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def free_swap_bytes(root: Path = Path("/")) -> int:
    """Return the bytes of swap that all processes of this machine may still take.

    Linux: what is free, and what is left below the limit of each control group of version 2 around
    this process; 0 where the system does not tell.

    Args:
        root: Where ``proc`` and ``sys`` lie.
    """
    found = [*_kernel_table(root / "proc/meminfo", "SwapFree:")]
    return max(0, min([*found, *_groups_left(root, _SWAP_V2, None)])) if found else 0


def _kernel_table(path: Path, name: str = "MemAvailable:") -> Iterator[int]:
    """Yield what a line of the kernel's table says, in bytes."""
    for line in read_or_empty(path).splitlines():
        if line.startswith(name):
            yield int(line.split()[1]) * 1024


def _groups_left(root: Path, version_2: _Names, version_1: _Names | None) -> Iterator[int]:
    """Yield what each control group around this process has left, in bytes."""
    for line in read_or_empty(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, names = root / "sys/fs/cgroup", version_2
        elif version_1 and "memory" in controllers.split(","):
            top, names = root / "sys/fs/cgroup/memory", version_1
        else:
            continue
        own = Path(path.lstrip("/"))
        # a container may show only its own group, as the top, under a path of the world outside
        for folder in (own, *own.parents):
            yield from _left(top / folder, *names)


def _left(folder: Path, limit: str, use: str, cache: tuple[str, ...]) -> Iterator[int]:
    """Yield what one control group has left; nothing where it has no limit."""
    said, used = read_or_empty(folder / limit).strip(), read_or_empty(folder / use).strip()
    if not (said.isdigit() and used.isdigit()):
        return  # no such group, or "max"
    rows = (line.split() for line in read_or_empty(folder / "memory.stat").splitlines())
    cached = sum(int(value) for name, value in rows if name in cache)
    yield int(said) - int(used) + cached


def told_limit() -> str:
    """Return the limit of memory that was set for this process, as words to follow."""
    limit = _address_limit()
    return "" if limit is None else f" (a limit of {limit / 1e9:.1f} GB is set)"


def too_few_addresses(root: Path = Path("/")) -> str | None:
    """Return why a limit of addresses leaves no room for libraries still to be imported, or None.

    OpenBLAS, which SciPy brings, asks again for ever where the kernel gives it nothing: an import
    would hang without a word. Asked where PyTorch is imported already; less than a gigabyte is few.

    Args:
        root: Where ``proc`` lies; where there is none nothing is said.
    """
    limit = _address_limit()
    with contextlib.suppress(OSError, ValueError, IndexError):
        taken = int((root / "proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        if limit is not None and limit - taken < _ADDRESSES_TO_COME:
            return (
                f"There is not memory enough{told_limit()}: {taken / 1e9:.1f} GB of addresses are "
                f"taken before any data is read. {ROOM_OF_LIBRARIES}."
            )
    return None


def _address_limit() -> int | None:
    """Return the bytes of addresses that this process may take (``ulimit -v``); None for any."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
