"""The evidence of a Bayesian linear regression from features to a target."""

from __future__ import annotations

import numpy as np

from headstart.ranking.scores.outcome import as_columns

_ROUNDS = 100
_SETTLED = 1e-8


def log_evidence(features: np.ndarray, targets: np.ndarray) -> float:
    """Return the logarithm of the evidence a sample in nats, mean over the columns of the target.

    The precisions of weights and noise are those at which the evidence is largest. Without an
    intercept, as published.

    Args:
        features: Float, shape (N, D), N above 1.
        targets: As ``as_columns`` takes them; classes are taken one against the rest.

    Source:
        You et al. 2021, ICML, "LogME", algorithm 1; the fixed point of You et al. 2022, JMLR.
    """
    left, values, _ = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    kept = values > values.max(initial=0) * 1e-10
    left, squares = left[:, kept], values[kept] ** 2
    columns = as_columns(targets)
    found = [_of_column(left, squares, column) for column in columns.T]
    return float(np.mean(found))


def _of_column(left: np.ndarray, squares: np.ndarray, column: np.ndarray) -> float:
    """Return the evidence a sample of one column."""
    num, parts = len(column), (left.T @ column) ** 2
    if not len(squares):  # features that are all zero: noise alone
        return float(-0.5 * (np.log(2 * np.pi * max(float(column @ column) / num, 1e-12)) + 1))
    beyond = max(float(column @ column - parts.sum()), 1e-12 * num)
    alpha = beta = 1.0
    for _ in range(_ROUNDS):
        shared = alpha + beta * squares
        size = float((beta**2 * squares * parts / shared**2).sum())  # of the weights, squared
        error = float(((alpha / shared) ** 2 * parts).sum()) + beyond
        used = float((beta * squares / shared).sum())  # dimensions that the data determine
        before = alpha / beta
        alpha, beta = used / max(size, 1e-30), (num - used) / error
        if abs(alpha / beta - before) <= _SETTLED * before:
            break
    shared = alpha + beta * squares
    size = float((beta**2 * squares * parts / shared**2).sum())
    error = float(((alpha / shared) ** 2 * parts).sum()) + beyond
    # the dimensions that the features do not span cancel: log alpha stands on both sides
    logarithm = 0.5 * (
        len(squares) * np.log(alpha)
        + num * np.log(beta)
        - np.log(shared).sum()
        - beta * error
        - alpha * size
        - num * np.log(2 * np.pi)
    )
    return float(logarithm / num)
