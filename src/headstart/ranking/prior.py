"""What is known of a start before it is read: how it fared on other data sets.

``meta_table.csv`` holds the accuracies of fine-tunings (``benchmarks/zoo.py``; docs/selection.md
tells how they were made): a row a set and start. The prior is a start's mean rank over the sets,
0 to 1, drawn towards what its size says where there are few; a start that is not in the table has
what its size says alone. Sets of the source that the data is named after are left out. What the
fits of this machine have found (``storage.curves``) counts like a row of the table, a set a data
set; those of the very data are left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from headstart.ranking.aggregate import mid_ranks
from headstart.storage.curves import digest_of, read_curves
from headstart.types import Dataset, Start, are_alike

_SHRINKAGE = 2.0  # sets that what its size says counts as
_LEAST_STARTS = 5  # of a line over sizes


@dataclass(frozen=True)
class MetaRow:
    """One fine-tuning.

    Attributes:
        modality: Of the set.
        target: Name of the set.
        family: Source of the set, as it is likely to be named.
        start: Address.
        num_parameters: Of the start.
        is_pretrained: Whether its weights were.
        score: What the fine-tuning reached on test.
    """

    modality: str
    target: str
    family: str
    start: str
    num_parameters: int
    is_pretrained: bool
    score: float


@dataclass(frozen=True)
class Prior:
    """What is known of one start.

    Attributes:
        value: Higher is better; NaN where nothing is known.
        num_sets: Sets of the table in which it was fine-tuned; 0 where its size stands for them.
    """

    value: float
    num_sets: int

    @property
    def told(self) -> str:
        """The prior in words; empty where nothing is known."""
        if self.num_sets:
            return f"mean rank {self.value:.2f} on {self.num_sets} other sets"
        return "" if math.isnan(self.value) else "in no table, its size stands for a prior"


@cache
def read_table() -> tuple[MetaRow, ...]:
    """Return the shipped table."""
    text = files("headstart.ranking").joinpath("meta_table.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return tuple(
        MetaRow(
            row["modality"],
            row["target"],
            row["family"],
            row["start"],
            int(row["num_parameters"]),
            row["is_pretrained"] == "1",
            float(row["score"]),
        )
        for row in csv.DictReader(lines)
    )


def own_rows(fingerprint: str) -> list[MetaRow]:
    """Return what the fits of this machine have found on other data: the best arm of each start.

    Args:
        fingerprint: Of the data at hand, whose own runs are left out.
    """
    found: dict[tuple[str, str], MetaRow] = {}
    here = digest_of(fingerprint)
    for record in read_curves():
        target, sign = record["data"], 1.0 if record["is_higher_better"] else -1.0
        for arm in record["arms"]:
            if target == here or arm["score"] is None:
                continue
            row = MetaRow(
                record["modality"],
                target,
                target,
                arm["start"],
                arm["num_parameters"],
                arm["is_pretrained"],
                sign * arm["score"],
            )
            key = (target, row.start)
            if key not in found or found[key].score < row.score:
                found[key] = row
    return list(found.values())


def priors(
    dataset: Dataset, starts: Sequence[Start], table: Sequence[MetaRow] | None = None
) -> list[Prior]:
    """Return what is known of each start before it is read.

    Args:
        dataset: Its name and modality; its samples are not looked at.
        starts: The candidates.
        table: Rows to take; None for the shipped ones and those of this machine.
    """
    if table is None:
        table = (*read_table(), *own_rows(dataset.fingerprint))
    rows = [
        row
        for row in table
        if are_alike(row, dataset.schema) and not _is_of(dataset.name, row.family)
    ]
    ranks = _ranks(rows)
    line = _size_line(rows, ranks)
    found = []
    for start in starts:
        own = ranks.get(start.address, [])
        by_size = _of_size(start, line)
        if not own:
            found.append(Prior(by_size, 0))
            continue
        expected = 0.5 if math.isnan(by_size) else by_size
        value = (sum(own) + _SHRINKAGE * expected) / (len(own) + _SHRINKAGE)
        found.append(Prior(value, len(own)))
    return found


def _is_of(name: str, family: str) -> bool:
    """Return whether data are named after a source."""
    return family.lower().replace("-", "") in name.lower().replace("-", "").replace("_", "")


def _ranks(rows: Sequence[MetaRow]) -> dict[str, list[float]]:
    """Return the ranks of each start, 0 (worst) to 1, one a set."""
    found: dict[str, list[float]] = {}
    for target in dict.fromkeys(row.target for row in rows):
        some = [row for row in rows if row.target == target]
        if len(some) < 2:
            continue
        places = (mid_ranks(np.array([row.score for row in some])) - 1) / (len(some) - 1)
        for row, place in zip(some, places, strict=True):
            found.setdefault(row.start, []).append(float(place))
    return found


def _size_line(
    rows: Sequence[MetaRow], ranks: dict[str, list[float]]
) -> tuple[float, float] | None:
    """Return slope and intercept of the mean rank over the logarithm of the size, never falling."""
    sizes = {row.start: row.num_parameters for row in rows if row.is_pretrained}
    known = [(math.log10(n), np.mean(ranks[s])) for s, n in sizes.items() if n and s in ranks]
    if len(known) < _LEAST_STARTS:
        return None
    across, up = (np.array(values, np.float64) for values in zip(*known, strict=True))
    slope, intercept = np.polyfit(across, up, 1)
    return (float(slope), float(intercept)) if slope > 0 else (0.0, float(up.mean()))


def _of_size(start: Start, line: tuple[float, float] | None) -> float:
    """Return what a size says: a mean rank by the line; without one, the logarithm itself."""
    if start.pretrained_on is None or start.num_parameters <= 0:
        return float("nan")
    size = math.log10(start.num_parameters)
    return size if line is None else float(np.clip(line[0] * size + line[1], 0.0, 1.0))
