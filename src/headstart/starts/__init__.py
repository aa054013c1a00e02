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

from headstart.lazily import names_from

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

_PLACES = {
    "BuildRequest": "headstart.starts.provider",
    "ClipImageNetwork": "headstart.starts.duals.clip",
    "Encoder": "headstart.starts.encoder",
    "PairNetwork": "headstart.starts.duals.networks",
    "TaggerWeights": "headstart.starts.texts.term_network",
    "WritingNetwork": "headstart.starts.texts.writing",
    "adapter_names": "headstart.starts.lora",
    "add_lora": "headstart.starts.lora",
    "build_encoder": "headstart.starts.builders",
    "find_start": "headstart.starts.catalog",
    "join_rows": "headstart.starts.joined",
    "learn_preprocess": "headstart.starts.builders",
    "learns_from_texts": "headstart.starts.builders",
    "list_starts": "headstart.starts.catalog",
    "merge_lora": "headstart.starts.lora",
    "rebuild_encoder": "headstart.starts.rebuild",
    "require_start": "headstart.starts.catalog",
    "wrap_module": "headstart.starts.own_module",
}


__getattr__ = names_from(__name__, _PLACES)
