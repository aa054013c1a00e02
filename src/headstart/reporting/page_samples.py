"""What the page shows of single items: the worst mistakes, and what a network sees of images.

What an item looks like depends on what it is: a picture, the beginning of a text, or the cells of a
row. Figures say how often a model fails; this says on what, and shows labels that are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.reporting.language import say
from headstart.reporting.measures import Json, format_value_alone, task_of
from headstart.reporting.wording import format_number, format_value

if TYPE_CHECKING:
    from headstart.tasks import Task

_FRAMINGS = {
    "crop": "of which the network sees the centre square",
    "pad": "which the network sees whole, on a square ground",
    "squash": "which the network sees whole, stretched to a square",
}
_MAX_PICTURES = 48
_MAX_ROWS = 24
_MAX_CHARACTERS, _MAX_WRITTEN = 300, 600
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
    words = say(task.words.mistakes), say(task.words.mistakes_lead)
    return _listed(samples, *words, task=task)


def doubtful_view(samples: Sequence[Json], metrics: Json) -> Json | None:
    """Return the items on which the model was least decided, right or wrong.

    Args:
        samples: The most doubtful first, as ``mistakes_view`` takes them.
        metrics: ``metrics.json``, which tells the task.
    """
    task = task_of(metrics)
    if not samples or task is None:
        return None
    lead = say("Test items on which the first answer leads by least, right or wrong.")
    title = say("Most doubtful")
    return _listed(samples, title, lead, task=task)


def _listed(samples: Sequence[Json], title: str, lead: str, *, task: Task) -> Json:
    """Return items in the form that suits them: numbers, rows of a table, or pictures."""
    view = {"title": title, "lead": lead}
    are_words = any(isinstance(sample.get("target"), str) for sample in samples)
    if not task.has_classes and not are_words:  # texts and several targets are told in words
        shown = [_item(sample) | _numbers(sample) for sample in samples[:_MAX_ROWS]]
        return {**view, "form": "numbers", "samples": shown}
    if any(sample.get("text") is not None or sample.get("row") for sample in samples):
        shown = [_item(sample) | _labels(sample, task) for sample in samples[:_MAX_ROWS]]
        return {**view, "form": "rows", "samples": shown}
    shown = [
        {"name": one.get("name"), "picture": one.get("image_png_base64"), **_labels(one, task)}
        for one in samples[:_MAX_PICTURES]
    ]
    return {**view, "form": "pictures", "samples": shown}


def written_view(metrics: Json) -> Json | None:
    """Return what was written of a few test samples, before the fine-tuning and after it."""
    rows = metrics.get("written") or []
    if not rows:
        return None
    kinds = (
        ("text", say("given")),
        ("target", say("wanted")),
        ("before", say("before")),
        ("after", say("after")),
    )
    shown = [
        {
            "name": row.get("name"),
            "passages": [
                (called, _shortened(str(row[kind]), _MAX_WRITTEN))
                for kind, called in kinds
                if row.get(kind) is not None
            ],
        }
        for row in rows
    ]
    return {
        "title": say("Written before and after"),
        "lead": say("Test texts, spread over all: what the start wrote, and what this model does."),
        "rows": shown,
    }


def examples_view(record: Json) -> Json | None:
    """Return samples of each class from train, as ``examples.json`` holds them."""
    classes = record.get("classes") or []
    if not classes:
        return None
    shown = [
        {
            "name": one["name"],
            "samples": [
                {**_item(sample), "picture": sample.get("image_jpeg_base64")}
                for sample in one["items"]
            ],
        }
        for one in classes
    ]
    has_pictures = any(sample["picture"] for one in shown for sample in one["samples"])
    form = "pictures" if has_pictures else "rows"
    return {"form": form, "classes": shown, "more": int(record.get("num_more") or 0)}


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
    shown = [
        {
            "name": item.get("name"),
            "pictures": [
                (say("as stored"), item.get("original")),
                (say("as seen"), item.get("seen")),
                *((say("changed"), picture) for picture in item.get("augmented") or []),
            ],
        }
        for item in items
    ]
    return {
        "lead": say(
            "Training images, {framing}. Augmentation {policy}: {words}. If a changed picture is "
            "no longer what its label says, choose another policy with the option augment.",
            framing=say(framing),
            policy=views.get("augment"),
            words=words,
        ),
        "samples": shown,
    }


def _labels(sample: Json, task: Task) -> Json:
    """Return target and prediction, as names of classes, and how sure the model was."""
    probability = sample.get("probability")
    sure = "" if probability is None else format_number(probability, 2)
    if task.parts and sure:
        sure = say("(least sure: {probability})", probability=sure)
    return {
        "target": sample.get("target"),
        "prediction": sample.get("prediction"),
        "certainty": sure,
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
    shown = say("missing") if is_missing else _shortened(format_value(value), _MAX_CELL_CHARACTERS)
    return {"column": column, "value": shown, "is_missing": is_missing}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _shortened(words: str, limit: int) -> str:
    """Cut text to a length, with an ellipsis."""
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
