"""Figures of several labels an item as a function of item weights, for value and resamples alike.

The same idea as ``resampling.py``: counts a label are one sparse matrix, what an item costs is one
dense row, and a block of resamples is a matrix product. An item is drawn with all its labels, so
that labels that go together widen the intervals as they should.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.evaluation.clusters import Groups
from headstart.evaluation.resampling import (
    AreaTable,
    WeightedFigures,
    divide,
    mean_where,
    resample_figures,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class LabelTable:
    """Everything about probabilities and targets that does not depend on the item weights."""

    def __init__(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        """Prepare the per-item terms and the sorted orders.

        Args:
            probabilities: float64, shape (N, K), in [0, 1].
            targets: bool, shape (N, K).
        """
        from scipy.sparse import csr_array

        self.num_items, self.num_classes = probabilities.shape
        predictions = probabilities >= 0.5
        wrong = predictions != targets
        floor = np.finfo(np.float64).eps  # as scikit-learn: a probability of 0 costs 36, not inf
        of_target = np.where(targets, probabilities, 1.0 - probabilities)
        self._means = np.stack(
            (
                ~wrong.any(axis=1),
                wrong.mean(axis=1),
                -np.log(np.clip(of_target, floor, 1.0)).mean(axis=1),
                ((1.0 - of_target) ** 2).mean(axis=1),
            )
        )
        counted = np.concatenate((predictions & targets, targets, predictions), axis=1)
        self._sums: csr_array = csr_array(np.ascontiguousarray(counted.T, dtype=np.float64))
        num_positive = targets.sum(axis=0)
        has_both = (num_positive > 0) & (num_positive < self.num_items)
        self._areas = [
            AreaTable(probabilities[:, k], targets[:, k]) if has_both[k] else None
            for k in range(self.num_classes)
        ]

    def figures(self, weights: np.ndarray, *, with_areas: bool = True) -> WeightedFigures:
        """Compute every figure under each weighting.

        Args:
            weights: float32 or float64, shape (N, R), not negative, columns summing to N.
            with_areas: Whether to compute ROC-AUC and average precision, by far the dearest.
        """
        counts = self._sums @ weights.astype(np.float64)
        hits, support, predicted = np.split(counts, 3)
        exact, wrong, log_loss, brier = self._means @ weights / self.num_items
        seen = (support + predicted) > 0
        all_hits, all_support, all_predicted = (
            part.sum(axis=0) for part in (hits, support, predicted)
        )
        values = {
            "exact_match": exact,
            "hamming_loss": wrong,
            "precision_micro": divide(all_hits, all_predicted),
            "recall_micro": divide(all_hits, all_support),
            "f1_micro": divide(2.0 * all_hits, all_support + all_predicted),
            "precision_macro": mean_where(divide(hits, predicted), seen),
            "recall_macro": mean_where(divide(hits, support), seen),
            "f1_macro": mean_where(divide(2.0 * hits, support + predicted), seen),
            "log_loss": log_loss,
            "brier": brier,
        }
        areas = np.full((self.num_classes, weights.shape[1]), np.nan)
        precisions = areas.copy()
        if with_areas:
            for k, table in enumerate(self._areas):
                if table is not None:
                    areas[k], precisions[k] = table.area_and_precision(weights)
        # a resample without a negative has a precision of 1 that says nothing: as without a label
        precisions[np.isnan(areas)] = np.nan
        values["roc_auc"] = mean_where(areas, np.isfinite(areas))
        values["average_precision"] = mean_where(precisions, np.isfinite(precisions))
        return WeightedFigures(values, areas, precisions)

    def resample(
        self, num_resamples: int, seed: int, groups: Groups | None = None
    ) -> dict[str, np.ndarray]:
        """Return every figure on bootstrap resamples of the items, each with all its labels."""
        return resample_figures(self, num_resamples, seed, groups)
