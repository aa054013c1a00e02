"""Every figure as a function of item weights, so that one code path gives value and resamples.

A bootstrap resample of N items is a vector of N counts. All figures here depend on the counts
only through weighted sums, so a block of resamples is a weight matrix (N, R), and the work is
sparse matrix times dense matrix: no resample is ever sorted or copied out. With all weights 1 the
same code gives the point values. For ROC-AUC the scores are sorted once a class (see
``AreaTable``). Memory is bounded by the size of a block, whatever N, K and R are.

This file holds the figures of a classification; those of several labels are in
``label_resampling.py``. Deliberately left out: intervals (``intervals.py``) and input checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from headstart.evaluation.clusters import Groups

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NUM_RESAMPLES = 1000
NUM_BINS = 15
_BLOCK_NUMBERS = 1_000_000  # weights in one block: 4 MB of float32, near a core's cache
_MAX_AREA_WORK = 4_000_000_000  # items x classes x resamples before ROC-AUC takes fewer of them
_MIN_AREA_RESAMPLES = 200


@dataclass(frozen=True)
class WeightedFigures:
    """Figures under R weightings of the items.

    Attributes:
        values: Figure name to float64, shape (R,); NaN where undefined. ``ece_noise`` is the ECE
            measured from the gaps on all items instead of from zero: how much of an ECE a
            calibrated model would show by chance.
        class_areas: ROC-AUC of each class against the rest, shape (K, R); NaN where undefined.
        class_precisions: Average precision of each label, shape (K, R); None where one item has
            one class.
    """

    values: dict[str, np.ndarray]
    class_areas: np.ndarray
    class_precisions: np.ndarray | None = None


class FigureTable:
    """Everything about probabilities and targets that does not depend on the item weights."""

    def __init__(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        """Prepare the per-item terms and the sorted orders.

        Args:
            probabilities: float64, shape (N, K), in [0, 1].
            targets: int64, shape (N,), in [0, K).
        """
        from scipy.sparse import csr_array

        self.num_items, self.num_classes = probabilities.shape
        items = np.arange(self.num_items)
        predictions = probabilities.argmax(axis=1)
        hits = predictions == targets
        confidence = probabilities[items, predictions]
        # Squared distance to the one-hot target, without building the one-hot matrix.
        of_target = probabilities[items, targets]
        brier = np.einsum("nk,nk->n", probabilities, probabilities) - 2.0 * of_target + 1.0
        floor = np.finfo(np.float64).eps  # as scikit-learn: a probability of 0 costs 36, not inf
        log_loss = -np.log(np.clip(of_target, floor, 1.0))
        # Bins are (0, 1/15], (1/15, 2/15] ... as in Guo et al.; 0 itself falls into the first.
        bins = np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)

        K = self.num_classes
        first_target, first_hit, first_prediction = NUM_BINS, NUM_BINS + K, NUM_BINS + 2 * K
        hit_rows = (targets + first_hit)[hits]
        rows = (bins, targets + first_target, hit_rows, predictions + first_prediction)
        columns = (items, items, items[hits], items)
        terms = (hits - confidence, *(np.ones(len(row)) for row in rows[1:]))
        self._sums: csr_array = csr_array(
            (np.concatenate(terms), (np.concatenate(rows), np.concatenate(columns))),
            shape=(NUM_BINS + 3 * K, self.num_items),
        )
        self._gaps = self._sums[:NUM_BINS] @ np.ones((self.num_items, 1))
        self._losses = np.stack((log_loss, brier))
        # With two classes the second area repeats the first, so only one is computed.
        columns_of_area = [1] if K == 2 else range(K)
        self._areas = [
            AreaTable(probabilities[:, k], targets == k) if (targets == k).any() else None
            for k in columns_of_area
        ]

    def figures(self, weights: np.ndarray, *, with_areas: bool = True) -> WeightedFigures:
        """Compute every figure under each weighting.

        Args:
            weights: float32 or float64, shape (N, R), not negative, columns summing to N.
            with_areas: Whether to compute ROC-AUC, by far the dearest figure.
        """
        K = self.num_classes
        sums = self._sums @ weights.astype(np.float64)
        gaps, support, hits, predicted = np.split(sums, (NUM_BINS, NUM_BINS + K, NUM_BINS + 2 * K))
        losses = self._losses @ weights / self.num_items
        seen = (support + predicted) > 0
        values = {
            "accuracy": hits.sum(axis=0) / self.num_items,
            "precision_macro": mean_where(divide(hits, predicted), seen),
            "recall_macro": mean_where(divide(hits, support), seen),
            "f1_macro": mean_where(divide(2.0 * hits, support + predicted), seen),
            "log_loss": losses[0],
            "brier": losses[1],
            "ece": np.abs(gaps).sum(axis=0) / self.num_items,
            "ece_noise": np.abs(gaps - self._gaps).sum(axis=0) / self.num_items,
        }
        num_weightings = weights.shape[1]
        areas = np.full((len(self._areas), num_weightings), np.nan)
        if with_areas:
            for k, table in enumerate(self._areas):
                if table is not None:
                    areas[k] = table.area(weights)
        values["roc_auc"] = mean_where(areas, np.isfinite(areas))
        return WeightedFigures(values, areas)

    def resample(
        self, num_resamples: int, seed: int, groups: Groups | None = None
    ) -> dict[str, np.ndarray]:
        """Return every figure on bootstrap resamples of the items, or of whole groups.

        Returns:
            Figure name to float64, shape (num_resamples,); ROC-AUC NaN where it was left out.
        """
        return resample_figures(self, num_resamples, seed, groups)


class Figures(Protocol):
    """A table of per-item terms that gives figures under any item weights."""

    num_items: int
    num_classes: int

    def figures(self, weights: np.ndarray, *, with_areas: bool = True) -> WeightedFigures:
        """Compute every figure under each weighting, shape (N, R)."""
        ...


def resample_figures(
    table: Figures, num_resamples: int, seed: int, groups: Groups | None = None
) -> dict[str, np.ndarray]:
    """Return every figure of a table on bootstrap resamples of its items.

    Ranked figures (ROC-AUC) are computed on the first ``_MAX_AREA_WORK / (N K)`` resamples, though
    never on fewer than 200, and are NaN on the others.

    Returns:
        Figure name to float64, shape (num_resamples,).
    """
    affordable = _MAX_AREA_WORK // (table.num_items * table.num_classes)
    num_with_areas = max(_MIN_AREA_RESAMPLES, affordable)
    blocks: list[dict[str, np.ndarray]] = []
    done = 0
    for weights in bootstrap_weights(table.num_items, num_resamples, seed, groups):
        blocks.append(table.figures(weights, with_areas=done < num_with_areas).values)
        done += weights.shape[1]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


class AreaTable:
    """ROC-AUC of one class against the rest, from scores sorted once.

    With weights w, AUC = sum over positives i of w_i * (negative weight below s_i + half of the
    negative weight tied with s_i), divided by P * M (positive and negative weight). Counting the
    positives as well adds exactly P^2 / 2, so only cumulative sums over *all* items at the
    positives' distinct scores are needed: items fall into 2 m + 1 runs (below the first distinct
    positive score, equal to it, between it and the second ...), a sparse matrix sums the weights
    of each run, and ties cost nothing extra.
    """

    def __init__(self, scores: np.ndarray, is_positive: np.ndarray) -> None:
        """Sort once.

        Args:
            scores: Shape (N,).
            is_positive: bool, shape (N,), with at least one True.
        """
        from scipy.sparse import csr_array

        distinct, group = np.unique(scores[is_positive], return_inverse=True)
        runs = np.searchsorted(distinct, scores, "left")
        runs += np.searchsorted(distinct, scores, "right")
        order = np.argsort(runs, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(runs, minlength=2 * len(distinct) + 1))
        ones = np.ones(len(scores), dtype=np.float32)
        self._runs: csr_array = csr_array(
            (ones, order, np.concatenate(([0], ends)).astype(np.int32)),
            shape=(2 * len(distinct) + 1, len(scores)),
        )
        positives = np.flatnonzero(is_positive)
        self._positives: csr_array = csr_array(
            (np.ones(len(positives), dtype=np.float32), (group, positives)),
            shape=(len(distinct), len(scores)),
        )

    def area(self, weights: np.ndarray) -> np.ndarray:
        """Return the area under each weighting, shape (R,); NaN without positives or negatives."""
        return self._area(*self._sums(weights))

    def area_and_precision(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the area and the average precision under each weighting, both of shape (R,).

        Average precision is the sum over the positives' distinct scores s of the share of the
        positives that are at s, times the precision of calling all from s upwards positive (as
        scikit-learn); NaN without positives.
        """
        runs, positives, below = self._sums(weights)
        above = below[-1] - below[0:-1:2]
        positive_above = np.cumsum(positives[::-1], axis=0)[::-1]
        found = np.einsum("mr,mr->r", positives, divide(positive_above, above))
        num_positive = positives.sum(axis=0)
        precision: np.ndarray = np.full_like(found, np.nan)
        np.divide(found, num_positive, out=precision, where=num_positive > 0)
        return self._area(runs, positives, below), precision

    def _sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the weight of each run, of each distinct positive score, and up to each run."""
        runs = (self._runs @ weights).astype(np.float64)
        positives = (self._positives @ weights).astype(np.float64)
        return runs, positives, np.cumsum(runs, axis=0)

    def _area(self, runs: np.ndarray, positives: np.ndarray, below: np.ndarray) -> np.ndarray:
        ranked = below[0:-1:2] + 0.5 * runs[1::2]
        num_positive = positives.sum(axis=0)
        num_negative = below[-1] - num_positive
        wins = np.einsum("mr,mr->r", positives, ranked) - 0.5 * num_positive**2
        pairs = num_positive * num_negative
        area: np.ndarray = np.full_like(pairs, np.nan)
        np.divide(wins, pairs, out=area, where=pairs > 0)
        return area


def bootstrap_weights(
    num_items: int, num_resamples: int, seed: int, groups: Groups | None = None
) -> Iterator[np.ndarray]:
    """Yield blocks of bootstrap counts, float32, shape (num_items, R), R summing to num_resamples.

    The size of a block depends on ``num_items`` alone, so that the counts depend only on the
    arguments. Where groups are drawn, an item counts as often as its group; groups differ in size,
    so the counts are scaled to sum to ``num_items`` and are float64.
    """
    rng = np.random.default_rng(seed)
    block = max(1, min(64, _BLOCK_NUMBERS // num_items))
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        if groups is not None:
            yield _group_weights(rng, groups, size)
            continue
        drawn = rng.integers(0, num_items, size=(num_items, size))
        counts = np.bincount((drawn * size + np.arange(size)).ravel(), minlength=num_items * size)
        yield counts.reshape(num_items, size).astype(np.float32)


def _group_weights(rng: np.random.Generator, groups: Groups, size: int) -> np.ndarray:
    """Return the weights of items, shape (N, size), where as many groups are drawn as there are."""
    drawn = rng.integers(0, groups.num, size=(groups.num, size))
    places = (drawn * size + np.arange(size)).ravel()
    counts = np.bincount(places, minlength=groups.num * size).reshape(groups.num, size)
    weights: np.ndarray = counts[groups.codes].astype(np.float64)
    weights *= len(weights) / weights.sum(axis=0)
    return weights


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, with 0 / 0 counting as 0 (scikit-learn's ``zero_division=0``)."""
    out = np.zeros_like(numerator)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def mean_where(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean over axis 0 of the values where the mask holds, NaN where it never does."""
    count = mask.sum(axis=0)
    total = np.where(mask, values, 0.0).sum(axis=0)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
