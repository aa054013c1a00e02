"""The figures of a multi-label model on one split, each with a 95 % interval.

Which interval: the share of items with every label right, and precision, recall and F1 of one
label, are proportions and take Wilson's interval. Everything else takes the percentile bootstrap
over items. A figure that no resample moves takes what is left to know: Wilson's interval on the
number of items for figures over all decisions, that of its labels for a macro figure.

Deliberately left out: thresholds other than 0.5, and a calibration error, which has no one meaning
over several labels; log loss and Brier score stand for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.errors import OptionError, quoted
from headstart.evaluation.class_scores import (
    Counts,
    count_classes,
    counted_scores,
    still_areas,
)
from headstart.evaluation.clusters import Groups, as_groups, share
from headstart.evaluation.intervals import (
    check_resamples,
    f1_of,
    is_degenerate,
    mean_interval,
    percentile_interval,
    wilson,
)
from headstart.evaluation.label_resampling import LabelTable
from headstart.evaluation.records import ClassScores, Scores
from headstart.evaluation.resampling import (
    NUM_RESAMPLES,
    WeightedFigures,
    bootstrap_weights,
    divide,
)
from headstart.types import Figure

FIGURES = (
    "exact_match",
    "hamming_loss",
    "f1_micro",
    "precision_micro",
    "recall_micro",
    "f1_macro",
    "precision_macro",
    "recall_macro",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier",
)


def score_labels(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
) -> Scores:
    """Measure probabilities against targets of several labels an item.

    A label is predicted where p >= 0.5. ``exact_match``, the share of items with every label right;
    ``hamming_loss``, the share of wrong decisions; precision, recall and F1 ``_micro`` (over all
    decisions) and ``_macro`` (mean over the labels that occur among targets or predictions);
    ``roc_auc`` and ``average_precision``, means over the labels that some items have and others
    lack; ``log_loss`` and ``brier``, means over items *and* labels, the latter in [0, 1].

    Args:
        probabilities: Shape (N, K), N at least 1, each in [0, 1].
        targets: 0 or 1, shape (N, K).
        labels: K names, all different.
        seed: Seed of the bootstrap.
        num_resamples: Bootstrap resamples, at least 40; or 0 for none, as ``score_classes``.
        groups: Which items belong together, as ``score_classes``.

    Returns:
        Figures, and scores per label.

    Raises:
        OptionError: A shape, a probability, a target, the names or ``num_resamples`` is not as
            described.
    """
    check_resamples(num_resamples)
    checked = _checked_probabilities(probabilities, labels)
    wanted = checked_labels("targets", targets, checked.shape)
    table = LabelTable(checked, wanted)
    point = table.figures(np.ones((len(checked), 1)))
    told = as_groups(groups, len(checked))
    resampled = table.resample(num_resamples, seed, told) if num_resamples else {}
    predicted = checked >= 0.5
    counts = _count_labels(wanted, predicted, told)
    per_class = {name: counted_scores(counts, k) for k, name in enumerate(labels)}
    figures = {"exact_match": share((predicted == wanted).all(axis=1), told)} | {
        name: _figure(name, point, resampled, per_class, counts, told or len(checked))
        for name in FIGURES[1:]
    }
    return Scores(len(checked), figures, per_class, num_groups=told.num if told else None)


def _count_labels(wanted: np.ndarray, predicted: np.ndarray, groups: Groups | None) -> Counts:
    """Count targets and predictions, bool, shape (N, K), of each label."""
    items, classes = np.nonzero(wanted)
    said_of, said = np.nonzero(predicted)
    return count_classes(
        (classes, items, predicted[items, classes]),
        (said, said_of, wanted[said_of, said]),
        len(wanted),
        wanted.shape[1],
        groups,
    )


def f1_micro(
    predictions: np.ndarray,
    targets: np.ndarray,
    *,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Figure:
    """Return F1 over all decisions with its interval, as ``score_labels`` gives it.

    Args:
        predictions: 0 or 1, shape (N, K), N at least 1.
        targets: 0 or 1, shape (N, K).
        seed: Seed of the bootstrap.
        groups: Which items belong together, as ``score_classes``.

    Raises:
        OptionError: The shapes differ, there are no items, or a value is neither 0 nor 1.
    """
    wanted = checked_labels("targets", targets, np.shape(targets))
    predicted = checked_labels("predictions", predictions, wanted.shape)
    if not len(wanted):
        raise OptionError("targets are empty, expected at least one item.")
    told = as_groups(groups, len(wanted))
    hits = (predicted & wanted).sum(axis=1)
    decided = predicted.sum(axis=1) + wanted.sum(axis=1)
    resampled = [
        divide(2.0 * (hits @ weights), decided @ weights)
        for weights in bootstrap_weights(len(wanted), NUM_RESAMPLES, seed, told)
    ]
    all_hits, all_decided = int(hits.sum()), int(decided.sum())
    value = 2.0 * all_hits / all_decided if all_decided else 0.0
    return _over_all("f1_micro", value, np.concatenate(resampled), told or len(wanted))


def checked_labels(what: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of 0 and 1 as bool, shape (N, K), or say what is wrong with it.

    Args:
        what: What a message calls it.
        values: The array.
        shape: The expected shape.

    Raises:
        OptionError: Another shape, or another value than 0 and 1.
    """
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "iub":
        raise OptionError(
            f"{what} are {array.dtype} of shape {array.shape}, expected 0 and 1 as integers of "
            f"shape {shape}: a row for each item and a column for each label."
        )
    if array.dtype.kind != "b" and (array > 1).any() | (array < 0).any():
        row, column = np.argwhere((array > 1) | (array < 0))[0]
        raise OptionError(
            f"{what}[{row}, {column}] is {array[row, column]}, expected 0 (the label does not "
            "apply) or 1 (it does)."
        )
    return array.astype(bool)


def _figure(
    name: str,
    point: WeightedFigures,
    resampled: dict[str, np.ndarray],
    per_class: dict[str, ClassScores],
    counts: Counts,
    drawn_of: Groups | int,
) -> Figure:
    """Return one figure with the interval that suits it; what was drawn are groups, or N items."""
    value, num_groups = float(point.values[name][0]), _num_groups(drawn_of)
    drawn = resampled.get(name, np.empty(0))
    if name == "hamming_loss" or name.endswith("_micro"):
        return _over_all(name, value, drawn, drawn_of)
    figure = percentile_interval(value, drawn, num_groups)
    if not is_degenerate(figure):
        return figure
    if name in ("log_loss", "brier"):
        # One item, or all items alike: the data holds no information on the spread.
        return Figure(value, math.nan, math.nan)
    if name == "roc_auc":
        return mean_interval(still_areas(point.class_areas[:, 0], counts.smaller_side))
    if name == "average_precision":
        assert point.class_precisions is not None
        alone = counts.support if num_groups is None else counts.smaller_side
        return _still_precision(point.class_precisions[:, 0], alone)
    known = [scores for scores in per_class.values() if not math.isnan(scores.f1.value)]
    return mean_interval(getattr(scores, name.removesuffix("_macro")) for scores in known)


def _num_groups(drawn_of: Groups | int) -> int | None:
    return None if isinstance(drawn_of, int) else drawn_of.num


def _over_all(name: str, value: float, resampled: np.ndarray, drawn_of: Groups | int) -> Figure:
    """Return a figure over all decisions with its interval.

    Where no resample moves it, because everything is right (or wrong), Wilson's interval on the
    number of items, or of groups, holds it: the decisions of one item are not independent, so they
    count as one.
    """
    figure = percentile_interval(value, resampled, _num_groups(drawn_of))
    if not is_degenerate(figure):
        return figure
    if value not in (0.0, 1.0):
        return Figure(value, math.nan, math.nan)
    number = _num_groups(drawn_of) or drawn_of
    assert isinstance(number, int)
    share_of_all = wilson(value * number, number)
    return f1_of(share_of_all) if name == "f1_micro" else share_of_all


def _still_precision(precisions: np.ndarray, support: np.ndarray) -> Figure:
    """Return the mean of average precisions that no resample moves: perfect, or alone."""
    known = np.isfinite(precisions)
    value = float(precisions[known].mean()) if known.any() else math.nan
    if not known.any() or (precisions[known] < 1.0).any():
        return Figure(value, math.nan, math.nan)
    return mean_interval(wilson(count, count) for count in support[known].tolist())


def _checked_probabilities(probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return the probabilities as float64, shape (N, K), or say what is wrong with them."""
    if len(set(labels)) != len(labels):
        twice = [name for i, name in enumerate(labels) if name in labels[:i]]
        raise OptionError(f"classes name {quoted(twice)} twice. Give every label its own name.")
    checked = np.asarray(probabilities, dtype=np.float64)
    K = len(labels)
    if checked.ndim != 2 or checked.shape[1] != K or K == 0 or checked.shape[0] == 0:
        raise OptionError(
            f"probabilities have shape {checked.shape}, expected (N, {K}) with N at least 1: one "
            f"row for each item and one column for each of {K} labels, at least 1."
        )
    bad = ~((checked >= -1e-6) & (checked <= 1.0 + 1e-6))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise OptionError(
            f"probabilities[{row}, {column}] is {checked[row, column]}, expected a number in "
            "[0, 1]. A NaN means that the model has diverged; logits need a sigmoid first."
        )
    return np.clip(checked, 0.0, 1.0)
