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
from headstart.data.fixes import LEAVE_OUT, LOOK, Fix, written_id
from headstart.types import Dataset, FindingKind, SplitName

TOGETHER = "they belong together"
FOR_A_PERSON: tuple[FindingKind, ...] = ("doubtful label", "contradiction")


def repairs(dataset: Dataset, found: Sequence[Audited]) -> list[Fix]:
    """Return what a list of repairs says of each sample concerned, one row each.

    Args:
        dataset: The data.
        found: What audits found.
    """
    actions: dict[Spot, tuple[str, str, str]] = {}
    reasons = _reasons(found)
    for number, group in enumerate(_groups(found), start=1):
        for spot, (action, reason) in _settle(dataset, group, reasons).items():
            actions[spot] = action, "" if action == LEAVE_OUT else str(number), reason
    together = {spot for audited in found for group in audited.together for spot in group}
    for audited in found:
        for suspect in audited.suspects if audited.leave_out else ():
            is_kept = suspect.spot.split == "test" and "test" not in dataset.drawn_splits
            if suspect.spot not in together and not (is_kept and suspect.beside is not None):
                actions[suspect.spot] = LEAVE_OUT, "", suspect.reason
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
    return [_fix(dataset, spot, *actions[spot]) for spot in ordered]


def _fix(dataset: Dataset, spot: Spot, action: str, group: str, reason: str) -> Fix:
    content = written_id(int(dataset.split(spot.split).ids[spot.index]))
    label = label_of(dataset, spot)
    return Fix(name_of(dataset, spot), content, action, group, f"{reason} [{spot.split}, {label}]")


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
