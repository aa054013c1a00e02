"""The figures of a classification on one split, each with a 95 % interval that holds at any size.

Which interval: accuracy, and precision, recall and F1 of a class, are proportions (``shares.py``);
the macro figures are means of these (``parts.py``), ROC-AUC of areas (``areas.py``), log loss and
Brier score of what items cost (``means.py``), ECE of gaps (``gaps.py``). Where items belong
together, groups are counted (``clusters.py``). ``benchmarks/coverage.py`` counts how often they
hold the truth.

Deliberately left out: who made the probabilities (these are arrays), who decided, and figures for
several labels an item (``label_scores.py``) or for numbers (``value_scores.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.errors import OptionError, quoted
from headstart.evaluation.areas import mean_area
from headstart.evaluation.clusters import Groups, as_groups
from headstart.evaluation.counts import count_classes, counted_scores, macro_figures
from headstart.evaluation.gaps import binned, calibration_error
from headstart.evaluation.intervals import NUM_RESAMPLES, check_resamples
from headstart.evaluation.means import (
    plain_mean,
    studentised_interval,
    unit_sums,
    with_unseen,
    within,
)
from headstart.evaluation.parts import unseen_parts
from headstart.evaluation.records import Scores
from headstart.evaluation.shares import share_of
from headstart.types import Figure

FLOOR = float(np.finfo(np.float64).eps)  # as scikit-learn: a probability of 0 costs 36, not inf
FIGURES = (
    "accuracy",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "roc_auc",
    "log_loss",
    "brier",
    "ece",
)


def score_classes(
    probabilities: np.ndarray,
    targets: np.ndarray,
    classes: Sequence[str],
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    groups: np.ndarray | None = None,
    predictions: np.ndarray | None = None,
) -> Scores:
    """Measure probabilities against targets, one class an item.

    ``accuracy``; ``precision_macro``, ``recall_macro`` and ``f1_macro``, means over the classes
    that occur among targets or predictions, 0 / 0 counting as 0 (both as scikit-learn);
    ``roc_auc``, one class against the rest, mean over the classes that occur among the targets, NaN
    if fewer than two do; ``log_loss``, mean -log p(target), p at least 2.2e-16; ``brier``, mean of
    the *sum* over classes of (p - one-hot)^2, in [0, 2], so that two classes give twice the binary
    form; ``ece``, expected calibration error of the top class, 15 bins of equal width.

    The interval of a mean over classes is that of the mean over all classes that the model expects
    to meet, whether or not the items hold them.

    Args:
        probabilities: Shape (N, K), N at least 1, rows summing to 1.
        targets: Integers in [0, K), shape (N,).
        classes: K class names, all different.
        seed: Seed of the bootstrap.
        num_resamples: Bootstrap resamples of log loss and Brier score, at least 40; or 0 for none,
            which leaves NaN at the ends of these.
        groups: Whole numbers, shape (N,), the same for items that belong together: intervals then
            count groups. None: each item stands alone.
        predictions: The classes that are decided for, integers, shape (N,), where these are not
            the most probable ones: accuracy, precision, recall, F1 and the matrix are theirs.

    Returns:
        Figures, scores per class, and the confusion matrix.

    Raises:
        OptionError: A shape, a probability, a target, the class names, ``num_resamples`` or
            ``groups`` is not as described.

    Source:
        ECE: C. Guo et al., 2017, On Calibration of Modern Neural Networks, equation 3. Brier:
        G. W. Brier, 1950, Monthly Weather Review 78, 1-3, equation 2.

    Example:
        >>> import numpy as np
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> scores = score_classes(probabilities, np.array([0, 1, 1, 1]), ("cat", "dog"))
        >>> scores.figures["accuracy"].value, scores.per_class["dog"].support
        (0.75, 3)
    """
    check_resamples(num_resamples)
    checked = _checked_probabilities(probabilities, classes)
    wanted = _checked_targets(targets, *checked.shape)
    num_items, K = checked.shape
    most_probable = checked.argmax(axis=1)
    if predictions is None:
        predictions = most_probable
    else:
        predictions = _checked_targets(predictions, *checked.shape, what="predictions")
    confusion = np.bincount(wanted * K + predictions, minlength=K * K).reshape(K, K)
    told = as_groups(groups, num_items)
    items, right = np.arange(num_items), predictions == wanted
    pairs = (wanted, items, right), (predictions, items, right)
    counts = count_classes(*pairs, num_items, K, told)
    per_class = {name: counted_scores(counts, k) for k, name in enumerate(classes)}
    expected = checked.sum(axis=0)
    # with two classes the second area repeats the first
    ranked = [1] if K == 2 else range(K)
    num_unseen = 0 if K == 2 else unseen_parts(expected, counts.support > 0)
    columns = ((checked[:, k], wanted == k) for k in ranked)
    is_best_right = most_probable == wanted
    is_wrong = share_of(~is_best_right, told)
    losses = _losses(checked, wanted, is_wrong, told, num_resamples=num_resamples, seed=seed)
    figures = {
        "accuracy": share_of(right, told),
        **macro_figures(*pairs, counts, expected, num_items, told),
        "roc_auc": mean_area(columns, told, num_unseen),
        **losses,
        "ece": calibration_error(binned(checked[items, most_probable], is_best_right, told)),
    }
    return Scores(num_items, figures, per_class, confusion, num_groups=told.num if told else None)


def accuracy(
    predictions: np.ndarray, targets: np.ndarray, *, groups: np.ndarray | None = None
) -> Figure:
    """Return the share of right predictions with its 95 % interval.

    Args:
        predictions: Class indices, shape (N,).
        targets: Class indices, shape (N,), N at least 1.
        groups: As for ``score_classes``.

    Raises:
        OptionError: The shapes differ, or there are no items.
    """
    predicted, wanted = np.asarray(predictions), np.asarray(targets)
    if predicted.shape != wanted.shape or wanted.ndim != 1 or wanted.size == 0:
        raise OptionError(
            f"predictions have shape {predicted.shape} and targets {wanted.shape}, expected one "
            "shape (N,) with N at least 1."
        )
    return share_of(predicted == wanted, as_groups(groups, wanted.size))


def _losses(
    probabilities: np.ndarray,
    targets: np.ndarray,
    wrong: Figure,
    groups: Groups | None,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Figure]:
    """Return log loss and Brier score with their intervals."""
    items = np.arange(len(targets))
    of_target = probabilities[items, targets]
    squares = np.einsum("nk,nk->n", probabilities, probabilities)
    is_wrong = probabilities.argmax(axis=1) != targets
    losses = {
        "log_loss": -np.log(np.clip(of_target, FLOOR, 1.0)),
        # squared distance to the one-hot target, without building the one-hot matrix
        "brier": squares - 2.0 * of_target + 1.0,
    }
    found = {}
    for name, loss in losses.items():
        units = unit_sums(loss[None], groups, seed)
        figure = studentised_interval(units, plain_mean, num_resamples=num_resamples, seed=seed)
        costs = _costs(probabilities, squares, loss, is_wrong, name)
        figure = with_unseen(figure, wrong, int(is_wrong.sum()), costs)
        highest = math.inf if name == "log_loss" else 2.0
        found[name] = within(figure, 0.0, highest)
    return found


def _costs(
    probabilities: np.ndarray,
    squares: np.ndarray,
    loss: np.ndarray,
    is_wrong: np.ndarray,
    name: str,
) -> tuple[float, float]:
    """Return what a wrong and a right answer cost in the mean.

    What a wrong one would cost is what the model's own probabilities of the other classes say; the
    wrong ones that were seen are told beside, as if there were two more.
    """
    others = np.maximum(probabilities, 0.0)
    others[np.arange(len(others)), probabilities.argmax(axis=1)] = 0.0
    # not 1 - top: of probabilities in single precision that is rounding alone
    rest = others.sum(axis=1)
    if name == "log_loss":
        costs, none = -np.log(np.clip(probabilities, FLOOR, 1.0)), -math.log(FLOOR)
    else:
        costs, none = squares[:, None] + 1.0 - 2.0 * probabilities, 2.0
    imagined = np.full(len(rest), none)
    np.divide(np.einsum("nk,nk->n", others, costs), rest, out=imagined, where=rest > 0.0)
    number = int(is_wrong.sum())
    wrong = (float(loss[is_wrong].sum()) + 2.0 * float(imagined.mean())) / (number + 2.0)
    right = float(loss[~is_wrong].mean()) if number < len(loss) else 0.0
    return wrong, right


def _checked_probabilities(probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return the probabilities as float64, shape (N, K), or say what is wrong with them."""
    if len(set(classes)) != len(classes):
        twice = [name for i, name in enumerate(classes) if name in classes[:i]]
        raise OptionError(f"classes name {quoted(twice)} twice. Give every class its own name.")
    checked = np.asarray(probabilities, dtype=np.float64)
    K = len(classes)
    if checked.ndim != 2 or checked.shape[1] != K or K < 2 or checked.shape[0] == 0:
        raise OptionError(
            f"probabilities have shape {checked.shape}, expected (N, {K}) with N at least 1: one "
            f"row for each item and one column for each of {K} classes, at least 2."
        )
    bad = ~((checked >= -1e-6) & (checked <= 1.0 + 1e-6))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise OptionError(
            f"probabilities[{row}, {column}] is {checked[row, column]}, expected a number in "
            "[0, 1]. A NaN means that the model has diverged; logits need softmax first."
        )
    sums = checked.sum(axis=1)
    if (np.abs(sums - 1.0) > 1e-2).any():
        row = int(np.abs(sums - 1.0).argmax())
        raise OptionError(
            f"probabilities[{row}] sum to {sums[row]:.4f}, expected 1. Pass the softmax of the "
            "logits over all classes."
        )
    return np.clip(checked, 0.0, 1.0)


def _checked_targets(
    targets: np.ndarray, num_items: int, num_classes: int, *, what: str = "targets"
) -> np.ndarray:
    """Return the targets as int64, shape (N,), or say what is wrong with them."""
    wanted = np.asarray(targets)
    if wanted.shape != (num_items,) or not np.issubdtype(wanted.dtype, np.integer):
        raise OptionError(
            f"{what} are {wanted.dtype} of shape {wanted.shape}, expected integers of shape "
            f"({num_items},), one for each row of probabilities."
        )
    if wanted.min() < 0 or wanted.max() >= num_classes:
        raise OptionError(
            f"{what} lie in {wanted.min()}..{wanted.max()}, expected 0..{num_classes - 1} for "
            f"{num_classes} classes: probabilities and {what} must have the same classes."
        )
    return wanted.astype(np.int64)
