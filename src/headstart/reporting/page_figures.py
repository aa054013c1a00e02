"""Sections of the page about the figures: headline, before and after, confusion, classes."""

from __future__ import annotations

from headstart.reporting.charts import axis_of, interval_chart
from headstart.reporting.page_parts import axis_ends, cell, paragraph, section, table, text
from headstart.reporting.wording import (
    FIGURE_MEANINGS,
    FIGURE_NAMES,
    Json,
    format_figure,
    format_items,
    format_number,
    is_better,
    most_confused,
    verdict,
    weakest_classes,
)

_MAX_MATRIX = 20  # classes; beyond, only the most confused pairs are shown
_MAX_PAIRS = 20
_MAX_OPEN_CLASSES = 25
_VERDICT_STYLES = {True: "good", False: "bad", None: "open"}


def headline_section(metrics: Json) -> str:
    """Show accuracy large, and every figure with its interval."""
    test = metrics.get("test") or {}
    figures = test.get("figures") or {}
    if not figures:
        return section("How good", "", paragraph("The run has not been evaluated."))
    val = (metrics.get("val") or {}).get("figures") or {}
    accuracy = figures.get("accuracy") or {}
    comparisons = (metrics.get("before_after") or {}).get("comparisons") or []
    verdicts = (_brief_verdict(comparison) for comparison in comparisons)
    big = (
        f'<div><div class="big">{_percent(accuracy.get("value"))}</div>'
        f'<div class="range">accuracy on {format_items(test["num_items"])} of the test set<br>'
        f"95 % interval {_percent(accuracy.get('low'))} to {_percent(accuracy.get('high'))}</div>"
        f"{''.join(verdicts)}</div>"
    )
    rows = []
    for key, name in FIGURE_NAMES.items():
        if key in figures:
            meaning = f'<br><span class="soft small">{text(FIGURE_MEANINGS[key])}</span>'
            row = [cell(text(name) + meaning, ""), cell(format_figure(figures[key]), "number")]
            if val:
                row.append(cell(format_figure(val.get(key)), "number soft hide-narrow"))
            rows.append(row)
    head = [("figure", ""), ("test [95 %]", "number")]
    if val:
        head.append(("val, used for choosing", "number hide-narrow"))
    return section("How good", "", f'<div class="hero">{big}<div>{table(head, rows)}</div></div>')


def before_after_section(metrics: Json) -> str:
    """Show the accuracies before and after on one axis, and the paired verdicts."""
    compared = metrics.get("before_after") or {}
    accuracies = compared.get("accuracy") or {}
    if not accuracies:
        return ""
    num_items = (metrics.get("test") or {}).get("num_items", 0)
    axis = _axis(list(accuracies.values()))
    rows = [
        [
            cell(text(name), "name"),
            cell(_whisker(figure, axis), "track-cell"),
            cell(format_figure(figure), "number"),
        ]
        for name, figure in accuracies.items()
    ]
    verdicts = [_verdict(found, num_items) for found in compared.get("comparisons") or []]
    lead = (
        f"Accuracy on the same {format_items(num_items)} of the test set. Gained: items that only "
        "the second has right; lost: items that only the first has right; p: McNemar, exact."
    )
    head = [("", ""), (axis_ends(axis), ""), ("accuracy [95 %]", "number")]
    return section("Before and after", lead, table(head, rows) + "".join(verdicts))


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


def classes_section(scores: Json) -> str:
    """Show every class, lowest F1 first."""
    classes = weakest_classes(scores)
    if not classes:
        return ""
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
    head = [("class", ""), ("items", "number"), ("precision", "number"), ("recall", "number")]
    head += [(axis_ends(axis), "hide-narrow"), ("F1 [95 %]", "number")]
    body = table(head, rows[:_MAX_OPEN_CLASSES])
    if len(rows) > _MAX_OPEN_CLASSES:
        rest = table(head, rows[_MAX_OPEN_CLASSES:])
        more = len(rows) - _MAX_OPEN_CLASSES
        body += f"<details><summary>{more} more classes</summary>{rest}</details>"
    return section("Classes", "Lowest F1 first.", body)


def _verdict(comparison: Json, num_items: int) -> str:
    """Show a paired verdict, its judgement coloured by what it says."""
    start, _, judgement = verdict(comparison, num_items).rpartition(": ")
    return (
        f'<p class="verdict {_VERDICT_STYLES[is_better(comparison)]}">{text(start)}: '
        f'<b class="word">{text(judgement)}</b></p>'
    )


def _brief_verdict(comparison: Json) -> str:
    """Show a paired verdict in a few words."""
    better = is_better(comparison)
    words = {True: "Better than", False: "Worse than", None: "No certain difference from"}[better]
    return (
        f'<p class="verdict {_VERDICT_STYLES[better]}"><b class="word">{words}</b> '
        f"{text(comparison['before'])}: {comparison['gained']:,} gained, "
        f"{comparison['lost']:,} lost</p>"
    )


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


def _axis(figures: list[Json]) -> tuple[float, float]:
    """Return a common axis for figures."""
    ends = [figure.get(name) for figure in figures for name in ("value", "low", "high")]
    return axis_of([end for end in ends if end is not None])


def _whisker(figure: Json, axis: tuple[float, float]) -> str:
    """Draw a figure's interval, or nothing where an end is unknown."""
    value, low, high = (figure.get(name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return ""
    return interval_chart(value, low, high, axis)


def _percent(share: float | None) -> str:
    """Return ``98.1 %``."""
    return "unknown" if share is None else f"{100 * share:.1f} %"
