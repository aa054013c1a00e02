"""Memory of the machine: keep freed blocks while training on a CPU; how much is free.

glibc gives every large block back to the kernel when it is freed, and takes fresh pages for the
next one: a training step that frees its activations then pays thousands of page faults, a third of
a small network's time. Two ``mallopt`` calls end that; the price is that memory stays at its peak
until the process ends. Other C libraries are left as they are.

Measured: docs/experiments.md, "Page faults".
"""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_NEVER_TRIM, _NEVER_MAP = 2**31 - 1, 2**30


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for reuse; return whether it agreed."""
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mapped = mallopt(ctypes.c_int(_M_MMAP_THRESHOLD), ctypes.c_int(_NEVER_MAP))
    trimmed = mallopt(ctypes.c_int(_M_TRIM_THRESHOLD), ctypes.c_int(_NEVER_TRIM))
    return bool(mapped and trimmed)


def free_memory_bytes() -> int:
    """Return about how much memory is free; one GiB where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 2**30
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else 2**30
