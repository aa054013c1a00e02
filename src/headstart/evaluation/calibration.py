"""Logits to honest probabilities: softmax, and the one number that calibrates it.

Temperature scaling changes no prediction, only how sure the model says it is. Deliberately left
out: vector scaling and isotonic regression, which need more validation items than most users have.
"""

from __future__ import annotations

import math

import numpy as np

from headstart.errors import OptionError

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
    if not (math.isfinite(temperature) and temperature > 0):
        raise OptionError(
            f"temperature is {temperature}, expected a positive number. 1.0 changes nothing."
        )
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    exponentials: np.ndarray = np.exp(scaled)
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Find the temperature that gives the smallest mean negative log-likelihood.

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
    from scipy.optimize import minimize_scalar

    scores = np.asarray(logits, dtype=np.float64)
    wanted = np.asarray(targets)
    _check(scores, wanted)
    items = np.arange(len(scores))
    # Every gap is the amount by which a class is above the target: loss = log(sum(exp(gap / T))).
    gaps = scores - scores[items, wanted][:, None]
    others = gaps.copy()
    others[items, wanted] = -np.inf
    if (others.max(axis=1) < 0).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = gaps / math.exp(log_temperature)
        top = scaled.max(axis=1)
        return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))))

    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(math.exp(found.x))


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
    if not np.isfinite(logits).all():
        row, column = np.argwhere(~np.isfinite(logits))[0]
        raise OptionError(
            f"logits[{row}, {column}] is {logits[row, column]}, expected a finite number. The "
            "model has diverged, or computed in a precision too low for it."
        )
