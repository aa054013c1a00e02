"""The entries of the cache on disk: make one, open it, list and clear them, keep within a size.

It is a cache: where it cannot be written, is full or is nowhere, ``CacheError`` says why, and
whoever wanted an entry works without it and says so (``without_cache``).

The cache is a folder, ``HEADSTART_CACHE`` or ``~/.cache/headstart``; a kind of entry is a folder in
it (``pixels``, ``activations``, ``measured``), an entry a folder in that, with ``entry.json``
inside: what it is, and size and checksums of its files. An entry is written under a temporary name,
flushed, and renamed, so that a reader sees a whole one or none, whoever else writes; what is
damaged is not opened. Plain writes, not a memory map: a full disk is then an error, where a map
would kill the process. Using an entry touches ``entry.json``, so that what was not used for longest
goes first. Removing one renames it before anything in it is deleted: whoever has it mapped into
memory keeps it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from headstart.cores import usable_cores
from headstart.errors import DataError, OptionError
from headstart.events import note_once

_STALE_SECONDS = 24 * 3600
_CHECK_BYTES = 16 * 2**20
_SPARE_BYTES = 64 * 2**20  # left free on the disk, for the run folder
_RECORD = "entry.json"
_LIMIT = "HEADSTART_CACHE_LIMIT"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class CacheError(DataError):
    """Report that the cache cannot take an entry; the work can be done without one."""


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache.

    Attributes:
        kind: ``pixels``, ``activations``, ``measured`` or ``bundles``.
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
    """Return the folder of the cache; it need not exist yet.

    Raises:
        CacheError: If this user has no home and ``HEADSTART_CACHE`` is not set.
    """
    try:
        return Path(os.environ.get("HEADSTART_CACHE") or "~/.cache/headstart").expanduser()
    except RuntimeError as error:
        raise CacheError(
            "This user has no home folder, so there is no place for the cache. Set HEADSTART_CACHE "
            "to a folder."
        ) from error


def without_cache(error: CacheError) -> None:
    """Say once that the work goes on without the cache, and why."""
    told = f"Works without the cache, so that later runs compute this again. {error}"
    note_once(told, cause="cache")


def said_limit() -> int | None:
    """Return the bytes that ``HEADSTART_CACHE_LIMIT`` lets the cache hold; None where not set.

    Raises:
        OptionError: If the variable holds something else.
    """
    said = os.environ.get(_LIMIT, "").strip()
    if not said:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]B)?", said, re.IGNORECASE)
    if found is None:
        raise OptionError(
            f"{_LIMIT} is '{said}'; expected a number of bytes, or one with KB, MB, GB or TB. "
            f"Set it to 20GB, for example, or leave it out."
        )
    return int(float(found[1]) * _UNITS[(found[2] or "").upper()])


def cache_limit(root: Path) -> int:
    """Return how many bytes the cache may hold.

    ``HEADSTART_CACHE_LIMIT`` says it (``20GB``, ``500 MB``, bytes); otherwise it is half of what
    the disk would have free without the cache.

    Args:
        root: The folder of the cache.

    Raises:
        OptionError: If the variable holds something else.
    """
    if (said := said_limit()) is not None:
        return said
    held = sum(entry.num_bytes for entry in list_cache(root))
    try:
        return (shutil.disk_usage(existing_parent(root)).free + held) // 2
    except OSError:  # a folder that may not be looked at
        return 0


def existing_parent(path: Path) -> Path:
    """Return the path itself, or the nearest folder above that exists and may be looked at."""
    while not os.path.exists(path):
        path = path.parent
    return path


@contextmanager
def new_entry(
    folder: Path,
    num_bytes: int,
    what: str,
    is_whole: Callable[[], bool],
    *,
    limit_bytes: int | None = None,
    keep: Collection[Path] = (),
) -> Iterator[tuple[Path, dict[str, object]]]:
    """Make an entry: fill a folder and a record inside the block, and it is there after it.

    Size and checksums of all files are put into the record, but for those of folders inside, which
    bring their own. Where another process was faster and
    its entry is whole, that one is kept.

    Args:
        folder: Where the entry belongs.
        num_bytes: What its files will take.
        what: What it holds, for an error: "the decoded pixels of photos (train)".
        is_whole: Whether there is a whole entry now.
        limit_bytes: What the cache may hold: the least recently used entries make room. None for no
            limit.
        keep: Folders of entries that stay.

    Raises:
        CacheError: If the disk or the cache is full, or the folder cannot be written.
    """
    with _disk_errors(folder.parent, num_bytes, what):
        folder.parent.mkdir(parents=True, exist_ok=True)
        root = folder.parent.parent
        if limit_bytes is None:
            remove_stale(root)
        else:
            make_room(root, num_bytes, limit_bytes, keep)
        temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
        try:
            if shutil.disk_usage(temporary).free < num_bytes + _SPARE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            record: dict[str, object] = {}
            yield temporary, record
            record["files"] = {
                p.name: _state(p) for p in sorted(temporary.iterdir()) if p.is_file()
            }
            with open(temporary / _RECORD, "w") as text:
                json.dump(record, text)
                text.flush()
                os.fsync(text.fileno())
            _put_in_place(temporary, folder, is_whole)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def read_entry(folder: Path) -> dict[str, object] | None:
    """Return the record of an entry; None where it is missing or damaged. It counts as used now."""
    try:
        record: dict[str, object] = json.loads((folder / _RECORD).read_text())
        files = record["files"]
        assert isinstance(files, dict)
        if any(_state(folder / name) != state for name, state in files.items()):
            return None
        with suppress(OSError):  # a cache that may only be read is of use, too
            os.utime(folder / _RECORD)
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        return None
    return record


def write_all(file: int, data: memoryview, offset: int) -> None:
    """Write bytes to a place in an open file, however many calls that takes."""
    view = data.cast("B")
    while len(view):
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _state(path: Path) -> dict[str, object]:
    """Return size and checksums of a file.

    A CRC-32 for each 16 MiB guards against damage, not against intent.
    """
    size = path.stat().st_size

    def check(start: int) -> int:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            return zlib.crc32(file.read(_CHECK_BYTES))

    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        return {"bytes": size, "crc32": list(pool.map(check, range(0, size, _CHECK_BYTES)))}


def _put_in_place(temporary: Path, folder: Path, is_whole: Callable[[], bool]) -> None:
    """Rename a new entry; if another process was first and its entry is whole, keep that."""
    for _ in range(3):
        try:
            os.rename(temporary, folder)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if is_whole():
            return
        _remove(folder)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors(root: Path, needed: int, what: str) -> Iterator[None]:
    """Say in a sentence why an entry cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(existing_parent(root)).free
            raise CacheError(
                f"{what[0].upper()}{what[1:]} need {needed:,} bytes in {root}, where {free:,} are "
                f"free. Free some space, or set HEADSTART_CACHE to a folder on a larger disk."
            ) from error
        raise CacheError(
            f"The folder for {what} cannot be written: {root} ({error.strerror}). Set "
            f"HEADSTART_CACHE to a folder that can."
        ) from error


def list_cache(root: Path) -> list[CacheEntry]:
    """Return every entry of the cache, the one used last first.

    Args:
        root: The folder of the cache.
    """
    found = []
    for folder in _folders(root):
        record = folder / _RECORD
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
        CacheError: If it does not fit even then.
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
        raise CacheError(
            f"The cache in {root} may hold {limit:,} bytes, of which {held:,} are in use; "
            f"{needed:,} more do not fit. Raise {_LIMIT}, or set HEADSTART_CACHE to a folder on a "
            f"larger disk."
        )
    return freed


def remove_entry(folder: Path) -> int:
    """Remove one entry; return the bytes that freed, 0 where another process was faster."""
    size = _size(folder)
    return size if _remove(folder) else 0


def _remove(folder: Path) -> bool:
    """Rename a folder, then delete it; return whether it was there."""
    try:
        aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    except FileNotFoundError:
        return False
    try:
        os.rename(folder, aside / "removed")
    except FileNotFoundError:
        return False  # another process has just done the same
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def remove_stale(root: Path) -> int:
    """Remove what killed processes left behind, once it is a day old; return the bytes freed."""
    freed = 0
    for path in root.glob("*/*.tmp-*"):
        try:
            is_stale = time.time() - path.stat().st_mtime > _STALE_SECONDS
        except OSError:
            continue
        if is_stale:
            freed += _size(path)
            shutil.rmtree(path, ignore_errors=True)
    return freed


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders of entries, those being written left out."""
    for path in root.glob(f"*/*/{_RECORD}"):
        if ".tmp-" not in path.parent.name:
            yield path.parent


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            continue
    return total
