"""What ``headstart monitor`` prints, in 80 columns, and the words that its page shares."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headstart.monitoring import LEAST
from headstart.reporting.measures import Json

WIDTH = 80
MOST_WINDOWS = 12  # of the text
MOST_ROWS = 10  # of classes and columns in the text
_LONGEST = 24  # of a name
NOTE = (
    "* drift: rarer than 1 in 100 without any, and beyond what was natural among held-out samples"
)
NO_LABELS = "Estimated without labels; where the input has drifted accuracy is usually lower."


def render_monitor_text(state: Json) -> str:
    """Return what is known of drift as plain text.

    Args:
        state: ``{"model": …, "reference": …, "windows": […], "filled": …, "alarm": …}``.
    """
    lines = textwrap.wrap(f"{state['model']} {state['version']}: {verdict(state)}", WIDTH)
    lines += textwrap.wrap(compared_with(state), WIDTH)
    windows = state["windows"]
    if windows:
        lines += ["", *_table(*window_table(windows[-MOST_WINDOWS:]))]
        lines += textwrap.wrap(NOTE, WIDTH, subsequent_indent="  ")
        last = windows[-1]
        if "accuracy" in last:
            lines += ["", *textwrap.wrap(accuracy_sentence(last["accuracy"]), WIDTH)]
        if rows := class_rows(last):
            lines += ["", *_some(("class", "held-out", "predicted", "estimated [95 %]"), rows)]
        if rows := column_rows(last):
            heads = ("column", "p", "moved", "missing", "new")
            lines += ["", *_some(heads, rows, last.get("num_columns"))]
            lines.append("in brackets: among held-out samples")
    return "\n".join(lines)


def verdict(state: Json) -> str:
    """Return the state in a sentence."""
    windows = state["windows"]
    if state["reference"] is None:
        return "nothing to compare with (no drift reference in its bundle)"
    if not windows:
        return (
            f"not enough data ({state['filled']:,} answers in the first window; nothing is said "
            f"below {state['least']:,})"
        )
    if state["alarm"]:
        named = _drifted(windows[-3:])
        return f"ALARM, two of the latest three windows have drifted ({', '.join(named)})"
    if windows[-1]["state"] == "drift":
        return f"the latest window has drifted ({', '.join(_drifted(windows[-1:]))}); no alarm yet"
    return "no drift"


def _drifted(windows: Sequence[Json]) -> list[str]:
    """Return the detectors that have found drift, the first found first."""
    each = [
        name for one in windows for name, found in one["detectors"].items() if found["is_drift"]
    ]
    return list(dict.fromkeys(each))


def compared_with(state: Json) -> str:
    """Return what windows are compared with, in a sentence."""
    reference = state["reference"]
    if reference is None:
        return (
            f"Its held-out samples are what is compared with, {LEAST} at least: export the run "
            "where its data is, or train with more."
        )
    return f"Compared with {reference['origin']}, in windows of {state['window']:,} answers."


def window_table(windows: Sequence[Json]) -> tuple[list[str], list[list[str]]]:
    """Return the windows as a table: the heads, and a p-value a detector, a star at drift."""
    names = list(dict.fromkeys(name for one in windows for name in one["detectors"]))
    heads = ["window", "at", "answers", *(f"p {name}" for name in names)]
    rows = []
    for one in windows:
        found = [one["detectors"].get(name) for name in names]
        rows.append(
            [
                str(one["number"]),
                _moment(one["at"]),
                f"{one['samples']:,}",
                *("-" if each is None else _p(each["p"], each["is_drift"]) for each in found),
            ]
        )
    return heads, rows


def accuracy_sentence(accuracy: Json) -> str:
    """Return the estimate of how often answers are right."""
    figure, former = accuracy["estimate"], accuracy["reference"]
    beside = "" if former is None else f"; {former:.3f} among held-out samples"
    ends = f"[{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"Accuracy of the latest window: about {figure['value']:.3f} {ends}{beside}. {NO_LABELS}"


def class_rows(window: Json) -> list[list[str]]:
    """Return a row a class, those that have moved most first."""
    listed = sorted(
        window.get("classes", []), key=lambda one: -abs(one["share"] - one["reference"])
    )
    rows = []
    for one in listed:
        estimate = one.get("estimate")
        told = "-" if estimate is None else _share_with_ends(estimate)
        rows.append([one["name"], _share(one["reference"]), _share(one["share"]), told])
    return rows


def column_rows(window: Json) -> list[list[str]]:
    """Return a row a column, those that differ most first."""
    return [
        [
            one["name"],
            _p(one["p"], one["is_drift"]),
            _share(one["size"]),
            f"{_share(one['missing'])} ({_share(one['former_missing'])})",
            f"{_share(one['new'])} ({_share(one['former_new'])})",
        ]
        for one in window.get("columns", [])
    ]


def _some(heads: Sequence[str], rows: list[list[str]], total: int | None = None) -> list[str]:
    """Return the first rows of a table, and how many there are more."""
    more = (total or len(rows)) - MOST_ROWS
    lines = _table(heads, rows[:MOST_ROWS])
    return [*lines, f"and {more:,} more"] if more > 0 else lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines."""
    cells = [[_cut(cell) for cell in row] for row in [list(heads), *map(list, rows)]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    lines = []
    for row in cells:
        aligned = [row[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(aligned).rstrip())
    return lines


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"


def _p(p: float, is_drift: bool) -> str:
    return f"{'<0.001' if p < 0.001 else f'{p:.3f}'}{'*' if is_drift else ' '}"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share_with_ends(figure: Any) -> str:
    low, high = 100 * figure["low"], 100 * figure["high"]
    return f"{_share(figure['value'])} [{low:.1f}, {high:.1f}]"


def _moment(at: str) -> str:
    try:
        return datetime.fromisoformat(at).strftime("%m-%d %H:%M")
    except ValueError:
        return at[:11]
