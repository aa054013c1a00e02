"""The words and numbers that the text report and the page share, so that both say the same.

It reads the JSON of a run folder (``metrics.json``, ``model.json``, ``data.json``,
``options.json``) and computes nothing that is not already in it. A key that is missing, or a figure
that is null, is left out or said to be unknown, never invented.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from headstart.reporting.language import say
from headstart.reporting.measures import (
    Json,
    decimals_for,
    end_of,
    format_figure,
    format_measure,
    format_quantity,
    ladder_of,
    task_of,
)

if TYPE_CHECKING:
    from headstart.tasks import Pairing
    from headstart.tasks.words import Judgement

# What stands in place of the score of a candidate or trial that has none, by what names it.
FEW_GROUPS = 50  # from as many on intervals of figures hold what they say (docs/intervals.md)
NO_SCORE = {"start": "not tried", "learning_rate": "diverged", "arm": "-"}

_OUTCOMES: dict[Judgement, str] = {  # what a reader must not miss comes first
    "worse": "worse than",
    "mixed": "mixed against",
    "open": "not certainly different from",
    "better": "better than",
}


def format_number(value: float | None, decimals: int | None = None) -> str:
    """Return a number with decimals as suit its size, or ``unknown`` for None and NaN."""
    if value is None or not math.isfinite(value):
        return say("unknown")
    return f"{value:,.{decimals_for(value) if decimals is None else decimals}f}"


def format_p(p_value: float) -> str:
    """Return ``p = 0.012``, ``p = 0.00028``, or ``p < 1e-6`` where no one needs more."""
    if p_value < 1e-6:
        return "p < 1e-6"
    decimals = 3 if p_value >= 0.001 else 1 - math.floor(math.log10(p_value))
    return f"p = {p_value:.{decimals}f}"


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
    if number < 1_000_000:
        return f"{number:,}"
    return say("{number} million", number=f"{number / 1e6:.1f}")


def format_bytes(number: float) -> str:
    """Return ``850 MB`` or ``1.3 GB``, in powers of ten."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def format_value(value: object) -> str:
    """Return an option's value: text as it is, everything else as JSON; ``-`` for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def format_items(number: int, num_groups: int | None = None) -> str:
    """Return ``1 item``, ``886 items`` or ``78 items of 13 groups``."""
    one, several = say("{number} item"), say("{number} items")
    items = (one if number == 1 else several).format(number=f"{number:,}")
    if num_groups is None:
        return items
    one, several = say("{items} of {number} group"), say("{items} of {number} groups")
    return (one if num_groups == 1 else several).format(items=items, number=f"{num_groups:,}")


def judge(comparison: Json, pairing: Pairing) -> Judgement:
    """Return what a paired comparison says of ``after``, as ``Pairing.judge``.

    Args:
        comparison: One of ``metrics.json["before_after"]["comparisons"]``.
        pairing: How the task compares.
    """
    low, high = (end_of(comparison.get("difference"), name) for name in ("low", "high"))
    gained, lost = comparison["gained"], comparison["lost"]
    return pairing.judge(comparison["p_value"], gained, lost, (low, high))


def verdict(
    comparison: Json, num_items: int, pairing: Pairing, num_groups: int | None = None
) -> str:
    """Return one sentence on a paired comparison: what was gained, lost, by how much, how sure."""
    items = format_items(num_items, num_groups)
    judgement = {
        "better": say("better, beyond chance"),
        "worse": say("WORSE, beyond chance"),
        "mixed": say("mixed, the items and their mean do not agree"),
        "open": say("no difference that {items} can show", items=items),
    }[judge(comparison, pairing)]
    style = format_quantity if pairing.has_unit else format_figure
    difference = style(comparison.get("difference"), signed=True)
    if end_of(comparison.get("difference"), "low") is None:  # answers are all alike: p says so
        difference = difference.partition(" [")[0]
    against = say("{after} against {before}", **_both(comparison))
    return (
        f"{against}: {_counts(comparison, pairing.counts)}, {say(pairing.difference)} "
        f"{difference}, {format_p(comparison['p_value'])}: {judgement}."
    )


def _counts(comparison: Json, template: str) -> str:
    counts = {name: f"{comparison[name]:,}" for name in ("gained", "lost")}
    return say(template, **counts)


def _both(comparison: Json) -> dict[str, str]:
    return {name: say(str(comparison[name])) for name in ("before", "after")}


def brief_verdict(comparison: Json, pairing: Pairing) -> tuple[str, str]:
    """Return a paired verdict in a few words: ``Better than``, and ``probe: 60 gained, …``."""
    words = {
        "better": say("Better than"),
        "worse": say("Worse than"),
        "mixed": say("Mixed against"),
        "open": say("No certain difference from"),
    }[judge(comparison, pairing)]
    counts = _counts(comparison, pairing.brief)
    before = _both(comparison)["before"]
    return words, f"{before}: {counts}, {format_p(comparison['p_value'])}"


def outcome(metrics: Json) -> str:
    """Return in one sentence what won, what lost, and how sure that is; empty if nothing compared.

    For example: ``fine-tuned is worse than gradient boosting (p = 0.001) and better than mean of
    train (p < 1e-6).``
    """
    comparisons, task = (metrics.get("before_after") or {}).get("comparisons"), task_of(metrics)
    if task is None or not comparisons:
        return ""
    sentences = []
    for after in dict.fromkeys(found["after"] for found in comparisons):
        parts = []
        for judgement, words in _OUTCOMES.items():
            rivals = [
                f"{say(str(found['before']))} ({format_p(found['p_value'])})"
                for found in comparisons
                if found["after"] == after and judge(found, task.words.pairing) == judgement
            ]
            if rivals:
                parts.append(
                    say("{judgement} {rivals}", judgement=say(words), rivals=_listed(rivals))
                )
        sentences.append(say("{after} is {parts}.", after=say(str(after)), parts=_listed(parts)))
    return " ".join(sentences)


def has_lost(metrics: Json) -> bool:
    """Return whether the model is surely worse than something that it was compared with."""
    task = task_of(metrics)
    comparisons = (metrics.get("before_after") or {}).get("comparisons") or []
    if task is None:
        return False
    return any(judge(found, task.words.pairing) == "worse" for found in comparisons)


def warning_of(metrics: Json) -> str:
    """Return what a reader has to know first: nothing was learned, or something simpler won."""
    lost = outcome(metrics) if has_lost(metrics) else ""
    return " ".join(filter(None, [guessing_sentence(metrics), lost]))


def guessing_sentence(metrics: Json) -> str:
    """Return that the model is no better than guessing, or not certainly so; empty where it is.

    Neither right on more items than what answers without looking, beyond chance, nor with a leading
    figure whose interval lies above that answer's and, of classes, above one in so many. Where the
    figure itself lies above both, nothing is certain but that test cannot tell.
    """
    (measure, figures), task = ladder_of(metrics), task_of(metrics)
    if task is None or measure is None or len(figures) < 2:
        return ""
    (naive, plain), *_, (name, own) = figures.items()
    told = (metrics.get("before_after") or {}).get("comparisons") or []
    of_both = [one for one in told if (one["before"], one["after"]) == (naive, name)]
    low, value = end_of(own, "low" if measure.is_higher_better else "high"), end_of(plain, "value")
    if not of_both or judge(of_both[0], task.words.pairing) == "better":
        return ""
    if low is None or value is None:
        return ""
    sign = 1 if measure.is_higher_better else -1
    chance = sign * value
    if task.has_classes and task.is_exclusive and measure.is_higher_better:
        chance = max(chance, 1 / max(1, len((metrics.get("test") or {}).get("per_class") or {})))
    if sign * low > chance:
        return ""
    figure = end_of(own, "value")
    if figure is not None and sign * figure > chance:
        return say("This model is not certainly better than guessing ({naive}).", naive=say(naive))
    return say("This model is no better than guessing ({naive}).", naive=say(naive))


def data_title(name: object) -> str:
    """Return what data are called in a title: of a whole path its last part, which is nobody's own.

    Args:
        name: As the user called it: ``photos/``, ``mnist``, ``/home/me/photos.csv``.
    """
    text = str(name)
    bare = text.rstrip("/\\") or text
    is_whole = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()
    return (re.split(r"[/\\]+", bare)[-1] if is_whole else "") or bare


def _listed(parts: list[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return say(" and ").join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def describe_start(model: Json) -> str:
    """Return what the start is: family, size, what it learned from, licence."""
    start = model.get("start") or {}
    parts = [str(start["family"])] if start.get("family") else []
    if start.get("num_parameters"):
        number = format_count(int(start["num_parameters"]))
        parts.append(say("{number} parameters", number=number))
    own = ""
    if start:
        learned = start.get("pretrained_on")
        licence = str(start.get("licence") or "")
        own = licence.removeprefix("none (").removesuffix(")") if licence.startswith("none") else ""
        on = say("pretrained on {data}", data=learned)
        parts.append(on if learned else own or say("random weights"))
    if start.get("licence") and not own:
        parts.append(say("licence {name}", name=start["licence"]))
    return ", ".join(parts)


def start_address(model: Json) -> str:
    """Return the address of the start, ``unknown`` where the folder does not say."""
    return str((model.get("start") or {}).get("address") or "unknown")


def ensemble_sentence(model: Json) -> str:
    """Return which models answer together and with what shares; empty where it is one."""
    members = (model.get("ensemble") or {}).get("members") or []
    told = [
        f"{one.get('start')} ({one.get('strategy') or 'unknown'}, {float(one['weight']):.0%})"
        for one in members
    ]
    if not told:
        return ""
    return say("The mean of {number} models: {models}.", number=len(told), models=_listed(told))


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
    cells = scores.get("confusion_counts") or [
        (i, j, count)
        for i, row in enumerate(scores.get("confusion_matrix") or [])
        for j, count in enumerate(row)
    ]
    totals = Counter[int]()
    for i, _, count in cells:
        totals[i] += count
    pairs = [
        Confusion(names[i], names[j], count, totals[i]) for i, j, count in cells if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair.count)[:limit]


def weakest_classes(scores: Json, limit: int | None = None) -> list[tuple[str, Json]]:
    """Return (class, its scores), lowest F1 first; classes without items last."""

    def rank(entry: tuple[str, Json]) -> tuple[bool, float]:
        value = end_of(entry[1].get("f1"), "value")
        return (value is None, value or 0.0)

    return sorted((scores.get("per_class") or {}).items(), key=rank)[:limit]


def items_sentence(test: Json) -> str:
    """Return which answers hold no text, and that groups are few; empty where neither is so."""
    told, items = [], format_items(test["num_items"])
    if number := test.get("num_empty"):
        told.append(say("Empty answers: {number} of {items}.", number=f"{number:,}", items=items))
    if 0 < (number := test.get("num_groups") or 0) < FEW_GROUPS:
        said = "Intervals count the {number} groups, not their {items}: so few tell little."
        told.append(say(said, number=number, items=items))
    return " ".join(told)


def val_calibration_sentence(metrics: Json) -> str:
    """Return how val's probabilities were calibrated, or an empty text."""
    if metrics.get("val_calibration") != "cross-fitted":
        return ""
    return say("Each val item is calibrated by a temperature that was fitted without it.")


def later_days_sentence(metrics: Json) -> str:
    """Return that days to come are told otherwise than those tested, or an empty text."""
    found, task = metrics.get("later_days") or {}, task_of(metrics)
    if not found.get("differs") or task is None:
        return ""
    measure = task.figures[found["metric"]]
    between, later = (format_measure(measure, found[key]) for key in ("between", "later"))
    return say(
        "The test days lie between days learned from ('{column}'). On days to come the figure is "
        "another: {method} has {figure} {between} on this test split, and {later} on the latest "
        "{number} rows (from {since}) when it learns from those before. To foretell, train with "
        "--split time.",
        column=found["column"],
        method=say(str(found["method"])),
        figure=say(measure.name),
        between=between,
        later=later,
        number=f"{found['num_later']:,}",
        since=found["since"],
    )
