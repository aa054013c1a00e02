"""The page of ``headstart compare``: predictors on one axis, every pair, what moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.reporting.charts import axis_labels
from headstart.reporting.compare_text import (
    about,
    differences,
    explanation,
    moved_item,
    rung_name,
    title,
    verdict,
)
from headstart.reporting.measures import Json, format_measure
from headstart.reporting.page import templates
from headstart.reporting.page_figures import axis_for, whisker
from headstart.tasks import Task, find_task

_STYLES = {"better": "good", "worse": "bad", "mixed": "open", "open": "open"}
_MAX_SHOWN = 24


def render_compare_page(record: Mapping[str, Any]) -> str:
    """Return a comparison as a self-contained HTML page.

    Args:
        record: Content of ``compare.json``.
    """
    task = find_task(record["task"])
    measure = task.figures[record["metric"]]
    figures = [rung["figure"] for rung in record["ladder"]]
    axis = axis_for(figures, is_share=measure.unit != "target")
    lower = "" if measure.is_higher_better else "; lower is better"
    return (
        templates()
        .get_template("compare.html")
        .render(
            name=" · ".join(run["path"] for run in record["runs"]),
            about=title(record),
            runs=[(run["letter"], run["path"], about(run)) for run in record["runs"]],
            lead=f"{measure.name[:1].upper()}{measure.name[1:]}{lower}.",
            head=[("", ""), (axis_labels(axis), ""), (f"{measure.name} [95 %]", "number")],
            rungs=[
                (rung_name(rung), whisker(rung["figure"], axis), format_measure(measure, figure))
                for rung, figure in zip(record["ladder"], figures, strict=True)
            ],
            pairs=[_pair(pair, task, record) for pair in record["comparisons"]],
            explanation=explanation(record, task),
            **_table(record, task),
            footer=f"{title(record)} · compare.json holds every figure",
        )
    )


def _pair(pair: Mapping[str, Any], task: Task, record: Mapping[str, Any]) -> Json:
    """Return what the page shows of a pair."""
    return {
        "title": f"{pair['after']} against {pair['before']}",
        "style": _STYLES[pair["judgement"]],
        "verdict": verdict(pair, task, record),
        "differences": differences(pair, task),
        "moved": [
            {
                "kind": kind,
                "number": f"{pair[kind]:,}",
                "items": [moved_item(item, task) for item in pair[f"{kind}_items"][:_MAX_SHOWN]],
                "num_more": max(0, pair[kind] - _MAX_SHOWN),
            }
            for kind in ("gained", "lost")
            if pair[kind]
        ],
    }


def _table(record: Mapping[str, Any], task: Task) -> Json:
    """Return every figure of every run."""
    runs = record["runs"]
    rows = [
        [measure.name, *(format_measure(measure, run["figures"].get(name)) for run in runs)]
        for name, measure in task.figures.items()
        if any(name in run["figures"] for run in runs)
    ]
    head = [("figure", ""), *((run["letter"], "number") for run in runs)]
    return {"figures_head": head, "figure_rows": rows}
