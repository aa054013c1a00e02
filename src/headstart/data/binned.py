"""How well one column tells the target, at a glance: by the usual target of each of its bins.

A small tree on a column takes milliseconds, most of them spent on the way into it, and of thousands
of columns hardly one tells the answer. Bins take a tenth of a millisecond: what they leave below
``HOPELESS`` no small tree brings near certainty, and none is asked.
"""

from __future__ import annotations

import numpy as np

HOPELESS = 0.6  # of the way from guessing to certainty
MIN_BINS = 64
ROWS_PER_BIN = 3
MOST_CLASSES = 200
LEAST_ASKED = 10


def binned_fit(
    values: np.ndarray, targets: np.ndarray, num_classes: int, is_learned: np.ndarray
) -> float:
    """Return how well bins of a column tell the targets of rows that they have not learned from.

    Args:
        values: float, shape (N,); NaN where a cell is missing.
        targets: Class integers below ``num_classes``, or numbers; shape (N,).
        num_classes: 0 for numbers.
        is_learned: bool, shape (N,), the rows that are learned from.

    Returns:
        0 for guessing, 1 for certainty: of classes by balanced accuracy, of numbers R². 1 also
        where it cannot be told at a glance: of very many classes, or few rows.
    """
    known = values[is_learned & np.isfinite(values)]
    few = len(targets) - int(is_learned.sum()) < LEAST_ASKED
    if num_classes > MOST_CLASSES or not len(known) or few:
        return 1.0
    wanted = max(MIN_BINS, 4 * num_classes)
    num_bins = max(2, min(wanted, int(is_learned.sum()) // ROWS_PER_BIN))
    edges = np.unique(np.sort(known)[np.arange(1, num_bins) * len(known) // num_bins])
    codes = np.searchsorted(edges, values, side="right")
    codes[np.isnan(values)] = len(edges) + 1
    size = len(edges) + 2
    asked, learned = ~is_learned, codes[is_learned]
    if num_classes:
        return _of_classes(codes, targets, num_classes, is_learned, size)
    counts = np.bincount(learned, minlength=size)
    sums = np.bincount(learned, weights=targets[is_learned], minlength=size)
    middle = float(targets[is_learned].mean())
    usual = np.where(counts > 0, sums / np.maximum(counts, 1), middle)
    spread = float(((targets[asked] - targets[asked].mean()) ** 2).sum())
    errors = float(((targets[asked] - usual[codes[asked]]) ** 2).sum())
    return 1 - errors / spread if spread > 0 else 0.0


def _of_classes(
    codes: np.ndarray, targets: np.ndarray, num_classes: int, is_learned: np.ndarray, size: int
) -> float:
    placed = codes[is_learned] * num_classes + targets[is_learned]
    table = np.bincount(placed, minlength=size * num_classes).reshape(size, num_classes)
    shares = np.maximum(table.sum(axis=0), 1)
    usual = (table / shares).argmax(axis=1)
    truth = targets[~is_learned]
    is_right = usual[codes[~is_learned]] == truth
    asked = np.bincount(truth, minlength=num_classes)
    right = np.bincount(truth, weights=is_right, minlength=num_classes)
    present = asked > 0
    if present.sum() < 2:
        return 1.0
    rate, chance = float((right[present] / asked[present]).mean()), 1 / int(present.sum())
    return (rate - chance) / (1 - chance)
