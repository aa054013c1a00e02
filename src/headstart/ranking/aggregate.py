"""Several scores to one order, and how sure it is.

The order is by the mean rank with the weights of ``WEIGHTS``; what a start lacks (one that was
trained for a moment has no features) leaves its weight to the others. Those whose last block was
trained then change places among themselves. How sure it is comes from the outcomes of single
samples, drawn anew: nothing is fitted twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# What sets of other families choose on the fine-tunings of a zoo (docs/selection.md): what a head
# would read, and the distance to collapse. The prior is left only to decide between equals.
WEIGHTS = {"head": 0.58, "ridge": 0.0, "neighbours": 0.0, "collapse": 0.40, "prior": 0.02}
BLOCK_WEIGHT = 0.5  # of the last block's score, against all others together
_DRAWS = 200
_ENOUGH = 0.9  # of the chance that the shortlist holds one of the best
_BEST_WITHIN = 0.005  # of the figure: as good as the best
MOST_LISTED = 3


@dataclass(frozen=True)
class CandidateOrder:
    """The candidates in order.

    Attributes:
        places: Candidates, the best first, int64, shape (M,).
        scores: Mean ranks in candidates' order, 0 (worst) to 1, shape (M,).
        best_chance: Chance of each to have the best figure, in candidates' order, shape (M,);
            where several have it, they share it.
        regret: What choosing the first loses on average, in the figure's unit.
        regret_high: 97.5 % of the draws lose less.
        shortlist: How many of ``places`` are worth a try.
    """

    places: np.ndarray
    scores: np.ndarray
    best_chance: np.ndarray
    regret: float
    regret_high: float
    shortlist: int


def order_candidates(
    columns: Mapping[str, np.ndarray],
    outcomes: list[np.ndarray],
    *,
    blocks: np.ndarray | None = None,
    seed: int = 0,
) -> CandidateOrder:
    """Return the order of candidates.

    Args:
        columns: Values by score, higher is better, shape (M,) each; NaN where a start has none.
        outcomes: Of each candidate, a sample's share of its figure, shape (N,); those of the same
            length are of the same samples.
        blocks: Figures after training the last block, shape (M,); NaN where that was not done.
        seed: Of the draws.
    """
    scores = aggregate(columns, blocks)
    places = np.argsort(-scores, kind="stable")
    rng = np.random.default_rng(seed)
    drawn = {len(each): rng.integers(0, len(each), (_DRAWS, len(each))) for each in outcomes}
    values = np.stack([each[drawn[len(each)]].mean(axis=1) for each in outcomes], axis=1)
    is_best = np.isclose(values, values.max(axis=1, keepdims=True), rtol=0, atol=1e-12)
    winners = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
    lost = values.max(axis=1) - values[:, places[0]]
    listed = 1
    for listed in range(1, min(MOST_LISTED, len(places)) + 1):
        held = values[:, places[:listed]].max(axis=1) >= values.max(axis=1) - _BEST_WITHIN
        if held.mean() >= _ENOUGH:
            break
    return CandidateOrder(
        places,
        scores,
        winners,
        float(lost.mean()),
        float(np.percentile(lost, 97.5)),
        listed,
    )


def aggregate(
    columns: Mapping[str, np.ndarray],
    blocks: np.ndarray | None = None,
    *,
    weights: Mapping[str, float] = WEIGHTS,
    block_weight: float = BLOCK_WEIGHT,
) -> np.ndarray:
    """Return one score a candidate, 0 to 1, shape (M,).

    Args:
        columns: As ``order_candidates`` takes them.
        blocks: As there.
        weights: Of the columns.
        block_weight: Of the last block's rank among those that have one; the rest is that of the
            other scores.
    """
    num = len(next(iter(columns.values())))
    total, weight = np.zeros(num), np.zeros(num)
    for name, values in columns.items():
        known = np.isfinite(values)
        if known.sum() < 2:
            continue
        total = total + weights[name] * _ranks(values, known)
        weight = weight + weights[name] * known
    base: np.ndarray = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    probed = np.zeros(num, bool) if blocks is None else np.isfinite(blocks)
    if blocks is None or probed.sum() < 2:
        return base
    # those that were probed share the places that they hold: others neither rise nor fall
    both = (1 - block_weight) * _ranks(base, probed) + block_weight * _ranks(blocks, probed)
    order = np.flatnonzero(probed)[np.argsort(both[probed], kind="stable")]
    found = base.copy()
    found[order] = np.sort(base[probed])
    return found


def _ranks(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return ranks among those that are known, 0 (worst) to 1; 0 elsewhere."""
    ranks = np.zeros(len(values))
    ranks[known] = (mid_ranks(values[known]) - 1) / max(1, known.sum() - 1)
    return ranks


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1 on, float64, shape (N,); equal values share the mean of their places.

    Args:
        values: Shape (N,), no NaN.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return found
