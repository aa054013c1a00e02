"""The share of the features' covariance that lies between classes."""

from __future__ import annotations

import numpy as np

from headstart.ranking.scores.shrinkage import ledoit_wolf


def h_score(features: np.ndarray, targets: np.ndarray, *, is_regularised: bool = False) -> float:
    """Return trace(cov(f)⁻¹ cov(E[f | y])), at most the number of classes less one.

    Where there are fewer samples than dimensions the plain one is exactly that, whatever the
    features: it says nothing then.

    Args:
        features: Float, shape (N, D).
        targets: Classes, whole numbers, shape (N,).
        is_regularised: Shrink the covariance, and the score with it.

    Source:
        Bao et al. 2019, ICIP, eq. 4; Ibrahim et al. 2021, "Newer is not always better", eq. 8
        (Ledoit-Wolf shrinkage).
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    kept = values > values.max(initial=0) * 1e-10
    left, squares = left[:, kept], values[kept] ** 2 / len(features)
    share = np.ones_like(squares)
    factor = 1.0
    if is_regularised:
        _, shrinkage = ledoit_wolf(centred)
        mean = squares.sum() / features.shape[1]
        share = squares / ((1 - shrinkage) * squares + shrinkage * mean)
        factor = 1 - shrinkage
    total = 0.0
    for value in np.unique(targets):
        rows = left[targets == value]
        total += float(len(rows) * (rows.mean(axis=0) ** 2 @ share))
    return factor * total
