"""Solvers of linear models on features at hand, dense or sparse: what the probe is made of.

Each returns coefficients on the features as given. Logistic regression is written out on SciPy's
L-BFGS: of many labels at once one matrix product serves all of them, where a fit a label would read
the features again and again; of classes it finds what scikit-learn finds, in the same time, and the
first model of a run need not wait for that library, which takes longer to read than to solve (on a
busy machine tens of seconds). So is ridge, because the products of the features, its dear part,
serve every strength.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

_MAX_BLOCK_NUMBERS = 2_000_000  # coefficients that L-BFGS learns at once: it keeps 25 copies
_ROWS_A_CHUNK = 4096
_MANY_OPERATIONS = 1e10  # of one step of a solver: from here on several threads are worth it
_Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]
_NO_PENALTY = 1e-13  # of the summed squares of the features: less is lost in rounding
# What a feature is off by, at most, of its own size: rounded to float32 when it was made, when it
# was centred and when it was scaled.
_ROUNDING = 2.0 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Solution:
    """A linear model.

    Attributes:
        rows: int64, shape (R,), the outputs that were learned; others are the same for all.
        coefficients: Shape (R, D).
        intercept: Shape (R,).
        num_iterations: Steps of the solver; 1 for a closed form.
    """

    rows: np.ndarray
    coefficients: np.ndarray
    intercept: np.ndarray
    num_iterations: int


@contextmanager
def few_threads(features: Any, width: int) -> Iterator[None]:
    """Let BLAS take one thread inside the block, unless the matrices are large.

    A solver asks for one small matrix product after another, and scikit-learn's loss and PyTorch
    have threads of their own: those of BLAS and theirs wait for one another, awake, 50 ms a step
    where the step takes half of one (docs/experiments.md, "Threads that wait awake").

    Args:
        features: Shape (N, D), dense or CSR.
        width: Columns of what they are multiplied with.
    """
    numbers = features.size if isinstance(features, np.ndarray) else features.nnz
    if 4.0 * numbers * width > _MANY_OPERATIONS:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def solve_classes(
    features: Any,
    targets: np.ndarray,
    sample_weights: np.ndarray | None,
    strength: float,
    iterations: int,
    tolerance: float,
) -> Solution:
    """Fit multinomial logistic regression, a row for each class that occurs.

    Args:
        features: float32, shape (N, D), dense or CSR.
        targets: int64, shape (N,).
        sample_weights: Shape (N,), or None.
        strength: Inverse L2 strength C of the summed loss.
        iterations: The most steps of L-BFGS.
        tolerance: Largest gradient, of the mean loss, that ends them.
    """
    seen, codes = np.unique(targets, return_inverse=True)
    if len(seen) == 1:  # one class: it always wins, and there is nothing to separate
        nothing = np.zeros((1, features.shape[1]), dtype=np.float32)
        return Solution(seen, nothing, np.zeros(1, dtype=np.float32), 1)
    weights = np.ones(len(codes)) if sample_weights is None else np.asarray(sample_weights, float)
    penalty = 1.0 / (strength * weights.sum())
    if len(seen) == 2:
        loss = _loss_of_labels(codes[:, None] == 1, weights[:, None] / weights.sum())
        layer, taken = _descend(features, loss, penalty, 1, iterations, tolerance)
        layer = np.concatenate([-layer / 2, layer / 2], axis=1)  # sigmoid(z) = softmax(-z/2, z/2)
    else:
        shares = weights / weights.sum()
        layer, taken = _descend(
            features, _loss_of_classes(codes, shares), penalty, len(seen), iterations, tolerance
        )
    return Solution(seen, layer[:-1].T, layer[-1], taken)


def solve_labels(
    features: Any,
    targets: np.ndarray,
    weights: np.ndarray | None,
    strength: float,
    iterations: int,
    tolerance: float,
) -> Solution:
    """Fit one logistic regression a label, a row for each that some items have and some lack.

    The labels do not touch one another in the loss, so solving them together is exact; blocks of
    them keep L-BFGS's memory in bounds.

    Args:
        features: float32, shape (N, D), dense or CSR.
        targets: 0 or 1, shape (N, K).
        weights: Shape (K,), how much more positives count, or None.
        strength: Inverse L2 strength C of the summed loss.
        iterations: The most steps of L-BFGS, a block.
        tolerance: Largest gradient, of the mean loss, that ends them.
    """
    wanted = np.asarray(targets) != 0
    rows = np.flatnonzero(wanted.any(axis=0) & ~wanted.all(axis=0))
    num_features, num = features.shape[1], len(wanted)
    block = max(1, _MAX_BLOCK_NUMBERS // (num_features + 1))
    coefficients = np.zeros((len(rows), num_features), dtype=np.float32)
    intercept = np.zeros(len(rows), dtype=np.float32)
    most = 1
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        more = np.ones(len(part)) if weights is None else weights[part].astype(np.float64)
        loss = _loss_of_labels(wanted[:, part], np.where(wanted[:, part], more, 1.0) / num)
        found, taken = _descend(
            features, loss, 1.0 / (strength * num), len(part), iterations, tolerance, ftol=1e-9
        )
        coefficients[start : start + block] = found[:-1].T
        intercept[start : start + block] = found[-1]
        most = max(most, taken)
    return Solution(rows, coefficients, intercept, most)


def _loss_of_labels(wanted: np.ndarray, shares: np.ndarray) -> _Loss:
    """Return the binary log loss: logits (N, R) to its sum and its slopes (N, R).

    Args:
        wanted: Whether an item has a label, shape (N, R).
        shares: What each counts, shape (N, R) or (N, 1).
    """
    signs = np.where(wanted, -1.0, 1.0)

    def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
        against = signs * logits  # above 0 where the decision is wrong
        # sigmoid(a) = exp(-log(1 + exp(-a))), which does not overflow
        slopes = signs * shares * np.exp(-np.logaddexp(0.0, -against))
        return float((shares * np.logaddexp(0.0, against)).sum()), slopes

    return loss


def _loss_of_classes(codes: np.ndarray, shares: np.ndarray) -> _Loss:
    """Return the log loss of one class an item: logits (N, R) to its sum and its slopes (N, R).

    Args:
        codes: The right output of each item, shape (N,).
        shares: What each item counts, shape (N,).
    """
    places = np.arange(len(codes))

    def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
        shifted = logits - logits.max(axis=1, keepdims=True)
        slopes = np.exp(shifted)
        totals = slopes.sum(axis=1)
        each = np.log(totals) - shifted[places, codes]
        slopes /= totals[:, None]
        slopes[places, codes] -= 1.0
        return float(shares @ each), slopes * shares[:, None]

    return loss


def _descend(
    features: Any,
    loss: _Loss,
    penalty: float,
    num_outputs: int,
    iterations: int,
    tolerance: float,
    *,
    ftol: float = 64 * float(np.finfo(np.float64).eps),
) -> tuple[np.ndarray, int]:
    """Return coefficients with the intercept below, shape (D + 1, R), and the steps of L-BFGS."""
    from scipy.optimize import minimize

    num_features = features.shape[1]

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        layer = flat.reshape(num_features + 1, num_outputs)
        weight = layer[:-1]
        logits = features @ weight.astype(features.dtype) + layer[-1]
        total, slopes = loss(logits)
        gradient = np.empty_like(layer)
        gradient[:-1] = features.T @ slopes.astype(features.dtype)
        gradient[:-1] += penalty * weight
        gradient[-1] = slopes.sum(axis=0)
        return total + 0.5 * penalty * float((weight**2).sum()), gradient.ravel()

    found = minimize(
        value,
        np.zeros((num_features + 1) * num_outputs),
        method="L-BFGS-B",
        jac=True,
        options={"maxiter": iterations, "gtol": tolerance, "ftol": ftol, "maxls": 50},
    )
    return found.x.reshape(num_features + 1, num_outputs), max(1, int(found.nit))


def prepare_ridge(features: np.ndarray, targets: np.ndarray) -> Callable[[float], Solution]:
    """Multiply dense features out once; return the function from penalty to ridge solution.

    The penalty is that on the summed squares, ||y - Xw||² + penalty ||w||², the intercept free.
    A penalty of 0, or one that rounding would swallow, is ordinary least squares: by LAPACK on the
    features themselves rather than on their products, so that an exact line is found exactly;
    columns that depend on one another share their weight (least norm), as the one-hot columns of
    a category do beside an intercept.

    Args:
        features: float32, shape (N, D), centred to float32's precision.
        targets: Shape (N,).

    Source:
        A. E. Hoerl and R. W. Kennard, 1970, Technometrics 12, 55-67; for D > N its dual form,
        w = Xᵀ (X Xᵀ + penalty I)⁻¹ y.
    """
    middle = float(np.asarray(targets, dtype=np.float64).mean())
    wanted = np.asarray(targets, dtype=np.float64) - middle
    is_dual = features.shape[1] > len(features)
    parts: list[tuple[np.ndarray, np.ndarray]] = []  # filled where a penalty asks

    def ridge(penalty: float) -> Solution:
        if penalty > 0 and not parts:
            parts.append(_multiply(features, wanted, is_dual))
        if not parts or penalty <= _NO_PENALTY * np.trace(parts[0][0]):
            found, offset = _solve_ordinary(features, wanted)
        else:
            inner = _solve_positive(*parts[0], penalty)
            found, offset = (features.T.astype(np.float64) @ inner if is_dual else inner), 0.0
        intercept = np.array([middle + offset])
        return Solution(np.zeros(1, dtype=np.int64), found[None, :], intercept, 1)

    return ridge


def _solve_ordinary(features: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the least-squares coefficients of least norm, and what is added to the intercept.

    A direction in which dependent columns differ by rounding alone would be fitted to the noise of
    the targets with weights of any size. So the columns are centred again, in float64: the mean
    that float32 gives them stays on all rows alike. And singular values are cut where rounding may
    have made them: entries that are off by r of their own size move a singular value by at most
    r times the Frobenius norm, which is at most sqrt(min(N, D)) times the largest of them.
    """
    exact = features.astype(np.float64)
    left = exact.mean(axis=0)
    exact -= left
    cut = _ROUNDING * math.sqrt(min(exact.shape))
    found: np.ndarray = np.linalg.lstsq(exact, wanted, rcond=cut)[0]
    return found, -float(left @ found)


def _multiply(
    features: np.ndarray, wanted: np.ndarray, is_dual: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smaller of XᵀX and X Xᵀ, in float64, and the right-hand side that goes with it."""
    if is_dual:
        rows = features.astype(np.float64)
        return rows @ rows.T, wanted
    num_features = features.shape[1]
    products, right = np.zeros((num_features, num_features)), np.zeros(num_features)
    for start in range(0, len(features), _ROWS_A_CHUNK):
        rows = features[start : start + _ROWS_A_CHUNK].astype(np.float64)
        products += rows.T @ rows
        right += rows.T @ wanted[start : start + _ROWS_A_CHUNK]
    return products, right


def _solve_positive(products: np.ndarray, right: np.ndarray, penalty: float) -> np.ndarray:
    """Return (products + penalty I)⁻¹ right by Cholesky's decomposition."""
    from scipy.linalg import cho_factor, cho_solve

    shifted = products.copy()
    shifted[np.diag_indices_from(shifted)] += penalty
    found: np.ndarray = cho_solve(cho_factor(shifted, overwrite_a=True), right)
    return found


def solve_sparse_ridge(
    features: Any, targets: np.ndarray, strength: float, iterations: int
) -> Solution:
    """Fit ridge regression on CSR features; a strength of infinity is ordinary least squares.

    Args:
        features: float32, shape (N, D), CSR.
        targets: Shape (N,).
        strength: One over the penalty on the summed squares.
        iterations: The most steps of LSQR.
    """
    from sklearn.linear_model import LinearRegression, Ridge

    if math.isinf(strength):
        solver = LinearRegression().fit(features, targets)
        taken = 1
    else:
        solver = Ridge(alpha=1.0 / strength, solver="lsqr", max_iter=iterations, tol=1e-5)
        solver.fit(features, targets)
        taken = int(np.max(solver.n_iter_))
    rows = np.zeros(1, dtype=np.int64)
    return Solution(rows, solver.coef_.reshape(1, -1), np.array([solver.intercept_]), taken)
