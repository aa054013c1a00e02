"""How far a covariance of few samples is drawn towards a sphere: Ledoit and Wolf's choice.

The same as scikit-learn's, which takes a second and a half to import; rankings are short.
"""

from __future__ import annotations

import numpy as np


def ledoit_wolf(centred: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the shrunk covariance, shape (d, d), and the weight of the sphere in it, in [0, 1].

    Args:
        centred: Float, shape (N, d), of mean 0.

    Source:
        O. Ledoit and M. Wolf, 2004, Journal of Multivariate Analysis 88, 365-411, section 3.
    """
    num, width = centred.shape
    squares = centred**2
    products = centred.T @ centred
    sphere = float(squares.sum()) / (num * width)
    squared = float((products**2).sum()) / num**2
    error = (float((squares.sum(axis=1) ** 2).sum()) / num - squared) / (width * num)
    distance = squared / width - sphere**2
    weight = 0.0 if min(error, distance) <= 0 else min(error, distance) / distance
    covariance = (1 - weight) * products / num
    covariance.flat[:: width + 1] += weight * sphere
    return covariance, weight
