"""Open the file of an image, whatever its format: the header read, its size checked, no more.

Files are hostile until proven otherwise: the formats below are allowed, found by their first bytes
and not by their name, and the pixel count in the header is checked before anything is decoded.
HEIC needs the extra ``heic``; AVIF needs a Pillow that was built with it, as its wheels are. Left
out: camera raw, JPEG 2000, SVG, and DICOM, whose pixels mean nothing without its other fields.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from PIL import Image, ImageFile, features

from headstart.extras import install_command
from headstart.preprocessing.samples import UnreadableImage

MAX_PIXELS = 50_000_000
_TAIL = 64  # bytes at the end of a file, where its last marker is looked for
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF", "PPM")
# Names that mean an image; whether it can be read is found out from its bytes. The one list for
# training, predict, evaluate and lists of paths.
READ_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# Listed, so that each is named with its reason rather than left out without a word.
OTHER_SUFFIXES = (".jp2", ".svg", ".dcm", ".dicom")
IMAGE_SUFFIXES = frozenset(READ_SUFFIXES + OTHER_SUFFIXES)
HEIC_BRANDS = frozenset(
    [b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"]
)
AVIF_BRANDS = frozenset([b"avif", b"avis"])
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
    RuntimeError,
    Image.DecompressionBombError,
    Warning,
)


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image tell, as it will be seen (orientation applied).

    Attributes:
        height: Pixels.
        width: Pixels.
        num_pages: Of a TIFF; 1 of all others, whose further frames are an animation.
    """

    height: int
    width: int
    num_pages: int = 1


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Return the image with its header read and its size checked, not yet decoded.

    Raises:
        UnreadableImage: It is empty, no image, of a format that is not read, or too large.
    """
    if not data:
        raise UnreadableImage("the file is empty (0 bytes)")
    _prepare_formats()
    for name in FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        # Not Image.open: it warns about large images, and warning filters belong to the process
        # and not to a thread. The limit below is stricter than Pillow's.
        if accept is None or accept(data[:16]) is not True:
            continue
        try:
            image = factory(io.BytesIO(data), "")
        except PILLOW_ERRORS as error:
            raise UnreadableImage(_unopened(name, error)) from error
        check_size(*image.size)
        return image
    raise UnreadableImage(foreign(data))


def seems_whole(data: bytes) -> bool:
    """Return whether an image file ends as its format does, as far as that is cheap to see.

    What breaks off while it is copied or downloaded does not; whether such a file can be read
    after all, decoding it tells.

    Args:
        data: The whole file.
    """
    if data[:2] == b"\xff\xd8":
        return b"\xff\xd9" in data[-_TAIL:]
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" in data[-_TAIL:]
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return data.rstrip(b"\0").endswith(b"\x3b")
    if data[:4] == b"RIFF":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if data[:2] == b"BM":
        return len(data) >= int.from_bytes(data[2:6], "little")
    return True


@cache
def _prepare_formats() -> None:
    """Let Pillow know its formats, and HEIC where the extra is there."""
    Image.init()
    if find_spec("pi_heif"):
        import_module("pi_heif").register_heif_opener()


def check_size(width: int, height: int) -> None:
    """Refuse an image of no pixels or too many.

    Raises:
        UnreadableImage: Saying how many.
    """
    if width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"{width} x {height} pixels are {width * height / 1e6:,.0f} megapixels, more than "
            f"the limit of {MAX_PIXELS // 1_000_000}"
        )
    if width < 1 or height < 1:
        raise UnreadableImage(f"it has {width} x {height} pixels")


def _unopened(name: str, error: BaseException) -> str:
    """Say why a file of a known format could not be opened."""
    if name == "TIFF" and "unknown" in str(error).lower():
        return (
            f"it is a kind of TIFF that is not read ({words(error)}); write it with 8 or 16 bits "
            "or float32, its channels pixel by pixel, for example with tifffile.imwrite"
        )
    return f"the {name} file is truncated or damaged ({words(error)})"


def foreign(data: bytes) -> str:
    """Say what bytes are that are none of the formats."""
    start = data[:256].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "it is an HTML page, not an image"
    if start.startswith((b"<?xml", b"<svg")):
        return "it is XML or SVG text, which is not read"
    if data[128:132] == b"DICM":
        return (
            "it is a DICOM file, which is not read; write its pixels as 16-bit PNG or TIFF: "
            "PIL.Image.fromarray(pydicom.dcmread(path).pixel_array).save('x.png'), and keep all "
            "images of a patient in one folder or --group"
        )
    if data[4:8] == b"ftyp":
        return _foreign_box(data)
    if data[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or data[:4] == b"\xff\x4f\xff\x51":
        return "it is a JPEG 2000 image, which is not read; write it as PNG or TIFF"
    if data[:4] == b"%PDF":
        return "it is a PDF document, not an image"
    return "it is not a JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC image"


def _foreign_box(data: bytes) -> str:
    """Say what an ISO media file is that nothing here opens."""
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, length, 4))}
    if brands & AVIF_BRANDS and not features.check("avif"):
        command = install_command("-U", "pillow")
        return f"it is an AVIF image, which this Pillow was built without: {command}"
    if brands & HEIC_BRANDS and not find_spec("pi_heif"):
        command = install_command("headstart[heic]")
        return f"it is a HEIC image, which needs the package 'pi-heif': {command}"
    return "it is a video or another ISO media file, not an image"


def words(error: BaseException) -> str:
    """Return an error's text on one line, at most 120 characters."""
    text = " ".join(str(error).split()).rstrip(".")
    return text[:120] or type(error).__name__
