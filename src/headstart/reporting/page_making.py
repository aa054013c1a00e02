"""What the page shows of how a run was made: choices, data, options and machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from headstart.reporting.charts import axis_labels, axis_of, interval_chart
from headstart.reporting.data_words import describe_bad_samples, describe_columns, notes_of
from headstart.reporting.language import say
from headstart.reporting.measures import Json, format_score
from headstart.reporting.wording import (
    NO_SCORE,
    format_bytes,
    format_count,
    format_duration,
    format_value,
    start_address,
)

_MAX_CLASSES = 200  # whose numbers are shown
_MAX_OPEN_CLASSES = 25  # of them at once
_MAX_BAD_SAMPLES = 100
_TABLES = (  # title and key of the tables of options.json
    ("Options", "options"),
    ("Recipe that followed from them", "recipe"),
    ("How training went", "training"),
    ("Machine", "machine"),
)


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
    lead = say("Chosen: {start}. Nothing here has seen the test set.", start=start_address(model))
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
                "score": figure if _is_finite(score) else say(NO_SCORE[what]),
                "chart": interval_chart(score, low, high, axis) if has_interval else "",
                "time": "" if seconds is None else format_duration(seconds),
                "pixels": (entry.get("pixels") or "") if has_pixels else None,
                "note": entry.get("note") or "",
            }
        )
    head = [
        (say(what.replace("_", " ")), ""),
        (say("score on val"), "number"),
        (axis_labels(axis), "hide-narrow"),
        (say("time"), "number"),
        *([(say("pixels"), "number")] if has_pixels else []),
        (say("note"), ""),
    ]
    return {"head": head, "entries": shown}


def class_counts_view(data: Json, model: Json) -> Json | None:
    """Return how many samples each class has in each split, the largest of train first."""
    counts = data.get("class_counts") or {}
    names = (model.get("schema") or {}).get("classes") or []
    if not counts or not names:
        return None
    order = sorted(range(len(names)), key=lambda k: -counts["train"][k])
    rows = [(names[k], [f"{each[k]:,}" for each in counts.values()]) for k in order[:_MAX_CLASSES]]
    return {
        "head": [(say("class"), ""), *((split, "number") for split in counts)],
        "rows": rows[:_MAX_OPEN_CLASSES],
        "folded": rows[_MAX_OPEN_CLASSES:],
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
        facts.append((format_count(len(bad)), say("samples left out")))
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
        "more_bad": say("and {number} more, listed in {file}", number=f"{more:,}", file="data.json")
        if more > 0
        else "",
    }
    return view if any(view.values()) else None


def options_view(options: Json) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return every resolved option, how training went, and the machine: a table each."""
    return [
        (say(title), [(name, _told(name, value)) for name, value in options[key].items()])
        for title, key in _TABLES
        if options.get(key)
    ]


def _told(name: str, value: object) -> str:
    """Return a value of such a table; of memory in the unit that is read."""
    if name.endswith("_bytes") and isinstance(value, int):
        return format_bytes(value)
    return "-" if value == [] else format_value(value)


def footer(data: Json, model: Json) -> str:
    """Say what identifies the run."""
    parts = []
    if data.get("fingerprint"):
        parts.append(say("data fingerprint {digest}", digest=data["fingerprint"]))
    if _is_finite(model.get("temperature")) and model["temperature"] != 1.0:
        parts.append(say("temperature {value}", value=f"{model['temperature']:.3f}"))
    names = "metrics.json, model.json, data.json, options.json"
    parts.append(say("the same as data: {files}", files=names))
    return " · ".join(parts)
