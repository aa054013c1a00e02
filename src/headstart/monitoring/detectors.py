"""The questions that are asked of a window: one row a detector, each answered by a difference.

A detector that has nothing to look at (no embeddings, no classes, no columns) is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.evaluation import holm
from headstart.monitoring.columns import (
    ColumnBins,
    ColumnCounts,
    ColumnDifference,
    compare_columns,
    smallest,
)
from headstart.monitoring.kernels import compare_embeddings
from headstart.monitoring.two_samples import (
    SampleDifference,
    chi_square,
    compare_counts,
    compare_numbers,
    moved,
    surprise,
)

EMBEDDINGS, CLASSES, CONFIDENCE, VALUES, COLUMNS = (
    "embeddings",
    "classes",
    "confidence",
    "values",
    "columns",
)


@dataclass(frozen=True)
class SeenSamples:
    """What is known of some samples: of the reference, or of a window.

    Attributes:
        numbers: Confidences or values, float32, shape (N,).
        counts: How often each class was named, int64, shape (K,); empty where there are none.
        is_exclusive: Whether every sample has exactly one class.
        embeddings: float32, shape (N, D); None where the network gives none.
        columns: Cells as counts; None where samples are no rows, or came as tensors. They may be
            of more or fewer rows than were answered.
    """

    numbers: np.ndarray
    counts: np.ndarray
    is_exclusive: bool
    embeddings: np.ndarray | None = None
    columns: ColumnCounts | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def named(self) -> str:
        """What ``numbers`` are: the name of their detector."""
        return CONFIDENCE if len(self.counts) else VALUES


def differences(
    reference: SeenSamples,
    window: SeenSamples,
    median: float | None,
    columns: Sequence[ColumnDifference] = (),
) -> dict[str, SampleDifference]:
    """Return what each detector finds.

    Args:
        reference: Held-out samples.
        window: New ones.
        median: Squared distance of the kernel of embeddings; None leaves these out.
        columns: Of ``column_differences``.
    """
    found: dict[str, SampleDifference] = {}
    if median is not None and reference.embeddings is not None and window.embeddings is not None:
        found[EMBEDDINGS] = compare_embeddings(reference.embeddings, window.embeddings, median)
    return found | plain_differences(reference, window, columns)


def plain_differences(
    reference: SeenSamples, window: SeenSamples, columns: Sequence[ColumnDifference] = ()
) -> dict[str, SampleDifference]:
    """Return what each detector finds, embeddings left out; otherwise as ``differences``."""
    found: dict[str, SampleDifference] = {}
    if len(reference.counts) > 1 or (len(reference.counts) and not reference.is_exclusive):
        found[CLASSES] = _of_classes(reference, window)
    found[reference.named] = compare_numbers(reference.numbers, window.numbers)
    if columns:
        p = smallest(columns)
        found[COLUMNS] = SampleDifference(p, surprise(p), max(one.size for one in columns))
    return found


def column_differences(
    bins: ColumnBins | None, reference: SeenSamples, window: SeenSamples
) -> list[ColumnDifference]:
    """Return how each column differs; none where there is nothing to compare."""
    if bins is None or reference.columns is None or window.columns is None:
        return []
    return compare_columns(bins, reference.columns, window.columns)


def _of_classes(reference: SeenSamples, window: SeenSamples) -> SampleDifference:
    """Return how the classes that were named differ."""
    if reference.is_exclusive:
        return compare_counts(reference.counts, window.counts)
    # each label by itself: a sample may have several
    sides = [np.stack([one.counts, len(one) - one.counts], axis=1) for one in (reference, window)]
    p = min(holm(chi_square(*sides).tolist()))
    return SampleDifference(p, surprise(p), float(moved(*sides).max()))
