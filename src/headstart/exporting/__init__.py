"""Exports: folders that transformers and timm load by themselves, with the same logits.

``export_transformers`` writes a fine-tuned text model, ``export_timm`` an image model. Both build
in a temporary folder beside the target, load it back with the library it is for, compare, and only
then give it its name. Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.exporting.timm_folder import export_timm
    from headstart.exporting.transformers_folder import export_transformers

__all__ = ["export_timm", "export_transformers"]

_HOMES = {"export_timm": "timm_folder", "export_transformers": "transformers_folder"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
