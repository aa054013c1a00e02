"""What the page shows of how a run was made: curves, choices, data, time, options and machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from headstart.reporting.charts import Point, axis_labels, axis_of, interval_chart, line_chart
from headstart.reporting.measures import Json, format_score, measure_named, task_of
from headstart.reporting.wording import (
    NO_SCORE,
    describe_bad_samples,
    describe_columns,
    format_count,
    format_duration,
    format_value,
    notes_of,
    start_address,
)
from headstart.types import MODALITIES

_MAX_CLASSES = 200  # whose numbers are shown
_MAX_BAD_SAMPLES = 100
_TABLES = (  # title and key of the tables of options.json
    ("Options", "options"),
    ("Recipe that followed from them", "recipe"),
    ("How training went", "training"),
    ("Machine", "machine"),
)


def curves_view(log_records: list[Json], metrics: Json, model: Json) -> Json | None:
    """Return loss and score on val over the steps of the last training in the log."""
    train = _points(log_records, "task", "done", "loss")
    val_loss = _points(log_records, "check", "step", "val_loss")
    scores = _points(log_records, "check", "step", "val_score")
    name = f"val {_metric_name(log_records)}"
    loss_chart = line_chart(
        [("train loss", "line-a", train), ("val loss", "line-b", val_loss)],
        x_label="step",
        label="Loss over steps",
    )
    score_chart = line_chart(
        [(name, "line-b", scores)], x_label="step", label=f"{name.capitalize()} over steps"
    )
    charts = []
    if loss_chart:
        keys = [("line-a", "train loss", train), ("line-b", "val loss", val_loss)]
        charts.append(([(css, name) for css, name, points in keys if points], loss_chart))
    if score_chart:
        charts.append(([("line-b", name)], score_chart))
    if not charts:
        return None
    from headstart.types import MODALITIES  # brings NumPy

    facts = MODALITIES.get((model.get("schema") or {}).get("modality", "image"))
    samples = f"on augmented {facts.nouns} and " if facts and facts.is_augmented else ""
    lead = (
        f"Train loss is measured {samples}with the "
        "regularisation of training, so it may lie above val loss."
    )
    task = task_of(metrics)
    if task is not None and task.words.loss_note:
        lead = f"{task.words.loss_note} {lead}"
    return {"lead": lead, "charts": charts}


def _metric_name(log_records: list[Json]) -> str:
    """Return what the checks of the last training were scored by."""
    metrics = [r["metric"] for r in log_records if r.get("kind") == "check" and r.get("metric")]
    measure = measure_named(str(metrics[-1])) if metrics else None
    return measure.name if measure else str(metrics[-1]) if metrics else "score"


def _points(records: list[Json], kind: str, x_key: str, y_key: str) -> list[Point]:
    """Return (x, y) of the last training in the log.

    Another name begins the line anew; a step that was already passed (another candidate, or
    a run that was resumed) takes back the points from there on.
    """
    points: list[Point] = []
    line: object = None
    for record in records:
        x, y = record.get(x_key), record.get(y_key)
        if record.get("kind") != kind or not _is_finite(x) or not _is_finite(y):
            continue
        if record.get("name") != line:
            points, line = [], record.get("name")
        while points and points[-1][0] >= float(x):  # type: ignore[arg-type]
            points.pop()
        points.append((float(x), float(y)))  # type: ignore[arg-type]
    return points


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def choice_view(model: Json, options: Json) -> Json | None:
    """Return which starts and learning rates were tried, and what else was decided and why."""
    starts = _tried(options.get("candidates") or [], "start")
    trials = _tried(options.get("trials") or [], "learning_rate")
    arms = _tried(options.get("arms") or [], "arm")
    choices = [
        {
            "name": choice.get("name"),
            "value": format_value(choice.get("value")),
            "why": choice.get("why") or "",
        }
        for choice in options.get("choices") or []
    ]
    if not (starts or trials or arms or choices):
        return None
    lead = f"Chosen: {start_address(model)}. Nothing here has seen the test set."
    return {"lead": lead, "starts": starts, "trials": trials, "arms": arms, "choices": choices}


def _tried(entries: Sequence[Any], what: str) -> Json | None:
    """Return what was tried with its score on val; None where nothing was.

    Args:
        entries: Candidates or trials of ``options.json``.
        what: The key that names an entry.
    """
    if not entries:
        return None
    ends = [
        entry[key]
        for entry in entries
        for key in ("score", "low", "high")
        if _is_finite(entry.get(key))
    ]
    axis = axis_of(ends)
    has_pixels = any(entry.get("pixels") for entry in entries)
    shown = []
    for entry in entries:
        score, low, high = (entry.get(key) for key in ("score", "low", "high"))
        figure = format_score({"value": score, "low": low, "high": high})
        has_interval = all(_is_finite(end) for end in (score, low, high))
        seconds = entry.get("seconds")
        shown.append(
            {
                "name": format_value(entry.get(what)),
                "score": figure if _is_finite(score) else NO_SCORE[what],
                "chart": interval_chart(score, low, high, axis) if has_interval else "",
                "time": "" if seconds is None else format_duration(seconds),
                "pixels": (entry.get("pixels") or "") if has_pixels else None,
                "note": entry.get("note") or "",
            }
        )
    head = [
        (what.replace("_", " "), ""),
        ("score on val", "number"),
        (axis_labels(axis), "hide-narrow"),
        ("time", "number"),
        *([("pixels", "number")] if has_pixels else []),
        ("note", ""),
    ]
    return {"head": head, "entries": shown}


def use_view(model: Json) -> Json | None:
    """Return the lines by which the model is used, from a shell and from Python."""
    facts = MODALITIES.get((model.get("schema") or {}).get("modality", ""))
    if facts is None:
        return None
    argument = facts.argument
    given = argument.strip("'").replace("…", "")
    versions = model.get("versions") or {}
    return {
        "lines": [
            f"headstart predict RUN {argument}",
            f'import headstart as hs; hs.predict("RUN", ["{given}"])',
        ],
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def class_counts_view(data: Json, model: Json) -> Json | None:
    """Return how many samples each class has in each split, the largest of train first."""
    counts = data.get("class_counts") or {}
    names = (model.get("schema") or {}).get("classes") or []
    if not counts or not names:
        return None
    order = sorted(range(len(names)), key=lambda k: -counts["train"][k])
    return {
        "head": [("class", ""), *((split, "number") for split in counts)],
        "rows": [
            (names[k], [f"{each[k]:,}" for each in counts.values()]) for k in order[:_MAX_CLASSES]
        ],
        "more": max(0, len(names) - _MAX_CLASSES),
    }


def data_view(data: Json) -> Json | None:
    """Return splits, notes, and the samples that were left out."""
    origins = data.get("split_origin") or {}
    facts = [
        (format_count(number), f"{name} · {origins[name]}" if origins.get(name) else name)
        for name, number in (data.get("counts") or {}).items()
    ]
    bad = data.get("bad_samples") or []
    if facts:
        facts.append((format_count(len(bad)), "samples left out"))
    more = len(bad) - _MAX_BAD_SAMPLES
    shown = [
        {"name": sample.get("name"), "reason": sample.get("reason")}
        for sample in bad[:_MAX_BAD_SAMPLES]
    ]
    view = {
        "facts": facts,
        "columns": describe_columns(data),
        "notes": notes_of(data),
        "kinds": data.get("column_kinds") or {},
        "bad": shown,
        "about_bad": describe_bad_samples(data),
        "more_bad": f"and {more:,} more, listed in data.json" if more > 0 else "",
    }
    return view if any(view.values()) else None


def options_view(options: Json, metrics: Json) -> Json | None:
    """Return time, every resolved option, and the machine."""
    seconds = metrics.get("seconds") or {}
    facts = [
        (format_duration(value), name.replace("_", " "))
        for name, value in seconds.items()
        if _is_finite(value)
    ]
    tables = [
        (title, [(name, format_value(value)) for name, value in options[key].items()])
        for title, key in _TABLES
        if options.get(key)
    ]
    return {"facts": facts, "tables": tables} if facts or tables else None


def footer(data: Json, model: Json) -> str:
    """Say what identifies the run."""
    parts = [f"data fingerprint {data['fingerprint']}"] if data.get("fingerprint") else []
    if _is_finite(model.get("temperature")):
        parts.append(f"temperature {model['temperature']:.3f}")
    parts.append("metrics.json, model.json, data.json and options.json hold the same as data")
    return " · ".join(parts)
