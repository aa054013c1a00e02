"""The pages of a server: one to try a model on, one that says how to ask. No network, no inputs.

Both are files beside this one; what is served is asked by the page itself, with the key that a
person types, so that nobody learns of a model by its page alone.
"""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path

from headstart.serving.limits import ServerLimits
from headstart.serving.models import Shelf

# What a browser shall do with a page, and not do.
PAGE_HEADERS = {
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; img-src blob: data:; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
}
_FOLDER = Path(__file__).with_name("pages")


@cache
def _file(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def try_page(shelf: Shelf) -> str:
    """Return the page on which a model is tried."""
    del shelf  # the page asks for it
    return _file("try.html")


def docs_page(shelf: Shelf) -> str:
    """Return the page that says how to ask, with the limits of this server."""
    return _file("docs.html").replace("{limits}", _limits(shelf.limits))


def _limits(limits: ServerLimits) -> str:
    rows = {
        "body": f"{limits.body_bytes // 2**20} MiB, {limits.inflated_bytes // 2**20} MiB unpacked",
        "rows of a request": f"{limits.rows:,}",
        "pixels of an image": f"{limits.pixels:,}",
        "characters of a text": f"{limits.characters:,}",
        "seconds for headers, body, answer": (
            f"{limits.header_seconds:g}, {limits.body_seconds:g}, {limits.request_seconds:g}"
        ),
        "tokens that are written of a sample": f"{limits.new_tokens:,}",
        "rows under way": f"{limits.waiting_rows:,}; more are answered 503 with Retry-After",
    }
    return "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(said)}</td></tr>"
        for name, said in rows.items()
    )
