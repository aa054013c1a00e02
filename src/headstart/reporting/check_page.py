"""The page of ``headstart check``: every finding with its samples side by side, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.reporting.check_text import MEANINGLESS, counted, summary
from headstart.reporting.page import templates
from headstart.reporting.page_samples import cells_of

MAX_SHOWN = 24  # suspects of each finding
Views = Mapping[tuple[str, int], Mapping[str, object]]
_MAX_CLASSES = 200


def render_check_page(record: Mapping[str, Any], views: Views) -> str:
    """Return what was found as a self-contained HTML page.

    Args:
        record: Content of ``check.json``.
        views: What is shown of samples, by split and index: ``picture`` (a data URL), ``text`` or
            ``row`` (column to value).
    """
    data = record["data"]
    facts = [(f"{number:,}", f"{name} · {_origin(data, name)}") for name, number in _counts(data)]
    about = f"{data['task']} of {data['several']}"
    if data["classes"]:
        about += f", {counted(len(data['classes']), 'class', 'classes')}"
    return (
        templates()
        .get_template("check.html")
        .render(
            name=data["name"],
            about=about,
            verdict=record["verdict"],
            summary=summary(record),
            facts=facts,
            findings=[_finding(found, views) for found in record["findings"]],
            classes=_classes(record),
            more_classes=max(0, len(data["classes"]) - _MAX_CLASSES),
            audits=[_audit(audit) for audit in record["audits"]],
            bad=record["bad_samples"][:MAX_SHOWN],
            more_bad=max(0, len(record["bad_samples"]) - MAX_SHOWN),
            footer=f"data fingerprint {data['fingerprint']} · check.json holds every sample",
        )
    )


def _counts(data: Mapping[str, Any]) -> list[tuple[str, int]]:
    return list(data["counts"].items())


def _origin(data: Mapping[str, Any], name: str) -> str:
    return str(data["split_origin"].get(name, "none"))


def _finding(found: Mapping[str, Any], views: Views) -> dict[str, object]:
    suspects = found["suspects"]
    return {
        "severity": found["severity"],
        "kind": found["kind"],
        "sentence": found["sentence"],
        "pairs": [_pair(suspect, views) for suspect in suspects[:MAX_SHOWN]],
        "num_more": max(0, len(suspects) - MAX_SHOWN),
    }


def _pair(suspect: Mapping[str, Any], views: Views) -> dict[str, object]:
    sides = [side for side in (suspect["sample"], suspect["beside"]) if side is not None]
    return {
        "reason": suspect["reason"],
        "certainty": "" if suspect["certainty"] >= 1 else f"{suspect['certainty']:.2f}",
        "sides": [_side(side, views) for side in sides],
    }


def _side(sample: Mapping[str, Any], views: Views) -> dict[str, object]:
    view = views.get((sample["split"], sample["index"]), {})
    row = view.get("row")
    cells, num_more = cells_of(row) if isinstance(row, dict) else ([], 0)
    return {
        "split": sample["split"],
        "name": sample["name"],
        "label": sample["label"],
        "picture": view.get("picture"),
        "text": view.get("text"),
        "row": cells,
        "num_more": num_more,
    }


def _classes(record: Mapping[str, Any]) -> list[dict[str, object]]:
    """Return how many samples each class has in each split, the largest of train first."""
    counts = record["class_counts"]
    if not counts:
        return []
    names = record["data"]["classes"]
    order = sorted(range(len(names)), key=lambda i: -counts["train"][i])
    return [
        {"name": names[i], "counts": [f"{counts[split][i]:,}" for split in counts]}
        for i in order[:_MAX_CLASSES]
    ]


def _audit(audit: Mapping[str, Any]) -> dict[str, object]:
    if audit["why_not"]:
        what = "does not apply" if audit["why_not"] == MEANINGLESS else audit["why_not"]
        return {**audit, "done": what, "is_run": False}
    done = "its time was up before its end" if audit["stopped"] else "done"
    return {**audit, "done": f"{done}, {audit['seconds']:.1f} s", "is_run": True}
