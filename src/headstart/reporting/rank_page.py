"""The page of ``headstart rank``: how good each start is against what it costs, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal

from headstart.reporting.charts import Priced, price_chart
from headstart.reporting.page import templates
from headstart.reporting.rank_text import COLUMNS, about, summary, told_figure
from headstart.reporting.terminal import format_seconds


def render_rank_page(record: Mapping[str, Any]) -> str:
    """Return a ranking as a self-contained HTML page.

    Args:
        record: Content of ``ranking.json``.
    """
    points = _points(record["starts"])
    figure = record["figure_name"]
    control = record["control"]
    return (
        templates()
        .get_template("ranking.html")
        .render(
            name=record["data"],
            summary=summary(record),
            chart=price_chart(
                points, y_label=figure, label=f"{figure} of each start against its price in time"
            ),
            figure=figure,
            columns=COLUMNS,
            control=None if control is None else (control["name"], told_figure(control["figure"])),
            starts=[_row(one, record["shortlist"]) for one in record["starts"]],
            footer=f"{record['num_samples']:,} training samples read in "
            f"{format_seconds(record['seconds'])} · ranking.json holds every score",
        )
    )


def _points(starts: Sequence[Mapping[str, Any]]) -> list[Priced]:
    """Return the starts that have both a score and a price."""
    known = [
        one
        for one in starts
        if one["figure"]["value"] is not None and one["minutes"] is not None and one["minutes"] > 0
    ]
    return [
        Priced(
            one["start"],
            one["minutes"],
            one["figure"]["value"],
            one["figure"]["low"],
            one["figure"]["high"],
            not any(
                other["minutes"] <= one["minutes"]
                and other["figure"]["value"] >= one["figure"]["value"]
                and (other["minutes"], -other["figure"]["value"])
                != (one["minutes"], -one["figure"]["value"])
                for other in known
            ),
        )
        for one in known
    ]


def _row(one: Mapping[str, Any], listed: Sequence[str]) -> dict[str, object]:
    """Return what the page shows of a start."""
    minutes = one["minutes"]
    return {
        "place": "-" if one["place"] is None else str(one["place"]),
        "start": one["start"],
        "is_listed": one["start"] in listed,
        "figure": told_figure(one["figure"]),
        "chance": "-" if one["best_chance"] is None else f"{one['best_chance']:.0%}",
        "milliseconds": "-" if one["milliseconds"] is None else f"{one['milliseconds']:.2f}",
        "memory": "-" if one["step_bytes"] is None else decimal(one["step_bytes"]),
        "time": "-" if minutes is None else format_seconds(60 * minutes),
        "about": about(one),
    }
