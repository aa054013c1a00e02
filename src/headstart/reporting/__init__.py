"""What a person reads: the report as text and as a page, tables, and the console.

The console is wanted by every command, the pages by few: they are imported when first used.
"""

from typing import TYPE_CHECKING

from headstart.lazily import names_from

if TYPE_CHECKING:
    from headstart.reporting.folder import render_folder
    from headstart.reporting.page import render_page
    from headstart.reporting.text import render_text

__all__ = ["render_folder", "render_page", "render_text"]


_PLACES = {
    "render_folder": "headstart.reporting.folder",
    "render_page": "headstart.reporting.page",
    "render_text": "headstart.reporting.text",
}
__getattr__ = names_from(__name__, _PLACES)
