"""Which samples are the same, whether that is chance, and on which sides of the split they stand.

Rows of few categories are alike without being copies: two customers of one sex, plan and town.
How often that happens by chance is estimated, and only what happens much more often are copies:

- of a table as a whole: each column in turn is left out; of the pairs of rows that then agree, the
  share that chance would make agree on that column too. Copies agree on everything or on little;
  chance leaves many pairs that differ in one column. Beside it stands the number of pairs that
  independent columns would give;
- of a text alone: the number of times that its words, drawn one by one, would make it;
- two images of the same bytes are never chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.identity import Identity, column_identity, fold, has_equal, ordinals
from headstart.data.records import NOUNS, SPLIT_CODES, UNASSIGNED, Records
from headstart.preprocessing.rows import TableSamples, TextSamples
from headstart.tasks import array_of
from headstart.types import Finding, Samples

MAX_PAIRED_ROWS = 200_000  # of which pairs are counted
MUCH_MORE = 5  # times what chance gives: then rows are copies
LIKELY_AGAIN = 0.2  # expected number of times that chance makes a text
MAX_WORDS = 8  # a text of more is not made by chance
GRAVE_SHARE = 0.01  # of a split that train holds too: its figure does not mean what it says
SHOWN = 3
TRAIN, VAL, TEST = SPLIT_CODES["train"], SPLIT_CODES["val"], SPLIT_CODES["test"]


@dataclass(frozen=True)
class Copies:
    """What is the same among N samples.

    Attributes:
        contents: uint64, shape (N,).
        groups: int64, shape (N,), the same for copies; all different where likeness is chance.
        by_chance: Whether rows of this table are alike by chance.
        columns: Of a table, those that were compared.
    """

    contents: np.ndarray
    groups: np.ndarray
    by_chance: bool = False
    columns: Sequence[str] = ()

    @property
    def is_copy(self) -> np.ndarray:
        """bool, shape (N,), whether the same sample stands before."""
        return ordinals(self.groups) > 0 if self.any else np.zeros(len(self.groups), bool)

    @property
    def any(self) -> bool:
        """Whether two samples are copies."""
        return len(self.groups) > 0 and int(self.groups.max()) + 1 < len(self.groups)


def find_copies(samples: Samples, identity: Identity, columns: Sequence[str] = ()) -> Copies:
    """Return which samples are copies of one another.

    Args:
        samples: The samples, N of them.
        identity: Of all of them; of a table by these columns.
        columns: Of a table: all but those that number the rows.
    """
    contents = identity.content
    own = np.arange(len(contents))
    if not has_equal(contents):
        return Copies(contents, own, columns=columns)
    _, groups = np.unique(contents, return_inverse=True)
    groups = groups.reshape(-1)
    if isinstance(samples, TableSamples):
        table, sampled = _fewer(samples.table, contents)
        pairs = num_pairs(sampled)
        expected = likeness(table, sampled, columns) * len(sampled) * (len(sampled) - 1) / 2
        if 0 < pairs <= MUCH_MORE * expected:
            return Copies(contents, own, by_chance=True, columns=columns)
    elif isinstance(samples, TextSamples):
        repeated = np.flatnonzero(np.bincount(groups)[groups] > 1)
        chance = repeated[texts_by_chance(samples.texts, repeated)]
        groups = groups.copy()
        groups[chance] = len(groups) + chance
        _, groups = np.unique(groups, return_inverse=True)
    return Copies(contents, groups.reshape(-1), columns=columns)


def likeness(table: Any, contents: np.ndarray, columns: Sequence[str]) -> float:
    """Return the estimated chance that two rows agree in everything and are no copies.

    Args:
        table: The rows, in canonical form.
        contents: uint64, shape (N,), of these columns.
        columns: Names.
    """
    table, contents = _fewer(table, contents)
    terms = (column_identity(table.column(name), name).content for name in columns)
    return chance_of_likeness(terms, contents)


def chance_of_likeness(
    terms: Iterable[np.ndarray], contents: np.ndarray, *, by_each: bool = True
) -> float:
    """Return the estimated chance that two rows agree in everything and are no copies.

    Args:
        terms: Of each column what it adds to the rows' numbers, uint64 (N,).
        contents: Their sum.
        by_each: Whether each column in turn is left out; otherwise columns count as independent.
    """
    all_pairs = len(contents) * (len(contents) - 1) / 2
    if not all_pairs:
        return 0.0
    pairs = num_pairs(contents)
    expected, independent = 0.0, 1.0
    told = set[bytes]()
    for term in terms:
        agreeing = num_pairs(term) / all_pairs
        if by_each and agreeing < 1:
            almost = num_pairs(contents - term) - pairs  # they differ in this column alone
            expected = max(expected, almost * agreeing / (1 - agreeing) / all_pairs)
        _, first, codes = np.unique(term, return_index=True, return_inverse=True)
        pattern = first[codes.reshape(-1)].tobytes()
        if pattern not in told:  # a town and its post code say the same
            independent *= agreeing
            told.add(pattern)
    return max(expected, independent)


def _fewer(table: Any, contents: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return as many rows as pairs are counted of."""
    if len(contents) <= MAX_PAIRED_ROWS:
        return table, contents
    places = np.linspace(0, len(contents) - 1, MAX_PAIRED_ROWS).astype(np.int64)
    return table.take(places), contents[places]


def num_pairs(numbers: np.ndarray) -> float:
    """Return how many pairs of equal numbers there are."""
    counts = np.unique(numbers, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)


def texts_by_chance(texts: Sequence[str], places: np.ndarray) -> np.ndarray:
    """Return whether chance makes each of some texts again, in as many as there are.

    Args:
        texts: All of them: they say how usual a word is.
        places: int64, shape (M,), which ones are asked about.

    Returns:
        bool, shape (M,).
    """
    import pyarrow as pa

    step = max(1, len(texts) // MAX_PAIRED_ROWS)
    counts: dict[str, int] = {}
    for text in texts[::step]:
        for word in text.lower().split():
            counts[word] = counts.get(word, 0) + 1
    total = max(1, sum(counts.values()))
    asked = fold(pa.array([texts[i] for i in places.tolist()], pa.large_string())).to_pylist()
    again = np.zeros(len(places), bool)
    for i, text in enumerate(asked):
        words = text.split(None, MAX_WORDS)
        if len(words) <= MAX_WORDS:
            shares = [counts.get(word, 0) / total for word in words]
            again[i] = len(texts) * float(np.prod(shares)) >= LIKELY_AGAIN
    return again


def joined_groups(copies: Copies, groups: Sequence[str] | None) -> np.ndarray | None:
    """Return the groups that have to stay on one side: those of the user, joined by copies.

    Returns:
        int64, shape (N,); None where no group has two samples.
    """
    if groups is None:
        return copies.groups if copies.any else None
    _, told = np.unique(np.asarray(groups), return_inverse=True)
    told = told.reshape(-1)
    if not copies.any:
        return told
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num_told = int(told.max()) + 1
    total = num_told + int(copies.groups.max()) + 1
    edges = (np.ones(len(told), np.int8), (told, num_told + copies.groups))
    _, found = connected_components(coo_array(edges, shape=(total, total)), directed=False)
    return np.asarray(found[told], np.int64)


def describe_copies(records: Records, copies: Copies, splits: np.ndarray) -> list[Finding]:
    """Return what a user should know of the same samples.

    Args:
        records: The samples.
        copies: What is the same among them.
        splits: int8, shape (N,), the final ones.
    """
    one, several = NOUNS[records.modality]
    number = len(copies.groups)
    if copies.by_chance:
        alike = int((ordinals(copies.contents) > 0).sum())
        sentence = (
            f"{alike:,} of {number:,} rows are alike in every column, about as many as chance "
            "makes of so few different cells: they count as rows of their own."
        )
        return [Finding("copies", "note", (), sentence)]
    if not copies.any:
        return []
    nth = ordinals(copies.groups)
    num_copies = int((nth > 0).sum())
    findings = _across(records, copies, splits)
    first = _firsts(copies.groups)
    places = np.flatnonzero(nth > 0)
    name = records.samples.name
    shown = f"{name(int(places[0]))} of {name(int(first[places[0]]))}"
    same = {"image": "the same bytes", "text": "the same text but for case and blanks"}
    how = same.get(records.modality, "the same in every column but those that number the rows")
    verb = "is a copy" if num_copies == 1 else "are copies"
    kept = "A split that is drawn keeps them on one side." if not findings else ""
    sentence = (
        f"{num_copies:,} of {number:,} {several} {verb} of another {one} ({how}), such as "
        f"{shown}. {kept}"
    ).rstrip()
    items = [name(int(place)) for place in places[:100]]
    findings.append(Finding("copies", "note", items, sentence))
    return findings + _two_targets(records, copies)


def _firsts(groups: np.ndarray) -> np.ndarray:
    """Return of each sample the place of the first of its group."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)], np.int64)


def _across(records: Records, copies: Copies, splits: np.ndarray) -> list[Finding]:
    """Return a leak for each two splits that share samples."""
    several = NOUNS[records.modality][1]
    findings = []
    for held, other, codes in (
        ("test", "train", (TEST, TRAIN)),
        ("test", "val", (TEST, VAL)),
        ("val", "train", (VAL, TRAIN)),
    ):
        there = np.flatnonzero(splits == codes[1])
        here = np.flatnonzero(splits == codes[0])
        found = here[np.isin(copies.groups[here], copies.groups[there])]
        if not len(found):
            continue
        place_of = dict(zip(copies.groups[there][::-1].tolist(), there[::-1].tolist(), strict=True))
        name = records.samples.name
        pairs = [(int(i), place_of[int(copies.groups[i])]) for i in found[:SHOWN]]
        shown = ", ".join(f"{name(a)} = {name(b)}" for a, b in pairs)
        is_grave = codes != (VAL, TRAIN) and len(found) >= GRAVE_SHARE * len(here)
        tells = "its figure flatters" if held == "test" else "what is chosen by it is chosen badly"
        remedy = (
            f"Remove them from {held}, or put all {several} together without marks of a split: one "
            "that is drawn keeps copies on one side."
        )
        if (records.splits == UNASSIGNED).all():
            remedy = f"Their class has too few different {several} for every side. Add others."
        sentence = (
            f"{len(found):,} of {len(here):,} {held} {several} are also in {other} ({shown}): "
            f"{tells}. {remedy}"
        )
        items = [name(int(i)) for i in found[:100]]
        findings.append(Finding("leak", "error" if is_grave else "warning", items, sentence))
    return findings


def _two_targets(records: Records, copies: Copies) -> list[Finding]:
    """Return how many of the same samples bear different labels; of numbers nothing is said."""
    if not records.asks.has_classes:
        return []
    targets = records.asks.strata(records.targets) if records.asks.is_exclusive else None
    if targets is None:
        rows = array_of(records.targets)
        if rows.ndim != 2:
            return []
        _, targets = np.unique(rows, axis=0, return_inverse=True)
        targets = targets.reshape(-1)
    first = _firsts(copies.groups)
    odd = np.flatnonzero(targets != targets[first])
    if not len(odd):
        return []
    one, several = NOUNS[records.modality]
    name, place = records.samples.name, int(odd[0])
    told = more = ""
    if records.asks.is_exclusive:
        a, b = (records.classes[int(targets[i])] for i in (first[place], place))
        told = f": '{a}' and '{b}'"
        more = "; where several labels apply to one, give a table with a list of labels for each"
    number = len(np.unique(copies.groups[odd]))
    sentence = (
        f"The same {one} stands under several labels, {number:,} times, such as "
        f"{name(int(first[place]))} and {name(place)}{told}. No model can tell all right: correct "
        f"the labels, or leave out the {several} that are wrong{more}."
    )
    return [Finding("contradiction", "warning", [name(int(i)) for i in odd[:100]], sentence)]


def contents_record(contents: Mapping[str, np.ndarray | None]) -> dict[str, str] | None:
    """Return what ``data.json`` keeps of the contents of each split; None where none are known."""
    import base64

    if any(array is None for array in contents.values()):
        return None
    return {
        name: base64.b64encode(np.sort(np.asarray(array)).astype("<u8").tobytes()).decode("ascii")
        for name, array in contents.items()
    }
