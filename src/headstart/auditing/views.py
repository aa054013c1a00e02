"""What a page shows of a sample: a small picture, the beginning of a text, cells of a row."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from headstart.auditing.audit import Spot
from headstart.preprocessing.image_files import PILLOW_ERRORS, open_image
from headstart.preprocessing.images import whole_image
from headstart.preprocessing.levels import is_deep, range_of
from headstart.preprocessing.samples import UnreadableImage
from headstart.types import Dataset

PIXELS = 160  # of the longer side
MAX_CHARACTERS = 400
_PLAIN_MODES = ("L", "RGB", "CMYK", "P", "1")


def view_of(dataset: Dataset, spot: Spot) -> dict[str, object]:
    """Return one of ``picture`` (a data URL), ``text`` and ``row``; empty if it cannot be read."""
    sample = dataset.split(spot.split).samples.read(spot.index) if _is_there(dataset, spot) else b""
    if isinstance(sample, str):
        return {"text": sample[:MAX_CHARACTERS] + ("…" if len(sample) > MAX_CHARACTERS else "")}
    if isinstance(sample, dict):
        return {"row": {str(name): _plain(value) for name, value in sample.items()}}
    try:
        image = _small(sample, range_of(dataset.grey_levels))
    except (UnreadableImage, *PILLOW_ERRORS):
        return {}
    is_tiny = max(image.size) <= PIXELS // 2
    buffer = io.BytesIO()
    image.save(buffer, "PNG") if is_tiny else image.save(buffer, "JPEG", quality=82)
    kind = "png" if is_tiny else "jpeg"
    url = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"picture": url}


def _is_there(dataset: Dataset, spot: Spot) -> bool:
    """Return whether the file of a sample can still be opened."""
    try:
        dataset.split(spot.split).samples.read(spot.index)
    except UnreadableImage:
        return False
    return True


def _small(sample: bytes | np.ndarray, value_range: tuple[float, float] | None) -> Image.Image:
    """Return the whole picture, upright, at a size for a page, as bright as training sees it."""
    if isinstance(sample, bytes):
        opened = open_image(sample)
        opened.draft("RGB", (2 * PIXELS, 2 * PIXELS))
        if opened.mode in _PLAIN_MODES and not opened.has_transparency_data:
            opened.load()
            image: Image.Image = ImageOps.exif_transpose(opened)
            image = image.convert("L" if image.mode in ("L", "1") else "RGB")
        else:
            image = whole_image(sample, PIXELS, value_range)
    elif is_deep(sample):
        image = whole_image(sample, PIXELS, value_range)
    else:
        image = Image.fromarray(sample[:, :, 0] if sample.shape[2] == 1 else sample)
    image.thumbnail((PIXELS, PIXELS))
    return image


def _plain(value: Any) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)
