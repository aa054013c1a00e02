"""What the cache on disk holds: list it, clear it, and keep it within its size.

The cache is a folder, ``HEADSTART_CACHE`` or ``~/.cache/headstart``; a kind of entry is a folder in
it (``pixels``, ``activations``), an entry a folder in that, with ``entry.json`` inside. Using an
entry touches that file, so that what was not used for longest goes first. Removing an entry renames
it before anything in it is deleted: whoever opens it sees all or nothing, and whoever has it mapped
into memory keeps it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import DataError, OptionError

_STALE_SECONDS = 24 * 3600
_LIMIT = "HEADSTART_CACHE_LIMIT"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache.

    Attributes:
        kind: ``pixels`` or ``activations``.
        path: Its folder.
        num_bytes: Its size.
        last_used: Seconds since the epoch.
        about: What it holds, in a few words; empty where it does not say.
    """

    kind: str
    path: Path
    num_bytes: int
    last_used: float
    about: str


def cache_root() -> Path:
    """Return the folder of the cache; it need not exist yet."""
    return Path(os.environ.get("HEADSTART_CACHE") or "~/.cache/headstart").expanduser()


def cache_limit(root: Path) -> int:
    """Return how many bytes the cache may hold.

    ``HEADSTART_CACHE_LIMIT`` says it (``20GB``, ``500 MB``, bytes); otherwise it is half of what
    the disk would have free without the cache.

    Args:
        root: The folder of the cache.

    Raises:
        OptionError: If the variable holds something else.
    """
    said = os.environ.get(_LIMIT, "").strip()
    if said:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]B)?", said, re.IGNORECASE)
        if found is None:
            raise OptionError(
                f"{_LIMIT} is '{said}'; expected a number of bytes, or one with KB, MB, GB or TB. "
                f"Set it to 20GB, for example, or leave it out."
            )
        return int(float(found[1]) * _UNITS[(found[2] or "").upper()])
    held = sum(entry.num_bytes for entry in list_cache(root))
    return (shutil.disk_usage(existing_parent(root)).free + held) // 2


def existing_parent(path: Path) -> Path:
    """Return the path itself, or the nearest folder above that exists."""
    while not path.exists():
        path = path.parent
    return path


def list_cache(root: Path) -> list[CacheEntry]:
    """Return every entry of the cache, the one used last first.

    Args:
        root: The folder of the cache.
    """
    found = []
    for folder in _folders(root):
        record = folder / "entry.json"
        try:
            state = record.stat()
            about = json.loads(record.read_text()).get("about", "")
        except (OSError, ValueError, AttributeError):
            continue  # half removed, or not an entry
        size, used = _size(folder), state.st_mtime
        found.append(CacheEntry(folder.parent.name, folder, size, used, str(about)))
    return sorted(found, key=lambda entry: -entry.last_used)


def clear_cache(root: Path, *, kind: str | None = None) -> int:
    """Remove entries, and what killed processes left behind; return how many bytes that freed.

    Args:
        root: The folder of the cache.
        kind: Only entries of this kind; None removes all.
    """
    freed = remove_stale(root)
    for entry in list_cache(root):
        if kind in (None, entry.kind):
            freed += remove_entry(entry.path)
    return freed


def make_room(root: Path, needed: int, limit: int, keep: Collection[Path] = ()) -> int:
    """Remove entries, least recently used first, until a new one fits; return the bytes freed.

    Args:
        root: The folder of the cache.
        needed: Bytes of the new entry.
        limit: Bytes that the cache may hold.
        keep: Folders of entries that stay.

    Raises:
        DataError: If it does not fit even then.
    """
    freed = remove_stale(root)
    entries = list_cache(root)
    held = sum(entry.num_bytes for entry in entries)
    for entry in reversed(entries):
        if held + needed <= limit:
            break
        if entry.path not in keep:
            freed += remove_entry(entry.path)
            held -= entry.num_bytes
    if held + needed > limit:
        raise DataError(
            f"The cache in {root} may hold {limit:,} bytes, of which {held:,} are in use; "
            f"{needed:,} more do not fit. Raise {_LIMIT}, or set HEADSTART_CACHE to a folder on a "
            f"larger disk."
        )
    return freed


def remove_entry(folder: Path) -> int:
    """Remove one entry; return the bytes that freed, 0 where another process was faster."""
    size = _size(folder)
    try:
        aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    except FileNotFoundError:
        return 0
    try:
        os.rename(folder, aside / "removed")
    except FileNotFoundError:
        size = 0
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return size


def remove_stale(root: Path) -> int:
    """Remove what killed processes left behind, once it is a day old; return the bytes freed."""
    freed = 0
    for path in root.glob("*/*.tmp-*"):
        try:
            is_stale = time.time() - path.stat().st_mtime > _STALE_SECONDS
        except FileNotFoundError:
            continue
        if is_stale:
            freed += _size(path)
            shutil.rmtree(path, ignore_errors=True)
    return freed


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders of entries, those being written left out."""
    for path in root.glob("*/*/entry.json"):
        if ".tmp-" not in path.parent.name:
            yield path.parent


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue
    return total
