"""Data as the rooms hand it on: samples, splits, prepared inputs, and the set they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from headstart.types.modalities import MODALITIES, Modality, ModalityFacts

if TYPE_CHECKING:
    import numpy as np

    from headstart.types.findings import Finding
    from headstart.types.preprocessing import (
        ColumnKind,
        DateFormat,
        GreyLevels,
        NumberFormat,
    )
    from headstart.types.ragged import Rows

# Names a row of ``headstart.tasks.TASKS``.
TaskName = str
SplitName = Literal["train", "val", "test"]
# What every verb takes as data: a ``Dataset``, or anything that ``load`` reads.
Data = Any


@runtime_checkable
class Samples(Protocol):
    """What one split holds, read one at a time; what ``read`` returns depends on the modality.

    Images: encoded bytes or an array (H, W) or (H, W, C). Texts: a str. Tables: a row as a
    dict from column name to value.
    """

    def __len__(self) -> int: ...

    def read(self, index: int) -> Any:
        """Return one sample as it was given."""
        ...

    def name(self, index: int) -> str:
        """Return what a person calls this sample: its path, or ``row 17``."""
        ...


PAIRS = "PAIRS.csv"  # what predict is given of samples that are pairs of texts
ROWS = "FILE.csv"  # and of samples that stand in a row beside other columns


@dataclass(frozen=True)
class Schema:
    """What a data set asks of a model.

    Attributes:
        modality: What a sample is.
        task: What is to be told of a sample: the name of a row of ``headstart.tasks.TASKS``.
        classes: Class names, in the order of the target integers; empty where the task has none.
        label: Name of the target column, or None where the layout gives the target.
        counts_from_one: Whether the data writes classes as numbers below names that it states, the
            first of which is 1.
        sides: Where a sample is a pair of texts, what the two are called; else empty.
        parts: Of several targets the schema of each, in the order of the targets; else empty.
        beside: Columns of the row of a text or an image that are learned from together with it.
    """

    modality: Modality
    task: TaskName
    classes: tuple[str, ...]
    label: str | None = None
    counts_from_one: bool = False
    sides: tuple[str, ...] = ()
    parts: tuple[Schema, ...] = ()
    beside: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Schema:
        """Return what ``dataclasses.asdict`` made of one.

        Raises:
            KeyError: If the classes are missing.
            TypeError: If a key is unknown or missing, or a list is none.
        """
        names = ("sides", "parts", "beside")
        lists: dict[str, Any] = {name: tuple(record.get(name, ())) for name in names}
        lists["parts"] = tuple(map(cls.from_json, lists["parts"]))
        lists["classes"] = tuple(record["classes"])
        return cls(**{**record, **lists})

    @property
    def argument(self) -> str:
        """What ``headstart predict`` is given, as a person would write it."""
        if self.beside:
            return ROWS
        return PAIRS if self.sides else self.facts.argument

    @property
    def facts(self) -> ModalityFacts:
        """What is true of such samples."""
        return MODALITIES[self.modality]

    @property
    def kind(self) -> str:
        """What a sample is and what is told of it, in words: ``text regression``."""
        return f"{self.modality} {self.task}"


@dataclass(frozen=True)
class Split:
    """Samples with their targets.

    Attributes:
        samples: The inputs.
        targets: As the task reads them, one row a sample; rows of different lengths are ``Ragged``.
            One class a sample: int64, shape (N,), indices into ``Schema.classes``; several: uint8,
            shape (N, K), 1 where the class applies; a number: float64, (N,).
        ids: int64, shape (N,), a number for each sample that is stable across splits and runs;
            it names the sample in logs and seeds its augmentation.
        contents: uint64, shape (N,), what each sample is, the same for copies; of rows, by the
            columns that stay. None where nobody has looked.
        groups: int64, shape (N,), the same for samples that belong together, in all splits alike;
            None where each stands alone.
        beside: The rows that texts or images stand in, N, where these are learned from too.
        alone_ids: int64, shape (N,), the ids that they have without these rows; None without them.
    """

    samples: Samples
    targets: Rows
    ids: np.ndarray
    contents: np.ndarray | None = None
    groups: np.ndarray | None = None
    beside: Samples | None = None
    alone_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def groups_of(self, ids: np.ndarray) -> np.ndarray | None:
        """Return the groups of some of its samples; None where each stands alone.

        Args:
            ids: int64, shape (M,), of these.
        """
        if self.groups is None:
            return None
        order = self.ids.argsort()
        places = order[self.ids.searchsorted(ids, sorter=order).clip(max=len(order) - 1)]
        assert (self.ids[places] == ids).all(), "these are no ids of this split"
        chosen: np.ndarray = self.groups[places]
        return chosen


class Identified(Protocol):
    """Data that a run is made of, as far as it has to be known again.

    Attributes:
        name: What the user called it.
        fingerprint: Of its content and of how it is divided.
        bad_samples: Samples left out, each with its reason.
        findings: What a user should know of it.
        load_seconds: What reading took; a budget counts it.
    """

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of its content and of how it is divided."""
        ...

    @property
    def bad_samples(self) -> Sequence[BadSample]:
        """Samples left out, each with its reason."""
        ...

    @property
    def findings(self) -> Sequence[Finding]:
        """What a user should know of it."""
        ...

    @property
    def load_seconds(self) -> float:
        """What reading took, in seconds."""
        ...


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be used: its name (path or row) and the reason."""

    name: str
    reason: str

    def to_json(self) -> dict[str, object]:
        """Return what a program reads in the place of its prediction."""
        return {"name": self.name, "error": self.reason}


@dataclass(frozen=True)
class Dataset:
    """A data set, split, and described well enough to be recognised again.

    Attributes:
        name: What the user called it (``photos/``, ``mnist``).
        schema: Modality, task and classes.
        train: Learned from.
        val: Chosen by; stratified from train when the data brings none.
        test: Read once, at the end.
        fingerprint: Hash of the content, the targets and the split assignment.
        split_origin: For each split, how it came to be, e.g. ``"folder"`` or ``"15 % of train"``.
        drawn_splits: Those that were drawn here, the others were brought by the data.
        bad_samples: Samples left out, each with its reason.
        findings: What a user should know of it; their sentences are the ``notes``.
        source: What ``load`` needs to load the same data again (JSON-able), or None for arrays
            that live in memory only.
        input_column: Name of the column of images or texts, or None where there is none.
        image_size: Median (height, width) in pixels of the samples looked at; None if not images.
        image_channels: 1 if every sample looked at is grey, otherwise 3; None if not images.
        image_cut: Mean share of a training picture that lies outside its centre square.
        grey_levels: Values of training images of more than 8 bits; None where none was seen.
        column_kinds: For tables, what each input column holds; None otherwise.
        beside_kinds: For texts and images, what each column holds that is learned from beside them.
        date_formats: Of these columns, how the days of each date column are written.
        number_formats: How the numbers of a column are written, where not plainly.
        levels: The categories of a column in their order, where they have one.
        load_seconds: Time that loading took; a budget counts it.
        max_bad_fraction: Share of unusable samples above which reading stops.
        alike_by_chance: Whether rows of this table are alike because they have few different cells,
            and not because they are copies.
        time_column: For tables, the column of dates by which a random split has mixed days that
            were learned from with days that are tested; None where none has.
        pool: Where this is another division of data: all of it as one train split, so that what is
            decoded of it serves every division.
        is_repeated: Whether a run of the data stands already, which has audited it and heard the
            baselines.
    """

    name: str
    schema: Schema
    train: Split
    val: Split
    test: Split
    fingerprint: str
    split_origin: Mapping[str, str] = field(default_factory=dict)
    drawn_splits: Sequence[SplitName] = ()
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()
    source: Mapping[str, object] | None = None
    input_column: str | None = None
    image_size: tuple[int, int] | None = None
    image_channels: int | None = None
    image_cut: float = 0.0
    grey_levels: GreyLevels | None = None
    column_kinds: Mapping[str, ColumnKind] | None = None
    beside_kinds: Mapping[str, ColumnKind] | None = None
    date_formats: Mapping[str, DateFormat] = field(default_factory=dict)
    number_formats: Mapping[str, NumberFormat] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_bad_fraction: float = 0.01
    load_seconds: float = 0.0
    alike_by_chance: bool = False
    time_column: str | None = None
    pool: Dataset | None = None
    is_repeated: bool = False

    def __repr__(self) -> str:
        """Name it as ``check`` does; its arrays would fill screens."""
        sizes = ", ".join(f"{name} {len(self.split(name)):,}" for name in get_args(SplitName))
        classes = f", {len(self.schema.classes):,} classes" if self.schema.classes else ""
        return f"<Dataset {self.name!r}: {self.schema.modality}, {sizes}{classes}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentences of the findings, e.g. ``"Class 'x' has 3 images."``."""
        return tuple(found.sentence for found in self.findings)

    def split(self, name: SplitName) -> Split:
        """Return the split of that name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]
