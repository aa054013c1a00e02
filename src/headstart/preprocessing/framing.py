"""Pictures that are no squares, into the square that a network takes.

The same three ways, with the same rounding and the same ground, as timm's ``crop_mode`` (center,
border, squash), so that a model exported there sees what it saw here.
"""

from __future__ import annotations

from typing import Literal

from PIL import Image

from headstart.types import CUT_MOST, Framing, ImageSpec

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def framed(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """Return an image as a square of ``spec.decode_size``.

    Args:
        image: Grey or RGB, 8 bits.
        spec: Size, filter and framing.
    """
    size, resample = spec.decode_size, FILTERS[spec.interpolation]
    if image.size == (size, size):
        return image
    width, height = image.size
    if spec.framing == "squash":
        return image.resize((size, size), resample)
    if spec.framing == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        # Resizing the centre square alone equals resizing all and cropping: Pillow's filters
        # read beyond the box where the image goes on.
        return image.resize((size, size), resample, (left, top, left + side, top + side))
    ratio = max(width, height) / size
    inner = max(1, round(width / ratio)), max(1, round(height / ratio))
    square = Image.new(image.mode, (size, size), ground(spec, image.mode))
    square.paste(image.resize(inner, resample), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return square


def ground(spec: ImageSpec, mode: str) -> int | tuple[int, ...]:
    """Return the colour that pictures are padded with: the mean of the weights' training images.

    After the normalisation it is 0.

    Args:
        spec: Gives the mean.
        mode: ``L`` or ``RGB``.
    """
    if mode == "L":
        return round(255 * sum(spec.mean) / len(spec.mean))
    mean = spec.mean if len(spec.mean) == 3 else spec.mean[:1] * 3
    return tuple(round(255 * value) for value in mean)


def framed_size(image_size: tuple[int, int] | None, framing: Framing) -> tuple[int, int] | None:
    """Return height and width of the square that is seen of images of some size."""
    if image_size is None:
        return None
    side = min(image_size) if framing == "crop" else max(image_size)
    return side, side


def choose_framing(cut: float) -> tuple[Framing, str]:
    """Return the framing for a data set, and why; an empty reason where nothing is to be said.

    Args:
        cut: Mean share of a training picture that lies outside its centre square.
    """
    if cut < CUT_MOST:
        return "crop", ""
    return "pad", f"centre squares would cut away {cut:.0%} of the average training picture"


def decided(framing: Literal["auto", Framing]) -> Framing:
    """Return a framing; centre squares where nobody has decided."""
    return "crop" if framing == "auto" else framing
