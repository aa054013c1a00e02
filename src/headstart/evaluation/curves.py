"""Curves of a ranking: ROC, precision against recall, and lift, as points.

Every different score is a threshold, so that ties are one step; the points are those of
scikit-learn's ``roc_curve`` and ``precision_recall_curve``. ``thinned`` leaves few enough to keep
and to draw. Deliberately left out: the areas, which ``areas.py`` has with their intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError

MOST_POINTS = 201


@dataclass(frozen=True, eq=False)
class RankedItems:
    """What is counted along a ranking, the highest score first.

    Attributes:
        thresholds: Every different score, descending, float64, shape (T,).
        hits: Positives whose score is at least that, float64, shape (T,).
        taken: Items whose score is, float64, shape (T,).
    """

    thresholds: np.ndarray
    hits: np.ndarray
    taken: np.ndarray

    @property
    def num_positive(self) -> float:
        """Positives of all."""
        return float(self.hits[-1])

    @property
    def num_items(self) -> float:
        """All of them."""
        return float(self.taken[-1])


def rank_items(scores: np.ndarray, is_positive: np.ndarray) -> RankedItems:
    """Count positives and items from the highest score down, ties at once.

    Args:
        scores: Finite, shape (N,), N at least 1.
        is_positive: bool, shape (N,).

    Raises:
        OptionError: Shapes differ, there is no item, or a score is not finite.
    """
    values, wanted = np.asarray(scores, np.float64), np.asarray(is_positive, bool)
    if values.ndim != 1 or values.shape != wanted.shape or not len(values):
        raise OptionError(
            f"scores have shape {values.shape} and is_positive {wanted.shape}, expected one shape "
            "(N,) with N at least 1."
        )
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise OptionError(f"scores[{place}] is {values[place]}, expected a finite number.")
    order = np.argsort(-values, kind="stable")
    sorted_values = values[order]
    last = np.append(np.flatnonzero(np.diff(sorted_values)), len(values) - 1)
    hits = np.cumsum(wanted[order], dtype=np.float64)[last]
    return RankedItems(sorted_values[last], hits, last + 1.0)


def roc_points(ranking: RankedItems) -> np.ndarray:
    """Return false and true positive rate and threshold, from (0, 0, inf) to (1, 1, lowest).

    Args:
        ranking: With positives and others.

    Returns:
        float64, shape (T + 1, 3); a rate is NaN where no item could be counted in it.
    """
    P, N = ranking.num_positive, ranking.num_items
    wrong = ranking.taken - ranking.hits
    with np.errstate(invalid="ignore"):
        points = np.stack((wrong / (N - P), ranking.hits / P, ranking.thresholds), axis=1)
    first = np.array([[0.0 if N > P else np.nan, 0.0 if P else np.nan, np.inf]])
    return np.concatenate((first, points))


def precision_recall_points(ranking: RankedItems) -> np.ndarray:
    """Return recall, precision and threshold, from every item taken to none, (0, 1, inf).

    Without positives recall is 1 wherever an item is taken, as scikit-learn has it.

    Args:
        ranking: Of the items.

    Returns:
        float64, shape (T + 1, 3).
    """
    P = ranking.num_positive
    recall = ranking.hits / P if P else np.ones(len(ranking.hits))
    points = np.stack((recall, ranking.hits / ranking.taken, ranking.thresholds), axis=1)
    return np.concatenate((points[::-1], [[0.0, 1.0, np.inf]]))


def lift_points(ranking: RankedItems) -> np.ndarray:
    """Return the share of items taken from the top, and how many times chance's positives it holds.

    Args:
        ranking: With a positive.

    Returns:
        float64, shape (T, 2); the last is (1, 1).
    """
    rate = ranking.num_positive / ranking.num_items
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = ranking.hits / ranking.taken / rate
    return np.stack((ranking.taken / ranking.num_items, lift), axis=1)


def thinned(points: np.ndarray, most: int = MOST_POINTS) -> list[list[float | None]]:
    """Return at most so many of the points, JSON-able, evenly along the line; both ends stay.

    Args:
        points: float64, shape (T, C), of which the first two columns are drawn.
        most: At least 2.
    """
    if len(points) > most:
        steps = np.abs(np.diff(np.nan_to_num(points[:, :2]), axis=0)).sum(axis=1)
        way = np.concatenate(([0.0], np.cumsum(steps)))
        wanted = np.linspace(0.0, way[-1], most)
        chosen = np.unique(np.append(np.searchsorted(way, wanted), (0, len(points) - 1)))
        points = points[np.minimum(chosen, len(points) - 1)]
        if len(points) > most:
            points = np.delete(points, -2, axis=0)
    return [[float(v) if np.isfinite(v) else None for v in row] for row in points]
