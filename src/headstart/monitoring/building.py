"""The reference of a bundle: held-out samples, answered by the bundle itself, and its limits.

A limit is what 99 of 100 windows without drift stay below: the held-out samples are divided into a
reference and a window again and again (whole groups, where samples belong together), and every
detector is asked. So what is natural in the data at hand does not count as drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.bundles import Bundle
from headstart.monitoring.answers import KeptAnswers, answers_of, joined_answers
from headstart.monitoring.columns import ColumnBins, column_bins
from headstart.monitoring.detectors import (
    EMBEDDINGS,
    SeenSamples,
    column_differences,
    plain_differences,
)
from headstart.monitoring.embeddings import embedded
from headstart.monitoring.estimates import confidence_bins, right_of_bins
from headstart.monitoring.kernels import MOST, discrepancy, kernel_of, median_distance
from headstart.monitoring.reference import DriftReference
from headstart.monitoring.windows import WINDOW
from headstart.preprocessing import Cells
from headstart.types import Inputs

LEAST = 100  # held-out samples: of fewer nobody knows what is natural
MOST_HELD_OUT = 1000
_DRAWS = 200
_QUANTILE = 0.99
_AT_ONCE = 32


@dataclass(frozen=True)
class HeldOut:
    """Samples that the model has not learned from.

    Attributes:
        parts: Of one or two splits, each as each member takes it, with the targets; N samples
            together.
        groups: Whole numbers, the same for samples that belong together, shape (N,); None where
            each stands alone.
        origin: Which they are, in words.
    """

    parts: Sequence[Sequence[Inputs]]
    groups: np.ndarray | None
    origin: str

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self.parts)


def build_reference(bundle: Bundle, held_out: HeldOut, seed: int = 0) -> DriftReference | None:
    """Return what new samples of a bundle are compared with.

    Args:
        bundle: Opened.
        held_out: Of its own data.
        seed: Of the draws.

    Returns:
        None where there are fewer than ``LEAST`` samples.
    """
    num = len(held_out)
    if num < LEAST:
        return None
    answers, embeddings = answered(bundle, held_out.parts)
    cells = [part[0] for part in held_out.parts if isinstance(part[0], Cells)]
    bins = column_bins(bundle.preprocess, cells) if cells else None
    places = None if bins is None else np.concatenate([bins.bins(one) for one in cells])
    rows = AnsweredRows(answers, bundle.task.is_exclusive, embeddings, bins, places)
    median = None if embeddings is None else median_distance(embeddings)
    found = DriftReference(
        rows.seen(np.arange(num)),
        held_out.origin,
        _limits(rows, held_out.groups, median, np.random.default_rng(seed)),
        median,
        bins,
    )
    if answers.flags is None or not bundle.task.is_exclusive:
        return found
    targets = np.concatenate([np.asarray(part[0].targets) for part in held_out.parts])
    if targets.ndim > 1:  # shares of classes
        targets = targets.argmax(axis=1)
    return _with_truth(found, answers, targets, len(bundle.schema.classes))


def answered(
    bundle: Bundle, parts: Sequence[Sequence[Inputs]]
) -> tuple[KeptAnswers, np.ndarray | None]:
    """Return answers and embeddings of samples, as a server would get them."""
    answers: list[KeptAnswers] = []
    points: list[np.ndarray | None] = []
    for part in parts:
        num = len(part[0])
        for start in range(0, num, _AT_ONCE):
            arrays = bundle.arrays(part, np.arange(start, min(num, start + _AT_ONCE)))
            features: list[np.ndarray] = []
            outputs = bundle.outputs(bundle.logits(arrays, features))
            answers.append(answers_of(bundle.task, outputs))
            if _is_row(arrays[0], features):  # nobody's row shall lie in a bundle
                points.append(None)
                continue
            points.append(embedded(bundle, arrays[0], features[0] if features else None))
    whole = [one for one in points if one is not None]
    embeddings = np.concatenate(whole) if len(whole) == len(points) else None
    return joined_answers(answers), embeddings


def _is_row(arrays: Mapping[str, np.ndarray], features: Sequence[np.ndarray]) -> bool:
    """Return whether features are the cells of a row as they are, as a linear start has them."""
    numbers = arrays.get("numbers")
    if numbers is None or not features:
        return False
    wide = numbers.shape[1]
    rest = features[0][:, wide:]
    return np.array_equal(features[0][:, :wide], numbers) and bool(np.isin(rest, (0, 1)).all())


@dataclass(frozen=True)
class AnsweredRows:
    """Samples one by one, to be divided into windows.

    Attributes:
        answers: Of N samples.
        is_exclusive: Whether each has exactly one class.
        embeddings: float32, shape (N, D), or None.
        bins: Where their cells are counted, or None.
        places: The bin of each cell, int64, shape (N, C), or None.
    """

    answers: KeptAnswers
    is_exclusive: bool
    embeddings: np.ndarray | None
    bins: ColumnBins | None = None
    places: np.ndarray | None = None

    def seen(self, chosen: np.ndarray) -> SeenSamples:
        """Return what is known of some of them."""
        flags = self.answers.flags
        own = KeptAnswers(self.answers.numbers[chosen], None if flags is None else flags[chosen])
        columns = None
        if self.bins is not None and self.places is not None:
            columns = self.bins.summed(self.places[chosen])
        points = None if self.embeddings is None else self.embeddings[chosen]
        return SeenSamples(own.numbers, own.counts, self.is_exclusive, points, columns)


def _limits(
    rows: AnsweredRows, groups: np.ndarray | None, median: float | None, draw: np.random.Generator
) -> dict[str, float]:
    """Return the score of each detector that windows without drift stay below."""
    num = len(rows.answers.numbers)
    scores: dict[str, list[float]] = {}
    for is_window in _divisions(num, groups, draw):
        reference, window = (rows.seen(np.flatnonzero(side)) for side in (~is_window, is_window))
        columns = column_differences(rows.bins, reference, window)
        for name, found in plain_differences(reference, window, columns).items():
            scores.setdefault(name, []).append(found.score)
    if rows.embeddings is not None and median is not None:
        order = draw.permutation(num)[: 2 * MOST] if groups is None else np.arange(num)
        kernel = kernel_of(rows.embeddings[order], median)
        own = None if groups is None else groups[order]
        scores[EMBEDDINGS] = [
            float(discrepancy(kernel, one.astype(np.float32)[:, None])[0])
            for one in _divisions(len(order), own, draw)
        ]
    return {
        name: float(np.quantile(found, _QUANTILE, method="higher"))
        for name, found in scores.items()
    }


def _divisions(num: int, groups: np.ndarray | None, draw: np.random.Generator) -> list[np.ndarray]:
    """Return which of some samples are the window, bool, shape (N,), a draw each."""
    size = min(WINDOW, num // 2)
    places = sizes = np.empty(0, np.int64)
    if groups is not None:
        _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    found = []
    for _ in range(_DRAWS):
        is_window = np.zeros(num, bool)
        if groups is None:
            is_window[draw.permutation(num)[:size]] = True
        else:
            order = draw.permutation(len(sizes))
            many = int(np.searchsorted(sizes[order].cumsum(), size, side="right"))
            is_window = np.isin(places, order[: max(1, many)])
        if 1 < np.count_nonzero(is_window) < num - 1:
            found.append(is_window)
    return found


def _with_truth(
    reference: DriftReference, answers: KeptAnswers, targets: np.ndarray, num_classes: int
) -> DriftReference:
    """Return a reference that also says how often its answers are right."""
    assert answers.flags is not None
    told = answers.flags.argmax(axis=1)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (targets, told), 1)
    edges = confidence_bins(answers.numbers)
    return DriftReference(
        reference.seen,
        reference.origin,
        reference.limits,
        reference.median,
        reference.bins,
        confusion,
        edges,
        right_of_bins(edges, answers.numbers, told == targets),
    )
