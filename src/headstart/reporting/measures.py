"""A run's task and its figures as a report writes them: with as many digits as mean something.

What a figure is called, what it means and which way is better is the task's; ``metrics.json`` names
the task. It is imported when asked for, so that the console starts without NumPy.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from headstart.reporting.language import say

if TYPE_CHECKING:
    from headstart.tasks import Task
    from headstart.types import Measure

LEFT_OUT = "What each column is worth"
ABOUT_LEFT_OUT = (
    "The same model, each column left out in turn: all test items get what stands for it in train "
    "(the mean, the most frequent category, the mean features of a text or an image). Columns that "
    "say the same share their worth."
)
Json = dict[str, Any]  # one parsed JSON object of the run folder


def task_of(metrics: Json) -> Task | None:
    """Return the task that ``metrics.json`` is of; None for a run that has not been evaluated.

    Raises:
        OptionError: No task has that name.
    """
    from headstart.tasks import find_task

    name = metrics.get("task")
    return find_task(name) if name else None


def asked_as(schema: Json) -> tuple[str, str]:
    """Return what ``predict`` is given after a run, in a shell and in Python."""
    from headstart.tasks import argument_of, find_task
    from headstart.types import Schema

    sides, beside = (tuple(schema.get(name) or ()) for name in ("sides", "beside"))
    read = Schema(schema["modality"], schema["task"], (), sides=sides, beside=beside)
    given = read.argument.strip("'").replace("…", "")
    among = find_task(read.task).chosen_among
    further = f', {among[0]}="{among[1]}"' if among else ""
    return argument_of(read), f'["{given}"]{further}'


def ladder_of(metrics: Json) -> tuple[Measure | None, dict[str, Json]]:
    """Return what ``before_after`` compares the predictors by, and the figure of each."""
    compared, task = metrics.get("before_after") or {}, task_of(metrics)
    if task is None:
        return None, {}
    figures: dict[str, Json] = compared.get("figures") or {}
    return task.figures.get(str(compared.get("metric")), task.figures[task.headline]), figures


def ladders_of_parts(metrics: Json) -> list[Json]:
    """Return further ladders, each as metrics of its own, as ``ladder_of`` reads them.

    Of each of several targets one; of columns beside texts or images what each is worth.
    """
    test = metrics.get("test") or {}
    parts = (metrics.get("before_after") or {}).get("parts") or {}
    found: list[Json] = [
        {
            "part": label,
            "task": own["task"],
            "before_after": own,
            "test": {"num_items": own["num_items"], "num_groups": test.get("num_groups")},
        }
        for label, own in parts.items()
    ]
    if left_out := metrics.get("left_out"):
        told = {"title": LEFT_OUT, "about": ABOUT_LEFT_OUT, "task": metrics["task"], "test": test}
        found.append({**told, "before_after": left_out})
    return found


def measure_named(key: str) -> Measure | None:
    """Return a figure of any task by its key; None where it is unknown."""
    from headstart.tasks import TASKS
    from headstart.tasks.several_words import OVER_ALL

    known = (*(task.figures for task in TASKS.values()), OVER_ALL)
    return next((figures[key] for figures in known if key in figures), None)


def format_measure(measure: Measure, figure: Json | None, *, signed: bool = False) -> str:
    """Return a figure with its interval, as fits what it measures."""
    style = format_quantity if measure.unit == "target" else format_figure
    return style(figure, signed=signed)


def format_figure(figure: Json | None, *, signed: bool = False) -> str:
    """Return ``0.981 [0.976, 0.986]``; four decimals where the interval is narrower than 0.005.

    What is no share has fewer: ``28.9 [15.9, 56.6]`` of 100, ``1,827 [1,075, 20,936]``.

    Args:
        figure: ``{"value", "low", "high"}``, each a number or None.
        signed: Whether to write a plus before positive numbers (for differences).
    """
    value, low, high = (end_of(figure, name) for name in ("value", "low", "high"))
    if value is None:
        return say("unknown")
    narrow = low is not None and high is not None and 0 < high - low < 0.005
    decimals = 4 if narrow else decimals_for(value, low, high)
    style = f"{'+' if signed else ''},.{decimals}f"
    if low is None or high is None:
        return f"{value:{style}} [{say('unknown')}]"
    return f"{value:{style}} [{low:{style}}, {high:{style}}]"


def decimals_for(*numbers: float | None) -> int:
    """Return how many decimals of numbers that stand together are read: fewer of larger ones."""
    largest = max((abs(one) for one in numbers if one is not None), default=0.0)
    return 3 if largest < 10 else 1 if largest < 1000 else 0


def format_quantity(figure: Json | None, *, signed: bool = False) -> str:
    """Return ``24,310 [23,050, 25,720]``: as many digits as the interval gives meaning to.

    Args:
        figure: ``{"value", "low", "high"}``, each a number or None.
        signed: Whether to write a plus before positive numbers (for differences).
    """
    value, low, high = (end_of(figure, name) for name in ("value", "low", "high"))
    if value is None:
        return say("unknown")
    if low is None or high is None:
        shown = _written(value, _style(abs(value) / 10, abs(value), signed))
        return f"{shown} [{say('unknown')}]"
    style = _style(high - low, max(abs(low), abs(high)), signed)
    shown, *ends = (_written(number, style) for number in (value, low, high))
    return f"{shown} [{', '.join(ends)}]"


def format_score(figure: Json) -> str:
    """Return what a start scored on val; one in the target's units may be large."""
    value = end_of(figure, "value")
    is_large = value is not None and abs(value) >= 1000
    return format_quantity(figure) if is_large else format_figure(figure)


def format_value_alone(value: float | None) -> str:
    """Return one number of the target's units: ``1,437``, ``0.5123``, or ``unknown``."""
    if value is None or not math.isfinite(value):
        return say("unknown")
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e10 else f"{value:.4g}"


def end_of(figure: Json | None, name: str) -> float | None:
    """Return one of a figure's three numbers, None where it is missing or not finite."""
    value = (figure or {}).get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _written(number: float, style: str) -> str:
    """Return a number in a format, its exponent without the digits that say nothing."""
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{number:{style}}")


def _style(width: float, largest: float, signed: bool) -> str:
    """Return the format that shows two digits of a width."""
    sign = "+" if signed else ""
    decimals = 1 - math.floor(math.log10(width)) if width > 0 else 3
    if decimals > 6 or largest >= 1e7:  # written out, either would be wider than a column
        return f"{sign}.3g"
    return f"{sign},.{max(0, decimals)}f"
