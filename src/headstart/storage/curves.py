"""How the arms of each ``fit`` on this machine went, kept in its cache: what the prior learns from.

A record says of a data set its digest, its size and its task, and of each arm what it was, what it
reached and its curve; no name of a file, a column or a class, and no sample. It stays in the cache
folder and is sent nowhere. ``HEADSTART_CURVES=off`` keeps none and reads none; ``headstart cache
--clear --kind curves`` forgets all.

Left out: what is made of it (``ranking.prior``).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from headstart.storage.cache import CacheError, cache_root, new_entry, read_entry

VARIABLE = "HEADSTART_CURVES"
_KIND = "curves"
_FORMAT = 1


def are_kept() -> bool:
    """Return whether curves are kept and read: unless the user has said ``off``."""
    return os.environ.get(VARIABLE, "on").strip().lower() not in ("off", "0", "no", "false")


def digest_of(fingerprint: str) -> str:
    """Return what a data set is called in the records: the same for the same data, and no name."""
    return blake2b(fingerprint.encode(), digest_size=8).hexdigest()


def keep_curves(record: Mapping[str, Any]) -> bool:
    """Keep how the arms of a run went; return whether that was done.

    Args:
        record: JSON-able: ``data`` (its digest), ``modality``, ``task``, ``arms`` and the like.
    """
    if not are_kept():
        return False
    whole = {"format": _FORMAT, **record}
    name = blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=16).hexdigest()
    about = f"{len(record['arms'])} arms on data {record['data']}"
    try:
        folder = cache_root() / _KIND / name
        with new_entry(folder, 0, about, lambda: read_entry(folder) is not None) as (_, entry):
            entry.update(about=about, kept=time.time(), curves=whole)
    except CacheError:
        return False  # no loss to the run
    return True


def read_curves() -> Iterator[Mapping[str, Any]]:
    """Yield the records of this machine, the oldest first; what is damaged is passed over."""
    if not are_kept():
        return
    found = []
    try:
        for folder in (cache_root() / _KIND).glob("*"):
            entry = None if ".tmp-" in folder.name else read_entry(folder)
            whole = None if entry is None else entry.get("curves")
            if isinstance(whole, dict) and whole.get("format") == _FORMAT:
                assert entry is not None
                found.append((float(str(entry.get("kept", 0.0))), folder.name, whole))
    except (CacheError, OSError, ValueError):
        return
    for _, _, whole in sorted(found, key=lambda one: one[:2]):
        yield whole
