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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.errors import OptionError, StartError
from headstart.tasks import array_of, find_task
from headstart.training.options.common_options import Imbalance
from headstart.training.probing.folds import (
    FEW_SAMPLES,
    Penalty,
    as_unseen,
    cross_validate,
    deal_folds,
    join_rows,
    most_places,
)
from headstart.training.probing.linear import Solution, few_threads
from headstart.training.probing.methods import (
    NEVER,
    PROBES,
    ProbeMethod,
    Problem,
    Solve,
    Sparse,
    is_sparse,
)
from headstart.types import Rows, TaskName

ORDINARY = (math.inf,)  # the strengths that leave the penalty out: ordinary least squares
_SPARSE_STRENGTHS = (0.5, 2.0, 8.0, 32.0, 128.0)
_MAX_ITERATIONS = 200
_TRIAL_ITERATIONS = 5


@dataclass(frozen=True)
class Probe:
    """A linear layer and what it reached.

    Attributes:
        weight: float32, shape (K, D).
        bias: float32, shape (K,).
        val_logits: float32, shape (M, K), of the validation features; of words M ragged rows.
        val_score: ``metric`` on the validation features; higher is better.
        val_loss: Log loss, binary log loss or mean squared error on the validation features.
        strength: The inverse L2 strength that was chosen.
        seconds: Time of the fit.
        metric: What ``val_score`` is, the task's ``validation_metric``.
        chosen_by: What the strength was chosen by, in words.
        settled: Of trees in the place of a probe: what val has chosen, as ``Grown`` tells it.
        is_cut: Of these: whether the time for them was all but spent, or not enough for all rows.
    """

    weight: np.ndarray
    bias: np.ndarray
    val_logits: Rows
    val_score: float
    val_loss: float
    strength: float
    seconds: float
    metric: str = "accuracy"
    chosen_by: str = "val"
    settled: Sequence[Any] | None = None
    is_cut: bool = False

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
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> Probe:
    """Fit the probe to train; the L2 strength with the lowest loss on other samples is kept.

    These are val's, or, where val has fewer than ``FEW_SAMPLES``, those of train and val together,
    by cross-validation (``folds.py``). Which solver is the task's to say (``PROBES``).

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
        groups: Which samples of train and of val belong together, shapes (N,) and (M,), numbered
            alike; None where each stands alone. No sample is judged by what its group has shown.

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
    wanted, val_wanted, method = array_of(targets), array_of(val_targets), PROBES[asked.probe]
    weigh = _no_weights if imbalance == "none" else asked.class_weights
    fitted = _Fitted(method, weigh, num_outputs)
    tried = tuple(strengths or (_SPARSE_STRENGTHS if is_sparse(features) else method.strengths))
    width = features.shape[1] if method.multiplies_features else num_outputs
    with few_threads(features, width):
        chosen = None
        if len(tried) > 1 and len(val_wanted) < FEW_SAMPLES:
            both = join_rows(features, val_features), np.concatenate([wanted, val_wanted])
            chosen = fitted.choose(*both, groups, tried, deadline)
        best = _best(
            fitted.learn(features, wanted),
            (val_features, val_wanted),
            method,
            (chosen.strength,) if chosen else tried,
            deadline,
        )
    found = {"metric": asked.validation_metric, "chosen_by": chosen.by if chosen else "val"}
    return replace(best, **found, seconds=time.monotonic() - began)  # type: ignore[arg-type]


def _best(
    solve: Callable[[float, int], tuple[np.ndarray, np.ndarray, Solution]],
    val: tuple[np.ndarray | Sparse, np.ndarray],
    method: ProbeMethod,
    strengths: Sequence[float],
    deadline: float | None,
) -> Probe:
    """Return the probe of the strength with the smallest loss on val.

    Args:
        solve: From strength and iterations to weight, bias and the solution.
        val: Features and targets.
        method: Judges.
        strengths: Ascending.
        deadline: As ``fit_probe`` takes it.
    """
    best: Probe | None = None
    each = 0.0  # seconds an iteration
    if deadline is not None:
        trial_began = time.monotonic()
        taken = solve(strengths[0], _TRIAL_ITERATIONS)[2].num_iterations
        each = (time.monotonic() - trial_began) / max(1, taken)
    for strength in strengths:
        iterations = _MAX_ITERATIONS
        if deadline is not None:
            affordable = int((deadline - time.monotonic()) / max(1e-9, each))
            iterations = max(_TRIAL_ITERATIONS, min(_MAX_ITERATIONS, affordable))
        weight, bias, _ = solve(strength, iterations)
        logits = val[0] @ weight.T + bias
        loss, score = method.judge(logits, val[1])
        if best is None or loss < best.val_loss:
            best = Probe(weight, bias, logits, score, loss, strength, 0.0)
        elif loss > best.val_loss * 1.02:
            break  # the loss is convex enough in the strength: past the minimum it only grows
        if deadline is not None and time.monotonic() > deadline:
            break
    assert best is not None
    return best


@dataclass(frozen=True)
class _Fitted:
    """How a probe is learned from any samples.

    Attributes:
        method: Solves and judges.
        weigh: Targets and K to weights of classes, or None.
        num_outputs: K.
    """

    method: ProbeMethod
    weigh: Callable[[np.ndarray, int], np.ndarray | None]
    num_outputs: int

    def learn(
        self, features: np.ndarray | Sparse, targets: np.ndarray
    ) -> Callable[[float, int], tuple[np.ndarray, np.ndarray, Solution]]:
        """Return the function from strength and iterations to weight, bias and the solution."""
        mean, scale = _moments(features)
        default = np.full(self.num_outputs, NEVER, dtype=np.float32)
        weights = self.weigh(targets, self.num_outputs)
        solve = _solver(self.method, features, targets, mean, scale, weights, default)

        def solved(strength: float, iterations: int) -> tuple[np.ndarray, np.ndarray, Solution]:
            found = solve(strength, iterations)
            return *_fold(found, mean, scale, default), found

        return solved

    def choose(
        self,
        features: np.ndarray | Sparse,
        targets: np.ndarray,
        groups: tuple[np.ndarray, np.ndarray] | None,
        strengths: Sequence[float],
        deadline: float | None,
    ) -> Penalty | None:
        """Return the strength by cross-validation; None where that is not possible in time."""
        places = most_places(len(targets))
        rows, wanted = (
            (features, targets) if places is None else (features[places], targets[places])
        )
        alike = None if groups is None else np.concatenate(groups)
        folds = deal_folds(wanted, alike if alike is None or places is None else alike[places])

        def learn(inner: np.ndarray) -> Callable[[float, int, np.ndarray], tuple[float, int, int]]:
            learned = rows[inner]
            solve = self.learn(learned, wanted[inner])

            def ask(strength: float, most: int, outer: np.ndarray) -> tuple[float, int, int]:
                weight, bias, found = solve(strength, most)
                logits = as_unseen(rows[outer], learned) @ weight.T + bias
                asked = self.method.answerable(logits, wanted[outer], found.rows)
                loss = self.method.judge(*asked)[0] if asked[1].size else 0.0
                return loss * len(asked[1]), len(asked[1]), found.num_iterations

            return ask

        counts = (_TRIAL_ITERATIONS, _MAX_ITERATIONS)
        return cross_validate(learn, folds, strengths, iterations=counts, deadline=deadline)


def _no_weights(targets: np.ndarray, num_outputs: int) -> None:
    """Weigh all classes alike."""


def _numbers(features: np.ndarray | Sparse) -> np.ndarray:
    """Return the numbers that a matrix stores."""
    return features if isinstance(features, np.ndarray) else np.asarray(features.data)


def _moments(features: np.ndarray | Sparse) -> tuple[np.ndarray, np.ndarray]:
    """Return what is subtracted from each feature, and what divides it: shape (D,) each."""
    if is_sparse(features):
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
) -> Solve:
    """Return the function from (strength, iterations) to a solution on standardised features.

    Writes into ``default`` the bias of outputs that are the same for every training sample.
    """
    is_kept = is_sparse(features)
    standard = features if is_kept else (features - mean) / scale
    factor = 1.0 if is_kept else 1000 / len(targets)
    return method.prepare(Problem(standard, targets, weights, factor, default))


def _fold(
    found: Solution, mean: np.ndarray, scale: np.ndarray, default: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a solution on standardised features into weight (K, D) and bias (K,) on raw ones."""
    weight = np.zeros((len(default), len(mean)), dtype=np.float32)
    bias = default.copy()
    weight[found.rows] = found.coefficients / scale
    bias[found.rows] = found.intercept - (found.coefficients / scale) @ mean
    return weight, bias
