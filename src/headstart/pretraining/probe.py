"""What frozen features know of labels, while nobody learns from them: ridge in closed form.

The penalty is the one whose predictions of samples left out of train are best; the score is of
held-out samples. One decomposition serves all penalties and outputs.
"""

from __future__ import annotations

import numpy as np

STRENGTHS = 10.0 ** np.linspace(-5, 2, 15)  # of the mean squared singular value


def ridge_probe(
    features: np.ndarray,
    targets: np.ndarray,
    val_features: np.ndarray,
    val_targets: np.ndarray,
) -> float:
    """Return how well a linear map of features tells held-out targets.

    Args:
        features: Float, shape (N, D), of train.
        targets: Classes, int64 (N,): the score is the accuracy; or numbers, (N,) or (N, K): it is
            the share of their variance that is told.
        val_features: Shape (M, D).
        val_targets: M rows.

    Source:
        Golub, Heath and Wahba 1979, "Generalized cross-validation", eq. 2.2, for samples left out.
    """
    is_classes = targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer)
    if is_classes:
        kinds = np.unique(targets)
        wanted = (targets[:, None] == kinds[None]).astype(np.float64)
    else:
        wanted = targets.reshape(len(targets), -1).astype(np.float64)
    mean, offset = features.mean(axis=0, dtype=np.float64), wanted.mean(axis=0)
    spread = features.std(axis=0, dtype=np.float64)
    spread[spread < 1e-9] = 1.0
    left, singular, right = np.linalg.svd((features - mean) / spread, full_matrices=False)
    turned, centred = left.T @ (wanted - offset), wanted - offset
    best, coefficients = np.inf, np.zeros((features.shape[1], wanted.shape[1]))
    for strength in STRENGTHS * float(np.mean(singular**2)):
        kept = singular**2 / (singular**2 + strength)
        predicted = left @ (kept[:, None] * turned)
        leverage = (left**2) @ kept + 1.0 / len(features)
        error = float(np.mean(((centred - predicted) / (1 - leverage)[:, None]) ** 2))
        if error < best:
            scale = (singular / (singular**2 + strength))[:, None]
            best, coefficients = error, right.T @ (scale * turned)
    told = ((val_features - mean) / spread) @ coefficients + offset
    if is_classes:
        return float((kinds[told.argmax(axis=1)] == val_targets).mean())
    given = val_targets.reshape(len(val_targets), -1)
    return float(1 - ((given - told) ** 2).sum() / ((given - given.mean(axis=0)) ** 2).sum())
