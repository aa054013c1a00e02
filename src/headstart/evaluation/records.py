"""What scoring hands over: figures overall and per class, and their JSON.

One record serves every task; what a task does not have (a confusion matrix of numbers) is None and
is left out of the JSON. Deliberately left out: how any figure is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from headstart.types import Comparison, Figure

MAX_MATRIX = 100  # classes; of more the cells that are not empty are kept


@dataclass(frozen=True)
class ClassScores:
    """What a model does with one class, or with one label of several.

    Attributes:
        precision: Share of the items predicted as the class that are of it.
        recall: Share of the items of the class that are predicted as it.
        f1: Harmonic mean of the two.
        support: Number of items of the class.
    """

    precision: Figure
    recall: Figure
    f1: Figure
    support: int


@dataclass(frozen=True)
class Scores:
    """Figures with intervals, overall and per class.

    Attributes:
        num_items: Items they were measured on.
        figures: One ``Figure`` for each figure of the task, by name.
        per_class: Class name to its scores, in the order of the classes; empty without classes.
        confusion_matrix: int64, shape (K, K), row = target, column = prediction; None unless an
            item has one class.
        residuals: float64, shape (M, 2), target and prediction of at most 500 items; None unless
            numbers are predicted.
        num_groups: Groups that the items are of, where intervals count these; otherwise None.
        signature: Of figures that several libraries count differently, how they were counted.
        num_empty: Of texts that were written those that hold nothing.
    """

    num_items: int
    figures: dict[str, Figure]
    per_class: Mapping[str, ClassScores] = field(default_factory=dict)
    confusion_matrix: np.ndarray | None = None
    residuals: np.ndarray | None = None
    num_groups: int | None = None
    signature: Mapping[str, str] = field(default_factory=dict)
    num_empty: int = 0

    def to_json(self) -> dict[str, object]:
        """Return the shape of ``metrics.json["test"]``: JSON-able, NaN as None.

        Of more than 100 classes ``confusion_counts``, each [target, prediction, count] that is not
        zero, stands in place of ``confusion_matrix``.
        """
        record: dict[str, object] = {
            "num_items": self.num_items,
            "figures": {name: figure_to_json(figure) for name, figure in self.figures.items()},
        }
        if self.num_groups is not None:
            record["num_groups"] = self.num_groups
        if self.signature:
            record["signature"] = dict(self.signature)
        if self.num_empty:
            record["num_empty"] = self.num_empty
        if self.per_class:
            record["per_class"] = {
                name: {
                    "precision": figure_to_json(scores.precision),
                    "recall": figure_to_json(scores.recall),
                    "f1": figure_to_json(scores.f1),
                    "support": scores.support,
                }
                for name, scores in self.per_class.items()
            }
        if self.confusion_matrix is not None:
            if len(self.confusion_matrix) <= MAX_MATRIX:
                record["confusion_matrix"] = self.confusion_matrix.tolist()
            else:  # of 5,000 classes 25 million cells, nearly all of them empty
                cells = np.argwhere(self.confusion_matrix)
                counts = self.confusion_matrix[tuple(cells.T)]
                record["confusion_counts"] = np.column_stack((cells, counts)).tolist()
        if self.residuals is not None:
            record["residuals"] = self.residuals.tolist()
        return record


def figure_to_json(figure: Figure) -> dict[str, float | None]:
    """Return ``{"value", "low", "high"}`` with None for NaN, which JSON cannot say."""
    ends = {"value": figure.value, "low": figure.low, "high": figure.high}
    return {name: float(end) if math.isfinite(end) else None for name, end in ends.items()}


def comparison_to_json(comparison: Comparison) -> dict[str, object]:
    """Return one entry of ``metrics.json["before_after"]["comparisons"]``."""
    return {
        "metric": comparison.metric,
        "before": comparison.before,
        "after": comparison.after,
        "gained": comparison.gained,
        "lost": comparison.lost,
        "difference": figure_to_json(comparison.difference),
        "p_value": comparison.p_value,
    }
