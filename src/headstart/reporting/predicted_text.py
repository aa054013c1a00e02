"""What is printed of predictions that were written to a file: how many of each, in 80 columns."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from headstart.reporting.measures import format_value_alone
from headstart.reporting.terminal import wrapped
from headstart.types import Prediction, Predictions, in_number

_MOST_ANSWERS = 8


def render_written(predictions: Predictions, file: str) -> str:
    """Return what a person reads of predictions instead of the rows that a file holds.

    Args:
        predictions: Of all samples.
        file: Which holds them.
    """
    num, num_bad = len(predictions), len(predictions.records) - len(predictions)
    lines = wrapped(f"{file} holds {num:,} prediction{'' if num == 1 else 's'}.")
    if num_bad:
        have = "sample has" if num_bad == 1 else "samples have"
        lines += wrapped(f"{num_bad:,} {have} none, and the reason in its place.", first="  ")
    return "\n".join([*lines, *_summary(predictions)])


def _summary(predictions: Sequence[Prediction], name: str = "") -> list[str]:
    """Return the lines on what was answered, of several targets those of each."""
    if not predictions:
        return []
    first = predictions[0]
    if first.parts is not None:
        labels = list(first.parts)
        each = {label: [(one.parts or {})[label] for one in predictions] for label in labels}
        return [line for label, found in each.items() for line in _summary(found, label)]
    lead = f"{name}: " if name else ""
    return wrapped(f"{lead}{_told(predictions)}", first="  ", following="    ")


def _told(predictions: Sequence[Prediction]) -> str:
    first = predictions[0]
    if first.value is not None:
        values = [float(one.value or 0.0) for one in predictions]
        ends = (min(values), max(values), statistics.median(values))
        low, high, middle = (format_value_alone(end) for end in ends)
        return f"from {low} to {high}, half of them below {middle}"
    if first.text is not None:
        num_empty = sum(not (one.text or "").strip() for one in predictions)
        return in_number(f"{len(predictions) - num_empty:,} texts, {num_empty:,} empty")
    if first.spans is not None:
        counted = Counter(span.label for one in predictions for span in one.spans or ())
        return _counts(counted) or "nothing was found"
    return _counts(Counter(one.label or "none" for one in predictions))


def _counts(counted: Counter[str]) -> str:
    """Return how often each answer was given, the most frequent first."""
    shown = [f"{name} {number:,}" for name, number in counted.most_common(_MOST_ANSWERS)]
    if (more := len(counted) - _MOST_ANSWERS) > 0:
        shown.append(f"and {more:,} more")
    return ", ".join(shown)
