"""The same sample again: on two sides of the split, on one, and under two labels.

``load`` has found them and told; here each of them is named, with the one it is the same as.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools, Spot, Suspect
from headstart.auditing.spots import Spots, label_words
from headstart.data.chance import without_chance
from headstart.data.copies import (
    Compared,
    contradictions,
    firsts,
    shared,
    tell_contradictions,
    tell_copies,
    tell_shared,
)
from headstart.data.identity import ordinals
from headstart.data.records import SPLIT_CODES
from headstart.preprocessing.rows import TextSamples
from headstart.tasks import find_task
from headstart.types import Dataset


def applies(dataset: Dataset) -> bool:
    """Return whether it is known what each sample is, and likeness is not chance."""
    parts = (dataset.train, dataset.val, dataset.test)
    return not dataset.alike_by_chance and all(part.contents is not None for part in parts)


def audit_same(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Find samples that are the same: a test sample that train holds first.

    Args:
        dataset: The data.
        tools: Not asked for anything.
    """
    spots = Spots(dataset)
    compared = _compare(dataset, spots)
    nth = ordinals(compared.groups)
    if not nth.any():
        return []
    why = dataset.schema.facts.sameness
    first = firsts(compared.groups)
    across = shared(compared)
    found = []
    for pair in across:
        finding = tell_shared(compared, pair, is_first=pair is across[0])
        if (pair.held, pair.other) == ("test", "train"):
            finding = replace(finding, severity="error")  # a gate lets none pass, whatever share
        suspects = _suspects(spots, pair.places, pair.twins, why)
        twins = _groups_of(spots, compared.groups, pair.places)
        found.append(Audited(finding, suspects, together=twins))
    again = np.flatnonzero(nth > 0)
    again = again[compared.splits[again] == compared.splits[first[again]]]  # the others are told
    finding = tell_copies(compared, has_leak=bool(across))
    found.append(Audited(finding, _suspects(spots, again, first[again], why)))
    if (told := tell_contradictions(compared)) is not None:
        odd = contradictions(compared)
        labels = label_words(dataset, spots)
        suspects = [
            Suspect(
                spots.spot(place),
                f"{why}, here '{labels(place)}' and there '{labels(int(first[place]))}'",
                beside=spots.spot(int(first[place])),
            )
            for place in odd.tolist()
        ]
        found.append(Audited(told, suspects))
    return found


def _compare(dataset: Dataset, spots: Spots) -> Compared:
    parts = [dataset.split(name) for name in spots.names]
    contents = np.concatenate([cast(np.ndarray, part.contents) for part in parts])
    groups = np.unique(contents, return_inverse=True)[1].reshape(-1)
    if all(isinstance(part.samples, TextSamples) for part in parts):
        texts = [text for part in parts for text in cast(TextSamples, part.samples).texts]
        groups = without_chance(texts, groups)
    codes = [
        np.full(len(part), SPLIT_CODES[name]) for name, part in zip(spots.names, parts, strict=True)
    ]
    return Compared(
        dataset.schema.modality,
        spots.name,
        groups,
        np.concatenate(codes),
        spots.targets,
        find_task(dataset.schema.task),
        dataset.schema.classes,
        is_drawn=len(dataset.drawn_splits) == len(spots.names),
    )


def _suspects(spots: Spots, places: np.ndarray, others: np.ndarray, why: str) -> list[Suspect]:
    pairs = zip(places.tolist(), others.tolist(), strict=True)
    return [Suspect(spots.spot(a), why, beside=spots.spot(b)) for a, b in pairs]


def _groups_of(spots: Spots, groups: np.ndarray, places: np.ndarray) -> list[tuple[Spot, ...]]:
    """Return the whole groups of some places."""
    asked = np.flatnonzero(np.isin(groups, groups[places]))
    of_group: dict[int, list[Spot]] = {}
    for place in asked.tolist():
        of_group.setdefault(int(groups[place]), []).append(spots.spot(place))
    return [tuple(members) for members in of_group.values()]


AUDIT = Audit(
    "copies",
    "Does train hold what test asks?",
    applies,
    audit_same,
    restates=("copies", "contradiction", "leak"),
    in_runs=False,
)
