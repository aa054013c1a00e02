"""What the page shows of explanations: where a model looked, and whether that may be believed.

An explanation is shown only where deleting what it names has lowered the model's answer more than
deleting as much at random (``explaining``); otherwise the page says that it is not shown, and by
what figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.reporting.charts import axis_of, interval_chart, line_chart, value_axis
from headstart.reporting.language import say
from headstart.reporting.measures import Json, end_of, format_figure, format_value_alone
from headstart.reporting.wording import format_number

_MAX_COLUMNS = 20
_STRONG = 60.0  # percent: the text must stay readable on the shade


def explained_view(record: Json | None) -> Json | None:
    """Return what ``explanations.json`` says; None where there is none."""
    if not record:
        return None
    faithful = record.get("faithfulness") or {}
    view: Json = {"lead": _lead(record, faithful), "pictures": [], "texts": []}
    view |= {"importance": None, "dependence": []}
    if not faithful.get("is_faithful"):
        return view
    for item in record.get("items") or []:
        told = {
            "name": item.get("name"),
            "prediction": item.get("prediction"),
            "certainty": ""
            if item.get("probability") is None
            else format_number(item["probability"], 2),
        }
        if item.get("picture"):
            view["pictures"].append(
                {**told, "plain": item.get("plain"), "picture": item["picture"]}
            )
        if item.get("words"):
            view["texts"].append({**told, "words": marked_words(item["words"])})
    view["importance"] = _importance(record.get("importance") or [], record)
    view["dependence"] = _dependence(record.get("dependence") or [], record)
    return view


def _lead(record: Json, faithful: Json) -> str:
    """Say what the method is, and what deleting has shown."""
    told = {
        "method": say(str(record.get("method"))),
        "share": f"{float(faithful.get('share') or 0):.0%}",
        "what": say(str(record.get("part"))),
        "number": faithful.get("num_items"),
        "deleted": format_figure(faithful.get("deleted")),
        "random": format_figure(faithful.get("random")),
        "difference": format_figure(faithful.get("difference"), signed=True),
        "effect": say(str(record.get("effect"))),
    }
    figures = say(
        "Checked by deleting on {number} items: without the {share} of the {what} that it names, "
        "{effect} {deleted}, without as many at random {random} (difference {difference}).",
        **told,
    )
    if faithful.get("is_faithful"):
        return say("{method}. {figures}", method=told["method"], figures=figures)
    return say(
        "{method} is not shown, because it names no more than chance would. {figures}",
        method=told["method"],
        figures=figures,
    )


def marked_words(words: Sequence[Sequence[Any]]) -> list[Json]:
    """Return the pieces of a text with how much each speaks for the answer, or against it.

    Args:
        words: (text, weight); weights of any size, negative against.
    """
    largest = max((abs(float(weight)) for _, weight in words), default=0.0) or 1.0
    return [
        {
            "text": text,
            "css": "" if abs(weight) < 0.08 * largest else "for" if weight > 0 else "against",
            "strength": f"{_STRONG * abs(weight) / largest:.0f}",
        }
        for text, weight in words
    ]


def _importance(columns: Sequence[Json], record: Json) -> Json | None:
    """Return the columns by what permuting each costs."""
    if not columns:
        return None
    shown = columns[:_MAX_COLUMNS]
    ends = [end for one in shown for end in one["loss"].values() if end is not None]
    axis = value_axis([0.0, *ends])
    rows: list[tuple[str, str, str]] = []
    for one in shown:
        value, low, high = (end_of(one["loss"], name) for name in ("value", "low", "high"))
        known = value is not None and low is not None and high is not None
        chart = interval_chart(value, low, high, axis) if known else ""  # type: ignore[arg-type]
        rows.append((one["column"], chart, format_figure(one["loss"], signed=True)))
    ends_of_axis = tuple(f"{end:g}" for end in axis)
    return {
        "lead": say(
            "By how much the loss of a test item rises when the cells of the column are dealt out "
            "anew among the items. Columns that say the same share their weight."
        ),
        "head": [(say("column"), ""), (ends_of_axis, ""), (say("loss [95 %]"), "number")],
        "rows": rows,
        "more": len(columns) - len(shown),
    }


def _dependence(columns: Sequence[Json], record: Json) -> list[Json]:
    """Return how the mean answer changes with a column, all else as it is."""
    found, nothing = [], list[tuple[str, str, str]]()
    for one in columns:
        title = say("{column}: mean answer for {what}", column=one["column"], what=one["answer"])
        if one["is_number"]:
            points = [(float(x), float(y)) for x, y in one["points"]]
            chart = line_chart([(title, "line-a", points)], x_label=str(one["column"]), label=title)
            found.append({"title": title, "chart": chart, "rows": nothing})
            continue
        axis = (
            axis_of([float(y) for _, y in one["points"]])
            if record.get("is_share")
            else value_axis([float(y) for _, y in one["points"]])
        )
        rows = [
            (
                str(x),
                interval_chart(float(y), float(y), float(y), axis),
                format_value_alone(float(y)),
            )
            for x, y in one["points"]
        ]
        found.append({"title": title, "chart": "", "rows": rows})
    return found
