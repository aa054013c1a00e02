"""Starting points: the catalogue, and encoders built from it.

``list_starts`` and ``find_start`` say what there is; ``build_encoder`` makes it ready for some
data; ``rebuild_encoder`` makes the same module again from a run folder; ``wrap_module`` takes a
module of one's own. Names are imported on first use, so that importing this room costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.starts.builders import build_encoder, rebuild_encoder
    from headstart.starts.catalog import find_start, list_starts
    from headstart.starts.encoder import Encoder, wrap_module

__all__ = [
    "Encoder",
    "build_encoder",
    "find_start",
    "list_starts",
    "rebuild_encoder",
    "wrap_module",
]

_HOMES = {
    "Encoder": "encoder",
    "build_encoder": "builders",
    "find_start": "catalog",
    "list_starts": "catalog",
    "rebuild_encoder": "builders",
    "wrap_module": "encoder",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
