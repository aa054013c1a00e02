"""The linear probe: a linear model on features that a frozen encoder computed once.

This is the ``head`` strategy, the first phase of ``lp-ft``, and the "before" of every before/after
figure; on the terms of a text or the columns of a table it is the classical baseline. It is convex,
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
from headstart.tasks import array_of, find_task
from headstart.training.options.common_options import Imbalance
from headstart.training.probing.linear import (
    Solution,
    few_threads,
    prepare_ridge,
    solve_classes,
    solve_labels,
    solve_sparse_ridge,
)
from headstart.types import Rows, TaskName

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
_Solve = Callable[[float, int], Solution]


@dataclass(frozen=True)
class _Problem:
    """What a solver is given.

    Attributes:
        features: Standardised, shape (N, D), or sparse as they are.
        targets: N rows.
        weights: One a class, or None.
        factor: Of the inverse L2 strength.
        default: Bias of outputs for which nothing is solved, shape (K,); may be written into.
    """

    features: np.ndarray | Sparse
    targets: np.ndarray
    weights: np.ndarray | None
    factor: float
    default: np.ndarray

    @property
    def tolerance(self) -> float:
        """Largest gradient of the mean loss that ends a solver.

        The mean gradient of a sparse feature is small because it is rare, not because it is fitted.
        """
        return 1e-6 if _is_sparse(self.features) else 1e-3


@dataclass(frozen=True)
class ProbeMethod:
    """How a linear model of one kind is solved for; a row of ``PROBES``.

    Attributes:
        prepare: A problem to the function from strength and iterations to its solution.
        judge: Logits and targets to (loss, score), the score being the ``validation_metric`` of the
            tasks that name this method.
        strengths: Inverse L2 strengths to try on dense features, ascending.
        multiplies_features: Whether it multiplies the features out with themselves.
        has_ordinary: Whether it is ordinary least squares without a penalty.
    """

    prepare: Callable[[_Problem], _Solve]
    judge: Callable[[np.ndarray, np.ndarray], tuple[float, float]]
    strengths: Sequence[float]
    multiplies_features: bool = False
    has_ordinary: bool = False


@dataclass(frozen=True)
class Probe:
    """A linear layer and what it reached.

    Attributes:
        weight: float32, shape (K, D).
        bias: float32, shape (K,).
        val_logits: float32, shape (M, K), of the validation features.
        val_score: ``metric`` on the validation features; higher is better.
        val_loss: Log loss, binary log loss or mean squared error on the validation features.
        strength: The inverse L2 strength that was chosen.
        seconds: Time of the fit.
        metric: What ``val_score`` is, the task's ``validation_metric``.
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
    targets: Rows,
    val_features: np.ndarray | Sparse,
    val_targets: Rows,
    *,
    task: TaskName,
    num_outputs: int,
    imbalance: Imbalance = "none",
    deadline: float | None = None,
    strengths: Sequence[float] | None = None,
) -> Probe:
    """Fit the probe; the L2 strength with the lowest validation loss is kept.

    Which solver is the task's to say (``PROBES``).

    Args:
        features: float32, shape (N, D), dense or a SciPy CSR matrix.
        targets: int64 (N,); 0 or 1, (N, K); or standardised numbers, (N,).
        val_features: float32, shape (M, D), of the same kind.
        val_targets: As ``targets``, of M samples.
        task: Name of the task.
        num_outputs: K; classes that train lacks get a bias that never wins.
        imbalance: Anything but ``none`` weighs classes as the task does.
        deadline: ``time.monotonic()`` value after which no further strength is tried; the solver's
            iterations are counted out so that one fit ends about then.
        strengths: Inverse L2 strengths to try, ascending; ``ORDINARY`` is no penalty at all, which
            of numbers gives ordinary least squares. None takes those of the solver.

    Raises:
        StartError: If a feature is not finite.
        OptionError: If the task is unknown, or is to be weighed by class and has none.
    """
    began, asked = time.monotonic(), find_task(task)
    if not all(np.isfinite(_numbers(f)).all() for f in (features, val_features)):
        raise StartError(
            "The encoder gives features that are not finite numbers; expected finite ones for "
            "every sample. Choose another start, or another input size."
        )
    if imbalance != "none" and not asked.has_classes:
        raise OptionError(
            f"imbalance is '{imbalance}', but the task is {task}, which has no classes to "
            f"weigh. Leave out --imbalance."
        )
    mean, scale = _moments(features)
    default = np.full(num_outputs, _NEVER, dtype=np.float32)
    wanted, val_wanted, method = array_of(targets), array_of(val_targets), PROBES[asked.probe]
    weights = None if imbalance == "none" else asked.class_weights(wanted, num_outputs)
    solve = _solver(method, features, wanted, mean, scale, weights, default)
    tried = strengths or (_SPARSE_STRENGTHS if _is_sparse(features) else method.strengths)
    best: Probe | None = None
    each = 0.0  # seconds an iteration
    width = features.shape[1] if method.multiplies_features else num_outputs
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
            loss, score = method.judge(logits, val_wanted)
            if best is None or loss < best.val_loss:
                seconds = time.monotonic() - began
                metric = asked.validation_metric
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


def _solver(
    method: ProbeMethod,
    features: np.ndarray | Sparse,
    targets: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    weights: np.ndarray | None,
    default: np.ndarray,
) -> _Solve:
    """Return the function from (strength, iterations) to a solution on standardised features.

    Writes into ``default`` the bias of outputs that are the same for every training sample.
    """
    is_sparse = _is_sparse(features)
    standard = features if is_sparse else (features - mean) / scale
    factor = 1.0 if is_sparse else 1000 / len(targets)
    return method.prepare(_Problem(standard, targets, weights, factor, default))


def _fold(
    found: Solution, mean: np.ndarray, scale: np.ndarray, default: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a solution on standardised features into weight (K, D) and bias (K,) on raw ones."""
    weight = np.zeros((len(default), len(mean)), dtype=np.float32)
    bias = default.copy()
    weight[found.rows] = found.coefficients / scale
    bias[found.rows] = found.intercept - (found.coefficients / scale) @ mean
    return weight, bias


def _prepare_classes(problem: _Problem) -> _Solve:
    samples = None if problem.weights is None else problem.weights[problem.targets]
    return lambda strength, most: solve_classes(
        problem.features,
        problem.targets,
        samples,
        strength * problem.factor,
        most,
        problem.tolerance,
    )


def _judge_classes(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(targets)), targets].mean()
    return float(loss), float((logits.argmax(axis=1) == targets).mean())


def _prepare_labels(problem: _Problem) -> _Solve:
    problem.default[problem.targets.all(axis=0)] = -_NEVER
    return lambda strength, most: solve_labels(
        problem.features,
        problem.targets,
        problem.weights,
        strength * problem.factor,
        most,
        problem.tolerance,
    )


def _judge_labels(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    wanted = targets != 0
    loss = np.logaddexp(0.0, np.where(wanted, -logits, logits)).mean()
    predicted = logits >= 0
    decided = int(predicted.sum() + wanted.sum())
    return float(loss), float(2 * (predicted & wanted).sum() / max(1, decided))


def _prepare_values(problem: _Problem) -> _Solve:
    features, targets = problem.features, problem.targets
    if _is_sparse(features):
        return lambda strength, most: solve_sparse_ridge(features, targets, strength, most)
    ridge = prepare_ridge(features, targets)
    return lambda strength, _: ridge(1.0 / (strength * problem.factor))


def _judge_values(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    values = targets.astype(np.float64)
    loss = float(((logits[:, 0] - values) ** 2).mean())
    spread = float(values.var())
    return loss, 1.0 - loss / (spread if spread > 1e-12 else 1.0)


PROBES: dict[str, ProbeMethod] = {
    # multinomial
    "logistic": ProbeMethod(_prepare_classes, _judge_classes, _STRENGTHS),
    # one logistic regression a label
    "logistic-labels": ProbeMethod(_prepare_labels, _judge_labels, _STRENGTHS),
    "ridge": ProbeMethod(
        _prepare_values,
        _judge_values,
        _RIDGE_STRENGTHS,
        multiplies_features=True,
        has_ordinary=True,
    ),
}
