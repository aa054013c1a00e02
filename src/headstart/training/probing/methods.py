"""How a linear model of each kind is solved for and judged: a row of ``PROBES`` a kind.

A task names its own (``Task.probe``); what is chosen, and by what, is in ``probe.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.training.probing.linear import (
    Solution,
    prepare_ridge,
    solve_classes,
    solve_labels,
    solve_sparse_ridge,
)

# a SciPy CSR matrix or array, float32, shape (N, D); SciPy is loaded only where one is made
Sparse = Any

NEVER = -30.0  # a bias that no feature makes up for
Solve = Callable[[float, int], Solution]
# inverse L2 strength C: after scaling by N / 1000 on standardised features, as it is on sparse ones
_STRENGTHS = (0.003, 0.03, 0.3, 3.0)
_RIDGE_STRENGTHS = (0.0003, 0.003, 0.03, 0.3, 3.0, 30.0)
_Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Problem:
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
        return 1e-6 if is_sparse(self.features) else 1e-3


@dataclass(frozen=True)
class ProbeMethod:
    """How a linear model of one kind is solved for; a row of ``PROBES``.

    Attributes:
        prepare: A problem to the function from strength and iterations to its solution.
        judge: Logits and targets to (loss, score), the score being the ``validation_metric`` of the
            tasks that name this method.
        strengths: Inverse L2 strengths to try on dense features, ascending.
        answerable: Logits, targets and the outputs that were learned to the logits and targets
            that these can answer for: of a class that no sample showed nothing is asked.
        multiplies_features: Whether it multiplies the features out with themselves.
        has_ordinary: Whether it is ordinary least squares without a penalty.
    """

    prepare: Callable[[Problem], Solve]
    judge: Callable[[np.ndarray, np.ndarray], tuple[float, float]]
    strengths: Sequence[float]
    answerable: Callable[[np.ndarray, np.ndarray, np.ndarray], _Pair] = lambda z, y, _: (z, y)
    multiplies_features: bool = False
    has_ordinary: bool = False


def is_sparse(features: np.ndarray | Sparse) -> bool:
    """Return whether features are a CSR matrix."""
    return not isinstance(features, np.ndarray)


def _prepare_classes(problem: Problem) -> Solve:
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


def _answerable_classes(logits: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> _Pair:
    is_known = np.isin(targets, rows)
    return logits[is_known], targets[is_known]


def _prepare_labels(problem: Problem) -> Solve:
    problem.default[problem.targets.all(axis=0)] = -NEVER
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


def _answerable_labels(logits: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> _Pair:
    return logits[:, rows], targets[:, rows]


def _prepare_values(problem: Problem) -> Solve:
    features, targets = problem.features, problem.targets
    if is_sparse(features):
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
    "logistic": ProbeMethod(
        _prepare_classes, _judge_classes, _STRENGTHS, answerable=_answerable_classes
    ),
    # one logistic regression a label
    "logistic-labels": ProbeMethod(
        _prepare_labels, _judge_labels, _STRENGTHS, answerable=_answerable_labels
    ),
    "ridge": ProbeMethod(
        _prepare_values,
        _judge_values,
        _RIDGE_STRENGTHS,
        multiplies_features=True,
        has_ordinary=True,
    ),
}
