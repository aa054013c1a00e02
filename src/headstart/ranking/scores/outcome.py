"""What a score says of every sample, and the forms of a target that all scores share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """How well every sample was predicted by others.

    Attributes:
        value: Mean of ``outcomes``: accuracy of classes; the share of the targets' variance that is
            explained (R², of labels the Brier skill) otherwise.
        log_loss: Nats a sample after one temperature; NaN where targets are no classes.
        outcomes: Of each sample, float64, shape (N,), so that intervals need no second fit: 1 or 0
            for a class, 1 minus the squared error in units of the variance otherwise.
        setting: What was chosen by it: a strength, a number of neighbours.
    """

    value: float
    log_loss: float
    outcomes: np.ndarray
    setting: float


def as_columns(targets: np.ndarray) -> np.ndarray:
    """Return targets as columns, float64, shape (N, K): classes one-hot, the rest as they are.

    Args:
        targets: Classes, whole numbers of shape (N,) from 0; several labels or values, (N, K);
            or one value, floats of shape (N,).
    """
    if is_classes(targets):
        one_hot: np.ndarray = np.eye(int(targets.max()) + 1)[targets]
        return one_hot
    return targets.reshape(len(targets), -1).astype(np.float64)


def is_classes(targets: np.ndarray) -> bool:
    """Return whether targets are one class a sample."""
    return targets.ndim == 1 and bool(np.issubdtype(targets.dtype, np.integer))


def outcomes_of(predicted: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return how well each sample is predicted, float64, shape (N,), as ``Outcome`` has it.

    Args:
        predicted: Shape (N, K), of the columns that ``as_columns`` gives.
        targets: As ``as_columns`` takes them.
    """
    if is_classes(targets):
        right: np.ndarray = (predicted.argmax(axis=1) == targets).astype(np.float64)
        return right
    columns = as_columns(targets)
    variance = float(columns.var(axis=0).sum())
    if variance == 0:
        return np.zeros(len(columns))  # nothing varies: nothing can be explained
    found: np.ndarray = 1 - ((columns - predicted) ** 2).sum(axis=1) / variance
    return found


def joined_copies(features: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return a group a sample, int64, shape (N,): those given, and samples of the same features.

    Copies that are told apart would predict one another.

    Args:
        features: Shape (N, D).
        groups: Shape (N,); None where every sample is its own.
    """
    _, same = np.unique(features, axis=0, return_inverse=True)
    same = same.reshape(-1)
    if groups is None:
        return same
    _, given = np.unique(groups, return_inverse=True)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num = int(given.max()) + 1
    size = num + int(same.max()) + 1
    links = coo_array((np.ones(len(given)), (given, num + same)), shape=(size, size))
    labels: np.ndarray = connected_components(links, directed=False)[1]
    return labels[given].astype(np.int64)
