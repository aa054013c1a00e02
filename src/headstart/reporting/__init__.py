"""What a person reads: the report as text and as a page, tables, and the console."""

from headstart.reporting.folder import render_folder
from headstart.reporting.page import render_page
from headstart.reporting.text import render_text

__all__ = ["render_folder", "render_page", "render_text"]
