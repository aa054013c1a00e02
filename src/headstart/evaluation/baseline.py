"""The predictor that knows nothing but the class counts: what every model must beat.

Deliberately left out: uniform guessing, which is never better than the majority class.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import OptionError


def majority_baseline(
    train_targets: np.ndarray, *, num_items: int, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Predict train's most frequent class, with train's class shares as probabilities.

    Args:
        train_targets: Integers in [0, num_classes), shape (M,), M at least 1. Test targets must
            not be passed here: the baseline may not look at them either.
        num_items: Number N of items to predict.
        num_classes: Number K of classes.

    Returns:
        Predictions int64, shape (N,) (the first of equally frequent classes), and probabilities
        float64, shape (N, K).

    Raises:
        OptionError: ``train_targets`` is empty or holds a number outside [0, num_classes).

    Example:
        >>> import numpy as np
        >>> predictions, probabilities = majority_baseline(
        ...     np.array([0, 1, 1, 1]), num_items=2, num_classes=2
        ... )
        >>> predictions.tolist(), probabilities[0].tolist()
        ([1, 1], [0.25, 0.75])
    """
    targets = np.asarray(train_targets, dtype=np.int64)
    if targets.size == 0:
        raise OptionError(
            "train_targets is empty. The majority class needs at least one training target."
        )
    if targets.min() < 0 or targets.max() >= num_classes:
        raise OptionError(
            f"train_targets lie in {targets.min()}..{targets.max()}, expected 0..{num_classes - 1} "
            f"for num_classes={num_classes}. Pass the targets of the same schema."
        )
    shares = np.bincount(targets, minlength=num_classes) / targets.size
    predictions = np.full(num_items, int(shares.argmax()), dtype=np.int64)
    return predictions, np.tile(shares, (num_items, 1))
