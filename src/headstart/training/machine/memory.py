"""Memory of the machine: keep freed blocks while training on a CPU; run out.

glibc gives every large block back to the kernel when it is freed, and takes fresh pages for the
next one: a training step that frees its activations then pays thousands of page faults, a third of
a small network's time. Two ``mallopt`` calls end that; the price is that memory stays at its peak
until the process ends, or until ``give_back_freed_memory``. Other C libraries are left as they are.

Measured: docs/experiments.md, "Page faults".
"""

from __future__ import annotations

import ctypes
import platform
import sys

from headstart.cores import free_memory_bytes, free_swap_bytes

__all__ = [
    "free_memory_bytes",
    "free_swap_bytes",
    "give_back_freed_memory",
    "is_out_of_memory",
    "keep_freed_memory",
    "peak_memory_bytes",
]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_NEVER_TRIM, _NEVER_MAP = 2**31 - 1, 2**30
_NO_MEMORY = (
    "DefaultCPUAllocator: ",
    "MPS backend out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


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


def peak_memory_bytes() -> int | None:
    """Return what this process has held of memory at the most; None where nobody counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


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


def _is_glibc() -> bool:
    return sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"
