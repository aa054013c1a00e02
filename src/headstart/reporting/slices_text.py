"""What an evaluation prints of slices: those asked for, else those that are surely worse."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from headstart.errors import quoted
from headstart.evaluation.slices import MIN_ITEMS
from headstart.reporting.measures import format_measure, measure_named
from headstart.reporting.terminal import wrapped
from headstart.reporting.wording import format_p

WIDTH = 80
_MAX_TOLD = 5
_SIGNIFICANT = 0.05


def render_slices(record: Mapping[str, Any], *, is_asked: bool) -> str:
    """Return the slices as plain text; empty where there was nothing to look at.

    Args:
        record: ``slices`` of ``evaluation.json``.
        is_asked: Whether somebody has named columns: then every part of them is told.
    """
    measure = measure_named(record["figure"])
    if measure is None or not (record["slices"] or is_asked):
        return ""
    if not record["slices"]:
        text = f"Slices: no part of {quoted(record['columns'])} has {MIN_ITEMS} of the test items"
        note = f"{text} and leaves as many; fewer say nothing."
        return "\n".join(textwrap.wrap(note, WIDTH, subsequent_indent="  "))
    sure = [each for each in record["slices"] if each["p_value"] < _SIGNIFICANT]
    number = len(record["columns"])
    looks = f"{record['num_looks']:,} parts of {number:,} column{'s' if number != 1 else ''}"
    if is_asked:
        title, told = f"Slices, by {measure.name}: {looks}", record["slices"]
    elif not sure:
        return "\n".join(
            textwrap.wrap(f"Slices: of {looks} none is surely worse than the rest.", WIDTH)
        )
    else:
        title, told = f"Slices that are surely worse, by {measure.name}: of {looks}", sure
    lines = textwrap.wrap(title, WIDTH)
    for each in told if is_asked else told[:_MAX_TOLD]:
        rest = {"value": each["rest"], "low": None, "high": None}
        beside = format_measure(measure, rest).removesuffix(" [unknown]")
        text = (
            f"{each['column']} = {each['value']}: {format_measure(measure, each['figure'])} on "
            f"{each['num_items']:,} items, {beside} on the rest, {format_p(each['p_value'])}"
        )
        lines += wrapped(text, WIDTH, first="  ", following="    ")
    if not is_asked and len(told) > _MAX_TOLD:
        lines.append(f"  and {len(told) - _MAX_TOLD:,} more, listed in evaluation.json")
    note = (
        "p: how often the worst of all these parts would be as bad if none differed; intervals "
        "hold together, all at once, in 95 of 100."
    )
    lines += textwrap.wrap(note, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)
