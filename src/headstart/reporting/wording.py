"""The words and numbers that the text report and the page share, so that both say the same.

It reads the JSON of a run folder (``metrics.json``, ``model.json``, ``data.json``,
``options.json``) and computes nothing that is not already in it. A key that is missing, or a figure
that is null, is left out or said to be unknown, never invented.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]  # one parsed JSON object of the run folder

FIGURE_NAMES = {
    "accuracy": "accuracy",
    "precision_macro": "precision (macro)",
    "recall_macro": "recall (macro)",
    "f1_macro": "F1 (macro)",
    "roc_auc": "ROC-AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
FIGURE_MEANINGS = {
    "accuracy": "share of right predictions",
    "precision_macro": "share of a class's predictions that are right",
    "recall_macro": "share of a class's items that are found",
    "f1_macro": "balance of precision and recall",
    "roc_auc": "how well a class's items rank above the rest",
    "log_loss": "lower is better; punishes confident mistakes",
    "brier": "lower is better; squared error, 0 to 2",
    "ece": "lower is better; stated against real certainty",
}
_SIGNIFICANT = 0.05


def format_number(value: float | None, decimals: int = 3) -> str:
    """Return a number with fixed decimals, or ``unknown`` for None and NaN."""
    if value is None or not math.isfinite(value):
        return "unknown"
    return f"{value:.{decimals}f}"


def format_figure(figure: Json | None, *, signed: bool = False) -> str:
    """Return ``0.981 [0.976, 0.986]``; four decimals where the interval is narrower than 0.005.

    Args:
        figure: ``{"value", "low", "high"}``, each a number or None.
        signed: Whether to write a plus before positive numbers (for differences).
    """
    value, low, high = (_end(figure, name) for name in ("value", "low", "high"))
    if value is None:
        return "unknown"
    narrow = low is not None and high is not None and 0 < high - low < 0.005
    style = f"{'+' if signed else ''}.{4 if narrow else 3}f"
    if low is None or high is None:
        return f"{value:{style}} [unknown]"
    return f"{value:{style}} [{low:{style}}, {high:{style}}]"


def _end(figure: Json | None, name: str) -> float | None:
    """Return one of a figure's three numbers, None where it is missing or not finite."""
    value = (figure or {}).get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def format_p(p_value: float) -> str:
    """Return ``p = 0.012``, or ``p < 1e-6`` for what no one needs more closely."""
    if p_value < 1e-6:
        return "p < 1e-6"
    return f"p = {p_value:.3f}" if p_value >= 0.001 else f"p = {p_value:.1e}"


def format_duration(seconds: float) -> str:
    """Return ``8.4 s``, ``42 s``, ``2 min 5 s`` or ``1 h 2 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_count(number: int) -> str:
    """Return ``940``, ``61,706`` or, from a million on, ``4.6 million``."""
    return f"{number / 1e6:.1f} million" if number >= 1_000_000 else f"{number:,}"


def format_value(value: object) -> str:
    """Return an option's value: text as it is, everything else as JSON; ``-`` for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def format_items(number: int) -> str:
    """Return ``1 item`` or ``886 items``."""
    return f"{number:,} item{'' if number == 1 else 's'}"


def is_better(comparison: Json) -> bool | None:
    """Return whether ``after`` is better, by McNemar at 5 %; None where chance explains it."""
    if comparison["p_value"] >= _SIGNIFICANT:
        return None
    return bool(comparison["gained"] > comparison["lost"])


def verdict(comparison: Json, num_items: int) -> str:
    """Return one sentence on a paired comparison.

    For example: ``fine-tuned against majority class: gained 60, lost 12, difference
    +0.054 [+0.036, +0.073], p < 1e-6: better, beyond chance.``
    """
    better = is_better(comparison)
    if better is None:
        judgement = f"no difference that {format_items(num_items)} can show"
    else:
        judgement = "better, beyond chance" if better else "WORSE, beyond chance"
    return (
        f"{comparison['after']} against {comparison['before']}: gained {comparison['gained']:,}, "
        f"lost {comparison['lost']:,}, difference "
        f"{format_figure(comparison.get('difference'), signed=True)}, "
        f"{format_p(comparison['p_value'])}: {judgement}."
    )


def describe_start(model: Json) -> str:
    """Return what the start is: family, size, what it learned from, licence."""
    start = model.get("start") or {}
    parts = [str(start["family"])] if start.get("family") else []
    if start.get("num_parameters"):
        parts.append(f"{format_count(int(start['num_parameters']))} parameters")
    if start:
        learned = start.get("pretrained_on")
        parts.append(f"pretrained on {learned}" if learned else "random weights")
    if start.get("licence"):
        parts.append(f"licence {start['licence']}")
    return ", ".join(parts)


def start_address(model: Json) -> str:
    """Return the address of the start, ``unknown`` where the folder does not say."""
    return str((model.get("start") or {}).get("address") or "unknown")


def describe_bad_samples(data: Json) -> str:
    """Return how many samples were left out, as a sentence; empty if none."""
    number = len(data.get("bad_samples") or [])
    if not number:
        return ""
    return f"{number:,} sample{'' if number == 1 else 's'} could not be used and took no part"


@dataclass(frozen=True)
class Confusion:
    """A pair of classes that the model mixes up.

    Attributes:
        target: What the items are.
        prediction: What the model calls them.
        count: How many items.
        support: All items of the target class.
    """

    target: str
    prediction: str
    count: int
    support: int


def most_confused(scores: Json, limit: int) -> list[Confusion]:
    """Return the off-diagonal cells of the confusion matrix, largest first.

    Args:
        scores: ``metrics.json["test"]``.
        limit: The most to return.
    """
    names = list(scores.get("per_class") or {})
    pairs = [
        Confusion(names[i], names[j], count, sum(row))
        for i, row in enumerate(scores.get("confusion_matrix") or [])
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair.count)[:limit]


def weakest_classes(scores: Json, limit: int | None = None) -> list[tuple[str, Json]]:
    """Return (class, its scores), lowest F1 first; classes without items last."""

    def rank(entry: tuple[str, Json]) -> tuple[bool, float]:
        value = _end(entry[1].get("f1"), "value")
        return (value is None, value or 0.0)

    return sorted((scores.get("per_class") or {}).items(), key=rank)[:limit]
