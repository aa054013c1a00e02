"""Preprocessings as records: what is done to an image, a text or a row, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["numeric", "categorical", "boolean", "date"]
# fmt: off
# How a column's days are written, as for strptime; "" is the year first, as in ISO 8601.
DateFormat = Literal[
    "", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%b %d %Y",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d", "%d %b %y", "%Y%m%d",
]
# fmt: on

# How a column's numbers are written, by an example; "" is plain, "12:30" is read as hours.
NumberStyle = Literal["", "1,234.5", "1.234,5", "1 234.5", "1 234,5", "1'234.5", "1'234,5", "12:30"]
# A style, and behind it the unit of the column: "1,234.5 kg", of the plain style "1234.5 kg".
NumberFormat = str

# What becomes of a picture that is no square: its centre square, all of it on a ground, all of it
# stretched.
Framing = Literal["crop", "pad", "squash"]
CUT_MOST = 0.4  # mean share outside the centre square, from which all of a picture is shown


@dataclass(frozen=True)
class ImageSpec:
    """The preprocessing that belongs to a set of image weights; it travels with them.

    One rule everywhere (training, evaluation, ``predict``, serving). Decoding: bring to 8 bits by
    ``value_range``, convert to ``decode_channels`` channels, make a square of ``decode_size`` by
    ``framing`` (antialiased), keep uint8. In the network: repeat grey to ``channels``, resize to
    ``size`` if that differs, divide by 255, subtract ``mean``, divide by ``std``. ``decode_size``
    is smaller than ``size`` where the data itself is smaller (CIFAR-10 into a 96-pixel network), so
    that a large photo shown to such a model later passes through the same bottleneck as the
    training data.

    Attributes:
        size: Side of the square network input, in pixels.
        channels: Channels of the network input, 1 or 3.
        mean: One value a channel, in units of [0, 1].
        std: One value a channel, in units of [0, 1].
        interpolation: Filter of both resizes.
        decode_size: Side of the square that is decoded and stored, in pixels, at most ``size``.
        decode_channels: Channels that are decoded and stored, 1 or 3.
        framing: ``crop`` resizes the shorter side and takes the centre square, ``pad`` resizes the
            longer side and fills up with ``mean``, ``squash`` resizes both sides.
        value_range: Values of images of more than 8 bits that become 0 and 255; None takes 0 and
            65,535, or of floats 0 and 1. Images of 8 bits are taken as they are.
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic"]
    decode_size: int
    decode_channels: int
    framing: Framing = "crop"
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class GreyLevels:
    """The values of training images of more than 8 bits, as far as these were looked at.

    Attributes:
        lowest: The least of all pixels.
        highest: The greatest.
        low: Their 0.1 % quantile.
        high: Their 99.9 % quantile.
        is_float: Whether they are floats.
    """

    lowest: float
    highest: float
    low: float
    high: float
    is_float: bool


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
        number_format: How numbers are written, in new rows as in train.
        seen: Train's least value, its 5 %, 25 %, 50 %, 75 % and 95 % quantiles and its greatest, in
            the column's own units (days of a date); empty for other kinds.
        levels: The categories from the least to the greatest, rare ones too, where they have an
            order: then their place is a number beside the code, with ``mean`` and ``scale``.
        is_whole: Whether all of train's numbers are whole.
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
    number_format: NumberFormat = ""
    seen: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    is_whole: bool = False


@dataclass(frozen=True)
class TableSpec:
    """The preprocessing of a table encoder: its columns in order.

    Attributes:
        columns: How each becomes numbers.
    """

    columns: tuple[Column, ...]
