"""What each task is measured by: names, meanings, and which way is better.

One table for the text report and the page. It reads ``metrics.json`` alone and tells the task by
the figures in it, so that the report of an evaluation elsewhere needs no more. Deliberately left
out: computing figures (``evaluation`` does; a test holds the two lists to the same names).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # types.py loads numpy, and a report is read without it
    from headstart.types import Task


Json = dict[str, Any]  # one parsed JSON object of the run folder


@dataclass(frozen=True)
class Measure:
    """One figure.

    Attributes:
        name: What a person calls it.
        meaning: What it says, in a few words.
        is_higher_better: False also where zero is best.
        has_unit: Whether it is a quantity in the units of the target, not a share or ratio.
    """

    name: str
    meaning: str
    is_higher_better: bool = True
    has_unit: bool = False


_CLASS_MEASURES = {
    "accuracy": Measure("accuracy", "share of right predictions"),
    "precision_macro": Measure(
        "precision (macro)", "share of a class's predictions that are right"
    ),
    "recall_macro": Measure("recall (macro)", "share of a class's items that are found"),
    "f1_macro": Measure("F1 (macro)", "balance of precision and recall"),
    "roc_auc": Measure("ROC-AUC", "how well a class's items rank above the rest"),
    "log_loss": Measure("log loss", "lower is better; punishes confident mistakes", False),
    "brier": Measure("Brier score", "lower is better; squared error, 0 to 2", False),
    "ece": Measure(
        "calibration error (ECE)", "lower is better; stated against real certainty", False
    ),
}
_LABEL_MEASURES = {
    "f1_micro": Measure("F1 (micro)", "balance of precision and recall over all labels given"),
    "precision_micro": Measure("precision (micro)", "share of the labels given that are right"),
    "recall_micro": Measure("recall (micro)", "share of the true labels that are given"),
    "f1_macro": Measure("F1 (macro)", "mean F1 of the labels, rare ones counting the same"),
    "precision_macro": Measure("precision (macro)", "mean precision of the labels"),
    "recall_macro": Measure("recall (macro)", "mean recall of the labels"),
    "exact_match": Measure("exact match", "share of items with every label right"),
    "hamming_loss": Measure(
        "Hamming loss", "lower is better; share of wrong yes-or-no decisions", False
    ),
    "roc_auc": Measure("ROC-AUC (macro)", "how well a label's items rank above the rest"),
    "average_precision": Measure(
        "average precision (macro)", "precision along that ranking, mean of the labels"
    ),
    "log_loss": Measure("log loss", "lower is better; punishes confident mistakes", False),
    "brier": Measure("Brier score", "lower is better; squared error, 0 to 1", False),
}
_VALUE_MEASURES = {
    "rmse": Measure("RMSE", "lower is better; root of the mean squared error", False, True),
    "mae": Measure("MAE", "lower is better; mean absolute error", False, True),
    "median_absolute_error": Measure(
        "median absolute error", "lower is better; half of the items are off by less", False, True
    ),
    "r2": Measure("R²", "share of the variance explained; 0 is as good as the mean"),
    "bias": Measure("bias", "best at zero; mean of prediction minus target", False, True),
    "mse": Measure("MSE", "lower is better; mean squared error, in squared units", False, True),
}
MEASURES: dict[Task, dict[str, Measure]] = {
    "classification": _CLASS_MEASURES,
    "multi-label": _LABEL_MEASURES,
    "regression": _VALUE_MEASURES,
}
_HEADLINES: dict[Task, str] = {
    "classification": "accuracy",
    "multi-label": "f1_micro",
    "regression": "rmse",
}


def task_of(metrics: Json) -> Task:
    """Return the task by the figures that ``metrics.json`` holds."""
    figures = (metrics.get("test") or {}).get("figures") or {}
    if "rmse" in figures:
        return "regression"
    return "multi-label" if "exact_match" in figures else "classification"


def headline_of(metrics: Json) -> tuple[str, Measure]:
    """Return the key of the leading figure, and what it is."""
    task = task_of(metrics)
    return _HEADLINES[task], MEASURES[task][_HEADLINES[task]]


def ladder_of(metrics: Json) -> tuple[Measure, dict[str, Json]]:
    """Return what ``before_after`` compares the predictors by, and the figure of each."""
    compared = metrics.get("before_after") or {}
    key, measure = headline_of(metrics)
    figures: dict[str, Json] = compared.get("figures") or {}
    return measure_named(str(compared.get("metric") or key), task_of(metrics)) or measure, figures


def measure_named(key: str, task: Task | None = None) -> Measure | None:
    """Return a figure by its key, of a task or of any; None where it is unknown."""
    tables = [MEASURES[task]] if task else list(MEASURES.values())
    return next((table[key] for table in tables if key in table), None)


def format_measure(measure: Measure, figure: Json | None, *, signed: bool = False) -> str:
    """Return a figure with its interval, as fits what it measures."""
    style = format_quantity if measure.has_unit else format_figure
    return style(figure, signed=signed)


def format_figure(figure: Json | None, *, signed: bool = False) -> str:
    """Return ``0.981 [0.976, 0.986]``; four decimals where the interval is narrower than 0.005.

    Args:
        figure: ``{"value", "low", "high"}``, each a number or None.
        signed: Whether to write a plus before positive numbers (for differences).
    """
    value, low, high = (end_of(figure, name) for name in ("value", "low", "high"))
    if value is None:
        return "unknown"
    narrow = low is not None and high is not None and 0 < high - low < 0.005
    style = f"{'+' if signed else ''}.{4 if narrow else 3}f"
    if low is None or high is None:
        return f"{value:{style}} [unknown]"
    return f"{value:{style}} [{low:{style}}, {high:{style}}]"


def format_quantity(figure: Json | None, *, signed: bool = False) -> str:
    """Return ``24,310 [23,050, 25,720]``: as many digits as the interval gives meaning to.

    Args:
        figure: ``{"value", "low", "high"}``, each a number or None.
        signed: Whether to write a plus before positive numbers (for differences).
    """
    value, low, high = (end_of(figure, name) for name in ("value", "low", "high"))
    if value is None:
        return "unknown"
    if low is None or high is None:
        shown = _written(value, _style(abs(value) / 10, abs(value), signed))
        return f"{shown} [unknown]"
    style = _style(high - low, max(abs(low), abs(high)), signed)
    shown, *ends = (_written(number, style) for number in (value, low, high))
    return f"{shown} [{', '.join(ends)}]"


def format_value_alone(value: float | None) -> str:
    """Return one number of the target's units: ``1,437``, ``0.5123``, or ``unknown``."""
    if value is None or not math.isfinite(value):
        return "unknown"
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
