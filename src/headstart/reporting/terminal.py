"""Print values and tables for a person: fitted to a terminal, never cut short in a pipe.

One way to write a number, a duration and a table, shared by the progress console (stderr) and the
command line's results (stdout). It knows nothing of what the tables hold.
"""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections.abc import Sequence
from typing import TextIO

UNBROKEN = "\N{NO-BREAK SPACE}"  # where a line of text must not end
_END = re.compile(r"(?: |\x1b\[[0-9;]*m)+$", re.M)  # of a line: blanks, and colours that end there
_TOGETHER = re.compile(r"\[[^\[\]\s]+, [^\[\]\s]+\]|\bp [=<] [\d.e-]+|\d %")


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person watches the stream on a terminal that can redraw a line."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def format_value(value: object) -> str:
    """Return a value as a table shows it: ``1,437``, ``0.9812``, ``yes``, and ``-`` for None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def format_seconds(seconds: float) -> str:
    """Return a duration: ``3.2 s`` below ten seconds, then ``0:42``, ``12:05``, ``1:02:05``."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def fitted(text: str, width: int = 80) -> str:
    """Return a text whose lines are broken between words where they are wider; no word is cut.

    Args:
        text: Of any number of lines, each of which may be indented.
        width: Columns at the most, but for a word that is longer, such as a path.
    """
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        if len(line) > width:
            lines += textwrap.wrap(
                line,
                width,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        else:
            lines.append(line)
    return "\n".join(lines)


def wrapped(text: str, width: int = 80, *, first: str = "", following: str = "") -> list[str]:
    """Return a text in lines, none of which ends inside an interval, a p-value or a percentage.

    Args:
        text: Of one paragraph.
        width: Columns at the most.
        first: Stands before the first line.
        following: Stands before each of the others.
    """
    lines = textwrap.wrap(unbroken(text), width, initial_indent=first, subsequent_indent=following)
    return [line.replace(UNBROKEN, " ") for line in lines]


def unbroken(text: str) -> str:
    """Return a text in which no line may end inside an interval, a p-value or a percentage."""
    return _TOGETHER.sub(lambda found: found[0].replace(" ", UNBROKEN), text)


def is_number(value: object) -> bool:
    """Return whether a cell is a number, which stands to the right in its column."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    stream: TextIO,
    *,
    title: str | None = None,
    width: int | None = None,
) -> None:
    """Print a table: fitted to the terminal, or aligned and never cut short when piped.

    Args:
        columns: Headings.
        rows: One cell a column; columns of numbers are aligned to the right.
        stream: Where to.
        title: A line above.
        width: Columns that lines have at most when piped, for what a person reads: a row that is
            wider is told over several lines. None keeps a line a row, which programs can read.
    """
    numeric = [
        any(row[index] is not None for row in rows)
        and all(row[index] is None or is_number(row[index]) for row in rows)
        for index in range(len(columns))
    ]
    cells = [[format_value(cell) for cell in row] for row in rows]
    if is_terminal(stream):
        _print_rich_table(columns, cells, numeric, stream, title)
        return
    widths = [
        max(len(heading), *(len(row[index]) for row in cells)) if cells else len(heading)
        for index, heading in enumerate(columns)
    ]
    if title:
        stream.write(f"{title}\n")
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        for row in cells:
            stream.write("\n".join(_over_lines(columns, row, width)) + "\n")
        stream.flush()
        return
    for row in [list(columns), *cells]:
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        stream.write("  ".join(aligned).rstrip() + "\n")
    stream.flush()


def _over_lines(columns: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """Return a row with its name on a line and what else is known of it below."""
    told = textwrap.wrap(_told(columns, row), width - 2, break_on_hyphens=False)
    lines = (f"  {one.replace(UNBROKEN, ' ')}" for one in told)
    return [*textwrap.wrap(row[0], width, break_on_hyphens=False), *lines]


def _told(columns: Sequence[str], row: Sequence[str]) -> str:
    """Return the cells of a row but the first, each with its heading; what is unknown left out.

    No line ends between a heading and what it heads, nor before a dot.
    """
    pairs = zip((heading.replace(" ", UNBROKEN) for heading in columns[1:]), row[1:], strict=True)
    known = [f"{heading}{UNBROKEN}{cell}" for heading, cell in pairs if cell not in ("-", "")]
    return f"{UNBROKEN}· ".join(known)


def _print_rich_table(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    stream: TextIO,
    title: str | None,
) -> None:
    from rich import box
    from rich.console import Console as RichConsole
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    for heading, right in zip(columns, numeric, strict=True):
        # The first column names the row: cutting it short would make the row useless.
        table.add_column(
            heading,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=right or len(table.columns) == 0,
        )
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console = RichConsole(file=stream, highlight=False)
    least = max(console.measure(table).minimum, _natural(columns, cells))
    with console.capture() as drawn:
        if title:
            console.print(Text(title, style="bold"))
        if least > console.width:
            for row in cells:  # folded into columns of a letter nobody could read it
                console.print(Text(row[0], style="bold"))
                console.print(Padding(Text(_told(columns, row)), (0, 0, 0, 2)))
        else:
            console.print(table)
    # rich fills lines up to their column: who marks and copies a table would get the blanks
    stream.write(_END.sub(lambda found: found[0].replace(" ", ""), drawn.get()))
    stream.flush()


def _natural(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Return how wide a table is whose cells are not folded, but for half of the longest column."""
    widths = [
        max([len(heading), *(len(row[index]) for row in cells)])
        for index, heading in enumerate(columns)
    ]
    return sum(widths) + 2 * (len(widths) - 1) - max(widths[1:], default=0) // 2
