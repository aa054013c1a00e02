"""Logits to honest probabilities: softmax or sigmoid, and the one number that calibrates it.

Temperature scaling changes no prediction, only how sure the model says it is. Few items say little
of it, so it is 1 unless they speak against that. Deliberately left out: vector scaling and isotonic
regression, which need more validation items than most users have.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.label_scores import checked_labels

MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0
# Nats a unit of |log T|: the prior. Chosen by simulation, of two to ten classes, among normal,
# Student's and Laplace priors: 30 items of calibrated logits cost 0.002 nats on average (0.022
# without it), and 300 of logits three times too large gain 99 % of what there is.
PRIOR = 4.0
_FEW_WRONG = 5


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities, computed in float64 and without overflow.

    Args:
        logits: Finite, shape (N, K), or (K,) for one item.
        temperature: Positive; above 1 makes the probabilities more even.

    Raises:
        OptionError: The temperature is not a positive number.

    Example:
        >>> import numpy as np
        >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
        [[0.5, 0.5]]
    """
    scaled = np.asarray(logits, dtype=np.float64) / _checked_temperature(temperature)
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    exponentials: np.ndarray = np.exp(scaled)
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the probability of each label by itself, in float64 and without overflow.

    Args:
        logits: Finite, any shape.
        temperature: Positive; above 1 draws the probabilities towards 0.5.

    Raises:
        OptionError: The temperature is not a positive number.

    Example:
        >>> import numpy as np
        >>> sigmoid(np.array([-1000.0, 0.0])).tolist()
        [0.0, 0.5]
    """
    scaled = np.asarray(logits, dtype=np.float64) / _checked_temperature(temperature)
    small = np.exp(-np.abs(scaled))
    probabilities: np.ndarray = np.where(scaled >= 0, 1.0, small) / (1.0 + small)
    return probabilities


def fit_temperature(logits: np.ndarray, targets: np.ndarray, *, is_shrunk: bool = True) -> float:
    """Find the temperature of a softmax that is the most probable after seeing these items.

    Fit it on val, never on test. Minimised is the summed negative log-likelihood plus
    ``PRIOR * |log T|``, a Laplace prior around 1: the temperature is exactly 1 until the items
    together speak more than ``PRIOR`` nats a unit of log T against it. So twenty easy items, all
    right, do not make a model claim certainty, one near miss more changes little, and five
    thousand items have their way. T lies in [0.05, 20].

    Args:
        logits: Finite, shape (N, K), N at least 1.
        targets: Integers in [0, K), shape (N,).
        is_shrunk: Whether the prior holds; False for scores that are no log odds, whose scale is
            unknown. Then T is the likeliest, and 1.0 where every item is right, since the loss
            only falls as T goes to 0.

    Raises:
        OptionError: Shapes do not fit, there are no items, a logit is not finite, or a target is
            out of range.

    Source:
        C. Guo et al., 2017, On Calibration of Modern Neural Networks, section 4.2. Deviations: the
        prior, and Brent in the best interval of a grid instead of L-BFGS.
    """
    gaps, all_right = _gaps(np.asarray(logits, dtype=np.float64), np.asarray(targets))
    return _most_probable(gaps, 1.0) if is_shrunk else _likeliest(gaps, all_right)


def no_surer(logits: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    """Return the temperature, raised until a softmax is no surer than the items can show.

    Of N items of which all are right a model may claim half a wrong one in N + 1, and no fewer; of
    e wrong ones half a one more, less a standard error of e; where more than five are wrong the
    likelihood says enough, and nothing is raised. A network that has
    learned few samples by heart claims none at all, and its few val items, nearly all of them
    right, have nothing to say against that: the likeliest temperature is 1, or below.

    Args:
        logits: Finite, shape (N, K), N at least 1.
        targets: Integers in [0, K), shape (N,).
        temperature: The least.

    Source:
        The posterior mean of a share under Jeffreys's prior, for e = 0; measured in
        docs/experiments.md, "As sure as few items can show".
    """
    from scipy.optimize import brentq

    gaps, _ = _gaps(np.asarray(logits, dtype=np.float64), np.asarray(targets))
    num, wrong = len(gaps), float((gaps.max(axis=1) > 0).sum())
    if wrong > _FEW_WRONG:
        return temperature
    noise = math.sqrt(wrong * (1.0 - wrong / num))
    most = 1.0 - max(0.5, wrong + 0.5 - noise) / (num + 1.0)

    def beyond(log_temperature: float) -> float:
        scaled = gaps / math.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(np.mean(1.0 / np.exp(scaled).sum(axis=1))) - most

    lowest, highest = math.log(temperature), math.log(MAX_TEMPERATURE)
    if beyond(lowest) <= 0:
        return temperature
    if beyond(highest) >= 0:
        return MAX_TEMPERATURE
    return math.exp(brentq(beyond, lowest, highest, xtol=1e-4))


def fit_label_temperature(
    logits: np.ndarray, targets: np.ndarray, *, is_shrunk: bool = True
) -> float:
    """Find the one temperature of all labels' sigmoids, as ``fit_temperature``.

    Every decision counts the same. The labels of one item go together, so that N K decisions say
    less than as many items would: what they say together is divided by the design effect.

    Args:
        logits: Finite, shape (N, K), N and K at least 1.
        targets: 0 or 1, shape (N, K).
        is_shrunk: As ``fit_temperature`` takes it.

    Raises:
        OptionError: As ``fit_temperature``.

    Source:
        L. Kish, 1965, Survey Sampling, on design effects of clusters.
    """
    gaps, all_right = _label_gaps(np.asarray(logits, dtype=np.float64), np.asarray(targets))
    if not is_shrunk:
        return _likeliest(gaps, all_right)
    return _most_probable(gaps, _independence(gaps, len(logits)))


def fold_temperatures(
    fit: Callable[[np.ndarray], float], groups: np.ndarray, *, num_folds: int = 5
) -> np.ndarray:
    """Return for each item a temperature that was fitted without it, nor any of its group.

    Args:
        fit: From the places of some items, int64, to their temperature.
        groups: What belongs together, shape (N,); a value an item where nothing does.
        num_folds: Parts that the items are dealt into; no more than there are groups.

    Returns:
        float64, shape (N,); all 1.0 where there are no two groups.
    """
    # dealt in turn: neighbours in a file are apart, and it is the same on every machine
    _, of_group = np.unique(groups, return_inverse=True)
    num_groups = int(of_group.max()) + 1
    folds = of_group.reshape(-1) % min(num_folds, num_groups)
    found = np.ones(len(folds))
    for fold in range(int(folds.max()) + 1) if num_groups > 1 else ():
        found[folds == fold] = fit(np.flatnonzero(folds != fold))
    return found


def _most_probable(gaps: np.ndarray, weight: float) -> float:
    """Return the temperature with the smallest penalised loss.

    Args:
        gaps: By how much each choice is above the right one.
        weight: What an item counts.
    """

    def loss(log_temperature: float) -> float:
        summed = weight * len(gaps) * _mean_loss(gaps, log_temperature)
        return summed + PRIOR * abs(log_temperature)

    found = _minimum(loss)
    # the kink of the prior, which Brent only comes near
    return 1.0 if loss(0.0) <= loss(found) else math.exp(found)


def _likeliest(gaps: np.ndarray, all_right: bool) -> float:
    """Return the temperature with the smallest mean loss; 1.0 where nothing is wrong."""
    return 1.0 if all_right else math.exp(_minimum(lambda log: _mean_loss(gaps, log)))


def _minimum(loss: Callable[[float], float]) -> float:
    """Return the log T of the smallest loss: the best of a grid, and Brent around it."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE), 13)
    best = int(np.argmin([loss(float(log)) for log in grid]))
    bounds = (float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)]))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(found.x)


def _mean_loss(gaps: np.ndarray, log_temperature: float) -> float:
    scaled = gaps / math.exp(log_temperature)
    top = scaled.max(axis=1)
    return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))))


def _independence(gaps: np.ndarray, num_items: int) -> float:
    """Return one over the design effect, at most 1: how independent an item's decisions are.

    By the slopes of the losses in log T, at T = 1: their variance if decisions were independent,
    over that of their sums over items.
    """
    against = gaps[:, 1]
    slopes = -against * sigmoid(against)
    slopes = (slopes - slopes.mean()).reshape(num_items, -1)
    of_items = float((slopes.sum(axis=1) ** 2).sum())
    alone = float((slopes**2).sum())
    return min(1.0, alone / of_items) if of_items > 0 else 1.0


def _checked_temperature(temperature: float) -> float:
    """Return the temperature, or say what is wrong with it."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise OptionError(
            f"temperature is {temperature}, expected a positive number. 1.0 changes nothing."
        )
    return temperature


def _gaps(scores: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return by how much each class is above the target, (N, K), and whether all are right.

    The loss of an item is log(sum(exp(gap / T))).
    """
    _check(scores, wanted)
    items = np.arange(len(scores))
    gaps: np.ndarray = scores - scores[items, wanted][:, None]
    others = gaps.copy()
    others[items, wanted] = -np.inf
    return gaps, bool((others.max(axis=1) < 0).all())


def _label_gaps(scores: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the gaps (0, -z) of every decision, (N K, 2), z above 0 where right; whether all are.

    A sigmoid is a softmax over (z, 0), so the loss is the same function of the gaps.
    """
    _check_finite(scores)
    right = np.where(checked_labels("targets", wanted, scores.shape), scores, -scores).ravel()
    if right.size == 0:
        raise OptionError(
            f"logits have shape {scores.shape}, expected (N, K) with N and K at least 1. Pass the "
            "logits of the val items."
        )
    return np.stack((np.zeros_like(right), -right), axis=1), bool((right > 0).all())


def _check(logits: np.ndarray, targets: np.ndarray) -> None:
    """Refuse what cannot be calibrated on."""
    if logits.ndim != 2 or logits.shape[0] == 0 or logits.shape[1] < 2:
        raise OptionError(
            f"logits have shape {logits.shape}, expected (N, K) with N at least 1 and K at least "
            "2. Pass the logits of the val items."
        )
    if targets.shape != (len(logits),) or not np.issubdtype(targets.dtype, np.integer):
        raise OptionError(
            f"targets are {targets.dtype} of shape {targets.shape}, expected integers of shape "
            f"({len(logits)},), one for each row of logits."
        )
    if targets.min() < 0 or targets.max() >= logits.shape[1]:
        raise OptionError(
            f"targets lie in {targets.min()}..{targets.max()}, expected 0..{logits.shape[1] - 1}: "
            "logits and targets must have the same classes."
        )
    _check_finite(logits)


def _check_finite(logits: np.ndarray) -> None:
    """Refuse logits that are not numbers."""
    if not np.isfinite(logits).all():
        row, column = np.argwhere(~np.isfinite(logits))[0]
        raise OptionError(
            f"logits[{row}, {column}] is {logits[row, column]}, expected a finite number. The "
            "model has diverged, or computed in a precision too low for it."
        )
