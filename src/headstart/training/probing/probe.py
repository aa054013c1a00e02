"""The linear probe: a linear model on features that a frozen encoder computed once.

This is the ``head`` strategy, the first phase of ``lp-ft``, and the "before" of every before/after
figure; on the terms of a text or the columns of a table it is the classical control. It is convex,
so a solver made for it (``linear.py``) does in seconds what the loop would take epochs for. Dense
features are standardised; the scaling is folded into the weights, so that the result is a plain
linear layer. Sparse features (TF-IDF) stay as they are: centring would make them dense.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import OptionError, StartError
from headstart.training.batches.order import class_weights
from headstart.training.options.recipe import Imbalance
from headstart.training.probing.linear import (
    Solution,
    few_threads,
    prepare_ridge,
    solve_classes,
    solve_labels,
    solve_sparse_ridge,
)
from headstart.types import Task

# a SciPy CSR matrix or array, float32, shape (N, D); SciPy is loaded only where one is made
Sparse = Any

ORDINARY = (math.inf,)  # the strengths that leave the penalty out: ordinary least squares
# inverse L2 strength C: after scaling by N / 1000 on standardised features, as it is on sparse ones
_STRENGTHS = (0.003, 0.03, 0.3, 3.0)
_RIDGE_STRENGTHS = (0.0003, 0.003, 0.03, 0.3, 3.0, 30.0)
_SPARSE_STRENGTHS = (0.5, 2.0, 8.0, 32.0, 128.0)
_MAX_ITERATIONS = 200
_TRIAL_ITERATIONS = 5
_NEVER = -30.0  # a bias that no feature makes up for
_METRICS: dict[Task, str] = {
    "classification": "accuracy",
    "multi-label": "f1_micro",
    "regression": "r2",
}
_Solve = Callable[[float, int], Solution]


@dataclass(frozen=True)
class Probe:
    """A linear layer and what it reached.

    Attributes:
        weight: float32, shape (K, D); one row under regression.
        bias: float32, shape (K,).
        val_logits: float32, shape (M, K), of the validation features.
        val_score: ``metric`` on the validation features; higher is better.
        val_loss: Log loss, binary log loss or mean squared error on the validation features.
        strength: The inverse L2 strength that was chosen.
        seconds: Time of the fit.
        metric: What ``val_score`` is: ``accuracy``, ``f1_micro`` or ``r2``.
    """

    weight: np.ndarray
    bias: np.ndarray
    val_logits: np.ndarray
    val_score: float
    val_loss: float
    strength: float
    seconds: float
    metric: str = "accuracy"

    def logits(self, features: np.ndarray | Sparse) -> np.ndarray:
        """Return logits, shape (N, K), of features, shape (N, D), dense or CSR."""
        logits: np.ndarray = features @ self.weight.T + self.bias
        return logits


def fit_probe(
    features: np.ndarray | Sparse,
    targets: np.ndarray,
    val_features: np.ndarray | Sparse,
    val_targets: np.ndarray,
    *,
    task: Task = "classification",
    num_outputs: int,
    imbalance: Imbalance = "none",
    deadline: float | None = None,
    strengths: Sequence[float] | None = None,
) -> Probe:
    """Fit the probe; the L2 strength with the lowest validation loss is kept.

    Classification is multinomial logistic regression, multi-label one logistic regression a label,
    regression ridge regression.

    Args:
        features: float32, shape (N, D), dense or a SciPy CSR matrix.
        targets: int64 (N,); 0 or 1, (N, K); or standardised numbers, (N,).
        val_features: float32, shape (M, D), of the same kind.
        val_targets: As ``targets``, of M samples.
        task: Which of the three.
        num_outputs: K; classes that train lacks get a bias that never wins. 1 under regression.
        imbalance: Anything but ``none`` weighs classes by inverse frequency, and under multi-label
            a label's positives by their rarity.
        deadline: ``time.monotonic()`` value after which no further strength is tried; the solver's
            iterations are counted out so that one fit ends about then.
        strengths: Inverse L2 strengths to try, ascending; ``ORDINARY`` is no penalty at all, which
            under regression gives ordinary least squares. None takes those of the task.

    Raises:
        StartError: If a feature is not finite.
        OptionError: If a regression is to be weighed by class.
    """
    began = time.monotonic()
    if not all(np.isfinite(_numbers(f)).all() for f in (features, val_features)):
        raise StartError(
            "The encoder gives features that are not finite numbers; expected finite ones for "
            "every sample. Choose another start, or another input size."
        )
    if task == "regression" and imbalance != "none":
        raise OptionError(
            f"imbalance is '{imbalance}', but the task is regression, which has no classes to "
            f"weigh. Leave out --imbalance."
        )
    mean, scale = _moments(features)
    default = np.full(num_outputs, _NEVER, dtype=np.float32)
    solve = _solver(features, targets, mean, scale, task, num_outputs, imbalance, default)
    tried = strengths or _default_strengths(features, task)
    best: Probe | None = None
    each = 0.0  # seconds an iteration
    # ridge multiplies the features out with themselves
    width = features.shape[1] if task == "regression" else num_outputs
    with few_threads(features, width):
        if deadline is not None:
            trial_began = time.monotonic()
            taken = solve(tried[0], _TRIAL_ITERATIONS).num_iterations
            each = (time.monotonic() - trial_began) / max(1, taken)
        for strength in tried:
            iterations = _MAX_ITERATIONS
            if deadline is not None:
                affordable = int((deadline - time.monotonic()) / max(1e-9, each))
                iterations = max(_TRIAL_ITERATIONS, min(_MAX_ITERATIONS, affordable))
            weight, bias = _fold(solve(strength, iterations), mean, scale, default)
            logits = val_features @ weight.T + bias
            loss, score = _judge(task, logits, val_targets)
            if best is None or loss < best.val_loss:
                seconds = time.monotonic() - began
                metric = _METRICS[task]
                best = Probe(weight, bias, logits, score, loss, strength, seconds, metric)
            elif loss > best.val_loss * 1.02:
                break  # the loss is convex enough in the strength: past the minimum it only grows
            if deadline is not None and time.monotonic() > deadline:
                break
    assert best is not None
    return best


def _is_sparse(features: np.ndarray | Sparse) -> bool:
    return not isinstance(features, np.ndarray)


def _numbers(features: np.ndarray | Sparse) -> np.ndarray:
    """Return the numbers that a matrix stores."""
    return features if isinstance(features, np.ndarray) else np.asarray(features.data)


def _moments(features: np.ndarray | Sparse) -> tuple[np.ndarray, np.ndarray]:
    """Return what is subtracted from each feature, and what divides it: shape (D,) each."""
    if _is_sparse(features):
        num_features = features.shape[1]
        return np.zeros(num_features, np.float32), np.ones(num_features, np.float32)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # features that hardly vary would be blown up to noise: they keep their own scale
    scale = np.where(scale > 1e-6 * max(1e-12, float(scale.max())), scale, 1.0)
    return mean, scale


def _default_strengths(features: np.ndarray | Sparse, task: Task) -> Sequence[float]:
    if _is_sparse(features):
        return _SPARSE_STRENGTHS
    return _RIDGE_STRENGTHS if task == "regression" else _STRENGTHS


def _solver(
    features: np.ndarray | Sparse,
    targets: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    task: Task,
    num_outputs: int,
    imbalance: Imbalance,
    default: np.ndarray,
) -> _Solve:
    """Return the function from (strength, iterations) to a solution on standardised features.

    Writes into ``default`` the bias of outputs that are the same for every training sample.
    """
    is_sparse, num = _is_sparse(features), len(targets)
    standard = features if is_sparse else (features - mean) / scale
    factor = 1.0 if is_sparse else 1000 / num
    if task == "regression":
        if is_sparse:
            return lambda strength, most: solve_sparse_ridge(standard, targets, strength, most)
        ridge = prepare_ridge(standard, targets)
        return lambda strength, _: ridge(1.0 / (strength * factor))
    # the mean gradient of a sparse feature is small because it is rare, not because it is fitted
    tolerance = 1e-6 if is_sparse else 1e-3
    if task == "multi-label":
        default[targets.all(axis=0)] = -_NEVER
        weights = None if imbalance == "none" else class_weights(targets, num_outputs)
        return lambda strength, most: solve_labels(
            standard, targets, weights, strength * factor, most, tolerance
        )
    samples = None if imbalance == "none" else class_weights(targets, num_outputs)[targets]
    return lambda strength, most: solve_classes(
        standard, targets, samples, strength * factor, most, tolerance
    )


def _fold(
    found: Solution, mean: np.ndarray, scale: np.ndarray, default: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a solution on standardised features into weight (K, D) and bias (K,) on raw ones."""
    weight = np.zeros((len(default), len(mean)), dtype=np.float32)
    bias = default.copy()
    weight[found.rows] = found.coefficients / scale
    bias[found.rows] = found.intercept - (found.coefficients / scale) @ mean
    return weight, bias


def _judge(task: Task, logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Return (loss, score), the score being what ``Probe.metric`` says."""
    if task == "classification":
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -log_probabilities[np.arange(len(targets)), targets].mean()
        return float(loss), float((logits.argmax(axis=1) == targets).mean())
    if task == "multi-label":
        wanted = targets != 0
        loss = np.logaddexp(0.0, np.where(wanted, -logits, logits)).mean()
        predicted = logits >= 0
        decided = int(predicted.sum() + wanted.sum())
        return float(loss), float(2 * (predicted & wanted).sum() / max(1, decided))
    values = targets.astype(np.float64)
    loss = float(((logits[:, 0] - values) ** 2).mean())
    spread = float(values.var())
    return loss, 1.0 - loss / (spread if spread > 1e-12 else 1.0)
