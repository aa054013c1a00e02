"""Sections of the page about figures: headline, before and after, confusion, residuals, classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headstart.reporting.charts import axis_of, interval_chart, scatter_chart, value_axis
from headstart.reporting.measures import (
    Json,
    format_figure,
    format_measure,
    format_value_alone,
    ladder_of,
    task_of,
)
from headstart.reporting.page_parts import axis_ends, cell, paragraph, section, table, text
from headstart.reporting.wording import (
    brief_verdict,
    format_items,
    format_number,
    judge,
    most_confused,
    verdict,
    weakest_classes,
)

if TYPE_CHECKING:
    from headstart.tasks import Pairing, Task

_MAX_MATRIX = 20  # classes; beyond, only the most confused pairs are shown
_MAX_PAIRS = 20
_MAX_OPEN_CLASSES = 25
_VERDICT_STYLES = {"better": "good", "worse": "bad", "mixed": "open", "open": "open"}


def headline_section(metrics: Json, model: Json) -> str:
    """Show the leading figure large, and every figure with its interval."""
    test = metrics.get("test") or {}
    figures, task = test.get("figures") or {}, task_of(metrics)
    if not figures or task is None:
        return section("How good", "", paragraph("The run has not been evaluated."))
    val = (metrics.get("val") or {}).get("figures") or {}
    comparisons = (metrics.get("before_after") or {}).get("comparisons") or []
    verdicts = (_brief_verdict(comparison, task.words.pairing) for comparison in comparisons)
    big = f"<div>{_leading_figure(task, test, model)}{''.join(verdicts)}</div>"
    rows = []
    for key, measure in task.figures.items():
        if key in figures:
            meaning = f'<br><span class="soft small">{text(measure.meaning)}</span>'
            shown = format_measure(measure, figures[key])
            row = [cell(text(measure.name) + meaning, ""), cell(shown, "number")]
            if val:
                row.append(cell(format_measure(measure, val.get(key)), "number soft hide-narrow"))
            rows.append(row)
    head = [("figure", ""), ("test [95 %]", "number")]
    if val:
        head.append(("val, used for choosing", "number hide-narrow"))
    return section("How good", "", f'<div class="hero">{big}<div>{table(head, rows)}</div></div>')


def _leading_figure(task: Task, test: Json, model: Json) -> str:
    """Show the figure that leads: a share in percent, F1 as it is, an error in its units."""
    measure = task.figures[task.headline]
    figure = test["figures"].get(task.headline) or {}
    show: Callable[[float | None], str] = format_number
    if measure.unit == "percent":
        show = _percent
    elif measure.unit == "target":
        show = format_value_alone
    about = f"{measure.name} on {format_items(test['num_items'])} of the test set"
    if measure.unit == "target":
        label = (model.get("schema") or {}).get("label")
        units = f", in units of '{label}'" if label else ", in units of the target"
        about += f"{units}; lower is better"
    return (
        f'<div class="big">{show(figure.get("value"))}</div>'
        f'<div class="range">{text(about)}<br>'
        f"95 % interval {show(figure.get('low'))} to {show(figure.get('high'))}</div>"
    )


def before_after_section(metrics: Json) -> str:
    """Show the leading figure before and after on one axis, and the paired verdicts."""
    (measure, figures), task = ladder_of(metrics), task_of(metrics)
    if not figures or measure is None or task is None:
        return ""
    num_items = (metrics.get("test") or {}).get("num_items", 0)
    axis = _axis(list(figures.values()), is_share=measure.unit != "target")
    rows = [
        [
            cell(text(name), "name"),
            cell(_whisker(figure, axis), "track-cell"),
            cell(format_measure(measure, figure), "number"),
        ]
        for name, figure in figures.items()
    ]
    comparisons = metrics["before_after"].get("comparisons") or []
    verdicts = [_verdict(found, num_items, task.words.pairing) for found in comparisons]
    name = measure.name[:1].upper() + measure.name[1:]
    lower = "" if measure.is_higher_better else "; lower is better"
    lead = f"{name} on the same {format_items(num_items)} of the test set{lower}."
    lead += f" {task.words.pairing.explanation}"
    head = [("", ""), (axis_ends(axis), ""), (f"{text(measure.name)} [95 %]", "number")]
    return section("Before and after", lead, table(head, rows) + "".join(verdicts))


def residuals_section(scores: Json, model: Json) -> str:
    """Show predictions against targets, and what is left over against predictions."""
    pairs = [(float(t), float(p)) for t, p in scores.get("residuals") or []]
    if not pairs:
        return ""
    label = (model.get("schema") or {}).get("label") or "target"
    against = scatter_chart(
        pairs,
        x_label=f"target: {label}",
        y_label="prediction",
        label="Predictions against targets",
        reference="diagonal",
    )
    left_over = scatter_chart(
        [(prediction, prediction - target) for target, prediction in pairs],
        x_label=f"prediction: {label}",
        y_label="prediction minus target",
        label="Residuals against predictions",
        reference="zero",
    )
    num_items = scores.get("num_items", len(pairs))
    shown = format_items(num_items)
    if len(pairs) < num_items:
        shown = f"{len(pairs):,} of {num_items:,} items, drawn at random"
    lead = (
        f"{shown[:1].upper()}{shown[1:]}. On the line, nothing is wrong; a trend away from it in "
        "the second chart is something that the model has not learned."
    )
    blocks = [("Prediction against target", against), ("Prediction minus target", left_over)]
    body = "".join(f'<div><div class="legend">{t}</div>{chart}</div>' for t, chart in blocks)
    return section("Residuals", lead, f'<div class="charts">{body}</div>')


def confusion_section(scores: Json) -> str:
    """Show the confusion matrix as a heat table, or only the worst pairs of many classes."""
    matrix = scores.get("confusion_matrix") or []
    names = list(scores.get("per_class") or {})
    if not matrix:
        return ""
    if len(matrix) > _MAX_MATRIX:
        lead = f"The pairs of {len(matrix)} classes that are mixed up most often."
        return section("Most confused", lead, _confused_pairs(scores, _MAX_PAIRS))
    head = "".join(f'<th class="column" title="{text(n)}">{text(n)}</th>' for n in names)
    rows = []
    for i, counts in enumerate(matrix):
        support = sum(counts) or 1
        cells = "".join(_matrix_cell(names[i], names[j], n, support) for j, n in enumerate(counts))
        rows.append(
            f'<tr><th class="row" title="{text(names[i])}">{text(names[i])}</th>{cells}</tr>'
        )
    dense = len(names) > 8 or max(map(len, names)) > 10
    body = (
        f'<div class="wide"><table class="matrix{" dense" if dense else ""}">'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    lead = "Rows: what it is. Columns: what the model says. Shade: share of the row."
    pairs = _confused_pairs(scores, min(8, max(4, len(matrix))))
    return section(
        "Confusion matrix",
        lead,
        f'<div class="beside">{body}<div class="pairs">{pairs}</div></div>',
    )


def classes_section(metrics: Json) -> str:
    """Show every class or label, lowest F1 first."""
    classes, task = weakest_classes(metrics.get("test") or {}), task_of(metrics)
    if not classes or task is None:
        return ""
    one, many = task.words.one, task.words.several
    axis = _axis([found["f1"] for _, found in classes if found.get("f1")])
    rows = []
    for name, found in classes:
        rows.append(
            [
                cell(text(name), "name"),
                cell(f"{found.get('support', 0):,}", "number"),
                cell(format_number((found.get("precision") or {}).get("value")), "number"),
                cell(format_number((found.get("recall") or {}).get("value")), "number"),
                cell(_whisker(found.get("f1") or {}, axis), "track-cell hide-narrow"),
                cell(format_figure(found.get("f1")), "number"),
            ]
        )
    head = [(one, ""), ("items", "number"), ("precision", "number"), ("recall", "number")]
    head += [(axis_ends(axis), "hide-narrow"), ("F1 [95 %]", "number")]
    body = table(head, rows[:_MAX_OPEN_CLASSES])
    if len(rows) > _MAX_OPEN_CLASSES:
        rest = table(head, rows[_MAX_OPEN_CLASSES:])
        more = len(rows) - _MAX_OPEN_CLASSES
        body += f"<details><summary>{more} more {many}</summary>{rest}</details>"
    return section(many.capitalize(), "Lowest F1 first.", body)


def _verdict(comparison: Json, num_items: int, pairing: Pairing) -> str:
    """Show a paired verdict, its judgement coloured by what it says."""
    start, _, judgement = verdict(comparison, num_items, pairing).rpartition(": ")
    return (
        f'<p class="verdict {_VERDICT_STYLES[judge(comparison, pairing)]}">{text(start)}: '
        f'<b class="word">{text(judgement)}</b></p>'
    )


def _brief_verdict(comparison: Json, pairing: Pairing) -> str:
    """Show a paired verdict in a few words."""
    words, found = brief_verdict(comparison, pairing)
    style = _VERDICT_STYLES[judge(comparison, pairing)]
    return f'<p class="verdict {style}"><b class="word">{words}</b> {text(found)}</p>'


def _matrix_cell(target: str, prediction: str, count: int, support: int) -> str:
    """Show one cell; mistakes are shaded in another colour, and more steeply."""
    share = count / support
    miss = target != prediction
    # At most 60 %: the text must stay readable on the shade in both colour schemes.
    strength = min(60.0, 60.0 * (share * 4 if miss else share))
    title = text(f"{count} of {support} '{target}' were called '{prediction}' ({share:.1%})")
    css = ' class="miss"' if miss else ""
    shown = f"{count:,}" if count else ""
    return f'<td{css} style="--share:{strength:.0f}%" title="{title}">{shown}</td>'


def _confused_pairs(scores: Json, limit: int) -> str:
    """List the pairs that are mixed up most often; empty where nothing is."""
    rows = [
        [
            cell(text(pair.target), "name"),
            cell(text(pair.prediction), "name"),
            cell(f"{pair.count:,} of {pair.support:,}", "number"),
            cell(f"{pair.count / pair.support:.1%}", "number"),
        ]
        for pair in most_confused(scores, limit)
    ]
    head = [("what it is", ""), ("called", ""), ("items", "number"), ("", "number")]
    return table(head, rows) if rows else ""


def _axis(figures: list[Json], *, is_share: bool = True) -> tuple[float, float]:
    """Return a common axis for figures."""
    ends = [figure.get(name) for figure in figures for name in ("value", "low", "high")]
    known = [end for end in ends if end is not None]
    return axis_of(known) if is_share else value_axis(known)


def _whisker(figure: Json, axis: tuple[float, float]) -> str:
    """Draw a figure's interval, or nothing where an end is unknown."""
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return ""
    return interval_chart(value, low, high, axis)


def _percent(share: float | None) -> str:
    """Return ``98.1 %``."""
    return "unknown" if share is None else f"{100 * share:.1f} %"
