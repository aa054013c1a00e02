"""Which samples are the same, and on which sides of the split they stand.

What is alike by chance (``chance``) is no copy; two images of the same bytes are never chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.columnar import give_memory_back
from headstart.data.chance import MUCH_MORE, fewer_rows, likeness, num_pairs, without_chance
from headstart.data.identity import Identity, has_equal, ordinals
from headstart.data.paired_texts import describe_pairs, turned_groups
from headstart.data.records import NOUNS, SPLIT_CODES, UNASSIGNED, Records
from headstart.preprocessing.rows import TableSamples, TextSamples
from headstart.tasks import Task, array_of
from headstart.types import MODALITIES, Finding, Modality, Ragged, Rows, Samples, SplitName

GRAVE_SHARE = 0.01  # of a split that train holds too: its figure does not mean what it says
SHOWN = 3


@dataclass(frozen=True)
class Copies:
    """What is the same among N samples.

    Attributes:
        contents: uint64, shape (N,).
        groups: int64, shape (N,), the same for copies; all different where likeness is chance.
        by_chance: Whether rows of this table are alike by chance.
        columns: Of a table, those that were compared.
        turned: Of pairs of texts, int64, shape (N,), the same for pairs that are the same in either
            order; None where no pair stands there turned.
    """

    contents: np.ndarray
    groups: np.ndarray
    by_chance: bool = False
    columns: Sequence[str] = ()
    turned: np.ndarray | None = None

    @property
    def together(self) -> np.ndarray:
        """int64, shape (N,), the same for what a split that is drawn keeps on one side."""
        return self.groups if self.turned is None else connected(self.groups, self.turned)

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
    give_memory_back(len(contents))  # what the contents were found with
    own = np.arange(len(contents))
    turned = turned_groups(samples.texts, contents) if isinstance(samples, TextSamples) else None
    if not has_equal(contents):
        return Copies(contents, own, columns=columns, turned=turned)
    _, groups = np.unique(contents, return_inverse=True)
    groups = groups.reshape(-1)
    if isinstance(samples, TableSamples):
        table, sampled = fewer_rows(samples.table, contents)
        pairs = num_pairs(sampled)
        expected = likeness(table, sampled, columns) * len(sampled) * (len(sampled) - 1) / 2
        if 0 < pairs <= MUCH_MORE * expected:
            return Copies(contents, own, by_chance=True, columns=columns)
    elif isinstance(samples, TextSamples):
        groups = without_chance(samples.texts, groups)
    return Copies(contents, groups, columns=columns, turned=turned)


def joined_groups(copies: Copies, groups: Sequence[str] | None) -> np.ndarray | None:
    """Return the groups that have to stay on one side: those of the user, joined by copies.

    Returns:
        int64, shape (N,); None where no group has two samples.
    """
    is_torn = copies.any or copies.turned is not None
    if groups is None:
        return copies.together if is_torn else None
    _, told = np.unique(np.asarray(groups), return_inverse=True)
    told = told.reshape(-1)
    return connected(told, copies.together) if is_torn else told


def connected(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return which of N samples hang together where those of one number do, in either of two.

    Args:
        first: int64, shape (N,), none negative.
        second: The same.

    Returns:
        int64, shape (N,).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num_first = int(first.max(initial=-1)) + 1
    total = num_first + int(second.max(initial=-1)) + 1
    edges = (np.ones(len(first), np.int8), (first, num_first + second))
    _, found = connected_components(coo_array(edges, shape=(total, total)), directed=False)
    return np.asarray(found[first], np.int64)


@dataclass(frozen=True)
class Compared:
    """N samples among which some are the same, as it is told of them.

    Attributes:
        modality: What they are.
        name: Of the sample at a place.
        groups: int64, shape (N,), the same for copies.
        splits: int8, shape (N,), the final ones.
        targets: Of all of them.
        asks: The task.
        classes: Their names.
        is_drawn: Whether the data brings no split of its own.
    """

    modality: Modality
    name: Callable[[int], str]
    groups: np.ndarray
    splits: np.ndarray
    targets: Rows
    asks: Task
    classes: Sequence[str]
    is_drawn: bool


@dataclass(frozen=True)
class Shared:
    """What one side holds that another holds too.

    Attributes:
        held: The side that should be new.
        other: The side that holds the same.
        places: int64, shape (M,), of the samples of the first.
        twins: int64, shape (M,), of the first same sample of the second.
        total: How many samples the first side has.
    """

    held: SplitName
    other: SplitName
    places: np.ndarray
    twins: np.ndarray
    total: int


def describe_copies(records: Records, copies: Copies, splits: np.ndarray) -> list[Finding]:
    """Return what a user should know of the same samples.

    Args:
        records: The samples.
        copies: What is the same among them.
        splits: int8, shape (N,), the final ones.
    """
    number = len(copies.groups)
    if copies.by_chance:
        alike = int((ordinals(copies.contents) > 0).sum())
        sentence = (
            f"{alike:,} of {number:,} rows are alike in every column, about as many as chance "
            "makes of so few different cells: they count as rows of their own."
        )
        return [Finding("copies", "note", (), sentence)]
    of_pairs = describe_pairs(records, splits, copies.turned)
    if not copies.any:
        return of_pairs
    compared = Compared(
        records.modality,
        records.samples.name,
        copies.groups,
        splits,
        records.targets,
        records.asks,
        records.classes,
        is_drawn=bool((records.splits == UNASSIGNED).all()),
    )
    across = shared(compared)
    findings = [tell_shared(compared, found, is_first=found is across[0]) for found in across]
    findings.append(tell_copies(compared, has_leak=bool(across)))
    odd = tell_contradictions(compared)
    return [*findings, *([] if odd is None else [odd]), *of_pairs]


def tell_copies(compared: Compared, *, has_leak: bool) -> Finding:
    """Return how many samples are copies of another, of which there are some.

    Args:
        compared: The samples.
        has_leak: Whether copies stand on two sides.
    """
    one, several = NOUNS[compared.modality]
    nth, name = ordinals(compared.groups), compared.name
    places, first = np.flatnonzero(nth > 0), firsts(compared.groups)
    shown = f"{name(int(places[0]))} of {name(int(first[places[0]]))}"
    how = MODALITIES[compared.modality].copied
    verb = "is a copy" if len(places) == 1 else "are copies"
    kept = "" if has_leak else "A split that is drawn keeps them on one side."
    sentence = (
        f"{len(places):,} of {len(nth):,} {several} {verb} of another {one} ({how}), such as "
        f"{shown}. {kept}"
    ).rstrip()
    items = [name(int(place)) for place in places[:100]]
    return Finding("copies", "note", items, sentence)


def firsts(groups: np.ndarray) -> np.ndarray:
    """Return of each sample the place of the first of its group: int64, shape (N,)."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)], np.int64)


def shared(compared: Compared) -> list[Shared]:
    """Return what two sides both hold: test and train first, then test and val, val and train."""
    found = []
    sides: tuple[tuple[SplitName, SplitName], ...]
    sides = (("test", "train"), ("test", "val"), ("val", "train"))
    for held, other in sides:
        there = np.flatnonzero(compared.splits == SPLIT_CODES[other])
        here = np.flatnonzero(compared.splits == SPLIT_CODES[held])
        groups, first = np.unique(compared.groups[there], return_index=True)
        places = here[np.isin(compared.groups[here], groups)]
        if len(places):
            twins = there[first[np.searchsorted(groups, compared.groups[places])]]
            found.append(Shared(held, other, places, twins, len(here)))
    return found


def tell_shared(compared: Compared, found: Shared, *, is_first: bool) -> Finding:
    """Return what a user should know of samples that two sides hold; the first says what to do."""
    several, name = NOUNS[compared.modality][1], compared.name
    held, other, number = found.held, found.other, len(found.places)
    pairs = zip(found.places[:SHOWN].tolist(), found.twins[:SHOWN].tolist(), strict=True)
    shown = ", ".join(f"{name(a)} = {name(b)}" for a, b in pairs)
    is_grave = held == "test" and number >= GRAVE_SHARE * found.total
    tells = "its figure flatters" if held == "test" else "what is chosen by it is chosen badly"
    remedy = (
        f"Leave them out of {other} (headstart check --fix lists them), or put all {several} "
        "together without marks of a split: one that is drawn keeps copies on one side."
    )
    if not is_first:  # the first has said it
        remedy = ""
    elif compared.is_drawn:
        remedy = f"Their class has too few different {several} for every side. Add others."
    sentence = (
        f"{number:,} of {found.total:,} {held} {several} are also in {other} ({shown}): {tells}. "
        f"{remedy}"
    ).rstrip()
    items = [name(int(i)) for i in found.places[:100]]
    return Finding("leak", "error" if is_grave else "warning", items, sentence)


def contradictions(compared: Compared) -> np.ndarray:
    """Return the places of samples whose label is not that of the first same one; of numbers none.

    Returns:
        int64, shape (M,).
    """
    none = np.empty(0, np.int64)
    if not compared.asks.has_classes:
        return none
    if compared.asks.is_exclusive:
        targets = compared.asks.strata(compared.targets)
    else:
        if isinstance(compared.targets, Ragged):
            told = [row.tobytes() for row in compared.targets]
            _, targets = np.unique(np.array(told, object), return_inverse=True)
            return np.flatnonzero(targets != targets[firsts(compared.groups)])
        rows = array_of(compared.targets)
        if rows.ndim != 2:
            return none
        _, targets = np.unique(rows, axis=0, return_inverse=True)
        targets = targets.reshape(-1)
    return np.flatnonzero(targets != targets[firsts(compared.groups)])


def tell_contradictions(compared: Compared) -> Finding | None:
    """Return how many of the same samples bear different labels; None where there are none."""
    odd, first = contradictions(compared), firsts(compared.groups)
    if not len(odd):
        return None
    one, several = NOUNS[compared.modality]
    name, place = compared.name, int(odd[0])
    told = more = ""
    if compared.asks.is_exclusive:
        targets = compared.asks.strata(compared.targets)
        a, b = (compared.classes[int(targets[i])] for i in (first[place], place))
        told = f": '{a}' and '{b}'"
        more = "; where several labels apply to one, give a table with a list of labels for each"
    number = len(np.unique(compared.groups[odd]))
    often = "once:" if number == 1 else f"{number:,} times, such as"
    sentence = (
        f"The same {one} stands under several labels, {often} "
        f"{name(int(first[place]))} and {name(place)}{told}. No model can tell all right: correct "
        f"the labels, or leave out the {several} that are wrong{more}."
    )
    return Finding("contradiction", "warning", [name(int(i)) for i in odd[:100]], sentence)


def contents_record(contents: Mapping[str, np.ndarray | None]) -> dict[str, str] | None:
    """Return what ``data.json`` keeps of the contents of each split; None where none are known."""
    import base64

    if any(array is None for array in contents.values()):
        return None
    return {
        name: base64.b64encode(np.sort(np.asarray(array)).astype("<u8").tobytes()).decode("ascii")
        for name, array in contents.items()
    }
