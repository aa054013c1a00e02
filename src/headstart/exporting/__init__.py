"""Exports: folders that transformers and timm load by themselves, with the same logits.

``export_transformers`` writes a fine-tuned text model, ``export_timm`` an image model. Both build
in a temporary folder beside the target, load it back with the library it is for, compare, and only
then give it its name. Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.lazily import names_from

if TYPE_CHECKING:
    from headstart.exporting.timm_folder import export_timm
    from headstart.exporting.transformers_folder import export_transformers

__all__ = ["export_timm", "export_transformers"]

_PLACES = {
    "export_timm": "headstart.exporting.timm_folder",
    "export_transformers": "headstart.exporting.transformers_folder",
}


__getattr__ = names_from(__name__, _PLACES)
