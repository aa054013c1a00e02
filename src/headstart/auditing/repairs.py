"""What to do with what was found: a list of what to leave out, and which side each group goes to.

The rule for samples that belong together and stand on several sides:

- where the data brings its own test split, test stays as it is and the others leave train and val;
  where it brings val alone, val stays and the others leave;
- where the split was drawn, all go to the side where most of them stand, of equally many to train.
  Groups that stand on one side are listed, too: another draw would tear them.

Samples that an audit wants left out (it says so) are. A label that is doubted is for a person to
look at: the list names it and does nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from headstart.auditing.audit import Audited, Spot
from headstart.auditing.spots import ORDER, label_of, name_of
from headstart.data.fix_cells import row_cells
from headstart.data.fix_lists import LEAVE_OUT, LOOK, Fix
from headstart.data.fixes import written_id
from headstart.tasks import find_task
from headstart.types import Dataset, FindingKind, SplitName

TOGETHER = "they belong together"
UNMENDED = "nothing is done, since"
FOR_A_PERSON: tuple[FindingKind, ...] = ("doubtful label", "contradiction")


def repairs(dataset: Dataset, found: Sequence[Audited]) -> list[Fix]:
    """Return what a list of repairs says of each sample concerned, one row each.

    Args:
        dataset: The data.
        found: What audits found.
    """
    actions: dict[Spot, tuple[str, str, str]] = {}
    reasons = _reasons(found)
    counts = _Counts(dataset)
    for number, group in enumerate(_groups(found), start=1):
        settled = _settle(dataset, group, reasons)
        if refused := counts.refused({spot: action for spot, (action, _) in settled.items()}):
            settled = {
                spot: (LOOK, f"{UNMENDED} {refused}: {why}") for spot, (_, why) in settled.items()
            }
        for spot, (action, reason) in settled.items():
            is_alone = action in (LEAVE_OUT, LOOK)
            actions[spot] = action, "" if is_alone else str(number), reason
    together = {spot for audited in found for group in audited.together for spot in group}
    for audited in found:
        for suspect in audited.suspects if audited.leave_out else ():
            is_kept = suspect.spot.split == "test" and "test" not in dataset.drawn_splits
            if suspect.spot not in together and not (is_kept and suspect.beside is not None):
                refused = counts.refused({suspect.spot: LEAVE_OUT})
                reason = f"{UNMENDED} {refused}: {suspect.reason}" if refused else suspect.reason
                actions[suspect.spot] = LOOK if refused else LEAVE_OUT, "", reason
    for audited in found:
        finding = audited.finding
        is_grave = finding.kind in FOR_A_PERSON and finding.severity != "note"
        for suspect in audited.suspects if is_grave else ():
            reason = suspect.reason
            if finding.kind == "contradiction" and suspect.beside is not None:
                reason = f"{reason}: as {name_of(dataset, suspect.beside)}"
            actions.setdefault(suspect.spot, (LOOK, "", reason))
    rank = {name: place for place, name in enumerate(ORDER)}
    ordered = sorted(actions, key=lambda spot: (rank[spot.split], spot.index))
    cells: list[str] = []
    for name in ORDER:
        places = [spot.index for spot in ordered if spot.split == name]
        cells += row_cells(dataset.split(name).samples, places)
    return [
        _fix(dataset, spot, *actions[spot], held) for spot, held in zip(ordered, cells, strict=True)
    ]


class _Counts:
    """How many samples each side would have after what a list says, of each class.

    Args:
        dataset: The data.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        is_exclusive = find_task(dataset.schema.task).is_exclusive
        self._classes = dataset.schema.classes if is_exclusive else ()
        self._counts = Counter(
            (name, self._class_of(Spot(name, i)))
            for name in ORDER
            for i in range(len(dataset.split(name)))
        )
        self._totals = {name: len(dataset.split(name)) for name in ORDER}
        self._has = {name for name in ORDER if self._totals[name]}

    def refused(self, actions: Mapping[Spot, str]) -> str:
        """Take actions in; where a training would then be refused, say why and take in nothing.

        Args:
            actions: By sample: a side, or to leave it out.
        """
        changes: Counter[tuple[SplitName, int]] = Counter()
        for spot, action in actions.items():
            one = self._class_of(spot)
            changes[spot.split, one] -= 1
            side = next((name for name in ORDER if name == action), None)
            if side is not None:
                changes[side, one] += 1
        self._add(changes, 1)
        drawn_of, why = {"train", *self._dataset.drawn_splits}, ""
        for name in sorted(self._has - {n for n in ORDER if self._totals[n]}):
            why = f"{name} would be empty"
        for one in sorted({one for _, one in changes}) if self._classes and not why else ():
            number = sum(self._counts[name, one] for name in ORDER if name in drawn_of)
            if not self._counts["train", one] or number < len(drawn_of):
                why = f"train would lack class '{self._classes[one]}', or hold too little of it"
                break
        if why:
            self._add(changes, -1)
        return why

    def _add(self, changes: Mapping[tuple[SplitName, int], int], times: int) -> None:
        for (name, one), number in changes.items():
            self._counts[name, one] += times * number
            self._totals[name] += times * number

    def _class_of(self, spot: Spot) -> int:
        targets = self._dataset.split(spot.split).targets
        return int(targets[spot.index]) if self._classes else 0


def _fix(dataset: Dataset, spot: Spot, action: str, group: str, reason: str, cells: str) -> Fix:
    content = written_id(int(dataset.split(spot.split).ids[spot.index]))
    label = label_of(dataset, spot)
    reason = f"{reason} [{spot.split}, {label}]"
    return Fix(name_of(dataset, spot), content, action, group, reason, cells)


def _groups(found: Sequence[Audited]) -> list[list[Spot]]:
    """Return samples that belong together, joined over all audits; at least two in each group."""
    parent: dict[Spot, Spot] = {}

    def root(spot: Spot) -> Spot:
        parent.setdefault(spot, spot)
        while parent[spot] != spot:
            parent[spot] = parent[parent[spot]]
            spot = parent[spot]
        return spot

    for audited in found:
        for group in audited.together:
            for spot in group:
                parent[root(spot)] = root(group[0])
    members: dict[Spot, list[Spot]] = {}
    for spot in parent:
        members.setdefault(root(spot), []).append(spot)
    return [group for group in members.values() if len(group) > 1]


def _reasons(found: Sequence[Audited]) -> dict[Spot, str]:
    """Return of samples that belong with another how that is seen."""
    reasons: dict[Spot, str] = {}
    for audited in found:
        for suspect in audited.suspects if audited.together else ():
            for spot in (suspect.spot, suspect.beside):
                if spot is not None:
                    reasons.setdefault(spot, suspect.reason)
    return reasons


def _settle(
    dataset: Dataset, group: Sequence[Spot], reasons: Mapping[Spot, str]
) -> dict[Spot, tuple[str, str]]:
    """Return what becomes of each sample of a group, and why; nothing of those that may stay."""
    counts = Counter(spot.split for spot in group)
    brought = [name for name in ORDER if name not in dataset.drawn_splits]
    stays: tuple[SplitName, ...] = ("test", "val")
    for name in stays:
        if name in brought and counts[name] and len(counts) > 1:
            other = next(spot for spot in group if spot.split == name)
            why = f"{name} holds {name_of(dataset, other)}"
            return {
                spot: (LEAVE_OUT, f"{why}: {reasons.get(spot, TOGETHER)}")
                for spot in group
                if spot.split != name
            }
    if len(brought) == len(ORDER) or (len(counts) == 1 and counts["train"] and "train" in brought):
        return {}
    side = min(counts, key=lambda name: (-counts[name], ORDER.index(name)))
    first = name_of(dataset, group[0])
    why = f"one of {len(group)}, such as {first}"
    return {spot: (side, f"{why}: {reasons.get(spot, TOGETHER)}") for spot in group}
