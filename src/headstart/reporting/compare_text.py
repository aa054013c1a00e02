"""What ``headstart compare`` prints: all predictors, every pair, which items moved; 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.reporting.measures import (
    Json,
    format_figure,
    format_measure,
    format_quantity,
    format_value_alone,
)
from headstart.reporting.terminal import wrapped
from headstart.reporting.wording import format_duration, format_items, format_p
from headstart.tasks import Task, find_task

WIDTH = 80
MAX_NAMED = 5  # gained and lost items of each pair
_VERDICTS = {
    "better": "better, beyond noise",
    "worse": "WORSE, beyond noise",
    "mixed": "mixed, the items and their mean do not agree",
    "open": "this difference is within noise",
}


def render_compare_text(record: Mapping[str, Any]) -> str:
    """Return a comparison as plain text.

    Args:
        record: Content of ``compare.json``.
    """
    task = find_task(record["task"])
    head = title(record)
    lines = [head, "=" * min(len(head), WIDTH)]
    for run in record["runs"]:
        lines += _wrapped(f"{run['path']}: {about(run)}", f"  {run['letter']}  ")
    measure = task.figures[record["metric"]]
    lower = "" if measure.is_higher_better else ", lower is better"
    lines += ["", f"{measure.name[:1].upper()}{measure.name[1:]} on these items{lower}"]
    rows = [(rung_name(rung), format_measure(measure, rung["figure"])) for rung in record["ladder"]]
    width = max(len(name) for name, _ in rows)
    lines += [f"  {name:<{width}}  {figure}" for name, figure in rows]
    for pair in record["comparisons"]:
        lines += ["", *_wrapped(verdict(pair, task, record), "", "  ")]
        if told := differences(pair, task):
            lines += _wrapped(f"Differences: {'; '.join(told)}.", "  ")
        for kind in ("gained", "lost"):
            lines += _moved(pair, kind, task)
    lines += ["", *_wrapped(explanation(record, task), "")]
    return "\n".join(lines)


def title(record: Mapping[str, Any]) -> str:
    """Return what is compared, in a line."""
    items = format_items(record["num_items"], record["num_groups"])
    return f"headstart compare: {len(record['runs'])} runs on the same {items}"


def about(run: Mapping[str, Any]) -> str:
    """Return what a run is: its start, its strategy, whether from scratch, its time."""
    parts = [str(run["start"]), str(run["strategy"] or "unknown strategy")]
    parts += ["from scratch"] if run["is_from_scratch"] else []
    parts += [format_duration(run["seconds"])] if run["seconds"] is not None else []
    return ", ".join(parts)


def rung_name(rung: Mapping[str, Any]) -> str:
    """Return what a predictor is called, with the letters of the runs that it is of."""
    letters = ", ".join(rung["of"])
    return f"{letters}  {rung['name']}" if rung["is_run"] else f"{rung['name']} ({letters})"


def verdict(pair: Mapping[str, Any], task: Task, record: Mapping[str, Any]) -> str:
    """Return one sentence on a pair: what moved, by how much, and whether that is noise."""
    pairing = task.words.pairing
    style = format_quantity if pairing.has_unit else format_figure
    counts = pairing.counts.format(gained=f"{pair['gained']:,}", lost=f"{pair['lost']:,}")
    told = [format_p(pair["p_value"])]
    if pair["mid_p_value"] is not None:
        told.append(f"mid-{format_p(pair['mid_p_value'])}")
    if record["correction"]:
        looks = len(record["comparisons"])
        told.append(f"{format_p(pair['corrected_p_value'])} after {looks} looks")
    return (
        f"{pair['after']} against {pair['before']}: {counts}, {pairing.difference} "
        f"{style(pair['difference'], signed=True)}, {', '.join(told)}: "
        f"{_VERDICTS[pair['judgement']]}."
    )


def differences(pair: Mapping[str, Any], task: Task) -> list[str]:
    """Return by how much the other figures differ, each with its interval."""
    return [
        f"{task.figures[name].name} {format_measure(task.figures[name], figure, signed=True)}"
        for name, figure in pair["figures"].items()
        if name != pair["metric"] and name in task.figures
    ]


def moved_item(item: Mapping[str, Any], task: Task) -> str:
    """Return one item that moved: ``x.png: cat; was dog, is cat``."""
    keys = ("before", "after", "target")
    was, now, target = (_said(task.item_words(item[key])) for key in keys)
    return f"{item['name']}: {target}; was {was}, is {now}"


def explanation(record: Mapping[str, Any], task: Task) -> str:
    """Return how to read the figures, and how several looks were corrected for."""
    text = task.words.pairing.explained(record["num_groups"])
    text += " In brackets: 95 % interval, of differences by drawing the same items for both."
    if record["correction"]:
        looks = len(record["comparisons"])
        text += (
            f" Of {looks} pairs one in twenty would differ by chance: the verdicts follow "
            f"{record['correction']}'s correction."
        )
    return text


def _moved(pair: Mapping[str, Any], kind: str, task: Task) -> list[str]:
    """Return the lines that name gained or lost items."""
    items: Sequence[Json] = pair[f"{kind}_items"]
    if not items:
        return []
    lines = [f"  {kind}:"]
    for item in items[:MAX_NAMED]:
        lines += _wrapped(moved_item(item, task), "    ", "      ")
    if (more := pair[kind] - MAX_NAMED) > 0:
        lines.append(f"    and {more:,} more")
    return lines


def _said(value: object) -> str:
    return format_value_alone(value) if isinstance(value, float) else str(value) or "nothing"


def _wrapped(text: str, first: str, following: str | None = None) -> list[str]:
    plain = "".join(char if char.isprintable() else " " for char in text)
    indent = " " * len(first) if following is None else following
    return wrapped(plain, WIDTH, first=first, following=indent)
