"""All samples of a data set in one row, wherever they stand: what audits across splits read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.auditing.audit import AuditTools, Spot
from headstart.tasks import array_of
from headstart.types import Dataset, Rows, Samples, SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Pool:
    """Samples of several splits, one after the other.

    Attributes:
        names: The splits.
        splits: int64, shape (N,), which of ``names`` each sample is of.
        places: int64, shape (N,), its index there.
    """

    names: Sequence[SplitName]
    splits: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def spot(self, index: int) -> Spot:
        """Return where a sample stands."""
        return Spot(self.names[int(self.splits[index])], int(self.places[index]))

    def take(self, indices: np.ndarray) -> Pool:
        """Return these samples alone."""
        return Pool(self.names, self.splits[indices], self.places[indices])

    def targets(self, dataset: Dataset) -> Rows:
        """Return their targets, N rows of one length."""
        return self._joined([array_of(dataset.split(name).targets) for name in self.names])

    def features(self, tools: AuditTools) -> np.ndarray:
        """Return their features, float32, shape (N, D)."""
        assert tools.features is not None
        return self._joined([tools.features(name) for name in self.names])

    def samples(self, dataset: Dataset) -> list[Samples]:
        """Return the samples of each of ``names``."""
        return [dataset.split(name).samples for name in self.names]

    def _joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        found = np.empty((len(self), *parts[0].shape[1:]), dtype=parts[0].dtype)
        for number, part in enumerate(parts):
            is_of = self.splits == number
            found[is_of] = part[self.places[is_of]]
        return found


def pooled(dataset: Dataset, names: Sequence[SplitName] = SPLITS) -> Pool:
    """Return every sample of these splits.

    Args:
        dataset: The data.
        names: The splits.
    """
    numbers = [len(dataset.split(name)) for name in names]
    return Pool(
        names,
        np.repeat(np.arange(len(names)), numbers),
        np.concatenate([np.arange(number) for number in numbers]).astype(np.int64),
    )


def with_features(pool: Pool, tools: AuditTools) -> tuple[Pool, np.ndarray]:
    """Return the samples that have features, and those, float32, shape (M, D).

    Args:
        pool: The samples.
        tools: Gives the features.
    """
    features = pool.features(tools)
    is_there = np.isfinite(features).all(axis=1)
    if is_there.all():
        return pool, features
    return pool.take(np.flatnonzero(is_there)), features[is_there]
