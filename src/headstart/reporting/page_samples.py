"""The section of the page that shows single items: the worst mistakes, or the largest errors.

What an item looks like depends on what it is: a picture, the beginning of a text, or the cells of a
row. Figures say how often a model fails; this says on what, and shows labels that are wrong.
"""

from __future__ import annotations

import math

from headstart.reporting.measures import Json, format_value_alone, task_of
from headstart.reporting.page_parts import cell, section, table, text
from headstart.reporting.wording import format_number, format_value

_MAX_PICTURES = 48
_MAX_ROWS = 24
_MAX_CHARACTERS = 300
_MAX_CELLS = 14
_MAX_CELL_CHARACTERS = 60


def mistakes_section(samples: list[Json], metrics: Json) -> str:
    """Show the items that the model got most wrong.

    Args:
        samples: Worst first: ``name``, ``target``, ``prediction``, ``probability`` (of the
            prediction, where there is one) and one of ``image_png_base64``, ``text`` or ``row``.
        metrics: ``metrics.json``, which tells the task.
    """
    task = task_of(metrics)
    if not samples or task is None:
        return ""
    title, lead = task.words.mistakes, task.words.mistakes_lead
    if not task.has_classes:
        head = [("target", "number"), ("prediction", "number"), ("off by", "number"), ("item", "")]
        rows = [[*_numbers(sample), _item(sample)] for sample in samples[:_MAX_ROWS]]
        return section(title, lead, table(head, rows))
    if any(sample.get("text") is not None or sample.get("row") for sample in samples):
        rows = [[*_labels(sample), _item(sample)] for sample in samples[:_MAX_ROWS]]
        head = [("it is", ""), ("the model says", ""), ("item", "")]
        return section(title, lead, table(head, rows))
    pictures = "".join(_picture(sample) for sample in samples[:_MAX_PICTURES])
    return section(title, lead, f'<div class="photos">{pictures}</div>')


def _picture(sample: Json) -> str:
    """Show an image with what it is and what the model says."""
    image = sample.get("image_png_base64")
    picture = f'<img alt="" src="data:image/png;base64,{text(image)}">' if image else ""
    certainty = _certainty(sample)
    return (
        f"<figure>{picture}says <b>{text(sample.get('prediction'))}</b> "
        f"{certainty}<br>is <b>{text(sample.get('target'))}</b>"
        f'<br><span class="soft">{text(sample.get("name"))}</span></figure>'
    )


def _labels(sample: Json) -> list[str]:
    """Return the cells of target and prediction, as names of classes."""
    certainty = f' <span class="soft">{_certainty(sample)}</span>' if _certainty(sample) else ""
    target = text(sample.get("target") or "none of them")
    prediction = text(sample.get("prediction") or "none of them")
    return [
        cell(f"<b>{target}</b>", "label top"),
        cell(f"<b>{prediction}</b>{certainty}", "label top"),
    ]


def _numbers(sample: Json) -> list[str]:
    """Return the cells of target, prediction and their difference, as numbers."""
    target, prediction = (_number(sample.get(key)) for key in ("target", "prediction"))
    known = target is not None and prediction is not None
    off = prediction - target if known else None  # type: ignore[operator]
    sign = "+" if off is not None and off > 0 else ""
    return [
        cell(format_value_alone(target), "number top"),
        cell(format_value_alone(prediction), "number top"),
        cell(f"<b>{sign}{format_value_alone(off)}</b>", "number top"),
    ]


def _item(sample: Json) -> str:
    """Return the cell of what the item is: its text or its row, and its name."""
    parts = []
    words = sample.get("text")
    if words is not None:
        parts.append(f'<p class="sample">{text(_shortened(str(words), _MAX_CHARACTERS))}</p>')
    row = sample.get("row") or {}
    if row:
        cells = list(row.items())
        shown = "".join(_pair(column, value) for column, value in cells[:_MAX_CELLS])
        more = len(cells) - _MAX_CELLS
        rest = f"<span>and {more} more columns</span>" if more > 0 else ""
        parts.append(f'<div class="cells">{shown}{rest}</div>')
    parts.append(f'<span class="soft small">{text(sample.get("name"))}</span>')
    return cell("".join(parts), "item top")


def _pair(column: object, value: object) -> str:
    """Show one cell of a row under its column's name."""
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    shown = "missing" if is_missing else _shortened(format_value(value), _MAX_CELL_CHARACTERS)
    css = ' class="soft"' if is_missing else ""
    return f"<span><i>{text(column)}</i> <b{css}>{text(shown)}</b></span>"


def _certainty(sample: Json) -> str:
    probability = sample.get("probability")
    return "" if probability is None else format_number(probability, 2)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _shortened(words: str, limit: int) -> str:
    """Cut text to a length, with an ellipsis."""
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
