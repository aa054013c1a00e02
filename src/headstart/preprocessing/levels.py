"""Images of more than 8 bits a channel: which of their values become black and white.

Scanners and microscopes write 10, 12 or 14 bits into files of 16, CT writes negative numbers,
floats are shares or counts. One range for all images, learned from train and part of the
preprocessing, maps them to 256 grey levels; the same at predict time, where what lies beyond it is
counted and said. Images of 8 bits are taken as they are.

Left out: a window for each image (it would make pictures of one brightness of all), and histogram
equalisation, which is not the same function for new images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from headstart.preprocessing.image_files import open_image
from headstart.types import Finding, GreyLevels, ImageSpec

EIGHT_BITS = (0.0, 255.0)
BIT_DEPTHS = (8, 10, 12, 14, 16)
USED_LEAST = 0.125  # share of the bit depth that nearly all pixels span: below, a closer range
MARGIN = 0.5  # of that span, on either side of a closer range
NEARLY_ALL = (0.1, 99.9)  # percentiles of the pixels
BEYOND_MOST = 0.01  # share of an image's pixels outside the range, from which it is said
USED_SMALL = 1 / 16  # of the range: images that use less of it are nearly black
SAMPLED = 4096  # pixels of an image that percentiles are taken from
# N is the order of this machine; the other byte is where the other order has the high one
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


@dataclass(frozen=True)
class Depth:
    """What the values of one image of more than 8 bits are.

    Attributes:
        lowest: The least of them.
        highest: The greatest.
        beyond: Share of its pixels outside the range that was used.
    """

    lowest: float
    highest: float
    beyond: float


def is_deep(array: np.ndarray) -> bool:
    """Return whether an array holds more than 8 bits a value."""
    return array.dtype != np.uint8 and array.dtype.kind in "iuf"


def natural_range(dtype: np.dtype) -> tuple[float, float]:
    """Return black and white where nothing was learned: of whole numbers 16 bits, of floats 1."""
    return (0.0, 1.0) if dtype.kind == "f" else (0.0, 65535.0)


def to_eight_bits(
    values: np.ndarray, value_range: tuple[float, float] | None
) -> tuple[np.ndarray, Depth]:
    """Return values as grey levels 0 to 255.

    Args:
        values: Whole numbers or floats, any shape; NaN counts as black.
        value_range: What becomes 0 and 255; None takes that of the format.

    Returns:
        uint8 of the same shape, and what the values were.
    """
    low, high = value_range or natural_range(values.dtype)
    known = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    number = known.astype(np.float32 if known.dtype.itemsize <= 4 else np.float64)
    beyond = float(((number < low) | (number > high)).mean())
    grey = np.rint((number.clip(low, high) - low) * (255.0 / (high - low))).astype(np.uint8)
    return grey, Depth(float(known.min()), float(known.max()), beyond)


def deep_values(image: Image.Image, raw: Sequence[str], data: bytes | None) -> np.ndarray | None:
    """Return the values of an image of more than 8 bits; None of any other.

    Args:
        image: Loaded. Of 16-bit colour Pillow keeps the high byte only.
        raw: What ``raw_modes`` gave before that.
        data: The file that it was opened from: the low byte is read apart. None where there is no
            file.

    Returns:
        Shape (H, W), or (H, W, 3) without transparency; int32, uint16 or float32.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    is_wide = bool(raw) and all(mode.endswith((";16B", ";16L", ";16N")) for mode in raw)
    if data is None or not is_wide or image.mode not in ("RGB", "RGBA"):
        return None
    other = open_image(data)
    other.tile = [
        tile._replace(args=_with_mode(tile.args, mode[:-1] + _OTHER_BYTE[mode[-1]]))
        for tile, mode in zip(other.tile, raw, strict=True)
    ]
    other.load()
    high, low = (np.asarray(one)[..., :3].astype(np.uint16) for one in (image, other))
    return (high << 8) | low


def raw_modes(image: Image.Image) -> list[str]:
    """Return how the pixels of each tile of a file not yet loaded are written, as Pillow says."""
    found = [tile.args for tile in getattr(image, "tile", ())]
    modes = [args[0] if isinstance(args, tuple) and args else args for args in found]
    return [mode for mode in modes if isinstance(mode, str)]


def _with_mode(args: tuple[Any, ...] | str | None, mode: str) -> tuple[Any, ...] | str:
    return (mode, *args[1:]) if isinstance(args, tuple) else mode


def sampled(values: np.ndarray) -> np.ndarray:
    """Return at most ``SAMPLED`` of an image's finite values, spread over it."""
    flat = values.reshape(-1)
    chosen = flat[np.linspace(0, len(flat) - 1, min(len(flat), SAMPLED)).astype(np.int64)]
    finite: np.ndarray = chosen[np.isfinite(chosen)].astype(np.float64)
    return finite


def choose_range(levels: GreyLevels) -> tuple[tuple[float, float], str]:
    """Return which values of train's images become black and white, and why.

    The bit depth that holds the highest value, from 0: nothing of train is cut off. Floats have
    none: up to the highest value, at least 1.
    Where nearly all pixels would share a few grey levels of it, a range close to these pixels.

    Args:
        levels: Of the training images looked at.
    """
    low, high = _whole_range(levels)
    span = levels.high - levels.low
    used = 255 * span / (high - low)
    if span > 0 and span < USED_LEAST * (high - low):
        closer = (
            max(levels.lowest, levels.low - MARGIN * span),
            min(levels.highest, levels.high + MARGIN * span),
        )
        return closer, (
            f"99.8 % of the pixels lie in {told(levels.low)} … {told(levels.high)}, which would "
            f"share {used:.0f} of 256 grey levels; {told(levels.lowest)} … {told(levels.highest)} "
            "were seen, and what lies beyond the range becomes black or white"
        )
    return (low, high), (
        f"training images hold {told(levels.lowest)} … {told(levels.highest)}, 99.8 % of their "
        f"pixels on {used:.0f} of 256 grey levels"
        + ("" if high == levels.highest else f"; {told(high)} is the most of their depth")
    )


def range_of(levels: GreyLevels | None) -> tuple[float, float] | None:
    """Return that range as training takes it where nobody says another; None of 8 bits.

    Whoever looks at images without a model reads them so: at all 16 bits, 12 of them are black.

    Args:
        levels: ``Dataset.grey_levels``.
    """
    return None if levels is None else choose_range(levels)[0]


def _whole_range(levels: GreyLevels) -> tuple[float, float]:
    if levels.lowest < 0:
        return levels.lowest, max(levels.highest, 0.0)
    if levels.is_float:
        return 0.0, max(1.0, levels.highest)
    fitting = [2**bits - 1 for bits in BIT_DEPTHS if levels.highest < 2**bits]
    return 0.0, float(fitting[0]) if fitting else levels.highest


def told(value: float) -> str:
    """Return a value as people write it."""
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


@dataclass
class Depths:
    """What was seen of images of more than 8 bits while some were decoded.

    Attributes:
        num: How many there were.
        lowest: The least of their values.
        highest: The greatest.
        beyond: Places of images with more than ``BEYOND_MOST`` of their pixels outside the range.
    """

    num: int = 0
    lowest: float = float("inf")
    highest: float = float("-inf")
    beyond: Sequence[int] = ()

    def add(self, place: int, depth: Depth | None) -> None:
        """Count an image."""
        if depth is not None:
            places = (place,) if depth.beyond > BEYOND_MOST else ()
            self.merge(Depths(1, depth.lowest, depth.highest, places))

    def merge(self, other: Depths) -> None:
        """Count other images."""
        self.num += other.num
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)
        self.beyond = [*self.beyond, *other.beyond]


def strange_values(spec: ImageSpec, depths: Depths, names: Sequence[str]) -> list[Finding]:
    """Return findings on images whose values are unlike those that the range was learned from.

    Args:
        spec: Gives the range; None where training held no image of more than 8 bits.
        depths: Of the images.
        names: Of all images, those of 8 bits too.
    """
    if not depths.num:
        return _of_eight_bits(spec, len(names))
    seen = f"{told(depths.lowest)} … {told(depths.highest)}"
    several = f"{depths.num:,} of {len(names):,} images hold"
    if spec.value_range is None:
        sentence = (
            f"{several} more than 8 bits ({seen}), and the images that the model learned from held "
            "8: 65,535, or of floats 1, becomes white. If the values use less, bring the images to "
            "8 bits as those of training were."
        )
        return [Finding("unseen", "warning", (), sentence)]
    low, high = spec.value_range
    learned = f"{told(low)} … {told(high)}"
    if depths.beyond:
        beyond = [names[place] for place in depths.beyond]
        shown = ", ".join(f"'{name}'" for name in beyond[:3])
        sentence = (
            f"{len(beyond):,} of {len(names):,} images have more than {BEYOND_MOST:.0%} of their "
            f"pixels outside {learned}, the range learned from train ({shown}"
            f"{' …' if len(beyond) > 3 else ''}; values {seen}): these pixels are black or white. "
            "If the scanner or its units have changed, scale the images as those of training."
        )
        return [Finding("unseen", "warning", beyond, sentence)]
    if depths.highest - low < USED_SMALL * (high - low):
        sentence = (
            f"{several} {seen}, a small part of {learned}, the range learned from train: they are "
            "nearly black. If they were scaled, bring them back."
        )
        return [Finding("unseen", "warning", (), sentence)]
    return []


def _of_eight_bits(spec: ImageSpec, num: int) -> list[Finding]:
    """Say that images hold 8 bits where those of training held more."""
    if spec.value_range in (None, EIGHT_BITS) or not num:
        return []
    assert spec.value_range is not None
    low, high = spec.value_range
    sentence = (
        f"None of {num:,} images holds more than 8 bits, and images that the model learned from "
        f"did ({told(low)} … {told(high)} as black to white): these are taken as they are. If they "
        "were brought to 8 bits in another way, give the originals."
    )
    return [Finding("unseen", "note", (), sentence)]
