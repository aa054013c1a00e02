"""Logits to honest probabilities: softmax or sigmoid, and the one number that calibrates it.

Temperature scaling changes no prediction, only how sure the model says it is. Deliberately left
out: vector scaling and isotonic regression, which need more validation items than most users have.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation.label_scores import checked_labels

MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0


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


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Find the temperature of a softmax that gives the smallest mean negative log-likelihood.

    Fit it on val, never on test. The loss has one minimum (it is convex in 1 / T); it is searched
    by bounded Brent over log T, T in [0.05, 20].

    Where every item is already right there is no finite minimum: the loss only falls as T goes to
    0, which would make a model that saw twenty easy val items claim certainty. Then 1.0 is
    returned, and the logits stay as trained.

    Args:
        logits: Finite, shape (N, K), N at least 1.
        targets: Integers in [0, K), shape (N,).

    Raises:
        OptionError: Shapes do not fit, there are no items, a logit is not finite, or a target is
            out of range.

    Source:
        C. Guo et al., 2017, On Calibration of Modern Neural Networks, section 4.2. Deviations:
        Brent instead of L-BFGS, and the rule for data without an error.
    """
    return _likeliest(_gaps(np.asarray(logits, dtype=np.float64), np.asarray(targets)))


def fit_label_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Find the one temperature of all labels' sigmoids, as ``fit_temperature``.

    Every decision counts the same.

    Args:
        logits: Finite, shape (N, K), N and K at least 1.
        targets: 0 or 1, shape (N, K).

    Raises:
        OptionError: As ``fit_temperature``.
    """
    return _likeliest(_label_gaps(np.asarray(logits, dtype=np.float64), np.asarray(targets)))


def _likeliest(gaps: np.ndarray | None) -> float:
    """Return the temperature with the smallest mean loss; 1.0 where nothing is wrong.

    Args:
        gaps: By how much each choice is above the right one; None where all are right.
    """
    from scipy.optimize import minimize_scalar

    if gaps is None:
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = gaps / math.exp(log_temperature)
        top = scaled.max(axis=1)
        return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))))

    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(math.exp(found.x))


def _checked_temperature(temperature: float) -> float:
    """Return the temperature, or say what is wrong with it."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise OptionError(
            f"temperature is {temperature}, expected a positive number. 1.0 changes nothing."
        )
    return temperature


def _gaps(scores: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
    """Return by how much each class is above the target, (N, K); None where all are right.

    The loss of an item is log(sum(exp(gap / T))).
    """
    _check(scores, wanted)
    items = np.arange(len(scores))
    gaps: np.ndarray = scores - scores[items, wanted][:, None]
    others = gaps.copy()
    others[items, wanted] = -np.inf
    return None if (others.max(axis=1) < 0).all() else gaps


def _label_gaps(scores: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
    """Return the gaps (0, -z) of every decision, (N K, 2), z above 0 where it is right, or None.

    A sigmoid is a softmax over (z, 0), so the loss is the same function of the gaps.
    """
    _check_finite(scores)
    right = np.where(checked_labels("targets", wanted, scores.shape), scores, -scores).ravel()
    if right.size == 0:
        raise OptionError(
            f"logits have shape {scores.shape}, expected (N, K) with N and K at least 1. Pass the "
            "logits of the val items."
        )
    return None if (right > 0).all() else np.stack((np.zeros_like(right), -right), axis=1)


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
