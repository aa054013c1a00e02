"""What a notebook shows: progress in one cell that is redrawn, and results as HTML tables.

Every text comes from data or options of a user and is escaped. No script, no widget, no style of
the notebook's own is touched: bars are the ``<progress>`` of HTML. Outside of a notebook nothing of
IPython is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Protocol

from headstart.reporting.measures import Json, format_measure, ladder_of, task_of
from headstart.reporting.terminal import format_value, is_number
from headstart.reporting.wording import (
    data_title,
    describe_start,
    format_items,
    has_lost,
    outcome,
    start_address,
)

CELL_SECONDS = 0.5  # between two drawings: each sends the whole cell to the browser
_MAX_LINES = 400  # of a cell; the first ones go
_RIGHT, _LEFT = ' style="text-align:right"', ' style="text-align:left"'


class _Running(Protocol):
    """A running task, as the console keeps it."""

    name: str

    @property
    def done(self) -> float: ...
    @property
    def total(self) -> float | None: ...
    def count(self) -> str:
        """Say how far it is."""
        ...

    def left(self, now: float) -> str:
        """Say how long it will take."""
        ...


def in_notebook() -> bool:
    """Return whether this program runs in the kernel of a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class Cell:
    """Where the console draws in a notebook: one output of HTML, redrawn as the work goes on.

    Args:
        show: Called with the HTML of the whole output each time it changes; IPython's own display
            when not given.
    """

    seconds = CELL_SECONDS

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self._show = _display() if show is None else show
        self._lines: list[str] = []
        self._bars: dict[str, str] = {}

    def say(self, text: str, style: str = "") -> None:
        """Add a line."""
        look = "font-weight:600" if "bold" in style else "opacity:.8"
        self._add(f'<div style="{look};white-space:pre-wrap">{escape(text)}</div>')

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table."""
        self._add(html_table(columns, rows, title=title))

    def draw(self, task: _Running, details: str, now: float) -> None:
        """Show how far a running task is."""
        size = "" if not task.total else f' value="{task.done:g}" max="{task.total:g}"'
        told = "  ".join(part for part in (task.count(), details, task.left(now)) if part)
        self._bars[task.name] = (
            f"<div>{escape(task.name)} <progress{size}></progress> {escape(told)}</div>"
        )
        self._redraw()

    def finish(self, task: _Running, text: str) -> None:
        """Replace the bar of a task by its last line."""
        self._bars.pop(task.name, None)
        self.say(text)

    def stop(self) -> None:
        """Take the bars away."""
        if self._bars:
            self._bars = {}
            self._redraw()

    def _add(self, line: str) -> None:
        self._lines = [*self._lines, line][-_MAX_LINES:]
        self._redraw()

    def _redraw(self) -> None:
        self._show("".join([*self._lines, *self._bars.values()]))


def _display() -> Callable[[str], None]:
    """Return what shows HTML below the running cell, in place of what it showed before."""
    from IPython.display import HTML, display

    handles: list[Any] = []

    def show(html: str) -> None:
        if handles:
            handles[0].update(HTML(html))
        else:
            handles.append(display(HTML(html), display_id=True))

    return show


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> str:
    """Return a table as HTML; columns of numbers are aligned to the right.

    Args:
        columns: Headings.
        rows: One cell a column, written as on a terminal.
        title: A line above.
    """
    listed = [list(row) for row in rows]
    sides = [
        _RIGHT if listed and all(is_number(row[i]) or row[i] is None for row in listed) else _LEFT
        for i in range(len(columns))
    ]

    def line(tag: str, cells: Iterable[str]) -> str:
        pairs = zip(cells, sides, strict=True)
        told = "".join(f"<{tag}{side}>{escape(cell)}</{tag}>" for cell, side in pairs)
        return f"<tr>{told}</tr>"

    body = "".join(line("td", map(format_value, row)) for row in listed)
    caption = f'<caption style="text-align:left">{escape(title)}</caption>' if title else ""
    head = line("th", columns)
    return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"


def html_text(text: str) -> str:
    """Return a text for a terminal as HTML, its columns under one another.

    Args:
        text: Of any number of lines.
    """
    return f'<pre style="white-space:pre-wrap">{escape(text)}</pre>'


def html_run(name: str, metrics: Json, model: Json) -> str:
    """Return a run: what it is, its figures with their intervals, and what it is better than.

    Args:
        name: Of its folder.
        metrics: ``metrics.json``; empty while it is unfinished.
        model: ``model.json``.
    """
    about = f"{escape(start_address(model))}, {escape(str(model.get('strategy') or 'unknown'))}"
    head = f"<div><b>{escape(name)}</b>: {about}</div><div>{escape(describe_start(model))}</div>"
    if not metrics.get("test"):
        return f"{head}<div>Unfinished: no figure says how good it is.</div>"
    return head + html_figures(metrics)


def html_figures(metrics: Json) -> str:
    """Return the figures of a test split with their intervals, and the ladder where there is one.

    Args:
        metrics: ``metrics.json``; of its keys only ``task`` and ``test`` are needed.
    """
    test, val = metrics["test"], (metrics.get("val") or {}).get("figures") or {}
    task = task_of(metrics)
    figures: Mapping[str, Any] = test.get("figures") or {}
    if task is None or not figures:
        return ""
    rows = []
    for key, measure in task.figures.items():
        if key in figures:
            row = [measure.name, format_measure(measure, figures[key])]
            rows.append([*row, format_measure(measure, val.get(key))] if val else row)
    items = format_items(test["num_items"], test.get("num_groups"))
    title = f"{items} of the test set; in brackets 95 % intervals"
    told = html_table(["figure", "test", "val"] if val else ["figure", "test"], rows, title=title)
    compared, ladder = ladder_of(metrics)
    if ladder and compared is not None:
        before = [[name, format_measure(compared, found)] for name, found in ladder.items()]
        told += html_table(["before and after", compared.name], before)
        look = "font-weight:600" if has_lost(metrics) else "opacity:.8"
        told += f'<div style="{look}">{escape(outcome(metrics))}</div>'
    return told


def html_runs(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the runs of a folder.

    Args:
        rows: As ``comparing.leaderboard`` gives them.
    """
    from headstart.reporting.runs_list import told_figure, told_seconds

    cells = [
        (
            row["run"],
            data_title(row["data"]),
            row["start"],
            row["strategy"],
            row["metric_name"],
            told_figure(row),
            told_seconds(row),
        )
        for row in rows
    ]
    return html_table(("run", "data", "start", "strategy", "figure", "test", "time"), cells)


def html_ranking(record: Mapping[str, Any]) -> str:
    """Return a ranking of starts.

    Args:
        record: Content of ``ranking.json``.
    """
    from headstart.reporting.rank_text import rank_columns, rank_rows, summary

    told = html_table(rank_columns(record), rank_rows(record))
    return told + "".join(f"<div>{escape(sentence)}</div>" for sentence in summary(record))
