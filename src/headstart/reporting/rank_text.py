"""What ``headstart rank`` prints: the starts in order, what to try, and how sure that is."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from typing import Any

from rich.filesize import decimal

from headstart.reporting.terminal import format_seconds, print_table

_WIDTH = 80


def render_rank_text(record: Mapping[str, Any]) -> str:
    """Return a ranking as plain text.

    Args:
        record: Content of ``ranking.json``.
    """
    stream = io.StringIO()
    rows = [_row(one) for one in record["starts"]]
    columns = ("", "start", record["figure_name"], "best", "ms", "memory", "fine-tuning")
    print_table(columns, rows, stream)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    lines.append("")
    for one in record["starts"]:
        place = "-" if one["place"] is None else f"{one['place']}."
        objective = f" ({one['objective']})" if one["objective"] not in (None, "supervised") else ""
        source = f"pretrained on {one['pretrained_on']}" if one["pretrained_on"] else "from scratch"
        told = f"{place:<3}{one['start']}: {source}{objective}, {one['licence']}; {one['why']}"
        lines += textwrap.wrap(told, _WIDTH, subsequent_indent="   ", break_long_words=False)
    lines.append("")
    several = record["shortlist"]
    regret = record["regret"]
    lines += textwrap.wrap(
        f"Worth a try: {', '.join(several)}. Taking the first alone loses "
        f"{regret['value']:.3f} on average, less than {regret['high']:.3f} in 97.5 % of the draws. "
        f"Read from {record['num_samples']:,} training samples in "
        f"{format_seconds(record['seconds'])}; test was not touched.",
        _WIDTH,
        break_long_words=False,
    )
    return "\n".join(lines)


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of a start."""
    figure = one["figure"]
    told = "-"
    if figure["value"] is not None:
        told = f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
    chance = "-" if one["best_chance"] is None else f"{one['best_chance']:.0%}"
    memory = "-" if one["step_bytes"] is None else decimal(one["step_bytes"])
    minutes = one["minutes"]
    return (
        "-" if one["place"] is None else str(one["place"]),
        one["start"],
        told,
        chance,
        None if one["milliseconds"] is None else round(one["milliseconds"], 2),
        memory,
        "-" if minutes is None else format_seconds(60 * minutes),
    )
