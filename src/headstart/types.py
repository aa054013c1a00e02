"""The nouns: frozen records that the rooms hand to one another, and the tensor legend.

Tensor legend: B batch, C channels, H height, W width, T tokens, D features, K classes.
Nothing here computes or touches the disk; floor 1 imports nothing of headstart but errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

Modality = Literal["image", "text", "table"]
Task = Literal["classification", "multi-label", "regression"]
SplitName = Literal["train", "val", "test"]
Family = Literal["convnet", "vit", "bert", "linear", "mlp"]
ColumnKind = Literal["numeric", "categorical", "boolean", "date"]
# How a column's days are written, as for strptime; "" is the year first, as in ISO 8601.
DateFormat = Literal[
    "", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%b %d %Y", "%Y%m%d"
]
# What every verb takes as data: a ``Dataset``, or anything that ``load`` reads.
Data = Any


@runtime_checkable
class Samples(Protocol):
    """What one split holds, read one at a time; what ``read`` returns depends on the modality.

    Images: encoded bytes or a uint8 array (H, W) or (H, W, C). Texts: a str. Tables: a row as a
    dict from column name to value.
    """

    def __len__(self) -> int: ...

    def read(self, index: int) -> Any:
        """Return one sample as it was given."""
        ...

    def name(self, index: int) -> str:
        """Return what a person calls this sample: its path, or ``row 17``."""
        ...


@dataclass(frozen=True)
class Schema:
    """What a data set asks of a model.

    Attributes:
        modality: What a sample is.
        task: ``classification`` (one class a sample), ``multi-label`` (any number of them), or
            ``regression`` (a number).
        classes: Class names, in the order of the target integers; empty for regression.
        label: Name of the target column, or None where the layout gives the target.
        input_column: Name of the column of images or texts, or None where there is none.
    """

    modality: Modality
    task: Task
    classes: tuple[str, ...]
    label: str | None = None
    input_column: str | None = None

    @property
    def num_outputs(self) -> int:
        """How many numbers a model gives for a sample: K classes, or one."""
        return 1 if self.task == "regression" else len(self.classes)


@dataclass(frozen=True)
class Split:
    """Samples with their targets.

    Attributes:
        samples: The inputs.
        targets: By task: classification int64, shape (N,), indices into ``Schema.classes``;
            multi-label uint8, shape (N, K), 1 where the class applies; regression float64, (N,).
        ids: int64, shape (N,), a number for each sample that is stable across splits and runs;
            it names the sample in logs and seeds its augmentation.
    """

    samples: Samples
    targets: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be used: its name (path or row) and the reason."""

    name: str
    reason: str


@runtime_checkable
class Inputs(Protocol):
    """The samples of one split as a network takes them: pixels, token ids, terms, or cells.

    Attributes:
        targets: As in ``Split``.
        ids: int64, shape (N,).
        names: What a person calls each sample.
        bad_samples: Samples left out while preparing, each with its reason.
        lengths: int64, shape (N,), where samples differ in length and batches are padded; None
            where all have one shape.
    """

    @property
    def targets(self) -> np.ndarray:
        """As in ``Split``."""
        ...

    @property
    def ids(self) -> np.ndarray:
        """int64, shape (N,)."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """What a person calls each sample."""
        ...

    @property
    def bad_samples(self) -> Sequence[BadSample]:
        """Samples left out, each with its reason."""
        ...

    @property
    def lengths(self) -> np.ndarray | None:
        """int64, shape (N,), or None where all have one shape."""
        ...

    def __len__(self) -> int: ...

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch as the arguments of a model's forward, each of B rows.

        Images: (uint8 (B, S, S, C),). Tokens: (ids int64 (B, T), mask int64 (B, T)), padded to the
        longest of the batch. Terms: (float32 (B, D),). Cells: (numbers float32 (B, F), codes int64
        (B, G)).

        Args:
            places: int64, shape (B,), positions of the wanted samples.
        """
        ...


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
        bad_samples: Samples left out, each with its reason.
        notes: Sentences a user should read, e.g. ``"Class 'x' has 3 images."``
        source: What ``load`` needs to load the same data again (JSON-able), or None for arrays
            that live in memory only.
        image_size: Median (height, width) in pixels of the samples looked at; None if not images.
        image_channels: 1 if every sample looked at is grey, otherwise 3; None if not images.
        column_kinds: For tables, what each input column holds; None otherwise.
        date_formats: For tables, how the days of each date column are written.
        load_seconds: Time that loading took; a budget counts it.
        max_bad_fraction: Share of unusable samples above which reading stops.
    """

    name: str
    schema: Schema
    train: Split
    val: Split
    test: Split
    fingerprint: str
    split_origin: Mapping[str, str] = field(default_factory=dict)
    bad_samples: Sequence[BadSample] = ()
    notes: Sequence[str] = ()
    source: Mapping[str, object] | None = None
    image_size: tuple[int, int] | None = None
    image_channels: int | None = None
    column_kinds: Mapping[str, ColumnKind] | None = None
    date_formats: Mapping[str, DateFormat] = field(default_factory=dict)
    max_bad_fraction: float = 0.01
    load_seconds: float = 0.0

    def split(self, name: SplitName) -> Split:
        """Return the split of that name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


@dataclass(frozen=True)
class ImageSpec:
    """The preprocessing that belongs to a set of image weights; it travels with them.

    One rule everywhere (training, evaluation, ``predict``, serving). Decoding: convert to
    ``decode_channels`` channels, resize the shorter side to ``decode_size`` (antialiased), crop the
    centre square, keep uint8. In the network: repeat grey to ``channels``, resize to ``size`` if
    that differs, divide by 255, subtract ``mean``, divide by ``std``. ``decode_size`` is smaller
    than ``size`` where the data itself is smaller (CIFAR-10 into a 96-pixel network), so that a
    large photo shown to such a model later passes through the same bottleneck as the training data.

    Attributes:
        size: Side of the square network input, in pixels.
        channels: Channels of the network input, 1 or 3.
        mean: One value a channel, in units of [0, 1].
        std: One value a channel, in units of [0, 1].
        interpolation: Filter of both resizes.
        decode_size: Side of the square that is decoded and stored, in pixels, at most ``size``.
        decode_channels: Channels that are decoded and stored, 1 or 3.
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic"]
    decode_size: int
    decode_channels: int


@dataclass(frozen=True)
class TextSpec:
    """The preprocessing of a text encoder; the tokenizer itself is a file beside the weights.

    Attributes:
        kind: ``tokens`` (ids of a tokenizer, padded) or ``terms`` (TF-IDF weights).
        max_length: Tokens a text keeps at most, special ones included; 0 for terms, which keep all.
    """

    kind: Literal["tokens", "terms"]
    max_length: int


@dataclass(frozen=True)
class Column:
    """How one column of a table becomes numbers; fitted on train, JSON-able.

    Attributes:
        name: Its header.
        kind: What it holds.
        fill: What a missing number counts as (train's median); 0 for categories.
        mean: Subtracted from numbers, one for each number the column gives (a date gives several).
        scale: Divides what is left.
        edges: Quantiles of train, ascending, for numeric embeddings; empty for categories.
        categories: Known values; code 0 is everything else, category i has code i + 1.
        has_missing: Whether train lacks values: then a number 0/1 says so beside the column.
        date_format: How days are written, in new rows as in train; empty for other kinds, too.
    """

    name: str
    kind: ColumnKind
    fill: float = 0.0
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    has_missing: bool = False
    date_format: DateFormat = ""


@dataclass(frozen=True)
class TableSpec:
    """The preprocessing of a table encoder: its columns in order.

    Attributes:
        columns: How each becomes numbers.
    """

    columns: tuple[Column, ...]


Spec = ImageSpec | TextSpec | TableSpec


class Tokenizer(Protocol):
    """Turns texts into what a text encoder takes; travels in the run folder as files."""

    def encode(self, texts: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """Return token ids, int32 and cut at ``max_length``, and the full length of each text."""
        ...

    @property
    def pad_id(self) -> int:
        """Id that fills short texts up."""
        ...

    def files(self) -> dict[str, bytes]:
        """Return the files that rebuild it, by name."""
        ...


class Vectorizer(Protocol):
    """Turns texts into sparse term weights."""

    def transform(self, texts: Sequence[str]) -> Any:
        """Return a SciPy CSR matrix, float32, shape (N, D)."""
        ...

    def files(self) -> dict[str, bytes]:
        """Return the files that rebuild it, by name."""
        ...


@dataclass(frozen=True)
class Start:
    """A starting point.

    Attributes:
        address: ``timm/<name>``, ``scratch/<name>``, ``pip/<name>``, a local folder or safetensors
            file, or a headstart run folder.
        family: Decides the default recipe.
        modality: What it reads.
        num_parameters: Parameters of the encoder, without a head; 0 when not known before loading.
        licence: Licence of the weights; ``"none (random weights)"`` for scratch.
        pretrained_on: Name of the data, or None for random weights.
        objective: How it was pretrained (``"supervised"``, ``"mae"`` …), or None.
        image: Preprocessing, for image starts; the others' is known once they are built.
        is_local: Whether it can be used without network.
    """

    address: str
    family: Family
    modality: Modality
    num_parameters: int
    licence: str
    pretrained_on: str | None
    objective: str | None
    image: ImageSpec | None
    is_local: bool


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval.

    Attributes:
        value: The point estimate on all items.
        low: Lower end; NaN when it cannot be estimated.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A paired verdict of two predictors on the same test items.

    Attributes:
        before: Name of the first.
        after: Name of the second.
        gained: Items that only ``after`` has right; under regression, those it is nearer to.
        lost: The same the other way round.
        difference: ``metric`` after minus before, with its paired interval.
        p_value: Two-sided: McNemar's exact test, or Wilcoxon's signed-rank test on the absolute
            errors under regression.
        metric: What differs: ``accuracy``, ``exact_match`` (multi-label) or ``mae``.
    """

    before: str
    after: str
    gained: int
    lost: int
    difference: Figure
    p_value: float
    metric: str = "accuracy"


@dataclass(frozen=True)
class Prediction:
    """What a model says of one sample.

    Attributes:
        name: The sample's path, row or number; "reviews.csv row 3", "text 1".
        label: The most probable class; under multi-label all that are more likely than not, joined
            by ", "; under regression the value as text.
        probability: Of the most probable class; NaN under regression.
        probabilities: One a class, in the order of the classes; empty under regression.
        value: The predicted number under regression, otherwise None.
    """

    name: str
    label: str
    probability: float
    probabilities: tuple[float, ...]
    value: float | None = None
