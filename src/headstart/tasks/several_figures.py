"""The mean of what several targets are told with, accuracy or R², as a function of means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headstart.tasks.task import Part

Smooth = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def part_quantities(
    parts: Sequence[Part], decided: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, Smooth]:
    """Return what of each item is summed, shape (S, N), and the score as a function of its means.

    Of a class: whether it is told, and whether rightly. Of a number: whether it is told, the
    squared error, the target and its square, centred. What an item lacks adds nothing.

    Args:
        parts: T parts.
        decided: Shape (N, T).
        wanted: Shape (N, T), NaN for what is lacking.
    """
    rows: list[np.ndarray] = []
    used: list[tuple[bool, int]] = []
    for place, part in enumerate(parts):
        target, said = wanted[:, place], decided[:, place]
        has = np.isfinite(target)
        if not has.any():
            continue
        used.append((bool(part.num_classes), 1 + len(rows)))
        if part.num_classes:
            rows += [has, has & (target == said)]
            continue
        middle, spread = target[has].mean(), target[has].std() or 1.0
        centred = np.where(has, (target - middle) / spread, 0.0)
        error = np.where(has, (target - said) / spread, 0.0)
        rows += [has, error**2, centred, centred**2]
    return np.stack([row.astype(np.float64) for row in rows]), lambda means: mean_score(means, used)


def mean_score(
    means: np.ndarray, used: Sequence[tuple[bool, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of accuracies and R² of means, and its gradient, as ``means.Smooth``.

    Args:
        means: Shape (S, R), the first being 1.
        used: Of each part whether it has classes, and where its means begin.
    """
    value, gradient = np.zeros(means.shape[1:]), np.zeros_like(means)
    num = len(used)
    with np.errstate(all="ignore"):
        for has_classes, at in used:
            told = means[at]
            if has_classes:
                value = value + means[at + 1] / told / num
                gradient[at] = -means[at + 1] / told**2 / num
                gradient[at + 1] = 1 / told / num
                continue
            square, target, target_square = means[at + 1 : at + 4]
            # of those told: 1 - mean square / (mean target² - mean target squared)
            spread = target_square - target**2 / told
            value = value + (1 - square / spread) / num
            gradient[at] = square / spread**2 * (target**2 / told**2) / num
            gradient[at + 1] = -1 / spread / num
            gradient[at + 2] = -square / spread**2 * (2 * target / told) / num
            gradient[at + 3] = square / spread**2 / num
        return value, gradient
