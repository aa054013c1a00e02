"""What a person reads: the report as text and as a page, tables, and the console.

The console is wanted by every command, the pages by few: they are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.reporting.folder import render_folder
    from headstart.reporting.page import render_page
    from headstart.reporting.text import render_text

__all__ = ["render_folder", "render_page", "render_text"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'headstart.reporting' has no attribute '{name}'")
    module = import_module(f"headstart.reporting.{name.removeprefix('render_')}")
    value: object = getattr(module, name)
    globals()[name] = value
    return value
