"""The figures of a multi-label model on one split, each with a 95 % interval that holds.

Which interval: figures over all decisions are proportions whose trials belong to an item
(``shares.py``); macro figures are means over the labels (``parts.py``, ``areas.py``); log loss and
Brier score are means of what items cost (``means.py``).

Deliberately left out: who tuned the thresholds, and a calibration error, which has no one meaning
over several labels; log loss and Brier score stand for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.errors import OptionError, quoted
from headstart.evaluation.areas import mean_area, mean_precision
from headstart.evaluation.clusters import Groups, as_groups
from headstart.evaluation.counts import Pairs, count_classes, counted_scores, macro_figures
from headstart.evaluation.intervals import NUM_RESAMPLES, check_resamples, f1_of
from headstart.evaluation.means import (
    plain_mean,
    studentised_interval,
    unit_sums,
    with_unseen,
    within,
)
from headstart.evaluation.parts import summed, unseen_parts
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import clustered_share, share_of
from headstart.types import Figure

_FLOOR = float(np.finfo(np.float64).eps)  # as scikit-learn: a probability of 0 costs 36, not inf
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
    predictions: np.ndarray | None = None,
) -> Scores:
    """Measure probabilities against targets of several labels an item.

    A label is predicted where p >= 0.5. ``exact_match``, the share of items with
    every label right; ``hamming_loss``, the share of wrong decisions; precision, recall and F1
    ``_micro`` (over all decisions) and ``_macro`` (mean over the labels that occur among targets or
    predictions);
    ``roc_auc`` and ``average_precision``, means over the labels that some items have and others
    lack; ``log_loss`` and ``brier``, means over items *and* labels, the latter in [0, 1].

    Args:
        probabilities: Shape (N, K), N at least 1, each in [0, 1].
        targets: 0 or 1, shape (N, K).
        labels: K names, all different.
        seed: Seed of the bootstrap.
        num_resamples: Bootstrap resamples, at least 40; or 0 for none, as ``score_classes``.
        groups: Which items belong together, as ``score_classes``.
        predictions: 0 or 1, shape (N, K), where what is decided is not that.

    Returns:
        Figures, and scores per label.

    Raises:
        OptionError: A shape, a probability, a target, the names or ``num_resamples`` is not as
            described.
    """
    check_resamples(num_resamples)
    checked = _checked_probabilities(probabilities, labels)
    wanted = checked_labels("targets", targets, checked.shape)
    told, K = as_groups(groups, len(checked)), checked.shape[1]
    predicted = checked >= 0.5
    if predictions is not None:
        predicted = checked_labels("predictions", predictions, checked.shape)
    pairs = _pairs(wanted, predicted)
    counts = count_classes(*pairs, len(checked), K, told)
    per_class = {name: counted_scores(counts, k) for k, name in enumerate(labels)}
    expected = checked.sum(axis=0)
    over_all = _over_all(wanted, predicted, told)
    num_unseen = unseen_parts(expected, counts.support > 0)
    ranked = {
        name: measure(((checked[:, k], wanted[:, k]) for k in range(K)), told, num_unseen)
        for name, measure in (("roc_auc", mean_area), ("average_precision", mean_precision))
    }
    at_half = _over_all(wanted, checked >= 0.5, told)["hamming_loss"]
    losses = _losses(checked, wanted, at_half, told, num_resamples, seed)
    found = {
        "exact_match": share_of((predicted == wanted).all(axis=1), told),
        **over_all,
        **macro_figures(*pairs, counts, expected, len(checked), told),
        **ranked,
        **losses,
    }
    figures = {name: found[name] for name in FIGURES}
    return Scores(len(checked), figures, per_class, num_groups=told.num if told else None)


def _pairs(wanted: np.ndarray, predicted: np.ndarray) -> tuple[Pairs, Pairs]:
    """Return what is counted of targets and predictions, bool, shape (N, K), of each label."""
    items, classes = np.nonzero(wanted)
    said_of, said = np.nonzero(predicted)
    return (
        (classes, items, predicted[items, classes]),
        (said, said_of, wanted[said_of, said]),
    )


def _over_all(
    wanted: np.ndarray, predicted: np.ndarray, groups: Groups | None
) -> dict[str, Figure]:
    """Return the figures over all decisions; those of an item, or of a group, belong together."""
    hits, support, said, wrong = (
        summed(each.sum(axis=1).astype(np.float64), groups)
        for each in (wanted & predicted, wanted, predicted, wanted != predicted)
    )
    decided = summed(np.full(len(wanted), float(wanted.shape[1])), groups)
    return {
        "hamming_loss": clustered_share(wrong, decided),
        "f1_micro": f1_of(clustered_share(hits, support + said - hits)),
        "precision_micro": clustered_share(hits, said),
        "recall_micro": clustered_share(hits, support),
    }


def _losses(
    probabilities: np.ndarray,
    targets: np.ndarray,
    wrong: Figure,
    groups: Groups | None,
    num_resamples: int,
    seed: int,
) -> dict[str, Figure]:
    """Return log loss and Brier score, means over items and labels, with their intervals."""
    of_target = np.where(targets, probabilities, 1.0 - probabilities)
    is_wrong = (probabilities >= 0.5) != targets
    against = np.minimum(probabilities, 1.0 - probabilities)  # of what is not decided
    costs = {
        "log_loss": (
            -np.log(np.clip(of_target, _FLOOR, 1.0)),
            -np.log(np.clip(against, _FLOOR, 1)),
        ),
        "brier": ((1.0 - of_target) ** 2, (1.0 - against) ** 2),
    }
    number, found = int(is_wrong.sum()), {}
    for name, (loss, imagined) in costs.items():
        units = unit_sums(loss.mean(axis=1)[None], groups, seed)
        figure = studentised_interval(units, plain_mean, num_resamples=num_resamples, seed=seed)
        of_wrong = (float(loss[is_wrong].sum()) + 2.0 * float(imagined.mean())) / (number + 2.0)
        of_right = float(loss[~is_wrong].mean()) if number < loss.size else 0.0
        figure = with_unseen(figure, wrong, number, (of_wrong, of_right))
        found[name] = within(figure, 0.0, math.inf if name == "log_loss" else 1.0)
    return found


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
    return _over_all(wanted, predicted, as_groups(groups, len(wanted)))["f1_micro"]


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
