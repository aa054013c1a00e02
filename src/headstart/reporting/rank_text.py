"""What ``headstart rank`` prints: the starts in order, what to try, and how sure that is."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from typing import Any

from rich.filesize import decimal

from headstart.reporting.terminal import format_seconds, print_table

_WIDTH = 80
COLUMNS = (
    "best: the chance that a start is the best of these, by drawing the samples that were read "
    "again and again; ms: of a sample's features; memory: of a step; fine-tuning: its training."
)


def render_rank_text(record: Mapping[str, Any]) -> str:
    """Return a ranking as plain text.

    Args:
        record: Content of ``ranking.json``.
    """
    stream = io.StringIO()
    print_table(rank_columns(record), rank_rows(record), stream, width=_WIDTH)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    lines.append("")
    lines += textwrap.wrap(COLUMNS, _WIDTH)
    lines.append("")
    for one in record["starts"]:
        place = "-" if one["place"] is None else f"{one['place']}."
        told = f"{place:<3}{one['start']}: {about(one)}"
        lines += textwrap.wrap(told, _WIDTH, subsequent_indent="   ", break_long_words=False)
    lines.append("")
    for sentence in summary(record):
        lines += textwrap.wrap(sentence, _WIDTH, break_long_words=False)
    return "\n".join(lines)


def rank_columns(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the headings of the table of starts.

    Args:
        record: Content of ``ranking.json``.
    """
    return ("", "start", record["figure_name"], "best", "ms", "memory", "fine-tuning")


def rank_rows(record: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the cells of the table of starts, the control at its end.

    Args:
        record: Content of ``ranking.json``.
    """
    rows = [_row(one) for one in record["starts"]]
    if (control := record["control"]) is not None:
        rows.append(("", "control", told_figure(control["figure"]), "", None, "", ""))
    return rows


def summary(record: Mapping[str, Any]) -> list[str]:
    """Return what to do, how sure that is, and what stands beside it.

    Args:
        record: Content of ``ranking.json``.
    """
    regret = record["regret"]
    found = [
        f"Worth a try: {', '.join(record['shortlist'])}. Taking the first alone loses "
        f"{regret['value']:.3f} on average, less than {regret['high']:.3f} in 97.5 % of the draws. "
        f"Read from {record['num_samples']:,} training samples in "
        f"{format_seconds(record['seconds'])}; test was not touched."
    ]
    control = record["control"]
    values = [o["figure"]["value"] for o in record["starts"] if o["figure"]["value"] is not None]
    if control is not None and control["name"] not in record["shortlist"]:
        told = f"The control ({control['name']}, without any start) reaches "
        told += f"{told_figure(control['figure'])}"
        is_beaten = control["figure"]["value"] < max(values)
        found.append(f"{told}." if is_beaten else f"{told}: no start beats it as it stands.")
    return found


def about(one: Mapping[str, Any]) -> str:
    """Return what a start is and why it stands where it stands.

    Args:
        one: Of ``starts`` in ``ranking.json``.
    """
    objective = f" ({one['objective']})" if one["objective"] not in (None, "supervised") else ""
    source = f"pretrained on {one['pretrained_on']}" if one["pretrained_on"] else "from scratch"
    return f"{source}{objective}, {one['licence']}; {one['why']}"


def told_figure(figure: Mapping[str, Any]) -> str:
    """Return a figure with its interval."""
    if figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of a start."""
    chance = "-" if one["best_chance"] is None else f"{one['best_chance']:.0%}"
    memory = "-" if one["step_bytes"] is None else decimal(one["step_bytes"])
    minutes = one["minutes"]
    return (
        "-" if one["place"] is None else str(one["place"]),
        one["start"],
        told_figure(one["figure"]),
        chance,
        None if one["milliseconds"] is None else round(one["milliseconds"], 2),
        memory,
        "-" if minutes is None else format_seconds(60 * minutes),
    )
