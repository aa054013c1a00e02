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
Task = Literal["classification"]
SplitName = Literal["train", "val", "test"]
Family = Literal["convnet", "vit", "bert", "linear", "mlp"]
# What every verb takes as data: a ``Dataset``, or anything that ``load`` reads.
Data = Any


@runtime_checkable
class Samples(Protocol):
    """Inputs of one split, read one at a time; what ``read`` returns depends on the modality.

    Images: ``read(i)`` returns encoded bytes or a uint8 array (H, W) or (H, W, C).
    """

    def __len__(self) -> int: ...

    def read(self, index: int) -> bytes | np.ndarray:
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
        task: What is predicted.
        classes: Class names, in the order of the target integers.
        label: Name of the target column, or None where the layout gives the target.
    """

    modality: Modality
    task: Task
    classes: tuple[str, ...]
    label: str | None = None


@dataclass(frozen=True)
class Split:
    """Samples with their targets.

    Attributes:
        samples: The inputs.
        targets: int64, shape (N,), indices into ``Schema.classes``.
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
        image: Preprocessing, for image starts.
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
        gained: Items that only ``after`` has right.
        lost: Items that only ``before`` has right.
        difference: Accuracy after minus before, with its paired interval.
        p_value: McNemar's exact two-sided p.
    """

    before: str
    after: str
    gained: int
    lost: int
    difference: Figure
    p_value: float


@dataclass(frozen=True)
class Prediction:
    """What a model says of one sample.

    Attributes:
        name: The sample's path or row.
        label: The most probable class.
        probability: Its probability.
        probabilities: One a class, in the order of the classes.
    """

    name: str
    label: str
    probability: float
    probabilities: tuple[float, ...]
