"""The report of a run as one HTML page that needs nothing else: no script, no request, no fonts.

The page holds the full record: figures with intervals, the paired verdict, curves, confusion, every
class, residuals, how the start was chosen, what the data was, every option, and the worst
mistakes. All names come from users' files and are escaped; a content security policy in the page
forbids scripts and requests in case one is missed. Wording that the text report shares lies in
``wording.py``, the figures of each task in ``measures.py``, charts in ``charts.py``, sections about
the model's figures in ``page_figures.py``, single items in ``page_samples.py``, the style sheet in
``page.html``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

from headstart.reporting.charts import Point, axis_of, interval_chart, line_chart
from headstart.reporting.measures import Json, format_figure, measure_named, task_of
from headstart.reporting.page_figures import (
    before_after_section,
    classes_section,
    confusion_section,
    headline_section,
    residuals_section,
)
from headstart.reporting.page_parts import axis_ends, cell, paragraph, section, table, text
from headstart.reporting.page_samples import mistakes_section
from headstart.reporting.wording import (
    NO_SCORE,
    describe_bad_samples,
    describe_columns,
    describe_start,
    format_count,
    format_duration,
    format_value,
    notes_of,
    start_address,
)

_MAX_BAD_SAMPLES = 100
_TABLES = (  # title and key of the tables of options.json
    ("Options", "options"),
    ("Recipe that followed from them", "recipe"),
    ("How training went", "training"),
    ("Machine", "machine"),
)


def render_page(
    metrics: Json,
    model: Json,
    data: Json,
    options: Json,
    log_records: list[Json],
    samples: list[Json] | None = None,
) -> str:
    """Return the report as a self-contained HTML page.

    A key that is missing leaves its section out.

    Args:
        metrics: ``metrics.json``.
        model: ``model.json``.
        data: ``data.json``.
        options: ``options.json``.
        log_records: Lines of ``log.jsonl``; used are those of kind ``task`` with a ``loss`` and
            those of kind ``check`` with ``val_loss`` or ``val_score`` (of ``metric``).
        samples: The worst mistakes: ``name``, ``target``, ``prediction``, ``probability`` (of the
            prediction, in [0, 1]) and, by modality, ``image_png_base64``, ``text`` or ``row``
            (column to value). Without classes target and prediction are numbers. At most 48
            pictures or 24 others are shown.
    """
    name = str(data.get("name") or model.get("data_name") or "run")
    sections = [
        headline_section(metrics, model),
        before_after_section(metrics),
        residuals_section(metrics.get("test") or {}, model),
        mistakes_section(samples or [], metrics),
        confusion_section(metrics.get("test") or {}),
        classes_section(metrics),
        _curves(log_records, metrics, model),
        _choice(model, options),
        _data(data),
        _options(options, metrics),
    ]
    template = Template(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=text(f"{name}: headstart report"),
        heading=text(name),
        subheading=_subheading(model, options),
        sections="\n".join(part for part in sections if part),
        footer=_footer(data, model),
    )


def _subheading(model: Json, options: Json) -> str:
    """Say what was done from what, in one line."""
    parts = [f"<code>{text(start_address(model))}</code>", text(describe_start(model))]
    if model.get("strategy"):
        parts.append(f"strategy <code>{text(model['strategy'])}</code>")
    if options.get("verb"):
        parts.insert(0, f"headstart {text(options['verb'])}")
    return " · ".join(part for part in parts if part)


def _curves(log_records: list[Json], metrics: Json, model: Json) -> str:
    """Draw loss and score on val over the steps of the last training in the log."""
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
    blocks = []
    if loss_chart:
        keys = [("line-a", "train loss", train), ("line-b", "val loss", val_loss)]
        legend = "".join(f'<i class="{css}"></i>{name}' for css, name, points in keys if points)
        blocks.append(f'<div><div class="legend">{legend}</div>{loss_chart}</div>')
    if score_chart:
        legend = f'<i class="line-b"></i>{text(name)}'
        blocks.append(f'<div><div class="legend">{legend}</div>{score_chart}</div>')
    is_image = (model.get("schema") or {}).get("modality", "image") == "image"
    lead = (
        f"Train loss is measured {'on augmented images and ' if is_image else ''}with the "
        "regularisation of training, so it may lie above val loss."
    )
    task = task_of(metrics)
    if task is not None and task.words.loss_note:
        lead = f"{task.words.loss_note} {lead}"
    body = f'<div class="charts">{"".join(blocks)}</div>' if blocks else ""
    return section("Learning curves", lead, body)


def _metric_name(log_records: list[Json]) -> str:
    """Return what the checks of the last training were scored by."""
    metrics = [r["metric"] for r in log_records if r.get("kind") == "check" and r.get("metric")]
    measure = measure_named(str(metrics[-1])) if metrics else None
    return measure.name if measure else str(metrics[-1]) if metrics else "score"


def _points(records: list[Json], kind: str, x_key: str, y_key: str) -> list[Point]:
    """Return (x, y) of the last training in the log.

    A task of another name starts a new line; a step that was already passed (another candidate, or
    a run that was resumed) takes back the points from there on.
    """
    points: list[Point] = []
    task: object = None
    for record in records:
        x, y = record.get(x_key), record.get(y_key)
        if record.get("kind") != kind or not _is_finite(x) or not _is_finite(y):
            continue
        if record.get("name") != task:
            points, task = [], record.get("name")
        while points and points[-1][0] >= float(x):  # type: ignore[arg-type]
            points.pop()
        points.append((float(x), float(y)))  # type: ignore[arg-type]
    return points


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _choice(model: Json, options: Json) -> str:
    """Show which starts and learning rates were tried, and what else was decided and why."""
    choices = [
        [
            cell(f"<code>{text(choice.get('name'))}</code>", "nowrap"),
            cell(text(format_value(choice.get("value"))), "name"),
            cell(text(choice.get("why") or ""), "soft"),
        ]
        for choice in options.get("choices") or []
    ]
    parts = [_tried(options.get("candidates") or [], "start")]
    if trials := _tried(options.get("trials") or [], "learning_rate"):
        parts.append(f"<h3>Learning rates, after a short training each</h3>{trials}")
    if choices:
        parts.append("<h3>Choices and their reasons</h3>" if any(parts) else "")
        parts.append(table([("choice", ""), ("value", ""), ("why", "")], choices))
    lead = f"Chosen: {start_address(model)}. Nothing here has seen the test set."
    return section("How it was chosen", lead, "".join(parts))


def _tried(entries: Sequence[Any], what: str) -> str:
    """Show what was tried with its score on val; an empty string where nothing was.

    Args:
        entries: Candidates or trials of ``options.json``.
        what: The key that names an entry.
    """
    ends = [
        entry[key]
        for entry in entries
        for key in ("score", "low", "high")
        if _is_finite(entry.get(key))
    ]
    axis = axis_of(ends)
    rows = []
    has_pixels = any(entry.get("pixels") for entry in entries)
    for entry in entries:
        score, low, high = (entry.get(key) for key in ("score", "low", "high"))
        figure = format_figure({"value": score, "low": low, "high": high})
        has_interval = all(_is_finite(end) for end in (score, low, high))
        seconds = entry.get("seconds")
        rows.append(
            [
                cell(f"<code>{text(format_value(entry.get(what)))}</code>", "nowrap"),
                cell(figure if _is_finite(score) else NO_SCORE[what], "number"),
                cell(
                    interval_chart(score, low, high, axis) if has_interval else "",
                    "track-cell hide-narrow",
                ),
                cell("" if seconds is None else format_duration(seconds), "number"),
                *([cell(text(entry.get("pixels") or ""), "number")] if has_pixels else []),
                cell(text(entry.get("note") or ""), "soft"),
            ]
        )
    head = [(what.replace("_", " "), ""), ("score on val", "number")]
    head += [(axis_ends(axis), "hide-narrow"), ("time", "number")]
    head += [*([("pixels", "number")] if has_pixels else []), ("note", "")]
    return table(head, rows) if rows else ""


def _data(data: Json) -> str:
    """Show splits, notes, and the samples that were left out."""
    origins = data.get("split_origin") or {}
    facts = [
        (format_count(number), f"{name} · {origins[name]}" if origins.get(name) else name)
        for name, number in (data.get("counts") or {}).items()
    ]
    bad = data.get("bad_samples") or []
    if facts:
        facts.append((format_count(len(bad)), "samples left out"))
    boxes = "".join(f"<div><b>{text(n)}</b><span>{text(what)}</span></div>" for n, what in facts)
    parts = [f'<div class="facts">{boxes}</div>'] if facts else []
    if columns := describe_columns(data):
        parts.append(paragraph(columns))
    notes = "".join(f"<li>{text(note)}</li>" for note in notes_of(data))
    parts.append(f"<ul>{notes}</ul>" if notes else "")
    kinds = data.get("column_kinds") or {}
    if kinds:
        rows = [[cell(f"<code>{text(n)}</code>", ""), cell(text(k), "")] for n, k in kinds.items()]
        listed = table([("column", ""), ("kind", "")], rows)
        parts.append(f"<details><summary>Columns ({len(kinds)})</summary>{listed}</details>")
    if bad:
        rows = [
            [cell(f"<code>{text(s.get('name'))}</code>", "name"), cell(text(s.get("reason")), "")]
            for s in bad[:_MAX_BAD_SAMPLES]
        ]
        more = len(bad) - len(rows)
        parts.append(f"<h3>{text(describe_bad_samples(data))}</h3>")
        parts.append(table([("sample", ""), ("reason", "")], rows))
        parts.append(paragraph(f"and {more:,} more, listed in data.json") if more else "")
    return section("Data", "", "".join(parts))


def _options(options: Json, metrics: Json) -> str:
    """Show time, every resolved option, and the machine."""
    seconds = metrics.get("seconds") or {}
    boxes = "".join(
        f"<div><b>{format_duration(value)}</b><span>{text(name.replace('_', ' '))}</span></div>"
        for name, value in seconds.items()
        if _is_finite(value)
    )
    parts = [f'<div class="facts">{boxes}</div>'] if boxes else []
    for title, key in _TABLES:
        rows = [
            [cell(f"<code>{text(name)}</code>", "nowrap"), cell(text(format_value(value)), "name")]
            for name, value in (options.get(key) or {}).items()
        ]
        if rows:
            listed = table([("name", ""), ("value", "")], rows)
            parts.append(f"<details><summary>{title} ({len(rows)})</summary>{listed}</details>")
    return section("Time, options and machine", "", "".join(parts))


def _footer(data: Json, model: Json) -> str:
    """Say what identifies the run."""
    parts = [f"data fingerprint {data['fingerprint']}"] if data.get("fingerprint") else []
    if _is_finite(model.get("temperature")):
        parts.append(f"temperature {model['temperature']:.3f}")
    parts.append("metrics.json, model.json, data.json and options.json hold the same as data")
    return text(" · ".join(parts))
