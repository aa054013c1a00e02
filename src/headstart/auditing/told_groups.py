"""Samples that the user has said belong together, and that the data's own splits tear apart."""

from __future__ import annotations

from typing import cast

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools, Suspect
from headstart.auditing.spots import Spots
from headstart.data.records import NOUNS, SPLIT_CODES
from headstart.types import Dataset, Finding, SplitName

PAIRS: tuple[tuple[SplitName, SplitName], ...] = (
    ("test", "train"),
    ("test", "val"),
    ("val", "train"),
)


def applies(dataset: Dataset) -> bool:
    """Return whether groups were told."""
    return all(part.groups is not None for part in (dataset.train, dataset.val, dataset.test))


def audit_groups(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Find groups that stand on two sides of the split.

    Args:
        dataset: With groups.
        tools: Not asked for anything.
    """
    spots = Spots(dataset)
    groups = np.concatenate([cast(np.ndarray, dataset.split(n).groups) for n in spots.names])
    sides = np.concatenate([np.full(len(dataset.split(n)), SPLIT_CODES[n]) for n in spots.names])
    several = NOUNS[dataset.schema.modality][1]
    found = []
    for held, other in PAIRS:
        here, there = (np.flatnonzero(sides == SPLIT_CODES[name]) for name in (held, other))
        torn = here[np.isin(groups[here], groups[there])]
        if not len(torn):
            continue
        values, first = np.unique(groups[there], return_index=True)
        beside = there[first[np.searchsorted(values, groups[torn])]]
        suspects = [
            Suspect(spots.spot(a), "of one group", beside=spots.spot(b))
            for a, b in zip(torn.tolist(), beside.tolist(), strict=True)
        ]
        members: dict[int, list[int]] = {}
        for place in np.flatnonzero(np.isin(groups, groups[torn])).tolist():
            members.setdefault(int(groups[place]), []).append(place)
        together = [tuple(spots.spot(i) for i in places) for places in members.values()]
        names = [spots.name(i) for i in torn[:100].tolist()]
        sentence = (
            f"{len(members):,} groups stand in both {held} and {other}: {len(torn):,} of "
            f"{len(here):,} {held} {several}, such as {names[0]}, have others of their group "
            f"there, so that {held} does not ask for what is new."
        )
        finding = Finding("group", "error" if held == "test" else "warning", names, sentence)
        found.append(Audited(finding, suspects, together=together))
    return found


AUDIT = Audit(
    "group",
    "Does every group stay on one side?",
    applies,
    audit_groups,
    restates=("group",),
    in_runs=False,
)
