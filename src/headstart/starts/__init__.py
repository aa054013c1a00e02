"""Starting points: the catalogue, and encoders built from it.

``list_starts`` and ``find_start`` say what there is; ``build_encoder`` makes a start ready for some
data (a ``BuildRequest``), from what ``learn_preprocess`` learned of its texts where it is at hand;
``rebuild_encoder`` makes the same module again from a run folder; ``wrap_module`` takes a module of
one's own; ``join_rows`` puts columns of a sample's row beside it; ``add_lora`` and ``merge_lora``
put adapters in and take them out. Names are imported on first use, so that importing this room
costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.starts.builders import build_encoder, learn_preprocess, learns_from_texts
    from headstart.starts.catalog import find_start, list_starts, require_start
    from headstart.starts.duals.clip import ClipImageNetwork
    from headstart.starts.duals.networks import PairNetwork
    from headstart.starts.encoder import Encoder
    from headstart.starts.joined import join_rows
    from headstart.starts.lora import adapter_names, add_lora, merge_lora
    from headstart.starts.own_module import wrap_module
    from headstart.starts.provider import BuildRequest
    from headstart.starts.rebuild import rebuild_encoder
    from headstart.starts.texts.term_network import TaggerWeights
    from headstart.starts.texts.writing import WritingNetwork

__all__ = [
    "BuildRequest",
    "ClipImageNetwork",
    "Encoder",
    "PairNetwork",
    "TaggerWeights",
    "WritingNetwork",
    "adapter_names",
    "add_lora",
    "build_encoder",
    "find_start",
    "join_rows",
    "learn_preprocess",
    "learns_from_texts",
    "list_starts",
    "merge_lora",
    "rebuild_encoder",
    "require_start",
    "wrap_module",
]

_HOMES = {
    "BuildRequest": "provider",
    "ClipImageNetwork": "duals.clip",
    "Encoder": "encoder",
    "PairNetwork": "duals.networks",
    "TaggerWeights": "texts.term_network",
    "WritingNetwork": "texts.writing",
    "adapter_names": "lora",
    "add_lora": "lora",
    "build_encoder": "builders",
    "find_start": "catalog",
    "join_rows": "joined",
    "learn_preprocess": "builders",
    "learns_from_texts": "builders",
    "list_starts": "catalog",
    "merge_lora": "lora",
    "rebuild_encoder": "rebuild",
    "require_start": "catalog",
    "wrap_module": "own_module",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
