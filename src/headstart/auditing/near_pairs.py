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
from headstart.auditing.spots import ORDER, Spots, label_words
from headstart.data.copies import GRAVE_SHARE, SHOWN
from headstart.data.records import NOUNS
from headstart.types import Dataset, Finding, SplitName

STRONG = 0.97  # certainty from which one is enough
ACROSS: tuple[tuple[SplitName, SplitName], ...] = (
    ("test", "train"),
    ("test", "val"),
    ("val", "train"),
)


class Everyone(Spots):
    """The samples of all splits in one row, to be read: train, val, test.

    Args:
        dataset: The data.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self.splits = [dataset.split(name) for name in self.names]
        self.codes = np.repeat(np.arange(len(self.names)), [len(split) for split in self.splits])

    def read(self, place: int) -> Any:
        """Return one sample as it was given."""
        spot = self.spot(place)
        return self.splits[int(self.codes[place])].samples.read(spot.index)

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

    @property
    def groups(self) -> np.ndarray | None:
        """Groups that the user has told, int64, shape (N,); None where none were."""
        told = [split.groups for split in self.splits if split.groups is not None]
        return np.concatenate(told) if len(told) == len(self.splits) else None

    def label_codes(self) -> np.ndarray | None:
        """Return one number a sample that tells its label; None where labels are no classes."""
        targets = self.targets
        if not isinstance(targets, np.ndarray) or targets.dtype.kind in "fO":
            return None
        if targets.ndim == 1:
            return targets.astype(np.int64)
        return np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)


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
    found: list[Audited] = []
    for held, other in ACROSS:
        if (across := view.across(held, other, is_first=not found)) is not None:
            found.append(across)
    rest = [view.within(), view.two_labels()]
    return found + [each for each in rest if each is not None]


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

    def across(self, held: SplitName, other: SplitName, *, is_first: bool) -> Audited | None:
        """Return the samples of a split that are nearly ones of another; the first says more."""
        code, other_code = ORDER.index(held), ORDER.index(other)
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
        is_drawn = held in self.dataset.drawn_splits and other in self.dataset.drawn_splits
        is_grave = len(samples) >= GRAVE_SHARE * total
        if not is_drawn:  # of a split that somebody made, a gate lets no certain one pass
            is_grave |= bool((self.pairs.certainty[number[nodes]] >= STRONG).any())
        is_grave &= (held, other) == ("test", "train")
        tells = "its figure flatters" if held == "test" else "what is chosen by it is chosen badly"
        remedy = ""
        if is_first:
            remedy = (
                f" Leave these out of {other} (headstart check --fix lists them), or keep each "
                "with its copies on one side."
            )
        sentence = (
            f"{len(samples):,} of {total:,} {held} {self.several} "
            f"{'is' if len(samples) == 1 else 'are'} nearly the same as one of {other}"
            f"{f' ({self.pairs.means})' if is_first else ''}, such as {self._shown(suspects)}: "
            f"{tells}.{remedy}"
        )
        items = [self.everyone.name(int(i)) for i in samples[:100]]
        finding = Finding("leak", "error" if is_grave else "warning", items, sentence)
        return Audited(finding, suspects, leave_out=True, together=self._together(number[nodes]))

    def within(self) -> Audited | None:
        """Return the samples that are nearly an earlier one of their own split."""
        parts = [self._again(name) for name in ORDER]
        numbers = np.concatenate([number for _, _, number in parts])
        if not len(numbers):
            return None
        samples = np.concatenate([sample for sample, _, _ in parts])
        suspects = self._suspects(samples, np.concatenate([one for _, one, _ in parts]), numbers)
        counts = [
            f"{len(sample):,} of {int((self.everyone.codes == code).sum()):,} {name}"
            for code, (name, (sample, _, _)) in enumerate(zip(ORDER, parts, strict=True))
            if len(sample)
        ]
        verb = f"{self.one} is" if len(numbers) == 1 else f"{self.several} are"
        sentence = (
            f"{', '.join(counts)} {verb} nearly the same as another {self.one} of the same split "
            f"({self.pairs.means}), such as {self._shown(suspects)}: "
            f"they count more than once"
            f"{'' if self.everyone.groups is None else ', since their groups differ'}."
        )
        items = [self.everyone.name(int(i)) for i in samples[:100]]
        finding = Finding("near copies", "note", items, sentence)
        return Audited(finding, suspects, together=self._together(numbers))

    def _again(self, name: SplitName) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return samples of a split that are nearly an earlier one, that one, and their pairs."""
        first = self.firsts[ORDER.index(name)]
        fits = (first[self.there] >= 0) & (first[self.here] > first[self.there])
        groups = self.everyone.groups
        if groups is not None:  # what is of one group counts once anyway
            fits &= groups[first[self.here]] != groups[first[self.there]]
        partner, number = self._partner(fits)
        nodes = np.flatnonzero(partner >= 0)
        return first[nodes], first[partner[nodes]], number[nodes]

    def two_labels(self) -> Audited | None:
        """Return pairs of which the two are labelled otherwise; of numbers nothing is said."""
        targets = self.everyone.label_codes()
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
        suspects = self._suspects(later, before, odd, by_label=True)
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
        *,
        by_label: bool = False,
    ) -> list[Suspect]:
        found, label = [], label_words(self.dataset, self.everyone)
        for a, b, k in zip(samples.tolist(), beside.tolist(), numbers.tolist(), strict=True):
            reason = self.pairs.how(k)
            if by_label:
                reason = f"{reason}, here '{label(a)}' and there '{label(b)}'"
            certainty = float(self.pairs.certainty[k])
            found.append(Suspect(self.everyone.spot(a), reason, certainty, self.everyone.spot(b)))
        return sorted(found, key=lambda suspect: -suspect.certainty)

    def _shown(self, suspects: Sequence[Suspect]) -> str:
        def name(spot: Spot | None) -> str:
            return "" if spot is None else self.dataset.split(spot.split).samples.name(spot.index)

        shown = ", ".join(f"{name(s.spot)} and {name(s.beside)}" for s in suspects[:SHOWN])
        more = len(suspects) - SHOWN
        return shown if more <= 0 else f"{shown} ({more:,} more in the JSON)"

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
