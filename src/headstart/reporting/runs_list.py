"""The list of all runs of a folder: as text, as CSV, and as a page."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.reporting.measures import format_measure, measure_named
from headstart.reporting.page import templates
from headstart.reporting.wording import data_title, format_count, format_duration

WIDTH = 80
Rows = Sequence[Mapping[str, Any]]
LeftOut = Sequence[tuple[str, str]]


def render_runs_text(rows: Rows, left_out: LeftOut, starts: Sequence[str] = ()) -> str:
    """Return the runs as plain text, data set by data set.

    Args:
        rows: As ``comparing.leaderboard`` gives them.
        left_out: Folder and reason of those that are not listed.
        starts: Folders of pretrained starts, which have no figures of a test split.
    """
    lines: list[str] = []
    for head, listed in _by_data(rows):
        lines += [*([""] if lines else []), *textwrap.wrap(head, WIDTH)]
        cells = [
            (_plain(row["run"]), told_figure(row), _plain(row["start"]), told_seconds(row))
            for row in listed
        ]
        widths = [max(len(row[column]) for row in cells) for column in range(4)]
        wide = sum(widths) + 8 <= WIDTH
        for row, (run, figure, start, time) in zip(listed, cells, strict=True):
            about = f"{row['strategy']}" + (", from scratch" if row["is_from_scratch"] else "")
            if wide:
                told = f"{run:<{widths[0]}}  {figure:<{widths[1]}}  {start:<{widths[2]}}  "
                lines += [f"  {told}{time:>{widths[3]}}".rstrip(), f"    {about}"]
            else:
                line = f"  {run:<{widths[0]}}  {figure}"
                is_long = len(line) > WIDTH
                lines += textwrap.wrap(run, WIDTH, initial_indent="  ") if is_long else [line]
                start = f"{figure}, {start}" if is_long else start
                lines += textwrap.wrap(f"{start}, {about}, {time}", WIDTH, initial_indent="    ")
    if starts:
        lines += textwrap.wrap(starts_sentence(starts), WIDTH, subsequent_indent="  ")
    for folder, reason in left_out:
        told = reason if folder in reason else f"{folder}: {reason}"
        lines += textwrap.wrap(f"left out: {told}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def starts_sentence(starts: Sequence[str]) -> str:
    """Return which pretrained starts there are."""
    which = "pretrained start" if len(starts) == 1 else "pretrained starts"
    return f"{len(starts):,} {which}, without figures of a test split: {', '.join(starts)}"


def runs_csv(rows: Rows) -> str:
    """Return the runs as CSV, a column for each figure and its ends.

    Args:
        rows: As ``comparing.leaderboard`` gives them.
    """
    plain = [name for name in rows[0] if not isinstance(rows[0][name], dict)] if rows else []
    plain = [name for name in plain if name not in ("metric_name", "naive")]
    figures = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ends = ("value", "low", "high")
    heads = [f"{name}{'' if end == 'value' else '_' + end}" for name in figures for end in ends]
    writer.writerow([*plain, *heads])
    for row in rows:
        found = [(row["figures"].get(name) or {}).get(end) for name in figures for end in ends]
        writer.writerow([*(row[name] for name in plain), *found])
    return stream.getvalue()


def render_runs_page(folder: str, rows: Rows, left_out: LeftOut, starts: Sequence[str] = ()) -> str:
    """Return the runs as a self-contained HTML page.

    Args:
        folder: What it is called.
        rows: As ``comparing.leaderboard`` gives them.
        left_out: Folder and reason of those that are not listed.
        starts: Folders of pretrained starts.
    """
    sets = [
        {
            "title": head,
            "figure": listed[0]["metric_name"],
            "rows": [
                {
                    "run": row["run"],
                    "figure": told_figure(row),
                    "start": row["start"],
                    "about": f"{row['strategy']}, {_size(row)}"
                    + (", from scratch" if row["is_from_scratch"] else ""),
                    "time": told_seconds(row),
                }
                for row in listed
            ],
        }
        for head, listed in _by_data(rows)
    ]
    total = len(rows)
    return (
        templates()
        .get_template("runs.html")
        .render(
            name=folder,
            about=f"{total:,} finished run{'' if total == 1 else 's'}",
            sets=sets,
            left_out=left_out,
            starts=starts_sentence(starts) if starts else "",
            footer="Figures of the test split with 95 % intervals; runs in one table were tested "
            "on the same items. headstart compare says whether two of them differ beyond noise.",
        )
    )


def told_figure(row: Mapping[str, Any]) -> str:
    """Return the leading figure of a run with its interval."""
    measure = measure_named(row["metric"])
    figure = row["figures"].get(row["metric"])
    return "unknown" if measure is None else format_measure(measure, figure)


def told_seconds(row: Mapping[str, Any]) -> str:
    """Return what a run has taken."""
    return "-" if row["seconds"] is None else format_duration(row["seconds"])


def _size(row: Mapping[str, Any]) -> str:
    if not row["parameters"]:
        return "size unknown"
    return f"{format_count(int(row['parameters']))} parameters"


def _by_data(rows: Rows) -> list[tuple[str, Rows]]:
    """Return the runs by what they were tested on, in the order of the rows, each with a title."""
    together: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        together.setdefault(row["tested_on"], []).append(row)
    called = {
        one: min((row["data"] for row in listed), key=lambda name: (len(name), name))
        for one, listed in together.items()
    }
    names = list(called.values())
    found: list[tuple[str, Rows]] = []
    for tested_on, listed in together.items():
        data = called[tested_on]
        mark = f" ({tested_on[:8]})" if names.count(data) > 1 else ""
        naive = listed[0]["naive"]
        beside = ""
        if naive is not None and (measure := measure_named(listed[0]["metric"])):
            beside = f"; without a model {format_measure(measure, naive)}"
        first = listed[0]
        items = f"{first['num_test']:,} test items"
        head = f"{data_title(data)}{mark}: {first['metric_name']} on {items}{beside}"
        found.append((head, listed))
    return found


def _plain(text: str) -> str:
    """Return a name without signs that draw on a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
