"""Names of a safetensors file that stand in it twice: which of both counts is anybody's guess.

The library takes the last and says nothing, so that who looks at the first sees other weights than
those that answer. Everything else that is wrong with such a file it refuses by itself.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct("<Q")
_MOST_BYTES = 100_000_000  # of a header, as the library has it


def refuse_names_twice(path: Path) -> None:
    """Refuse a file of tensors whose header has a key twice.

    Args:
        path: Of a file that the library has read.

    Raises:
        ValueError: If it has, or is no such file.
    """
    with path.open("rb") as file:
        begin = file.read(_LENGTH.size)
        if len(begin) < _LENGTH.size:
            raise ValueError("the file ends before its header")
        (length,) = _LENGTH.unpack(begin)
        if length > _MOST_BYTES:
            raise ValueError(f"a header of {length:,} bytes")
        header = file.read(length)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in found if names.count(name) > 1)
            raise ValueError(f"'{twice[:80]}' stands in its header twice")
        return found

    try:
        json.loads(header, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("a header of many levels") from None
