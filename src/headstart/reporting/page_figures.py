"""What the page shows of figures: headline, before and after, confusion, residuals, classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headstart.reporting.charts import (
    axis_labels,
    axis_of,
    interval_chart,
    scatter_chart,
    value_axis,
)
from headstart.reporting.language import say
from headstart.reporting.measures import (
    Json,
    format_figure,
    format_measure,
    format_value_alone,
    ladder_of,
    task_of,
)
from headstart.reporting.wording import (
    brief_verdict,
    format_items,
    format_number,
    items_sentence,
    judge,
    later_days_sentence,
    most_confused,
    val_calibration_sentence,
    verdict,
    warning_of,
    weakest_classes,
)

if TYPE_CHECKING:
    from headstart.tasks import Pairing, Task

_MAX_MATRIX = 20  # classes; beyond, only the most confused pairs are shown
_MAX_PAIRS = 20
_MAX_OPEN_CLASSES = 25
_VERDICT_STYLES = {"better": "good", "worse": "bad", "mixed": "open", "open": "open"}


def headline_view(metrics: Json, model: Json) -> Json | None:
    """Return the leading figure, and every figure with its interval; None before the evaluation."""
    test = metrics.get("test") or {}
    found, task = test.get("figures") or {}, task_of(metrics)
    if not found or task is None:
        return None
    val = (metrics.get("val") or {}).get("figures") or {}
    comparisons = (metrics.get("before_after") or {}).get("comparisons") or []
    figures = [
        {
            "name": say(measure.name),
            "meaning": say(measure.meaning),
            "test": format_measure(measure, found[key]),
            "val": format_measure(measure, val.get(key)) if val else None,
        }
        for key, measure in task.figures.items()
        if key in found
    ]
    head = [(say("figure"), ""), (say("test [95 %]"), "number")]
    if val:
        head.append((say("val, used for choosing"), "number hide-narrow"))
    return {
        **_leading_figure(task, test, model),
        "verdicts": [_brief_verdict(compared, task.words.pairing) for compared in comparisons],
        "lost": warning_of(metrics),
        "later": later_days_sentence(metrics),
        "about_items": items_sentence(test),
        "head": head,
        "figures": figures,
        "val_calibration": val_calibration_sentence(metrics),
    }


def _leading_figure(task: Task, test: Json, model: Json) -> Json:
    """Return the figure that leads: a share in percent, F1 as it is, an error in its units."""
    measure = task.figures[task.headline]
    figure = test["figures"].get(task.headline) or {}
    show: Callable[[float | None], str] = format_number
    if measure.unit == "percent":
        show = _percent
    elif measure.unit == "target":
        show = format_value_alone
    items = format_items(test["num_items"], test.get("num_groups"))
    about = say("{figure} on {items} of the test set", figure=say(measure.name), items=items)
    if measure.unit == "target":
        label = (model.get("schema") or {}).get("label")
        units = say("in units of the target")
        if label:
            units = say("in units of '{label}'", label=label)
        about = say("{about}, {units}; lower is better", about=about, units=units)
    return {"about": about, **{end: show(figure.get(end)) for end in ("value", "low", "high")}}


def ladder_view(metrics: Json) -> Json | None:
    """Return the leading figure before and after on one axis, and the paired verdicts."""
    (measure, figures), task = ladder_of(metrics), task_of(metrics)
    if not figures or measure is None or task is None:
        return None
    scores = metrics.get("test") or {}
    num_items, num_groups = scores.get("num_items", 0), scores.get("num_groups")
    axis = axis_for(list(figures.values()), is_share=measure.unit != "target")
    comparisons = metrics["before_after"].get("comparisons") or []
    called = say(measure.name)
    if "part" in metrics:
        called = f"{metrics['part']}: {called}"
    told = {
        "figure": called[:1].upper() + called[1:],
        "items": format_items(num_items, num_groups),
    }
    lead = say("{figure} on the same {items} of the test set.", **told)
    if not measure.is_higher_better:
        lead = say("{figure} on the same {items} of the test set; lower is better.", **told)
    about = f" {say(metrics['about'])}" if "about" in metrics else ""
    title = say(metrics.get("title", "Before and after"))
    return {
        "title": f"{title}: {metrics['part']}" if "part" in metrics else title,
        "lead": f"{lead}{about} {say(task.words.pairing.explained(num_groups))}",
        "head": [("", ""), (axis_labels(axis), ""), (f"{called} [95 %]", "number")],
        "figures": [
            {
                "name": say(name),
                "chart": whisker(figure, axis),
                "value": format_measure(measure, figure),
            }
            for name, figure in figures.items()
        ],
        "verdicts": [_verdict(found, scores, task.words.pairing) for found in comparisons],
    }


def residuals_view(scores: Json, model: Json) -> Json | None:
    """Return charts of predictions against targets, and of what is left over."""
    pairs = [(float(t), float(p)) for t, p in scores.get("residuals") or []]
    if not pairs:
        return None
    label = (model.get("schema") or {}).get("label") or say("target")
    against = scatter_chart(
        pairs,
        x_label=say("target: {label}", label=label),
        y_label=say("prediction"),
        label=say("Predictions against targets"),
        reference="diagonal",
    )
    left_over = scatter_chart(
        [(prediction, prediction - target) for target, prediction in pairs],
        x_label=say("prediction: {label}", label=label),
        y_label=say("prediction minus target"),
        label=say("Residuals against predictions"),
        reference="zero",
    )
    num_items = scores.get("num_items", len(pairs))
    shown = format_items(num_items)
    if len(pairs) < num_items:
        numbers = {"number": f"{len(pairs):,}", "all": f"{num_items:,}"}
        shown = say("{number} of {all} items, drawn at random", **numbers)
    lead = say(
        "{items}. On the line, nothing is wrong; a trend away from it in the second chart is "
        "something that the model has not learned.",
        items=shown[:1].upper() + shown[1:],
    )
    charts = [
        (say("Prediction against target"), against),
        (say("Prediction minus target"), left_over),
    ]
    return {"lead": lead, "charts": charts}


def confusion_view(scores: Json) -> Json | None:
    """Return the confusion matrix as a heat table, or only the worst pairs of many classes."""
    matrix = scores.get("confusion_matrix") or []
    names = list(scores.get("per_class") or {})
    if not matrix and "confusion_counts" not in scores:
        return None
    if not matrix or len(matrix) > _MAX_MATRIX:
        number = f"{len(names):,}"
        lead = say("The pairs of {number} classes that are mixed up most often.", number=number)
        return {"lead": lead, "rows": [], "pairs": _confused_pairs(scores, _MAX_PAIRS)}
    rows = []
    for name, counts in zip(names, matrix, strict=False):
        support = sum(counts) or 1
        cells = zip(names, counts, strict=False)
        rows.append((name, [_matrix_cell(name, other, n, support) for other, n in cells]))
    return {
        "lead": say("Rows: what it is. Columns: what the model says. Shade: share of the row."),
        "names": names,
        "rows": rows,
        "is_dense": len(names) > 8 or max(map(len, names)) > 10,
        "pairs": _confused_pairs(scores, min(8, max(4, len(matrix)))),
    }


def by_class_view(metrics: Json) -> Json | None:
    """Return every class or label, lowest F1 first."""
    classes, task = weakest_classes(metrics.get("test") or {}), task_of(metrics)
    if not classes or task is None:
        return None
    axis = axis_for([found["f1"] for _, found in classes if found.get("f1")])
    rows = [
        {
            "name": name,
            "support": f"{found.get('support', 0):,}",
            "precision": format_number((found.get("precision") or {}).get("value")),
            "recall": format_number((found.get("recall") or {}).get("value")),
            "chart": whisker(found.get("f1") or {}, axis),
            "f1": format_figure(found.get("f1")),
        }
        for name, found in classes
    ]
    head = [(say(task.words.one), ""), (say("items"), "number")]
    head += [(say("precision"), "number"), (say("recall"), "number")]
    return {
        "title": say(task.words.several.capitalize()),
        "several": say(task.words.several),
        "head": [*head, (axis_labels(axis), "hide-narrow"), ("F1 [95 %]", "number")],
        "open": rows[:_MAX_OPEN_CLASSES],
        "folded": rows[_MAX_OPEN_CLASSES:],
    }


def _verdict(comparison: Json, scores: Json, pairing: Pairing) -> Json:
    """Return a paired verdict, and the style that shows what it says."""
    words, _, judgement = verdict(
        comparison, scores.get("num_items", 0), pairing, scores.get("num_groups")
    ).rpartition(": ")
    style = _VERDICT_STYLES[judge(comparison, pairing)]
    return {"style": style, "words": words, "judgement": judgement}


def _brief_verdict(comparison: Json, pairing: Pairing) -> Json:
    """Return a paired verdict in a few words."""
    judgement, words = brief_verdict(comparison, pairing)
    style = _VERDICT_STYLES[judge(comparison, pairing)]
    return {"style": style, "words": words, "judgement": judgement}


def _matrix_cell(target: str, prediction: str, count: int, support: int) -> Json:
    """Return one cell; mistakes are shaded in another colour, and more steeply."""
    share = count / support
    is_miss = target != prediction
    # At most 60 %: the text must stay readable on the shade in both colour schemes.
    strength = min(60.0, 60.0 * (share * 4 if is_miss else share))
    return {
        "is_miss": is_miss,
        "strength": f"{strength:.0f}",
        "title": say(
            "{count} of {support} '{target}' were called '{prediction}' ({share})",
            count=count,
            support=support,
            target=target,
            prediction=prediction,
            share=f"{share:.1%}",
        ),
        "count": f"{count:,}" if count else "",
    }


def _confused_pairs(scores: Json, limit: int) -> list[Json]:
    """Return the pairs that are mixed up most often."""
    return [
        {
            "target": pair.target,
            "prediction": pair.prediction,
            "counted": say("{number} of {all}", number=f"{pair.count:,}", all=f"{pair.support:,}"),
            "share": f"{pair.count / pair.support:.1%}",
        }
        for pair in most_confused(scores, limit)
    ]


def axis_for(figures: list[Json], *, is_share: bool = True) -> tuple[float, float]:
    """Return a common axis for figures."""
    ends = [figure.get(name) for figure in figures for name in ("value", "low", "high")]
    known = [end for end in ends if end is not None]
    return axis_of(known) if is_share else value_axis(known)


def whisker(figure: Json, axis: tuple[float, float]) -> str:
    """Draw a figure's interval, or nothing where an end is unknown."""
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return ""
    return interval_chart(value, low, high, axis)


def _percent(share: float | None) -> str:
    """Return ``98.1 %``."""
    return say("unknown") if share is None else f"{100 * share:.1f} %"
