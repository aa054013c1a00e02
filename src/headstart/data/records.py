"""What every reader hands over: the samples of a source, before anything is split or dropped.

One record type between reading (folder, tables, arrays, named sets) and splitting, so that a new
source or a new modality adds a reader and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from headstart.preprocessing.samples import take
from headstart.tasks import Task, find_task
from headstart.types import (
    MODALITIES,
    ColumnKind,
    DateFormat,
    Finding,
    Modality,
    NumberFormat,
    Rows,
    Samples,
    Schema,
    TaskName,
)

SPLIT_CODES = {"train": 0, "val": 1, "test": 2}
SPLIT_NAMES = ("train", "val", "test")
UNASSIGNED = -1
# What one sample is called in messages, and several.
NOUNS = {name: (facts.noun, facts.nouns) for name, facts in MODALITIES.items()}


@dataclass(frozen=True)
class Records:
    """All samples of a source in a fixed order.

    Attributes:
        name: What the user called the source.
        samples: The inputs, N of them.
        targets: As in ``Split.targets``, by task.
        classes: Class names in the order of the targets; empty where the task has none.
        splits: int8, shape (N,): 0 train, 1 val, 2 test, -1 where the source brings none.
        origin: How the source's own splits are marked, for example ``"folder"``.
        task: What the targets ask for.
        label: Name of the target column, or None where the layout gives the target.
        input_column: Name of the column of images or texts, or None where there is none.
        parts: Of several targets the schema of each.
        sides: Of pairs of texts what the two are called: their columns, where there are any.
        groups: For each sample the group that must stay on one side, or None.
        findings: What a user should know of it.
        modality: What a sample is.
        column_kinds: For tables, what each input column holds.
        date_formats: For tables, how the days of each date column are written.
        number_formats: For tables, how the numbers of a column are written, where not plainly.
        levels: For tables, the categories of a column in their order, where they have one.
        kept_columns: For tables, columns the user has named, which are therefore never left out.
        columns: For tables, all columns of the source, for messages.
        counts_from_one: Whether the numbers that stand for classes count from one.
        beside: The rows that texts or images stand in, where these are learned from too.
    """

    name: str
    samples: Samples
    targets: Rows
    classes: tuple[str, ...]
    splits: np.ndarray
    origin: str
    task: TaskName
    label: str | None = None
    input_column: str | None = None
    sides: tuple[str, ...] = ()
    parts: tuple[Schema, ...] = ()
    groups: Sequence[str] | None = None
    findings: list[Finding] = field(default_factory=list)
    modality: Modality = "image"
    column_kinds: dict[str, ColumnKind] | None = None
    date_formats: Mapping[str, DateFormat] = field(default_factory=dict)
    number_formats: Mapping[str, NumberFormat] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept_columns: Sequence[str] = ()
    columns: Sequence[str] = ()
    counts_from_one: bool = False
    beside: Records | None = None

    @property
    def schema(self) -> Schema:
        """What they ask of a model."""
        return Schema(
            self.modality,
            self.task,
            self.classes,
            self.label,
            counts_from_one=self.counts_from_one,
            sides=self.sides,
            parts=self.parts,
            beside=tuple(self.beside.column_kinds or ()) if self.beside is not None else (),
        )

    def take(self, places: np.ndarray) -> Records:
        """Return some of the samples, with all that belongs to each.

        Args:
            places: int64, which of them.
        """
        return replace(
            self,
            samples=take(self.samples, places),
            targets=self.targets[places],
            splits=self.splits[places],
            groups=None if self.groups is None else [self.groups[i] for i in places.tolist()],
            beside=None if self.beside is None else self.beside.take(places),
        )

    @property
    def asks(self) -> Task:
        """The task itself.

        Raises:
            OptionError: No task has the name.
        """
        return find_task(self.task)
