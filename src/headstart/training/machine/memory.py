"""Memory of the machine: keep freed blocks while training on a CPU; how much is free; run out.

glibc gives every large block back to the kernel when it is freed, and takes fresh pages for the
next one: a training step that frees its activations then pays thousands of page faults, a third of
a small network's time. Two ``mallopt`` calls end that; the price is that memory stays at its peak
until the process ends, or until ``give_back_freed_memory``. Other C libraries are left as they are.

What is free is the smallest of what the machine and each control group around this process have
left: a container or a SLURM job is killed at its own limit, whatever the machine has. Swap, in
which no training gets on, is told apart. Left out: limits on swap of control groups of version 1,
which count it together with memory; and systems that do not tell without a package of their own
(macOS, Windows).

Measured: docs/experiments.md, "Page faults".
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from headstart.cores import read_or_empty

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_NEVER_TRIM, _NEVER_MAP = 2**31 - 1, 2**30
# limit, use, and the part of the use that is file cache: the kernel gives it back before it kills
_GROUP_V2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_GROUP_V1 = (
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_SWAP_V2 = ("memory.swap.max", "memory.swap.current", ())
_NO_MEMORY = (
    "DefaultCPUAllocator: ",
    "MPS backend out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
_Names = tuple[str, str, tuple[str, ...]]


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for reuse; return whether it agreed."""
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mapped = mallopt(ctypes.c_int(_M_MMAP_THRESHOLD), ctypes.c_int(_NEVER_MAP))
    trimmed = mallopt(ctypes.c_int(_M_TRIM_THRESHOLD), ctypes.c_int(_NEVER_TRIM))
    return bool(mapped and trimmed)


def give_back_freed_memory() -> None:
    """Have glibc give back, once, what it keeps: others may take it, and what is free is told."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device.

    PyTorch's own type for it, NumPy's ``MemoryError``, and plain ``RuntimeError``s known by their
    words: of the allocator of a CPU (at a limit such as ``ulimit -v``), of MPS and of CUDA's
    libraries. oneDNN's "could not create a primitive" may mean this too, or something else: it is
    left out.
    """
    # by name: this file imports no torch
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still take; None where the system does not tell.

    Linux: what the kernel could give without swapping (MemAvailable), and what is left below the
    limit of each control group around this process, versions 1 and 2, file cache not counted as
    used. Elsewhere the free pages, where ``os.sysconf`` knows them.

    Args:
        root: Where ``proc`` and ``sys`` lie.
    """
    amounts = [*_machine(root / "proc/meminfo"), *_groups(root, _GROUP_V2, _GROUP_V1)]
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
    found = [*_machine(root / "proc/meminfo", "SwapFree:")]
    return max(0, min([*found, *_groups(root, _SWAP_V2, None)])) if found else 0


def _is_glibc() -> bool:
    return sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"


def _machine(path: Path, name: str = "MemAvailable:") -> Iterator[int]:
    """Yield what a line of the kernel's table says, in bytes."""
    for line in read_or_empty(path).splitlines():
        if line.startswith(name):
            yield int(line.split()[1]) * 1024


def _groups(root: Path, version_2: _Names, version_1: _Names | None) -> Iterator[int]:
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
