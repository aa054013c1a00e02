"""What was measured on this machine, remembered in its cache, so that no later run measures it.

A measurement is asked for by what it depends on: the network, the size, the phase. The machine (its
processor, its cores) and the versions of what computes belong to the question, so that a cache on
a shared disk answers each machine for itself. Where the cache cannot be written nothing is
remembered, which is no loss but time.
"""

from __future__ import annotations

import json
import platform
import zlib
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path

from headstart.cores import processor, usable_cores
from headstart.storage.cache import CacheError, cache_root, new_entry, read_entry

_KIND = "measured"
_FORMAT = 1  # raise it when an answer to the same question would say something else


def recall(question: Mapping[str, object]) -> dict[str, object] | None:
    """Return what was measured before; None where nothing was, or it is damaged.

    Args:
        question: What was measured, JSON-able, with all that it depends on but the machine.
    """
    try:
        record = read_entry(_folder(question))
    except CacheError:
        return None
    answer = None if record is None else record.get("answer")
    if record is None or not isinstance(answer, dict) or record.get("crc32") != _crc32(answer):
        return None
    return answer


def remember(question: Mapping[str, object], answer: Mapping[str, object], *, about: str) -> bool:
    """Remember what was measured; return whether that could be written.

    Args:
        question: As ``recall`` takes it.
        answer: JSON-able.
        about: What was measured, in a few words, for ``headstart cache``.
    """
    try:
        folder = _folder(question)
        if recall(question) is not None:
            return True
        with new_entry(folder, 0, about, lambda: recall(question) is not None) as (_, record):
            record["about"], record["answer"] = about, dict(answer)
            record["crc32"] = _crc32(answer)
    except CacheError:
        return False
    return True


@cache
def this_machine() -> dict[str, object]:
    """Return what a speed depends on beside what is computed: processor, cores, system."""
    return {"processor": processor(), "cores": usable_cores(), "system": platform.system()}


def _crc32(answer: Mapping[str, object]) -> int:
    """Return a checksum of an answer: what is asked for it relies on its form."""
    return zlib.crc32(json.dumps(answer, sort_keys=True).encode())


def _folder(question: Mapping[str, object]) -> Path:
    """Return where the answer to a question lies."""
    whole = {"format": _FORMAT, "machine": this_machine(), **question}
    text = json.dumps(whole, sort_keys=True).encode()
    return cache_root() / _KIND / blake2b(text, digest_size=16).hexdigest()
