"""Features of every candidate in the same number of dimensions.

LogME, H-score and their kin grow with the number of dimensions, whatever it holds: on published
tables they follow it more than the accuracy (docs/selection.md). So every candidate is brought to
the same one first, by principal components, which look at no target.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.linalg import eigh

_MOST = 256
_SAMPLES_EACH = 4  # samples for each dimension that is kept


def common_dimension(num_samples: int, dimensions: Iterable[int], most: int = _MOST) -> int:
    """Return how many dimensions all candidates are brought to, at least 1.

    Args:
        num_samples: N.
        dimensions: D of each candidate.
        most: Upper limit.
    """
    return max(1, min([most, num_samples // _SAMPLES_EACH, *dimensions]))


def equalise(features: np.ndarray, dimension: int) -> np.ndarray:
    """Return the first principal components, float64, shape (N, d), as one block of variance 1.

    The components keep their proportions: whitening them would raise the last ones, which are
    mostly noise, to the height of the first. Features that are all alike become zeros.

    Args:
        features: Shape (N, D), finite.
        dimension: d; fewer where the features span fewer.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    num, width = centred.shape
    most = min(dimension, num, width)
    # the few largest of the smaller Gram matrix: a tenth of the time of a whole decomposition
    if width <= num:
        values, vectors = eigh(
            centred.T @ centred, subset_by_index=[width - most, width - 1], check_finite=False
        )
        kept = centred @ vectors[:, ::-1]
    else:
        values, vectors = eigh(
            centred @ centred.T, subset_by_index=[num - most, num - 1], check_finite=False
        )
        kept = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1]
    if values.max(initial=0) > 0:
        kept = kept[:, values[::-1] > values.max() * 1e-14]
    scale = np.sqrt((kept**2).sum(axis=1).mean())
    found: np.ndarray = kept / scale if scale > 0 else kept
    return found
