"""What pairs of nearly the same samples mean: on which sides of the split they stand, how labelled.

Exact copies are counted by ``data.copies``; here each content is a node, whatever its number of
samples, and a sample that is exactly another one's copy across is not told again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.auditing.audit import Audited, Spot, Suspect
from headstart.data.copies import GRAVE_SHARE, SHOWN
from headstart.data.records import NOUNS, SPLIT_NAMES
from headstart.tasks import find_task
from headstart.types import Dataset, Finding, SplitName

ACROSS: tuple[tuple[SplitName, SplitName], ...] = (
    ("test", "train"),
    ("test", "val"),
    ("val", "train"),
)


class Everyone:
    """The samples of all splits in one row: train, val, test.

    Args:
        dataset: The data.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.splits = [dataset.split(name) for name in SPLIT_NAMES]  # type: ignore[arg-type]
        self.starts = np.cumsum([0, *(len(split) for split in self.splits)])
        self.codes = np.repeat(np.arange(3), np.diff(self.starts))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, index: int) -> Any:
        """Return one sample as it was given."""
        code = self.codes[index]
        return self.splits[code].samples.read(int(index - self.starts[code]))

    def name(self, index: int) -> str:
        """Return what a person calls it."""
        code = self.codes[index]
        name: str = self.splits[code].samples.name(int(index - self.starts[code]))
        return name

    def spot(self, index: int) -> Spot:
        """Return where it stands."""
        code = int(self.codes[index])
        return Spot(SPLIT_NAMES[code], int(index - self.starts[code]))  # type: ignore[arg-type]

    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first sample of each content, int64 (M,), and the node of each sample, (N,).

        Nodes are in the order of their first samples. Where nobody has looked at contents, each
        sample is a node.
        """
        if any(split.contents is None for split in self.splits):
            return np.arange(len(self)), np.arange(len(self))
        contents = np.concatenate([np.asarray(split.contents) for split in self.splits])
        _, first, inverse = np.unique(contents, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return first[order], place[inverse.reshape(-1)]

    def targets(self) -> np.ndarray | None:
        """Return one number a sample that tells its label; None where labels are no classes."""
        columns = [split.targets for split in self.splits]
        if any(
            not isinstance(column, np.ndarray) or column.dtype.kind == "f" for column in columns
        ):
            return None
        together: np.ndarray = np.concatenate(columns)  # type: ignore[arg-type]
        if together.ndim == 1:
            return together.astype(np.int64)
        return np.unique(together, axis=0, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class NearPairs:
    """Pairs of nodes that are nearly the same.

    Attributes:
        first: int64, shape (P,).
        second: int64, shape (P,).
        certainty: float, shape (P,), in [0, 1].
        how: What makes the pair of that number alike, as a person reads it.
        means: What ``nearly the same`` means here, e.g. ``resized or cropped``.
        one_label: bool, shape (P,), pairs that two labels contradict; all when None.
    """

    first: np.ndarray
    second: np.ndarray
    certainty: np.ndarray
    how: Callable[[int], str]
    means: str
    one_label: np.ndarray | None = None


def describe_pairs(
    dataset: Dataset, everyone: Everyone, node_of: np.ndarray, pairs: NearPairs
) -> list[Audited]:
    """Return what is found: leaks first, then what stands twice in one split, then two labels.

    Args:
        dataset: The data.
        everyone: Its samples in one row.
        node_of: int64, shape (N,), as ``Everyone.nodes`` gives it.
        pairs: Of nodes, each once.
    """
    if not len(pairs.first):
        return []
    view = _View(dataset, everyone, node_of, pairs)
    found = [view.across(held, other) for held, other in ACROSS]
    found += [view.within(name) for name in SPLIT_NAMES]  # type: ignore[arg-type]
    found.append(view.two_labels())
    return [each for each in found if each is not None]


class _View:
    """Pairs seen from both ends, the most certain first."""

    def __init__(
        self, dataset: Dataset, everyone: Everyone, node_of: np.ndarray, pairs: NearPairs
    ) -> None:
        self.dataset, self.everyone, self.node_of, self.pairs = dataset, everyone, node_of, pairs
        order = np.argsort(-pairs.certainty, kind="stable")
        self.number = np.tile(order, 2)
        self.here = np.concatenate([pairs.first[order], pairs.second[order]])
        self.there = np.concatenate([pairs.second[order], pairs.first[order]])
        self.one, self.several = NOUNS[dataset.schema.modality]
        self.num_nodes = int(node_of.max()) + 1
        self.firsts = {code: self._first_of(everyone.codes == code) for code in range(3)}

    def _first_of(self, chosen: np.ndarray) -> np.ndarray:
        """Return the first of the chosen samples of each node, -1 where there is none."""
        first = np.full(self.num_nodes, -1)
        places = np.flatnonzero(chosen)[::-1]
        first[self.node_of[places]] = places
        return first

    def _partner(self, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return of each node the other end and the number of its most certain fitting pair."""
        other = np.full(self.num_nodes, -1)
        number = np.full(self.num_nodes, -1)
        places = np.flatnonzero(fits)
        places = places[np.argsort(self.pairs.certainty[self.number[places]], kind="stable")]
        other[self.here[places]] = self.there[places]
        number[self.here[places]] = self.number[places]
        return other, number

    def across(self, held: SplitName, other: SplitName) -> Audited | None:
        """Return the samples of a split that are nearly ones of another."""
        code, other_code = SPLIT_NAMES.index(held), SPLIT_NAMES.index(other)
        first = self.firsts[other_code]
        partner, number = self._partner(first[self.there] >= 0)
        samples = np.flatnonzero(self.everyone.codes == code)
        nodes = self.node_of[samples]
        near = (partner[nodes] >= 0) & (first[nodes] < 0)
        if not near.any():
            return None
        samples, nodes = samples[near], nodes[near]
        suspects = self._suspects(samples, first[partner[nodes]], number[nodes])
        total = int((self.everyone.codes == code).sum())
        is_grave = other_code != SPLIT_NAMES.index("val") and held == "test"
        is_grave = is_grave and len(samples) >= GRAVE_SHARE * total
        tells = "its figure flatters" if held == "test" else "what is chosen by it is chosen badly"
        sentence = (
            f"{len(samples):,} of {total:,} {held} {self.several} "
            f"{'is' if len(samples) == 1 else 'are'} nearly the same as {self.one} of {other} "
            f"({self.pairs.means}), such as {self._shown(suspects)}: {tells}. Leave them out of "
            f"{held}, or keep each with its copies on one side of the split."
        )
        items = [self.everyone.name(int(i)) for i in samples[:100]]
        finding = Finding("leak", "error" if is_grave else "warning", items, sentence)
        return Audited(finding, suspects, leave_out=True, together=self._together(number[nodes]))

    def within(self, name: SplitName) -> Audited | None:
        """Return the samples of a split that are nearly an earlier one of it."""
        code = SPLIT_NAMES.index(name)
        first = self.firsts[code]
        fits = (first[self.there] >= 0) & (first[self.here] > first[self.there])
        partner, number = self._partner(fits)
        nodes = np.flatnonzero(partner >= 0)
        if not len(nodes):
            return None
        suspects = self._suspects(first[nodes], first[partner[nodes]], number[nodes])
        total = int((self.everyone.codes == code).sum())
        verb = "is" if len(nodes) == 1 else "are"
        sentence = (
            f"{len(nodes):,} of {total:,} {name} {self.several} {verb} nearly the same as another "
            f"{self.one} of {name} ({self.pairs.means}), such as {self._shown(suspects)}: "
            "they count more than once."
        )
        items = [self.everyone.name(int(i)) for i in first[nodes][:100]]
        finding = Finding("near copies", "note", items, sentence)
        return Audited(finding, suspects, together=self._together(number[nodes]))

    def two_labels(self) -> Audited | None:
        """Return pairs of which the two are labelled otherwise; of numbers nothing is said."""
        targets = self.everyone.targets()
        if targets is None:
            return None
        sample = self._first_of(np.ones(len(self.everyone), bool))
        one, two = sample[self.pairs.first], sample[self.pairs.second]
        is_odd = targets[one] != targets[two]
        if self.pairs.one_label is not None:
            is_odd &= self.pairs.one_label
        odd = np.flatnonzero(is_odd)
        if not len(odd):
            return None
        odd = odd[np.argsort(-self.pairs.certainty[odd], kind="stable")]
        later, before = np.maximum(one[odd], two[odd]), np.minimum(one[odd], two[odd])
        suspects = self._suspects(later, before, odd, labels=targets)
        sentence = (
            f"{len(odd):,} {'pair' if len(odd) == 1 else 'pairs'} of nearly the same "
            f"{self.several} ({self.pairs.means}) bear two labels, such as "
            f"{self._shown(suspects)}. Look at them: one label is wrong, or nobody can tell."
        )
        items = [self.everyone.name(int(i)) for i in later[:100]]
        return Audited(Finding("contradiction", "warning", items, sentence), suspects)

    def _suspects(
        self,
        samples: np.ndarray,
        beside: np.ndarray,
        numbers: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> list[Suspect]:
        found = []
        for a, b, k in zip(samples.tolist(), beside.tolist(), numbers.tolist(), strict=True):
            reason = self.pairs.how(k)
            if labels is not None and find_task(self.dataset.schema.task).is_exclusive:
                one, two = (self.dataset.schema.classes[int(labels[i])] for i in (a, b))
                reason = f"'{one}' here and '{two}' there; {reason}"
            certainty = float(self.pairs.certainty[k])
            found.append(Suspect(self.everyone.spot(a), reason, certainty, self.everyone.spot(b)))
        return sorted(found, key=lambda suspect: -suspect.certainty)

    def _shown(self, suspects: Sequence[Suspect]) -> str:
        def name(spot: Spot | None) -> str:
            return "" if spot is None else self.dataset.split(spot.split).samples.name(spot.index)

        return ", ".join(f"{name(s.spot)} and {name(s.beside)}" for s in suspects[:SHOWN])

    def _together(self, numbers: np.ndarray) -> list[tuple[Spot, ...]]:
        """Return groups of samples that these pairs, and copies, join."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ends = self.pairs.first[numbers], self.pairs.second[numbers]
        edges = (np.ones(len(numbers), np.int8), ends)
        graph = coo_array(edges, shape=(self.num_nodes, self.num_nodes))
        group_of = connected_components(graph, directed=False)[1]
        touched = np.zeros(self.num_nodes, bool)
        touched[np.concatenate(ends)] = True
        samples = np.flatnonzero(touched[self.node_of])
        groups = group_of[self.node_of[samples]]
        order = np.argsort(groups, kind="stable")
        bounds = np.flatnonzero(np.diff(groups[order])) + 1
        return [
            tuple(self.everyone.spot(int(i)) for i in part)
            for part in np.split(samples[order], bounds)
        ]
