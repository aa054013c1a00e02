"""The linear probe: logistic regression on features that a frozen encoder computed once.

This is the ``head`` strategy, the first phase of ``lp-ft``, and the "before" of every before/after
figure. It is convex, so a quasi-Newton solver (scikit-learn's L-BFGS) does in seconds what the loop
would take epochs for. Features are standardised; the scaling is folded into the weights, so that
the result is a plain linear layer.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import StartError
from headstart.training.order import class_weights
from headstart.training.recipe import Imbalance

_STRENGTHS = (0.003, 0.03, 0.3, 3.0)  # inverse L2 strength C, after scaling by N / 1000
_MAX_ITERATIONS = 200
_TRIAL_ITERATIONS = 5


@dataclass(frozen=True)
class Probe:
    """A linear layer and what it reached.

    Attributes:
        weight: float32, shape (K, D).
        bias: float32, shape (K,).
        val_accuracy: Accuracy on the validation features.
        val_loss: Log loss on the validation features.
        strength: The inverse L2 strength that was chosen.
        seconds: Time of the fit.
    """

    weight: np.ndarray
    bias: np.ndarray
    val_accuracy: float
    val_loss: float
    strength: float
    seconds: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return logits, shape (N, K), of features, shape (N, D)."""
        logits: np.ndarray = features @ self.weight.T + self.bias
        return logits


def fit_probe(
    features: np.ndarray,
    targets: np.ndarray,
    val_features: np.ndarray,
    val_targets: np.ndarray,
    *,
    num_classes: int,
    imbalance: Imbalance = "none",
    deadline: float | None = None,
) -> Probe:
    """Fit the probe; the L2 strength with the lowest validation log loss is kept.

    Args:
        features: float32, shape (N, D).
        targets: int64, shape (N,).
        val_features: float32, shape (M, D).
        val_targets: int64, shape (M,).
        num_classes: K; classes that train lacks get a bias that never wins.
        imbalance: Anything but ``none`` weighs classes by inverse frequency.
        deadline: ``time.monotonic()`` value after which no further strength is tried; the solver's
            iterations are counted out so that one fit ends about then.

    Raises:
        StartError: If a feature is not finite.
    """
    began = time.monotonic()
    if not (np.isfinite(features).all() and np.isfinite(val_features).all()):
        raise StartError(
            "The encoder gives features that are not finite numbers; expected finite ones for "
            "every image. Choose another start, or another input size."
        )
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # features that hardly vary would be blown up to noise: they keep their own scale
    scale = np.where(scale > 1e-6 * max(1e-12, float(scale.max())), scale, 1.0)
    standard = (features - mean) / scale
    sample_weights = None if imbalance == "none" else class_weights(targets, num_classes)[targets]
    best: Probe | None = None
    each = 0.0  # seconds an iteration
    if deadline is not None:
        tried = time.monotonic()
        solver = _solve(standard, targets, sample_weights, _STRENGTHS[0], _TRIAL_ITERATIONS)
        each = (time.monotonic() - tried) / max(1, int(solver.n_iter_.max()))
    for strength in _STRENGTHS:
        iterations = _MAX_ITERATIONS
        if deadline is not None:
            affordable = int((deadline - time.monotonic()) / max(1e-9, each))
            iterations = max(_TRIAL_ITERATIONS, min(_MAX_ITERATIONS, affordable))
        solver = _solve(standard, targets, sample_weights, strength, iterations)
        weight, bias = _fold(solver, mean, scale, num_classes)
        loss, accuracy = _judge(val_features @ weight.T + bias, val_targets)
        if best is None or loss < best.val_loss:
            seconds = time.monotonic() - began
            best = Probe(weight, bias, accuracy, loss, strength, seconds)
        elif loss > best.val_loss * 1.02:
            break  # the loss is convex enough in the strength: past the minimum it only grows
        if deadline is not None and time.monotonic() > deadline:
            break
    assert best is not None
    return best


def _solve(
    standard: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray | None,
    strength: float,
    iterations: int,
) -> Any:
    """Return scikit-learn's solver after at most so many iterations."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    solver = LogisticRegression(C=strength * 1000 / len(targets), max_iter=iterations, tol=1e-3)
    with warnings.catch_warnings():
        # an unconverged probe is still a valid linear layer; validation judges it
        warnings.simplefilter("ignore", ConvergenceWarning)
        return solver.fit(standard, targets, sample_weight=sample_weights)


def _fold(
    solver: Any, mean: np.ndarray, scale: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a solver on standardised features into weight (K, D) and bias (K,) on raw ones."""
    coefficients = np.asarray(solver.coef_)
    intercept = np.asarray(solver.intercept_)
    seen = np.asarray(solver.classes_)
    if len(seen) == 2 and len(coefficients) == 1:
        # scikit-learn keeps one row for two classes: sigmoid(z) = softmax(-z/2, z/2)
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    weight = np.zeros((num_classes, len(mean)), dtype=np.float32)
    bias = np.full(num_classes, -30.0, dtype=np.float32)
    weight[seen] = coefficients / scale
    bias[seen] = intercept - (coefficients / scale) @ mean
    return weight, bias


def _judge(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return (log loss, accuracy)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(targets)), targets].mean()
    return float(loss), float((logits.argmax(axis=1) == targets).mean())
