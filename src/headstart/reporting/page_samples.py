"""What the page shows of single items: the worst mistakes, and what a network sees of images.

What an item looks like depends on what it is: a picture, the beginning of a text, or the cells of a
row. Figures say how often a model fails; this says on what, and shows labels that are wrong.
"""

from __future__ import annotations

import math

from headstart.reporting.measures import Json, format_value_alone, task_of
from headstart.reporting.wording import format_number, format_value

_FRAMINGS = {
    "crop": "of which the network sees the centre square",
    "pad": "which the network sees whole, on a square ground",
    "squash": "which the network sees whole, stretched to a square",
}
_MAX_PICTURES = 48
_MAX_ROWS = 24
_MAX_CHARACTERS = 300
_MAX_CELLS = 14
_MAX_CELL_CHARACTERS = 60


def mistakes_view(samples: list[Json], metrics: Json) -> Json | None:
    """Return the items that the model got most wrong.

    Args:
        samples: Worst first: ``name``, ``target``, ``prediction``, ``probability`` (of the
            prediction, where there is one) and one of ``image_png_base64``, ``text`` or ``row``.
        metrics: ``metrics.json``, which tells the task.
    """
    task = task_of(metrics)
    if not samples or task is None:
        return None
    view = {"title": task.words.mistakes, "lead": task.words.mistakes_lead}
    if not task.has_classes:
        shown = [_item(sample) | _numbers(sample) for sample in samples[:_MAX_ROWS]]
        return {**view, "form": "numbers", "samples": shown}
    if any(sample.get("text") is not None or sample.get("row") for sample in samples):
        shown = [_item(sample) | _labels(sample) for sample in samples[:_MAX_ROWS]]
        return {**view, "form": "rows", "samples": shown}
    shown = [
        {"name": sample.get("name"), "picture": sample.get("image_png_base64"), **_labels(sample)}
        for sample in samples[:_MAX_PICTURES]
    ]
    return {**view, "form": "pictures", "samples": shown}


def seen_view(views: Json) -> Json | None:
    """Return training images beside what the network takes, and what a policy makes of that.

    Args:
        views: ``views.json``; empty where samples are no images.
    """
    items = views.get("items") or []
    if not items:
        return None
    framing = _FRAMINGS.get(str(views.get("framing")), "")
    words = "; ".join(str(part) for part in views.get("words") or [])
    augmented = f"Augmentation {views.get('augment')}: {words}."
    lead = f"Training images, {framing}. {augmented} If a changed picture is no longer what its "
    shown = [
        {
            "name": item.get("name"),
            "pictures": [
                ("as stored", item.get("original")),
                ("as seen", item.get("seen")),
                *(("changed", picture) for picture in item.get("augmented") or []),
            ],
        }
        for item in items
    ]
    return {
        "lead": f"{lead}label says, choose another policy with the option augment.",
        "samples": shown,
    }


def _labels(sample: Json) -> Json:
    """Return target and prediction, as names of classes, and how sure the model was."""
    probability = sample.get("probability")
    return {
        "target": sample.get("target"),
        "prediction": sample.get("prediction"),
        "certainty": "" if probability is None else format_number(probability, 2),
    }


def _numbers(sample: Json) -> Json:
    """Return target, prediction and their difference, as numbers."""
    target, prediction = (_number(sample.get(key)) for key in ("target", "prediction"))
    known = target is not None and prediction is not None
    off = prediction - target if known else None  # type: ignore[operator]
    sign = "+" if off is not None and off > 0 else ""
    return {
        "target": format_value_alone(target),
        "prediction": format_value_alone(prediction),
        "off": f"{sign}{format_value_alone(off)}",
    }


def _item(sample: Json) -> Json:
    """Return what the item is: its text or its row, and its name."""
    words = sample.get("text")
    cells, num_more = cells_of(sample.get("row") or {})
    return {
        "name": sample.get("name"),
        "text": None if words is None else _shortened(str(words), _MAX_CHARACTERS),
        "row": cells,
        "num_more": num_more,
    }


def cells_of(row: Json) -> tuple[list[Json], int]:
    """Return the first cells of a row, and how many more there are (negative for none)."""
    shown = [_cell(column, value) for column, value in list(row.items())[:_MAX_CELLS]]
    return shown, len(row) - _MAX_CELLS


def _cell(column: str, value: object) -> Json:
    """Return one cell of a row with its column's name."""
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    shown = "missing" if is_missing else _shortened(format_value(value), _MAX_CELL_CHARACTERS)
    return {"column": column, "value": shown, "is_missing": is_missing}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _shortened(words: str, limit: int) -> str:
    """Cut text to a length, with an ellipsis."""
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
