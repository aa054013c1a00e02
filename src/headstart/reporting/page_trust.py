"""What the page shows of probabilities and decisions: calibration, ROC, lift, and what is mixed up.

All of it stands in ``metrics.json`` (docs/design.md, "contracts between the rooms"); what is not
there is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headstart.reporting.charts import Point
from headstart.reporting.judged_text import alike_sentence
from headstart.reporting.language import say
from headstart.reporting.measures import Json, end_of, format_figure
from headstart.reporting.unit_chart import COLOURS, UnitLine, unit_chart

_MAX_CELLS = 20
_DIAGONAL = ((0.0, 0.0), (1.0, 1.0))
_LEVEL = ((0.0, 1.0), (1.0, 1.0))
_MIN_LIFT = 1.5  # the least upper end of the axis


def trust_view(metrics: Json) -> Json | None:
    """Return the charts of probabilities with their leads; None where there are none."""
    groups = [_reliability(metrics.get("reliability") or {}), _curves(metrics.get("curves") or {})]
    shown = [group for group in groups if group["charts"]]
    return {"groups": shown} if shown else None


def _reliability(record: Json) -> Json:
    """Return how often the model is right where it says so, before and after a temperature."""
    lines, told = [], []
    temperature = float(record.get("temperature") or 1.0)
    stages = [("line-b", "before", "before the temperature"), ("line-a", "after", "after it")]
    if temperature == 1.0:  # one line, since nothing lies between them
        stages = [("line-a", "after", "no temperature: val asks for none")]
    for css, key, called in stages:
        name = say(called)
        found = record.get(key) or {}
        bins = [one for one in found.get("bins") or [] if _share_of(one) is not None]
        if not bins:
            continue
        points = [(float(one["confidence"]), float(one["accuracy"]["value"])) for one in bins]
        spans = [_span(one) for one in bins] if key == "after" else []
        lines.append(UnitLine(name, css, points, [one for one in spans if one], is_dotted=True))
        figure = format_figure(found.get("ece"))
        told.append(f"{figure} ({name})")
    chart = unit_chart(
        lines,
        x_label=say("how sure the model is"),
        y_label=say("share that is right"),
        label=say("How often the model is right where it is how sure"),
        reference=_DIAGONAL,
    )
    lead = ""
    if told:
        lead = say("On the line a probability means what it says; below it the model is too sure.")
        if temperature != 1.0:
            lead += " " + say("The temperature is {value}.", value=f"{temperature:.3g}")
        lead += " " + say("Calibration error {told}.", told="; ".join(told))
    legend = [(line.css, line.name) for line in lines]
    charts = [(say("Calibration"), legend, chart)] if chart else []
    return {"title": say("What its probabilities mean"), "lead": lead, "charts": charts}


def _share_of(one: Json) -> float | None:
    return end_of(one.get("accuracy"), "value")


def _span(one: Json) -> tuple[float, float, float] | None:
    low, high = end_of(one["accuracy"], "low"), end_of(one["accuracy"], "high")
    return None if low is None or high is None else (float(one["confidence"]), low, high)


def _curves(record: Json) -> Json:
    """Return ROC, precision and recall, and lift, a line a class."""
    counts: Mapping[str, int] = record.get("num_positive") or {}
    names = [name for name, _ in sorted(counts.items(), key=lambda one: -one[1])][: len(COLOURS)]
    css = dict(zip(names, COLOURS, strict=False))
    wrong, right = say("share of the others taken for it"), say("share of it that is found")
    taken, times = say("share of items taken from the top"), say("times as many as by chance")
    kinds = (
        ("roc", say("ROC"), wrong, right, _DIAGONAL),
        ("precision_recall", say("Precision and recall"), say("recall"), say("precision"), ()),
        ("lift", say("Lift"), taken, times, _LEVEL),
    )
    charts = []
    for key, title, x_label, y_label, reference in kinds:
        by_class = record.get(key) or {}
        lines = [
            UnitLine(name, css[name], _pairs(by_class[name])) for name in names if name in by_class
        ]
        tops = [y for line in lines for _, y in line.points]
        highest = max([_MIN_LIFT, *tops]) if key == "lift" else 1.0
        chart = unit_chart(
            lines,
            x_label=x_label,
            y_label=y_label,
            label=title,
            reference=reference,
            highest=highest,
        )
        if chart:
            charts.append((title, [(line.css, line.name) for line in lines], chart))
    more = len(counts) - len(names)
    lead = say("Each class against all others, by what the model says of each test item.")
    if more > 0:
        lead += " " + say("Drawn are the {number} most frequent classes.", number=len(names))
    return {"title": say("What another threshold would give"), "lead": lead, "charts": charts}


def _pairs(points: Sequence[Sequence[float | None]]) -> list[Point]:
    """Return x and y of points that may have a threshold, too."""
    return [
        (float(point[0]), float(point[1]))
        for point in points
        if point[0] is not None and point[1] is not None
    ]


def behind_view(metrics: Json, names: Mapping[str, str]) -> Json | None:
    """Return which items are behind the cells of the confusion matrix that are no answers.

    Args:
        metrics: ``metrics.json``.
        names: What items are called, by their id as text.
    """
    cells = (metrics.get("confusions") or {}).get("cells") or []
    if not cells:
        return None
    shown = [
        {
            "title": say(
                "{count} '{target}' called '{prediction}'",
                count=f"{cell['count']:,}",
                target=cell["target"],
                prediction=cell["prediction"],
            ),
            "items": [
                names.get(str(item)) or say("item {number}", number=item) for item in cell["items"]
            ],
            "more": cell["count"] - len(cell["items"]),
        }
        for cell in cells[:_MAX_CELLS]
    ]
    return {"cells": shown, "more": len(cells) - len(shown)}


def decisions_view(metrics: Json) -> list[str]:
    """Return in sentences what was settled beside the model: thresholds, sets, what it refuses."""
    told = []
    if thresholds := metrics.get("thresholds"):
        values = ", ".join(f"{name} {value:.3g}" for name, value in thresholds["values"].items())
        told.append(
            say(
                "Thresholds tuned on val for {asked}: {values}.",
                asked=thresholds["asked"],
                values=values,
            )
        )
    if (costs := metrics.get("costs")) and (test := costs.get("test")):
        told.append(
            say(
                "Answers are the cheapest by the costs given: {cheapest} in the mean on test; the "
                "most probable class costs {probable}, always '{name}' {constant}.",
                cheapest=format_figure(test["cheapest"]),
                probable=format_figure(test["most_probable"]),
                constant=format_figure(test["constant"]),
                name=costs["classes"][test["constant_class"]],
            )
        )
    if conformal := metrics.get("conformal"):
        test = conformal.get("test") or {}
        told.append(
            say(
                "Prediction sets hold the truth of {coverage} of new items, on test of {found}.",
                coverage=f"{conformal['coverage']:.0%}",
                found=format_figure(test.get("coverage")),
            )
        )
    if rejection := metrics.get("rejection"):
        test = rejection.get("test") or {}
        told.append(
            say(
                "Below a probability of {least} it says 'unknown': it answers {answered} of the "
                "test items, and is right in {accuracy} of these.",
                least=f"{rejection['least']:.3g}",
                answered=format_figure(test.get("answered")),
                accuracy=format_figure(test.get("accuracy")),
            )
        )
    return told


def repeats_view(metrics: Json) -> list[str]:
    """Return in sentences what folds, seeds and a learning curve have found."""
    told = []
    if folds := metrics.get("folds"):
        figures = ", ".join(
            f"{_called(key)} {format_figure(figure)}" for key, figure in folds["figures"].items()
        )
        told.append(
            say(
                "{folds}-fold cross-validation over {number} items: {figures}.",
                folds=folds["num_folds"],
                number=f"{folds['num_items']:,}",
                figures=figures,
            )
        )
    if on_all := metrics.get("trained_on_all"):
        told.append(
            say(
                "The model in {folder} has learned from all {number} samples; the figures that "
                "hold of it are those of the folds.",
                folder=on_all["folder"],
                number=f"{on_all['num_samples']:,}",
            )
            + f" {alike_sentence(on_all)}".rstrip()
        )
    if seeds := metrics.get("seeds"):
        figures = ", ".join(
            f"{_called(key)} {format_figure(figure)}" for key, figure in seeds["figures"].items()
        )
        told.append(
            say(
                "Over {number} seeds, test items and seeds together: {figures}.",
                number=len(seeds["seeds"]),
                figures=figures,
            )
        )
    if (curve := metrics.get("learning_curve")) and curve.get("twice"):
        told.append(
            say(
                "With twice the data ({number} samples) the error would be about {error}.",
                number=f"{curve['twice']['num_train']:,}",
                error=format_figure(curve["twice"].get("error")),
            )
        )
    return told


def _called(key: str) -> str:
    from headstart.reporting.measures import measure_named

    measure = measure_named(key)
    return say(measure.name) if measure else key
