"""The few HTML pieces that the sections of the page are built from; escaping happens here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape


def text(value: object) -> str:
    """Return a value as HTML text that is safe inside elements and quoted attributes."""
    return escape(str(value), quote=True)


def section(title: str, lead: str, body: str) -> str:
    """Return a titled card; an empty string where there is no body.

    Args:
        title: Plain text.
        lead: Plain text under the title, may be empty.
        body: HTML.
    """
    if not body:
        return ""
    intro = f'<p class="lead">{text(lead)}</p>' if lead else ""
    return f"<section><h2>{text(title)}</h2>{intro}{body}</section>"


def paragraph(words: str) -> str:
    """Return plain text as a paragraph."""
    return f'<p class="soft small">{text(words)}</p>'


def cell(html: str, css: str) -> str:
    """Return a table cell around HTML."""
    return f'<td class="{css}">{html}</td>' if css else f"<td>{html}</td>"


def axis_ends(axis: tuple[float, float]) -> str:
    """Return the two ends of an axis, as the head of a column of ``interval_chart``."""
    span = axis[1] - axis[0]
    # shares keep two decimals; quantities show what their span gives meaning to
    is_share = axis[0] >= 0 and axis[1] <= 1
    decimals = 2 if is_share or span <= 0 else min(6, max(0, 1 - math.floor(math.log10(span))))
    low, high = (f"{end:,.{decimals}f}" for end in axis)
    return f'<span class="ends"><span>{low}</span><span>{high}</span></span>'


def table(head: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that scrolls sideways where it does not fit.

    Args:
        head: Title (HTML) and CSS class of each column.
        rows: Cells as ``cell`` returns them.
    """
    titles = "".join(
        f'<th class="{css}">{title}</th>' if css else f"<th>{title}</th>" for title, css in head
    )
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return (
        f'<div class="wide"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
