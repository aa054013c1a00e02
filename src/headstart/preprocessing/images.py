"""Turn one image, however it is stored, into pixels: the one way for training and for predicting.

``decode_one`` is used by the decode store, by ``predict`` and by serving, so that a photo looks
the same to the model wherever it comes from. What each unusual kind becomes is fixed:

- EXIF orientation is applied; of an animation or of several pages the first is taken;
- transparency (palette, grey or colour) is composited on white, on black where all that is seen
  is white; alpha that is a fourth band by its values is left out;
- CMYK and YCCK become RGB by Pillow's plain conversion, without a colour profile;
- more than 8 bits (grey of 16 or 32, floats, colour of 16) become 8 by one range (``levels``);
  1-bit becomes 0/255;
- what is no square becomes one (``framing``);
- a JPEG at least twice as large as needed is read at a reduced DCT scale (``draft``), always.

Which files are opened says ``image_files``; a truncated image is refused, never completed with grey
(``jpeg``). Left out: colour management, camera raw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.preprocessing.framing import framed
from headstart.preprocessing.image_files import (
    PILLOW_ERRORS,
    Header,
    check_size,
    open_image,
    words,
)
from headstart.preprocessing.jpeg import lacks_data
from headstart.preprocessing.levels import Depth, deep_values, is_deep, raw_modes, to_eight_bits
from headstart.preprocessing.samples import UnreadableImage, read_file
from headstart.types import Finding, ImageSpec

ORIENTATION_TAG = 0x0112
EXIF_SIZE, WIDTH_TAG, HEIGHT_TAG = 0x8769, 0xA002, 0xA003
NEARLY_WHITE = 240  # of 255: what is brighter cannot be told from a white ground
BAND_SHARE, BAND_LEVELS = 0.1, 32  # alpha is a band: so few clear or solid pixels, so many levels
_AS_IT_IS = ImageSpec(224, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 224, 3)  # _flat reads channels
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
ValueRange = tuple[float, float] | None
Source = str | Path | bytes | np.ndarray | Image.Image


def read_header(data: bytes) -> Header:
    """Return the size of an encoded image without decoding it.

    Args:
        data: The whole file.

    Raises:
        UnreadableImage: It is empty, no image, of a format that is not read, or too large.
    """
    image = open_image(data)
    width, height = image.size
    # Asking for EXIF costs time, so ask only where there is some; a TIFF's size is turned already.
    if "exif" in image.info and _orientation(image) >= 5:
        width, height = height, width
    return Header(height, width, _num_pages(image) if image.format == "TIFF" else 1)


def _num_pages(image: Image.Image) -> int:
    """Return how many pages a TIFF has; where those after the first are damaged, 1."""
    try:
        return int(getattr(image, "n_frames", 1))
    except PILLOW_ERRORS:
        return 1


def num_pages(source: Source) -> int:
    """Return how many pages an image has; 1 of all but TIFFs, and of what cannot be opened.

    Args:
        source: As in ``decode_one``; of a file that is no TIFF four bytes are read.
    """
    try:
        if isinstance(source, (np.ndarray, Image.Image)):
            return 1
        if not isinstance(source, bytes):
            with open(source, "rb") as file:
                if file.read(4) not in TIFF_BEGINS:
                    return 1
            source = read_file(source)
        return read_header(source).num_pages if source[:4] in TIFF_BEGINS else 1
    except (OSError, UnreadableImage):
        return 1


def several_pages(names: Sequence[str], pages: Sequence[int], num: int) -> list[Finding]:
    """Return that files have several pages, of which the first is read; the same for every verb.

    Args:
        names: Of the images that have.
        pages: How many each of these has.
        num: How many images were looked at.
    """
    if not names:
        return []
    sentence = (
        f"{len(names):,} of {num:,} images have several pages, such as '{names[0]}' "
        f"({pages[0]:,}): the first is used. If the others are samples, too, write each to a file "
        "of its own."
    )
    return [Finding("truncated", "warning", names, sentence)]


def decode_one(source: Source, spec: ImageSpec) -> np.ndarray:
    """Return one image as the pixels a model with this preprocessing reads.

    Bring to 8 bits, convert to ``spec.decode_channels`` channels, make a square of
    ``spec.decode_size``.

    Args:
        source: Path, encoded bytes, an array (H, W) or (H, W, C) with C 1, 3 or, of uint8, 4
            (RGBA), or a PIL image.
        spec: The preprocessing that belongs to the model.

    Returns:
        uint8, shape (decode_size, decode_size, decode_channels).

    Raises:
        UnreadableImage: The image cannot be used; ``reason`` says why.

    Example:
        >>> spec = ImageSpec(8, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 8, 3)
        >>> decode_one(np.zeros((20, 10), np.uint8), spec).shape
        (8, 8, 3)
    """
    return decode_deep(source, spec)[0]


def decode_deep(source: Source, spec: ImageSpec) -> tuple[np.ndarray, Depth | None]:
    """Return what ``decode_one`` does, and what the values of an image of more than 8 bits were.

    Raises:
        UnreadableImage: As ``decode_one`` does.
    """
    size = spec.decode_size
    image, depth = _flat(source, size, spec)
    return np.array(framed(image, spec), np.uint8).reshape(size, size, spec.decode_channels), depth


def thumbnail(source: Source, spec: ImageSpec, side: int) -> Image.Image:
    """Return all of an image as a person would see it, by the range and channels of a model.

    Args:
        source: As ``decode_one`` takes it.
        spec: The preprocessing that belongs to the model.
        side: The longer side has at most so many pixels.

    Raises:
        UnreadableImage: The image cannot be used.
    """
    image, _ = _flat(source, side, spec)
    image = image.copy()
    image.thumbnail((side, side))
    return image


def whole_image(source: Source, size: int, value_range: ValueRange = None) -> Image.Image:
    """Return all of one image in RGB, upright, as large as it is or reduced to no less than a size.

    What looks at images without a model reads them so: nothing is cut away.

    Args:
        source: As in ``decode_one``.
        size: Pixels that each side is needed at; a large JPEG is read at a reduced scale.
        value_range: What becomes black and white of more than 8 bits.

    Raises:
        UnreadableImage: The image cannot be used; ``reason`` says why.
    """
    return _flat(source, size, replace(_AS_IT_IS, value_range=value_range))[0]


def _flat(source: Source, size: int, spec: ImageSpec) -> tuple[Image.Image, Depth | None]:
    """Return an image upright, of 8 bits, with the channels that are decoded."""
    known = spec.value_range
    if isinstance(source, np.ndarray):
        image, depth = _from_array(source, known)
    elif isinstance(source, Image.Image):
        check_size(*source.size)
        # what a file of this image would give; the caller's image is left as it is
        image, depth = _upright(source, None, known, is_turned=_is_turned(source))
    else:
        name = None if isinstance(source, bytes) else str(source)
        try:
            data = source if isinstance(source, bytes) else read_file(source)
            image, depth = _load(data, size, known)
        except UnreadableImage as error:
            raise UnreadableImage(error.reason, name) from error
    return image.convert("L" if spec.decode_channels == 1 else "RGB"), depth


def grey_values(source: Source) -> np.ndarray | None:
    """Return the values of an image of more than 8 bits, (H, W[, 3]); None of any other.

    Raises:
        UnreadableImage: It cannot be opened or decoded.
    """
    if isinstance(source, np.ndarray):
        return source if is_deep(source) else None
    if isinstance(source, Image.Image):
        return deep_values(source, (), None)
    data = source if isinstance(source, bytes) else read_file(source)
    image = open_image(data)
    raw = raw_modes(image)
    if image.mode[0] not in "IF" and not any(";16" in mode for mode in raw):
        return None
    try:
        image.load()
        return deep_values(image, raw, data)
    except PILLOW_ERRORS as error:
        raise UnreadableImage(f"the image data is truncated or damaged ({words(error)})") from error


def _load(data: bytes, size: int, known: ValueRange) -> tuple[Image.Image, Depth | None]:
    """Return the decoded first frame, upright, 8 bits a channel, opaque; any of L, RGB, CMYK."""
    opened = open_image(data)
    # draft only ever reduces to at least the size asked for: twice what the resize needs.
    draft = (2 * size, 2 * size)
    found = _upright(opened, draft, known, data=data)
    if opened.format == "JPEG" and lacks_data(data, opened, partial(_decode_again, draft=draft)):
        raise UnreadableImage(
            "the JPEG file is truncated: its end marker is there, but part of the picture is not "
            "(it would be grey)"
        )
    return found


def _decode_again(data: bytes, draft: tuple[int, int]) -> Image.Image | None:
    """Return a JPEG file decoded as ``_upright`` does, but for what follows; None if it cannot."""
    try:
        image = open_image(data)
        image.draft(None, draft)
        image.load()
    except (UnreadableImage, *PILLOW_ERRORS):
        return None
    return image


def _is_turned(image: Image.Image) -> bool:
    """Return whether an image in memory is upright already, though its EXIF still says a turn.

    So it is where a quarter turn is asked for, the camera's width and height are known, and the
    pixels lie the other way round: somebody has turned them. A half turn cannot be told.
    """
    if _orientation(image) < 5:
        return False
    try:
        kept = image.getexif().get_ifd(EXIF_SIZE)
        width, height = int(kept.get(WIDTH_TAG, 0)), int(kept.get(HEIGHT_TAG, 0))
    except (*PILLOW_ERRORS, AttributeError):
        return False
    is_wide, was_wide = image.size[0] > image.size[1], width > height
    return 0 < width != height > 0 and image.size[0] != image.size[1] and is_wide != was_wide


def _upright(
    image: Image.Image,
    draft: tuple[int, int] | None,
    known: ValueRange,
    *,
    data: bytes | None = None,
    is_turned: bool = False,
) -> tuple[Image.Image, Depth | None]:
    """Return the decoded image, upright and flattened; read at a reduced scale if asked to."""
    raw = raw_modes(image)
    try:
        if draft is not None:
            image.draft(None, draft)
        image.load()
        flat, depth = _flatten(image, deep_values(image, raw, data), known)
    except PILLOW_ERRORS as error:
        raise UnreadableImage(f"the image data is truncated or damaged ({words(error)})") from error
    transpose = None if is_turned else TRANSPOSES.get(_orientation(image))
    return (flat if transpose is None else flat.transpose(transpose)), depth


def _flatten(
    image: Image.Image, values: np.ndarray | None, known: ValueRange
) -> tuple[Image.Image, Depth | None]:
    """Return the image without alpha, palette transparency or more than 8 bits.

    Args:
        image: Loaded.
        values: Its values where they have more than 8 bits.
        known: What of these becomes black and white.
    """
    depth = None
    if values is not None:
        grey, depth = to_eight_bits(values, known)
        alpha = image.getchannel("A") if "A" in image.getbands() else None
        image = Image.fromarray(grey)
        if alpha is not None:
            image.putalpha(alpha)
    return (_opaque(image.convert("RGBA")) if image.has_transparency_data else image), depth


def _opaque(image: Image.Image) -> Image.Image:
    """Return an RGBA image on the ground that shows what is on it, in RGB.

    White, as nearly everywhere; black where all that can be seen is as good as white. Alpha that
    varies all over the image as a measurement does (a fourth band) is no transparency: then the
    colours are taken as they are.
    """
    counts = np.array(image.getchannel("A").histogram())
    num_pixels = counts.sum()
    if counts[255] == num_pixels:
        return image.convert("RGB")
    is_band = counts[0] + counts[255] < BAND_SHARE * num_pixels and (counts > 0).sum() > BAND_LEVELS
    if is_band:
        return image.convert("RGB")
    pixels = np.asarray(image)
    seen = pixels[..., 3] >= min(128, int(np.flatnonzero(counts)[-1]))
    is_white = counts[0] < num_pixels and pixels[..., :3][seen].min() >= NEARLY_WHITE
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255) if is_white else (255, 255, 255, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1 to 8; damaged EXIF counts as none."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _from_array(array: np.ndarray, known: ValueRange) -> tuple[Image.Image, Depth | None]:
    """Return an image of an array of uint8, or of numbers of more bits."""
    channels = (1, 3) if is_deep(array) else (1, 3, 4)
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in channels)
    if array.dtype.kind not in "iuf" or not fits or 0 in array.shape:
        raise UnreadableImage(
            f"the array is {array.dtype} with shape {array.shape}, expected uint8 with shape "
            "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or other numbers without a fourth channel"
        )
    depth = None
    if is_deep(array):
        array, depth = to_eight_bits(array, known)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _flatten(Image.fromarray(np.ascontiguousarray(array)), None, known)[0], depth
