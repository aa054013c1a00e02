"""The predictor that knows nothing but train's targets: what every model must beat.

The majority class, the most frequent labels, or the mean. Deliberately left out: uniform guessing,
which is never better.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import OptionError


def mean_baseline(train_targets: np.ndarray, *, num_items: int) -> np.ndarray:
    """Predict train's mean, which no other constant beats in squared error.

    Args:
        train_targets: Numbers, shape (M,), M at least 1. Never test's.
        num_items: Number N of items to predict.

    Returns:
        float64, shape (N,).

    Raises:
        OptionError: ``train_targets`` is empty.

    Example:
        >>> import numpy as np
        >>> mean_baseline(np.array([1.0, 2.0, 6.0]), num_items=2).tolist()
        [3.0, 3.0]
    """
    targets = _some(train_targets)
    return np.full(num_items, targets.astype(np.float64).mean())


def frequent_labels_baseline(
    train_targets: np.ndarray, *, num_items: int, num_labels: int
) -> np.ndarray:
    """Predict the m most frequent labels, m being the number with the best micro F1 on train.

    Args:
        train_targets: 0 or 1, shape (M, K), M at least 1. Never test's.
        num_items: Number N of items to predict.
        num_labels: Number K of labels.

    Returns:
        uint8, shape (N, K).

    Raises:
        OptionError: ``train_targets`` is empty or has another number of labels.
    """
    targets = _some(train_targets)
    if targets.ndim != 2 or targets.shape[1] != num_labels:
        raise OptionError(
            f"train_targets have shape {targets.shape}, expected (M, {num_labels}): one column for "
            "each label. Pass the targets of the same schema."
        )
    counts = targets.sum(axis=0, dtype=np.int64)
    order = np.argsort(-counts, kind="stable")
    num_chosen = np.arange(1, len(counts) + 1)
    # F1 = 2 hits / (predicted + targets), when the first m labels are predicted for every item
    f1 = 2.0 * np.cumsum(counts[order]) / (num_chosen * len(targets) + counts.sum())
    chosen = np.zeros(len(counts), dtype=np.uint8)
    chosen[order[: int(f1.argmax()) + 1]] = 1
    return np.tile(chosen, (num_items, 1))


def majority_baseline(train_targets: np.ndarray, *, num_items: int, num_classes: int) -> np.ndarray:
    """Predict train's most frequent class.

    Args:
        train_targets: Integers in [0, num_classes), shape (M,), M at least 1. Test targets must
            not be passed here: the baseline may not look at them either.
        num_items: Number N of items to predict.
        num_classes: Number K of classes.

    Returns:
        int64, shape (N,): the first of equally frequent classes.

    Raises:
        OptionError: ``train_targets`` is empty or holds a number outside [0, num_classes).

    Example:
        >>> import numpy as np
        >>> majority_baseline(np.array([0, 1, 1, 1]), num_items=2, num_classes=2).tolist()
        [1, 1]
    """
    targets = _some(train_targets).astype(np.int64)
    if targets.min() < 0 or targets.max() >= num_classes:
        raise OptionError(
            f"train_targets lie in {targets.min()}..{targets.max()}, expected 0..{num_classes - 1} "
            f"for num_classes={num_classes}. Pass the targets of the same schema."
        )
    counts = np.bincount(targets, minlength=num_classes)
    return np.full(num_items, int(counts.argmax()), dtype=np.int64)


def _some(train_targets: np.ndarray) -> np.ndarray:
    """Return targets as an array, or say that there are none."""
    targets = np.asarray(train_targets)
    if targets.size == 0:
        raise OptionError("train_targets is empty. A baseline needs at least one training target.")
    return targets
