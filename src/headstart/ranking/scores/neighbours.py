"""The nearest other samples tell a sample's target: no parameter is fitted."""

from __future__ import annotations

import numpy as np

from headstart.ranking.scores.outcome import Outcome, as_columns, joined_copies, outcomes_of

COUNTS = (1, 5, 20)
_BLOCK = 1024  # rows of the similarity matrix at a time


def neighbour_score(
    features: np.ndarray, targets: np.ndarray, *, groups: np.ndarray | None = None
) -> Outcome:
    """Return how well the nearest other samples predict each one, at the best number of them.

    Neighbours by cosine, k of 1, 5 and 20; their targets are averaged. Samples of a group, and
    exact copies, never vote for each other. Two classes with as many votes: that of the nearest.

    Args:
        features: Float, shape (N, D).
        targets: As ``as_columns`` takes them.
        groups: Shape (N,); None where every sample is its own.

    Source:
        Sorkhei et al. 2025, TMLR, "k-NN as a simple and effective estimator of transferability".
    """
    columns, num = as_columns(targets), len(features)
    joined = joined_copies(features, groups)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(length > 0, length, 1)
    most = min(max(COUNTS), num - 1)
    nearest = np.empty((num, most), np.int64)
    alike = np.empty((num, most))
    for start in range(0, num, _BLOCK):
        rows = slice(start, start + _BLOCK)
        similar = unit[rows] @ unit.T
        similar[joined[rows, None] == joined[None, :]] = -np.inf
        top = np.argsort(-similar, axis=1, kind="stable")[:, :most]
        nearest[rows], alike[rows] = top, np.take_along_axis(similar, top, axis=1)
    best: Outcome | None = None
    for count in sorted({min(k, most) for k in COUNTS}):
        # those of the own group come last; where there are too few others they have no vote
        may = np.isfinite(alike[:, :count]).astype(np.float64)
        votes = (columns[nearest[:, :count]] * may[:, :, None]).sum(axis=1)
        given = may.sum(axis=1, keepdims=True)
        mean = np.where(given > 0, votes / np.maximum(given, 1), columns.mean(axis=0))
        mean += 1e-9 * columns[nearest[:, 0]] * may[:, :1]
        outcomes = outcomes_of(mean, targets)
        found = Outcome(float(outcomes.mean()), float("nan"), outcomes, float(count))
        if best is None or found.value > best.value:
            best = found
    assert best is not None
    return best
