"""Turn one image, however it is stored, into pixels: the one way for training and for predicting.

``decode_one`` is used by the decode store, by ``predict`` and by serving, so that a photo looks
the same to the model wherever it comes from. What each unusual kind becomes is fixed:

- EXIF orientation is applied; of an animation the first frame is taken;
- transparency (palette, grey or colour) is composited on white, on black where all that is seen
  is white; alpha that is a fourth band by its values is left out;
- CMYK and YCCK become RGB by Pillow's plain conversion, without a colour profile;
- 16-bit grey is divided by 257; of 16-bit colour Pillow keeps the high byte; 1-bit becomes 0/255;
- a JPEG at least twice as large as needed is read at a reduced DCT scale (``draft``), always.

Files are hostile until proven otherwise: five formats are allowed, found by their first bytes and
not by their name; the pixel count in the header is checked before anything is decoded; and a
truncated image is refused, never completed with grey (``jpeg``). Left out: colour management,
TIFF, HEIC, camera raw.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from headstart.preprocessing.jpeg import lacks_data
from headstart.preprocessing.samples import UnreadableImage, read_file
from headstart.types import ImageSpec

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
ORIENTATION_TAG = 0x0112
EXIF_SIZE, WIDTH_TAG, HEIGHT_TAG = 0x8769, 0xA002, 0xA003
NEARLY_WHITE = 240  # of 255: what is brighter cannot be told from a white ground
BAND_SHARE, BAND_LEVELS = 0.1, 32  # alpha is a band: so few clear or solid pixels, so many levels
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Everything Pillow's readers were seen to raise on damaged bytes; a Warning only where a caller
# has turned warnings into errors.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    OverflowError,
    MemoryError,
    Image.DecompressionBombError,
    Warning,
)


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image tell, as it will be seen (orientation applied).

    Attributes:
        height: Pixels.
        width: Pixels.
    """

    height: int
    width: int


def read_header(data: bytes) -> Header:
    """Return the size of an encoded image without decoding it.

    Args:
        data: The whole file.

    Raises:
        UnreadableImage: It is empty, no image, of a format that is not read, or too large.
    """
    image = open_image(data)
    width, height = image.size
    # Only JPEG, WebP and PNG carry EXIF; asking costs time, so ask only where there is some.
    if "exif" in image.info and _orientation(image) >= 5:
        width, height = height, width
    return Header(height, width)


def decode_one(
    source: str | Path | bytes | np.ndarray | Image.Image, spec: ImageSpec
) -> np.ndarray:
    """Return one image as the pixels a model with this preprocessing reads.

    Convert to ``spec.decode_channels`` channels, resize the shorter side to ``spec.decode_size``
    (antialiased), crop the centre square.

    Args:
        source: Path, encoded bytes, a uint8 array (H, W) or (H, W, C) with C 1, 3 or 4 (RGBA), or a
            PIL image.
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
    size = spec.decode_size
    image = _decoded(source, size)
    image = image.convert("L" if spec.decode_channels == 1 else "RGB")
    if image.size != (size, size):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        # Resizing the centre square alone equals resizing all and cropping: Pillow's filters
        # read beyond the box where the image goes on.
        image = image.resize(
            (size, size), FILTERS[spec.interpolation], (left, top, left + side, top + side)
        )
    return np.array(image, dtype=np.uint8).reshape(size, size, spec.decode_channels)


def whole_image(source: str | Path | bytes | np.ndarray | Image.Image, size: int) -> Image.Image:
    """Return all of one image in RGB, upright, as large as it is or reduced to no less than a size.

    What looks at images without a model reads them so: nothing is cut away.

    Args:
        source: As in ``decode_one``.
        size: Pixels that each side is needed at; a large JPEG is read at a reduced scale.

    Raises:
        UnreadableImage: The image cannot be used; ``reason`` says why.
    """
    return _decoded(source, size).convert("RGB")


def _decoded(source: str | Path | bytes | np.ndarray | Image.Image, size: int) -> Image.Image:
    """Return one image upright and flattened; a JPEG at least as large as twice the size."""
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pillow(source)
    name = None if isinstance(source, bytes) else str(source)
    try:
        return _load(source if isinstance(source, bytes) else read_file(source), size)
    except UnreadableImage as error:
        raise UnreadableImage(error.reason, name) from error


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Return the image with its header read and its size checked, not yet decoded.

    Raises:
        UnreadableImage: It is empty, no image, of a format that is not read, or too large.
    """
    if not data:
        raise UnreadableImage("the file is empty (0 bytes)")
    Image.init()
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        # Not Image.open: it warns about large images, and warning filters belong to the process
        # and not to a thread. The limit below is stricter than Pillow's.
        if accept is None or accept(data[:16]) is not True:
            continue
        try:
            image = factory(io.BytesIO(data), "")
        except PILLOW_ERRORS as error:
            raise UnreadableImage(
                f"the {name} file is truncated or damaged ({_words(error)})"
            ) from error
        width, height = image.size
        _check_size(width, height)
        return image
    raise UnreadableImage(_foreign(data))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"{width} x {height} pixels are {width * height / 1e6:,.0f} megapixels, more than "
            f"the limit of {MAX_PIXELS // 1_000_000}"
        )
    if width < 1 or height < 1:
        raise UnreadableImage(f"it has {width} x {height} pixels")


def _foreign(data: bytes) -> str:
    """Say what bytes are that are none of the formats."""
    start = data[:256].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "it is an HTML page, not an image"
    if start.startswith((b"<?xml", b"<svg")):
        return "it is XML or SVG text, which is not read"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "it is a TIFF image, which is not read"
    if data[4:8] == b"ftyp":
        return "it is a HEIC, AVIF or video file, which is not read"
    if data[:4] == b"%PDF":
        return "it is a PDF document, not an image"
    return "it is not a JPEG, PNG, WebP, BMP or GIF image"


def _load(data: bytes, size: int) -> Image.Image:
    """Return the decoded first frame, upright, 8 bits a channel, opaque; any of L, RGB, CMYK."""
    opened = open_image(data)
    # draft only ever reduces to at least the size asked for: twice what the resize needs.
    draft = (2 * size, 2 * size)
    image = _upright(opened, draft)
    if opened.format == "JPEG" and lacks_data(data, opened, partial(_decode_again, draft=draft)):
        raise UnreadableImage(
            "the JPEG file is truncated: its end marker is there, but part of the picture is not "
            "(it would be grey)"
        )
    return image


def _decode_again(data: bytes, draft: tuple[int, int]) -> Image.Image | None:
    """Return a JPEG file decoded as ``_upright`` does, but for what follows; None if it cannot."""
    try:
        image = open_image(data)
        image.draft(None, draft)
        image.load()
    except (UnreadableImage, *PILLOW_ERRORS):
        return None
    return image


def _from_pillow(image: Image.Image) -> Image.Image:
    """Return what a file of this image would give; the caller's image is left as it is."""
    width, height = image.size
    _check_size(width, height)
    return _upright(image, None, is_turned=_is_turned(image))


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
    image: Image.Image, draft: tuple[int, int] | None, *, is_turned: bool = False
) -> Image.Image:
    """Return the decoded image, upright and flattened; read at a reduced scale if asked to."""
    try:
        if draft is not None:
            image.draft(None, draft)
        image.load()
        flat = _flatten(image)
    except PILLOW_ERRORS as error:
        raise UnreadableImage(
            f"the image data is truncated or damaged ({_words(error)})"
        ) from error
    transpose = None if is_turned else TRANSPOSES.get(_orientation(image))
    return flat if transpose is None else flat.transpose(transpose)


def _flatten(image: Image.Image) -> Image.Image:
    """Return the image without alpha, palette transparency or 16-bit samples."""
    if image.mode.startswith("I"):  # 16-bit grey: I;16 and its byte orders, I for some PNGs
        wide = np.asarray(image).astype(np.int64)
        return Image.fromarray(((wide.clip(0, 65535) + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("32-bit floating point pixels are not read")
    if image.has_transparency_data:
        return _opaque(image.convert("RGBA"))
    return image


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


def _from_array(array: np.ndarray) -> Image.Image:
    """Return an image of a uint8 array."""
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise UnreadableImage(
            f"the array is {array.dtype} with shape {array.shape}, expected uint8 with shape "
            "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _flatten(Image.fromarray(np.ascontiguousarray(array)))


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:120] or type(error).__name__
