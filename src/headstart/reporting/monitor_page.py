"""The page of ``headstart monitor``: how far each window was from held-out samples, and in what."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headstart.reporting.charts import line_chart
from headstart.reporting.measures import Json
from headstart.reporting.monitor_text import (
    NOTE,
    accuracy_sentence,
    class_rows,
    column_rows,
    compared_with,
    verdict,
    window_table,
)
from headstart.reporting.page import templates

_MOST_ROWS = 100
_SMALLEST = 1e-4  # p-values below are drawn there


def render_monitor_page(state: Json) -> str:
    """Return what is known of drift as a self-contained HTML page.

    Args:
        state: As ``render_monitor_text`` takes it.
    """
    windows = state["windows"]
    last = windows[-1] if windows else {}
    heads, rows = window_table(windows)
    return (
        templates()
        .get_template("monitor.html")
        .render(
            name=state["model"],
            version=state["version"],
            verdict=verdict(state),
            is_alarm=state["alarm"],
            about=compared_with(state),
            charts=_charts(windows),
            heads=[(head, "" if head == "window" else "number") for head in heads],
            rows=[
                [(cell.strip(), "number" if at else "") for at, cell in enumerate(row)]
                for row in reversed(rows)
            ],
            note=NOTE,
            accuracy=accuracy_sentence(last["accuracy"]) if "accuracy" in last else "",
            classes=_cells(class_rows(last)),
            columns=_cells(column_rows(last)),
            footer="Figures of answers; no input is kept. headstart monitor makes this page anew.",
        )
    )


def _charts(windows: Sequence[Json]) -> list[tuple[object, str]]:
    """Return a chart a detector: its p-value window by window, beside the one that is rare."""
    names = list(dict.fromkeys(name for one in windows for name in one["detectors"]))
    found: list[tuple[object, str]] = []
    for name in names:
        points = [
            (float(one["number"]), math.log10(max(one["detectors"][name]["p"], _SMALLEST)))
            for one in windows
            if name in one["detectors"]
        ]
        rare = [(x, -2.0) for x, _ in (points[0], points[-1])]
        label = f"Decimal logarithm of the p-value of {name}, window by window"
        series = [(name, "line-a", points), ("1 in 100", "line-b", rare)]
        chart = line_chart(series, x_label="window", label=label)
        legend = [("line-a", f"{name}, log10 of p"), ("line-b", "1 in 100")]
        found.append((legend, chart))
    if any("accuracy" in one for one in windows):
        judged = [one for one in windows if "accuracy" in one]
        points = [(float(o["number"]), o["accuracy"]["estimate"]["value"]) for o in judged]
        former = [(x, float(judged[-1]["accuracy"]["reference"])) for x, _ in points]
        series = [("estimated", "line-a", points), ("held-out", "line-b", former)]
        chart = line_chart(series, x_label="window", label="Estimated accuracy, window by window")
        found.append(([("line-a", "accuracy, estimated"), ("line-b", "held-out")], chart))
    return found


def _cells(rows: list[list[str]]) -> list[list[tuple[str, str]]]:
    return [
        [(cell.strip(), "number" if at else "name") for at, cell in enumerate(row)]
        for row in rows[:_MOST_ROWS]
    ]
