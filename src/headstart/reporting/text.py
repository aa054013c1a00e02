"""The report of a run as plain text, 80 columns wide, which a run prints.

It says what a person decides by: how good, how sure, better than what, where it fails, and what
the tool chose and why. The full record (curves, matrix, every option) is the page's
(``page.py``).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from headstart.reporting.data_words import describe_bad_samples, describe_columns, notes_of
from headstart.reporting.judged_text import render_certainty, render_repeats
from headstart.reporting.measures import (
    Json,
    format_figure,
    format_measure,
    format_score,
    ladder_of,
    ladders_of_parts,
    task_of,
)
from headstart.reporting.terminal import wrapped
from headstart.reporting.wording import (
    NO_SCORE,
    data_title,
    describe_start,
    ensemble_sentence,
    format_duration,
    format_items,
    format_number,
    format_value,
    has_lost,
    items_sentence,
    later_days_sentence,
    most_confused,
    outcome,
    start_address,
    val_calibration_sentence,
    verdict,
    warning_of,
    weakest_classes,
)

WIDTH = 80
_LEAST_NAME = 12  # columns of a table that its names have at the least
_MAX_NOTE = 16
_NUM_WEAKEST = 5
_NUM_WRITTEN, _MOST_WRITTEN = 3, 200  # texts, and characters of each
_NO_NUMBER = (
    "-",
    "unknown",
    *NO_SCORE.values(),
)  # what stands in a column of numbers instead of one


def render_text(metrics: Json, model: Json, data: Json, options: Json) -> str:
    """Return the report as plain text.

    Args:
        metrics: ``metrics.json``; of its keys only ``task`` and ``test`` are needed.
        model: ``model.json``.
        data: ``data.json``.
        options: ``options.json``.

    Returns:
        Lines of at most 80 columns, ending in a line break; the same for the same input.
    """
    name = data_title(data.get("name") or model.get("data_name") or "run")
    title = _one_line(f"headstart {options.get('verb', 'run')}: {name}")
    sections = [
        [_cut(title, WIDTH), "=" * min(len(title), WIDTH)],
        _about(model, metrics),
        _headline(metrics),
        render_repeats(metrics),
        render_certainty(metrics),
        _before_after(metrics),
        _written(metrics),
        *(_before_after(own) for own in ladders_of_parts(metrics)),
        _classes(metrics),
        _tried("Starts that were tried", options.get("candidates") or [], "start"),
        _tried(
            "Learning rates that were tried, by a short training each",
            options.get("trials") or [],
            "learning_rate",
        ),
        _tried("Ways of making a model that were tried", options.get("arms") or [], "arm"),
        _choices(options),
        _data(data),
        _time(metrics),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _written(metrics: Json) -> list[str]:
    """Show what was written of a few test samples, before the fine-tuning and after it."""
    lines: list[str] = []
    for row in (metrics.get("written") or [])[:_NUM_WRITTEN]:
        for kind, called in (("text", "given"), ("before", "before"), ("after", "after")):
            if row.get(kind) is not None:
                words = _cut(_one_line(str(row[kind])), _MOST_WRITTEN)
                lines += _wrap(words, f"  {called:<8}")
    return ["Written before and after", *lines] if lines else []


def _about(model: Json, metrics: Json) -> list[str]:
    """Say what was trained from what."""
    rows = [("start", start_address(model)), ("", describe_start(model))]
    rows.append(("strategy", str(model.get("strategy") or "unknown")))
    rows.append(("ensemble", ensemble_sentence(model)))
    scores = metrics.get("test") or {}
    if scores:
        asked = _asked(metrics, model)
        rows.append(
            (
                "test set",
                f"{format_items(scores['num_items'], scores.get('num_groups'))}, {asked}read once",
            )
        )
    return [line for label, text in rows if text for line in _wrap(text, f"{label:<10}")]


def _asked(metrics: Json, model: Json) -> str:
    """Say what is predicted: ``3 classes, ``, ``5 labels, `` or ``target 'price', ``."""
    task = task_of(metrics)
    label = (model.get("schema") or {}).get("label")
    asked = task.asked(label, len(metrics["test"].get("per_class") or {})) if task else ""
    return f"{asked}, " if asked else ""


def _headline(metrics: Json) -> list[str]:
    """List the figures of the test split, with those of val beside them if there are any."""
    test = (metrics.get("test") or {}).get("figures") or {}
    val = (metrics.get("val") or {}).get("figures") or {}
    task = task_of(metrics)
    if not test or task is None:
        return ["No test figures: the run has not been evaluated."]
    rows = [["", "test", "val"] if val else ["", "test"]]
    for key, measure in task.figures.items():
        if key in test:
            row = [measure.name, format_measure(measure, test[key])]
            rows.append([*row, format_measure(measure, val.get(key))] if val else row)
    leading = task.figures[task.headline]
    found = format_measure(leading, test.get(task.headline))
    items = format_items(metrics["test"]["num_items"], metrics["test"].get("num_groups"))
    name = leading.name[:1].upper() + leading.name[1:]
    figure, compared = f"{name} {found} on {items} of the test set.", outcome(metrics)
    lead = f"{warning_of(metrics)} {figure}".lstrip()
    if not has_lost(metrics):
        lead = f"{lead} {compared}"
    lead = f"{lead} {items_sentence(metrics['test'])}".rstrip()
    note = "In brackets: 95 % interval."
    if val:
        note += " Val was used for choosing, so its figures flatter."
        note = f"{note} {val_calibration_sentence(metrics)}".rstrip()
    lines = ["How good", *_wrap(lead, "  "), *_table(rows), *_wrap(note, "  ")]
    later = later_days_sentence(metrics)
    return [*lines, *_wrap(later, "  ")] if later else lines


def _before_after(metrics: Json) -> list[str]:
    """List the leading figure before and after, and the paired verdicts."""
    (measure, figures), task = ladder_of(metrics), task_of(metrics)
    if not figures or measure is None or task is None:
        return []
    scores = metrics.get("test") or {}
    num_items, num_groups = scores.get("num_items", 0), scores.get("num_groups")
    lower = "" if measure.is_higher_better else ", lower is better"
    items = format_items(num_items, num_groups)
    of_part = f", {metrics['part']}" if "part" in metrics else ""
    title = metrics.get("title", "Before and after")
    lines = [f"{title}{of_part}: {measure.name} on the same {items}{lower}"]
    if "about" in metrics:
        lines += _wrap(metrics["about"], "  ")
    lines += _table([[name, format_measure(measure, found)] for name, found in figures.items()])
    for comparison in metrics["before_after"].get("comparisons") or []:
        lines += _wrap(verdict(comparison, num_items, task.words.pairing, num_groups), "  ", "    ")
    return lines


def _classes(metrics: Json) -> list[str]:
    """List the classes with the lowest F1, and what they are mistaken for."""
    scores, task = metrics.get("test") or {}, task_of(metrics)
    weakest = weakest_classes(scores, _NUM_WEAKEST)
    if not weakest or task is None:
        return []
    one, many = task.words.one, task.words.several.capitalize()
    rows = [[one, "items", "precision", "recall", "F1"]]
    for name, found in weakest:
        values = [
            format_number((found.get(key) or {}).get("value")) for key in ("precision", "recall")
        ]
        rows.append([name, f"{found['support']:,}", *values, format_figure(found.get("f1"))])
    total = len(scores["per_class"])
    title = many if total <= _NUM_WEAKEST else f"Weakest {_NUM_WEAKEST} of {total} {many.lower()}"
    lines = [f"{title}, lowest F1 first", *_table(rows)]
    for pair in most_confused(scores, 3):
        if pair.count < 2:  # a single mix-up is no pattern
            break
        text = f"{pair.count:,} of {pair.support:,} '{pair.target}' were called '{pair.prediction}'"
        lines += _wrap(text, "  ", "    ")
    return lines


def _tried(title: str, entries: list[Json], what: str) -> list[str]:
    """List what was tried, with its score.

    Args:
        title: Of the list.
        entries: Candidates or trials of ``options.json``.
        what: The key that names an entry.
    """
    if not entries:
        return []
    rows = [[what.replace("_", " "), "score", "time", "pixels", "note"]]
    remarks: list[str] = []  # notes too long for a column
    for entry in entries:
        name = format_value(entry.get(what))
        seconds = entry.get("seconds")
        time = "-" if seconds is None else format_duration(seconds)
        figure = {"value": entry.get("score"), "low": entry.get("low"), "high": entry.get("high")}
        note = str(entry.get("note") or "")
        if len(note) > _MAX_NOTE:
            remarks += _wrap(f"{name}: {note}", "  ", "    ")
            note = ""
        shown = NO_SCORE[what] if entry.get("score") is None else format_score(figure)
        pixels = str(entry.get("pixels") or "-")
        rows.append([name, shown, time, pixels, note])
    if not any(entry.get("pixels") for entry in entries):
        rows = [[*row[:3], row[4]] for row in rows]
    return [title, *_table(rows), *remarks]


def _choices(options: Json) -> list[str]:
    """List what the tool decided, and why."""
    lines: list[str] = []
    for choice in options.get("choices") or []:
        head = f"{choice.get('name')} = {format_value(choice.get('value'))}"
        why = choice.get("why")
        lines += _wrap(f"{head}: {why}" if why else head, "  ", "    ")
    return ["What was chosen, and why", *lines] if lines else []


def _data(data: Json) -> list[str]:
    """Say what was learned from, what was left out, and what to know about it."""
    lines: list[str] = []
    origins = data.get("split_origin") or {}
    for name, number in (data.get("counts") or {}).items():
        origin = f" ({origins[name]})" if origins.get(name) else ""
        lines += _wrap(f"{name}: {format_items(number)}{origin}", "  ")
    if columns := describe_columns(data):
        lines += _wrap(columns, "  ", "    ")
    bad = data.get("bad_samples") or []
    if bad:
        lines += _wrap(describe_bad_samples(data) + ":", "  ")
        for sample in bad[:3]:
            lines += _wrap(f"{sample.get('name')}: {sample.get('reason')}", "    ", "      ")
        if len(bad) > 3:
            lines.append(f"    and {len(bad) - 3:,} more, listed in data.json")
    for note in notes_of(data):
        lines += _wrap(note, "  ", "    ")
    return ["Data", *lines] if lines else []


def _time(metrics: Json) -> list[str]:
    """Say how long it took."""
    seconds = metrics.get("seconds") or {}
    parts = [
        f"{name.replace('_', ' ')} {format_duration(value)}"
        for name, value in seconds.items()
        if isinstance(value, int | float)
    ]
    return _wrap(", ".join(parts), f"{'time':<10}") if parts else []


def _wrap(text: str, first: str, following: str | None = None) -> list[str]:
    """Break text into lines of at most 80 columns."""
    indent = " " * len(first) if following is None else following
    lines = wrapped(_one_line(text), WIDTH, first=first, following=indent)
    return lines or [first.rstrip()]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out in columns: a name too long has a line of its own, numbers align right."""
    names, *others = zip(*([_one_line(cell) for cell in row] for row in rows), strict=True)
    columns = []
    for column in others:
        width = max(map(len, column))
        right = all(_is_number(cell) for cell in column[1:])
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in column])
    beside = ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
    room = max(_LEAST_NAME, WIDTH - 4 - max(map(len, beside)))
    width = min(room, max(map(len, names)))
    lines: list[str] = []
    for name, told in zip(names, beside, strict=True):
        is_long = len(name) > width
        if is_long:
            lines += textwrap.wrap(name, WIDTH, initial_indent="  ", subsequent_indent="    ")
        line = f"  {'' if is_long else name:<{width}}  {told}".rstrip()
        lines += [line] if len(line) <= WIDTH else _wrap(told, "    ")
    return lines


def _is_number(cell: str) -> bool:
    """Return whether a cell begins with a number, or says that there is none."""
    return cell.lstrip("+-")[:1].isdigit() or cell in _NO_NUMBER


def _one_line(text: str) -> str:
    """Replace line breaks and control characters, so that a name cannot draw on the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _cut(text: str, width: int) -> str:
    """Cut text to a width, with an ellipsis."""
    return text if len(text) <= width else text[: width - 3] + "..."
