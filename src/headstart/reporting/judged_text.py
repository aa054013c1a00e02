"""How sure a model's answers are, and what repeats of a run say, as plain text of 80 columns."""

from __future__ import annotations

from typing import Any

from headstart.cells import written_out
from headstart.reporting.language import say
from headstart.reporting.measures import (
    Json,
    end_of,
    format_figure,
    format_measure,
    format_value_alone,
    task_of,
)
from headstart.reporting.terminal import wrapped
from headstart.reporting.wording import format_number
from headstart.types import Measure, Prediction

WIDTH = 80
_MOST_LABELS = 8
_MOST_FIGURES = 6
_MOST_POSSIBLE = 4


def render_certainty(metrics: Json) -> list[str]:
    """Return the lines on calibration, thresholds, sets and answers that are not given.

    Args:
        metrics: ``metrics.json``, or the record of an evaluation.
    """
    lines = [
        *_calibration(metrics.get("reliability") or {}),
        *_thresholds(metrics.get("thresholds") or {}),
        *_costs(metrics.get("costs") or {}),
        *_conformal(metrics.get("conformal") or {}),
        *_rejection(metrics.get("rejection") or {}),
    ]
    return ["How sure", *lines] if lines else []


def _calibration(record: Json) -> list[str]:
    if not record:
        return []
    before, after = (format_figure(record[name]["ece"]) for name in ("before", "after"))
    temperature = record.get("temperature", 1.0)
    if temperature == 1.0:
        return _wrap(f"Calibration error (ECE) {after}; no temperature: val asks for none.")
    return _wrap(
        f"Calibration error (ECE) {before} before and {after} after the temperature "
        f"{temperature:.3g}, which val asks for."
    )


def _thresholds(record: Json) -> list[str]:
    if not record:
        return []
    values = list(record["values"].items())
    shown = ", ".join(f"{name} {value:.3g}" for name, value in values[:_MOST_LABELS])
    more = f" and {len(values) - _MOST_LABELS:,} more" if len(values) > _MOST_LABELS else ""
    lines = _wrap(f"Thresholds tuned on val for {record['asked']}: {shown}{more}.")
    test = record.get("test") or {}
    for name in ("f1_micro", "f1_macro", "accuracy"):
        if name in test.get("tuned", {}):
            tuned, plain = (format_figure(test[key][name]) for key in ("tuned", "plain"))
            lines += _wrap(f"{_called(name)} on these items: {tuned}; with 0.5: {plain}.", "    ")
    for note in record.get("notes") or []:
        lines += _wrap(note, "    ")
    return lines


def _costs(record: Json) -> list[str]:
    test = record.get("test")
    if not test:
        return []
    cheapest, probable, constant = (
        format_figure(test[name]) for name in ("cheapest", "most_probable", "constant")
    )
    name = record["classes"][test["constant_class"]]
    return [
        *_wrap(f"Answers are the cheapest by the costs given: {cheapest} in the mean here."),
        *_wrap(f"The most probable class costs {probable}, always '{name}' {constant}.", "    "),
        *_wrap(f"Cheapest minus most probable: {format_figure(test['difference'])}.", "    "),
    ]


def _called(name: str) -> str:
    from headstart.reporting.measures import measure_named

    measure = measure_named(name)
    return measure.name if measure else name


def _conformal(record: Json) -> list[str]:
    if not record:
        return []
    asked, test = f"{100 * record['coverage']:.3g}", record.get("test") or {}
    held = _percent(test.get("coverage"))
    if "half_width" in record:
        width = format_value_alone(record["half_width"])
        lead = f"predict tells intervals of ± {width} that hold the number in {asked} of 100"
    else:
        lead = f"predict tells sets that hold the right class in {asked} of 100"
        held += f", {test['mean_size']:.2f} classes in the mean" if "mean_size" in test else ""
    told = f"{lead}; on these items in {held}."
    if expected := record.get("expected"):
        low, high = (f"{100 * end:.1f}" for end in expected)
        num, what = record.get("num_groups"), "groups of val items"
        num, what = (record["num_items"], "val items") if num is None else (num, what)
        told += (
            f" It was set on {num:,} {what}, so that chance alone leaves between {low} and "
            f"{high} %; a model that is right more often covers more."
        )
    return _wrap(told)


def _rejection(record: Json) -> list[str]:
    if not record:
        return []
    test = record.get("test") or {}
    answered, right = (_percent(test.get(name)) for name in ("answered", "accuracy"))
    return _wrap(
        f"predict says unknown below {record['least']:.3g} ({record['asked']}): of these items "
        f"{answered} are answered, and of the answers {right} are right."
    )


def _percent(figure: Json | None) -> str:
    """Return a share as ``83.3 % [62.6, 95.3]``."""
    value, low, high = (end_of(figure, name) for name in ("value", "low", "high"))
    if value is None:
        return "none"
    ends = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.1f} %{ends}"


def render_repeats(metrics: Json) -> list[str]:
    """Return the lines on folds, seeds and the learning curve.

    Args:
        metrics: ``metrics.json``.
    """
    task = task_of(metrics)
    if task is None:
        return []
    lines = []
    if record := metrics.get("folds"):
        lines += _folds(record, task.figures, metrics.get("trained_on_all"))
    if record := metrics.get("seeds"):
        lines += [*([""] if lines else []), *_seeds(record, task.figures)]
    if record := metrics.get("learning_curve"):
        lines += [*([""] if lines else []), *_curve(record, task.figures[task.headline])]
    return lines


def _folds(record: Json, measures: Any, on_all: Json | None) -> list[str]:
    items = f"{record['num_items']:,} items"
    if record.get("num_groups"):
        items += f" of {record['num_groups']:,} groups"
    lines = [f"Cross-validation: {record['num_folds']} folds, {items}, each predicted unseen"]
    shown = [name for name in measures if name in record["figures"]][:_MOST_FIGURES]
    width = max(len(measures[name].name) for name in shown)
    for name in shown:
        each = [fold["figures"].get(name) for fold in record["each"]]
        known = [value for value in each if value is not None]
        ends = ""
        if known:
            low, high = (_alone(measures[name], end) for end in (min(known), max(known)))
            ends = f"   folds {low} to {high}"
        told = format_measure(measures[name], record["figures"][name])
        lines.append(f"  {measures[name].name:<{width}}  {told}{ends}")
    note = (
        "The model that is served is that of the run itself, on its own splits; the folds say how "
        "good models of this making are, with intervals for items and for what models differ by."
    )
    if on_all:
        steps = on_all["num_steps"]
        whose = "the folds" if on_all.get("num_alike", 1) else "the run itself"
        how = f", in {steps:,} steps as {whose} took to the best" if steps else ""
        note = (
            f"The model in {on_all['folder']} has learned from all {on_all['num_samples']:,} "
            f"samples{how}. No item is left to test it on: the figures that hold of it are these, "
            "with intervals for items and for what models differ by. The model of the run itself "
            f"stands beside it, with its own test split. {alike_sentence(on_all)}"
        )
    return [*lines, *_wrap(note)]


def _alone(measure: Measure, value: float | None) -> str:
    """Return one value of a figure, with the digits that figures have."""
    return format_value_alone(value) if measure.unit == "target" else format_number(value)


def alike_sentence(on_all: Json) -> str:
    """Return how many folds of a search found what was then made of all samples; or empty.

    Args:
        on_all: ``metrics.json["trained_on_all"]``.
    """
    if "num_alike" not in on_all:
        return ""
    return say(
        "Of {number} folds {alike} found the same start and strategy: the figures are those of the "
        "search, not of this start.",
        number=on_all["num_folds"],
        alike=on_all["num_alike"],
    )


def _seeds(record: Json, measures: Any) -> list[str]:
    seeds = record["seeds"]
    lines = [f"{len(seeds)} seeds on the same splits, {seeds[0]} (served) to {seeds[-1]}: the mean"]
    shown = [name for name in measures if name in record["figures"]][:_MOST_FIGURES]
    width = max((len(measures[name].name) for name in shown), default=0)
    for name in shown:
        found = record["figures"][name]
        low, high = (_alone(measures[name], found[end]) for end in ("lowest", "highest"))
        told = format_measure(measures[name], found)
        lines.append(f"  {measures[name].name:<{width}}  {told}   seeds {low} to {high}")
    return [*lines, *_wrap("Intervals cover the choice of seeds and of test items together.")]


def _curve(record: Json, measure: Measure) -> list[str]:
    what = "error" if measure.is_higher_better else measure.name
    why = f" (1 - {measure.name})" if measure.is_higher_better else ""
    lines = [f"Learning curve: {what}{why} by the number of training samples"]
    rows = [(f"{one['num_train']:,}", one["error"], "") for one in record["points"]]
    twice = record["twice"]
    rows.append((f"{twice['num_train']:,}", twice["error"], "   foretold, not trained"))
    width = max(len(row[0]) for row in rows)
    lines += [f"  {num:>{width}}  {format_figure(error)}{note}" for num, error, note in rows]
    now, then = record["points"][-1]["error"]["value"], twice["error"]["value"]
    if now and then is not None:
        told = (
            f"Twice the data would leave about {100 * then / now:.0f} % of today's {what}, by a "
            f"power law with the exponent {record['law']['exponent']:.2g}."
        )
        lines += _wrap(told)
    return lines


def certainty_cells(prediction: Prediction) -> tuple[str | None, str | None]:
    """Return the probability of an answer, and what else it may be: classes, or an interval."""
    if prediction.value is not None:
        low, high = prediction.low, prediction.high
        return (
            None,
            None if low is None or high is None else f"{written_out(low)} … {written_out(high)}",
        )
    if prediction.parts is not None:
        each = ((label, certainty_cells(one)[0]) for label, one in prediction.parts.items())
        return ", ".join(f"{label} {sure}" for label, sure in each if sure) or None, None
    if not prediction.probabilities:
        return None, None
    shown, more = prediction.possible[:_MOST_POSSIBLE], len(prediction.possible) - _MOST_POSSIBLE
    text = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return f"{prediction.probability:.4f}", text or None


def _wrap(text: str, indent: str = "  ") -> list[str]:
    return wrapped(text, WIDTH, first=indent, following=indent)
