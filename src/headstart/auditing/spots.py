"""Samples of all splits one after the other: where a place is, what it is called and labelled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np

from headstart.auditing.audit import Spot
from headstart.tasks import find_task
from headstart.types import Dataset, Ragged, Rows, SplitName

ORDER: tuple[SplitName, ...] = ("train", "val", "test")
MAX_LABELS = 4


class Spots:
    """The N samples of a data set: train, then val, then test.

    Args:
        dataset: The data.

    Attributes:
        names: Of the splits, in order.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.names = ORDER
        self._starts = [0, *accumulate(len(dataset.split(name)) for name in ORDER)]

    def __len__(self) -> int:
        return self._starts[-1]

    def spot(self, place: int) -> Spot:
        """Return the split and the index there of a place."""
        which = 2 if place >= self._starts[2] else 1 if place >= self._starts[1] else 0
        return Spot(ORDER[which], place - self._starts[which])

    def name(self, place: int) -> str:
        """Return what a person calls the sample at a place."""
        return name_of(self._dataset, self.spot(place))

    @property
    def targets(self) -> Rows:
        """Targets of all of them."""
        parts = [self._dataset.split(name).targets for name in ORDER]
        ragged = [part for part in parts if isinstance(part, Ragged)]
        if ragged:
            return Ragged.joined(ragged)
        return np.concatenate([part for part in parts if not isinstance(part, Ragged)])


def name_of(dataset: Dataset, spot: Spot) -> str:
    """Return what a person calls a sample."""
    return dataset.split(spot.split).samples.name(spot.index)


def label_of(dataset: Dataset, spot: Spot) -> str:
    """Return the label of a sample in words: a class, several, or a number."""
    task, classes = find_task(dataset.schema.task), dataset.schema.classes
    target = dataset.split(spot.split).targets[spot.index]
    if not task.has_classes:
        if isinstance(target, str):
            return str(target)
        return f"{float(target):.6g}" if np.ndim(target) == 0 else str(target)
    if np.ndim(target) == 0:
        return classes[int(target)]
    row = np.asarray(target)
    if task.is_exclusive or row.shape != (len(classes),):
        return ", ".join(str(value) for value in row[:MAX_LABELS].tolist())
    held = [classes[i] for i in np.flatnonzero(row).tolist()]
    more = f" and {len(held) - MAX_LABELS} more" if len(held) > MAX_LABELS else ""
    return (", ".join(held[:MAX_LABELS]) or "none of them") + more


def label_words(dataset: Dataset, spots: Spots) -> Callable[[int], str]:
    """Return what tells the label of a place."""
    return lambda place: label_of(dataset, spots.spot(place))
