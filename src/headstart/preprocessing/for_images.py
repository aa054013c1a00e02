"""Images: decoded to the pixels that a network was made for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np

from headstart.errors import DataError
from headstart.preprocessing.base import NamedInput, Preprocess
from headstart.preprocessing.decoded import Pixels, decode
from headstart.preprocessing.images import decode_deep, decode_one, num_pages, several_pages
from headstart.preprocessing.incoming import image_names, listed_images
from headstart.preprocessing.json_records import check_column, damaged, read_record
from headstart.preprocessing.levels import Depths, strange_values
from headstart.preprocessing.samples import UnreadableImage
from headstart.types import BadSample, Dataset, Framing, ImageSpec, Modality, Samples, SplitName

if TYPE_CHECKING:
    from headstart.types import Inputs

_NAMES = tuple(field.name for field in fields(ImageSpec))
# what records of earlier runs do not say
_LATER = {"framing": ImageSpec.framing, "value_range": ImageSpec.value_range}
_NUM_TRIED = 8  # images that are decoded to see how long that takes


@dataclass(frozen=True)
class ImagePreprocess(Preprocess):
    """The preprocessing of an image network.

    Attributes:
        spec: Size, channels, mean and std of the network's input, and what is decoded for it.
        column: Column of the training data that held images or their paths, or None.
    """

    spec: ImageSpec
    column: str | None = None
    kind: ClassVar[str] = "image"
    modality: ClassVar[Modality] = "image"

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Decoded pixels; they are normalised in the network."""
        side = self.spec.decode_size
        return (NamedInput("pixels", "uint8", (side, side, self.spec.decode_channels)),)

    @property
    def columns(self) -> tuple[str, ...]:
        """The one, if there was one."""
        return () if self.column is None else (self.column,)

    @property
    def size(self) -> int:
        """Side of the network's input in pixels."""
        return self.spec.size

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> Inputs:
        return decode(dataset, split_name, self.spec, indices=indices)

    listed = staticmethod(listed_images)
    names_of = staticmethod(image_names)

    def _read(self, listed: list[Any], names: list[str]) -> Pixels:
        images, bad, depths = list[np.ndarray](), list[BadSample](), Depths()
        kept, places, pages = list[str](), list[int](), dict[str, int]()
        for place, (value, name) in enumerate(zip(listed, names, strict=True)):
            try:
                pixels, depth = decode_deep(value, self.spec)
            except UnreadableImage as error:
                bad.append(BadSample(name, error.reason))
                continue
            depths.add(len(kept), depth)
            if (number := num_pages(value)) > 1:
                pages[name] = number
            images.append(pixels)
            kept.append(name)
            places.append(place)
        side = self.spec.decode_size
        shape = (0, side, side, self.spec.decode_channels)
        joined = np.stack(images) if images else np.empty(shape, np.uint8)
        nothing = np.empty(0, np.int64)
        found = [
            *strange_values(self.spec, depths, kept),
            *several_pages(list(pages), list(pages.values()), len(kept)),
        ]
        return Pixels(joined, nothing, np.array(places, np.int64), kept, tuple(bad), found)

    def noise(self, num: int, draw: np.random.Generator) -> Pixels:
        """Return images of noise of the decoded size."""
        side = self.spec.decode_size
        shape = (num, side, side, self.spec.decode_channels)
        nothing = np.zeros(num, dtype=np.int64)
        pixels = draw.integers(0, 256, size=shape, dtype=np.uint8)
        return Pixels(pixels, nothing, nothing, [""] * num)

    def seconds_per_sample(self, samples: Samples) -> float:
        """Measure what decoding one image takes, in seconds."""
        num_tried = min(_NUM_TRIED, len(samples))
        began = time.monotonic()
        for index in range(num_tried):
            # one that cannot be read costs next to nothing, and is named when it is decoded
            with contextlib.suppress(DataError):
                decode_one(samples.read(index), self.spec)
        return (time.monotonic() - began) / num_tried

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict."""
        return {"kind": self.kind, "column": self.column, **image_to_json(self.spec)}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        record = {**_LATER, **record}
        read_record(record, ("kind", "column", *_NAMES), "preprocess")
        check_column(record)
        image_from_json({name: record[name] for name in _NAMES}, "preprocess")

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> ImagePreprocess:
        """Return what ``to_json`` wrote; there are no files."""
        del folder, origin
        spec = image_from_json({n: record[n] for n in _NAMES if n in record}, "preprocess")
        return cls(spec, record["column"])


def image_to_json(spec: ImageSpec) -> dict[str, object]:
    """Return the numbers of an image preprocessing as JSON-able dict."""
    known = None if spec.value_range is None else list(spec.value_range)
    lists = {"mean": list(spec.mean), "std": list(spec.std), "value_range": known}
    return {**asdict(spec), **lists}


def image_from_json(value: object, what: str) -> ImageSpec:
    """Return what ``image_to_json`` wrote.

    Args:
        value: A JSON value.
        what: Names it in a refusal.

    Raises:
        StartError: If keys, types or lengths differ.
    """
    if isinstance(value, Mapping):
        value = {**_LATER, **value}
    record = read_record(value, _NAMES, what)
    whole = [record[n] for n in ("size", "channels", "decode_size", "decode_channels")]
    lists = [record["mean"], record["std"]]
    if (
        not all(isinstance(n, int) and n > 0 for n in whole)
        or not all(isinstance(n, list | tuple) and len(n) == record["channels"] for n in lists)
        or not all(isinstance(x, int | float) for n in lists for x in n)
        or record["interpolation"] not in ("bilinear", "bicubic")
        or record["framing"] not in get_args(Framing)
        or not _is_range(record["value_range"])
    ):
        raise damaged(
            what,
            record,
            "whole sizes and channels, one mean and std a channel, 'bilinear' or 'bicubic', a "
            "framing, and two ascending numbers or null as value_range",
        )
    mean, std = (tuple(float(x) for x in n) for n in lists)
    known = record["value_range"]
    value_range = None if known is None else (float(known[0]), float(known[1]))
    return ImageSpec(**{**record, "mean": mean, "std": std, "value_range": value_range})


def _is_range(value: Any) -> bool:
    """Return whether a JSON value is a range of values, or none."""
    if value is None:
        return True
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(isinstance(x, int | float) for x in value) and value[0] < value[1]
