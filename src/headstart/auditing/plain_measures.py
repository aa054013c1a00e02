"""Measures of a sample that know nothing of what it shows: how a file is made, how long a text is.

What they say of a sample is what a model may learn in place of its meaning (``shortcuts``), and
where two splits differ by them, they were gathered in different ways (``drift``). At most a few
thousand samples of a split are measured, drawn at random.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from headstart.preprocessing.image_files import PILLOW_ERRORS, open_image
from headstart.preprocessing.samples import UnreadableImage
from headstart.types import Dataset, SplitName

MOST_MEASURED = 3_000  # samples of a split
_SIDE, _FRAME = 32, 2  # of the small copy that colours are measured on, and its border, in pixels
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F")
_SCRIPTS = ("LATIN", "CJK", "CYRILLIC", "ARABIC", "GREEK", "HANGUL", "HIRAGANA", "DEVANAGARI")
_LETTERS_LOOKED_AT = 60
MADE, COLOUR, BORDER = "how the file is made", "its colours", "its border"
LENGTH, WRITING, SCRIPT = "its length", "its writing", "its script"


@dataclass(frozen=True)
class Measures:
    """Measures of some samples of a split.

    Attributes:
        places: int64, shape (N,), the samples.
        values: float32, shape (N, M); NaN where a sample cannot be read.
        columns: What each of the M measures is, in words.
        groups: To which aspect each of them belongs.
    """

    places: np.ndarray
    values: np.ndarray
    columns: tuple[str, ...]
    groups: tuple[str, ...]

    def of(self, group: str) -> np.ndarray:
        """Return the measures of one aspect, float32, shape (N, M')."""
        return self.values[:, [name == group for name in self.groups]]


IMAGE_COLUMNS = {
    "width": MADE,
    "height": MADE,
    "shape": MADE,
    "format": MADE,
    "colour mode": MADE,
    "bytes a pixel": COLOUR,
    "brightness": COLOUR,
    "contrast": COLOUR,
    "red": COLOUR,
    "green": COLOUR,
    "blue": COLOUR,
    "red of the border": BORDER,
    "green of the border": BORDER,
    "blue of the border": BORDER,
    "contrast of the border": BORDER,
}
TEXT_COLUMNS = {
    "characters": LENGTH,
    "words": LENGTH,
    "lines": LENGTH,
    "capitals": WRITING,
    "digits": WRITING,
    "marks": WRITING,
    **{f"{script.capitalize()} letters": SCRIPT for script in _SCRIPTS},
}


def measured(
    dataset: Dataset,
    name: SplitName,
    *,
    seed: int = 0,
    is_over: Callable[[], bool] = lambda: False,
) -> Measures:
    """Measure samples of a split.

    Args:
        dataset: Images or texts.
        name: The split.
        seed: Of which samples are measured.
        is_over: Asked before each sample; those after it are not measured.
    """
    is_image = dataset.schema.facts.is_looked_at
    columns = IMAGE_COLUMNS if is_image else TEXT_COLUMNS
    measure = _of_image if is_image else _of_text
    split = dataset.split(name)
    places = np.random.default_rng(seed).permutation(len(split))[:MOST_MEASURED]
    rows = []
    for place in places.tolist():
        if is_over():
            break
        rows.append(measure(split.samples.read(place)))
    values = np.array(rows, dtype=np.float32).reshape(len(rows), len(columns))
    return Measures(places[: len(rows)], values, tuple(columns), tuple(columns.values()))


def _of_image(sample: Any) -> list[float]:
    """Return the measures of one image, encoded or an array; NaN where it cannot be read."""
    try:
        if isinstance(sample, np.ndarray):
            flat = sample[..., 0] if sample.ndim == 3 and sample.shape[2] == 1 else sample
            image, num_bytes, kind = Image.fromarray(flat), float("nan"), -1.0
        else:
            opened = open_image(sample)
            num_bytes = float(len(sample))
            kind = float(FORMATS.index(opened.format) if opened.format in FORMATS else -1)
            image = opened
        width, height = image.size
        mode = float(MODES.index(image.mode) if image.mode in MODES else -1)
        if not isinstance(sample, np.ndarray):
            image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
        small = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except (UnreadableImage, *PILLOW_ERRORS):
        return [float("nan")] * len(IMAGE_COLUMNS)
    pixels = np.asarray(small, dtype=np.float32)
    is_border = np.ones((_SIDE, _SIDE), dtype=bool)
    is_border[_FRAME:-_FRAME, _FRAME:-_FRAME] = False
    border = pixels[is_border]
    return [
        float(width),
        float(height),
        width / height,
        kind,
        mode,
        num_bytes / (width * height),
        float(pixels.mean()),
        float(pixels.std()),
        *pixels.mean(axis=(0, 1)).tolist(),
        *border.mean(axis=0).tolist(),
        float(border.std()),
    ]


def _of_text(text: str) -> list[float]:
    """Return the measures of one text."""
    number = max(1, len(text))
    letters = [c for c in text if c.isalpha()]
    step = max(1, len(letters) // _LETTERS_LOOKED_AT)
    looked = letters[::step]
    scripts = Counter(_script(letter) for letter in looked)
    return [
        float(len(text)),
        float(len(text.split())),
        float(text.count("\n") + 1),
        sum(c.isupper() for c in letters) / max(1, len(letters)),
        sum(c.isdigit() for c in text) / number,
        len(re.findall(r"[^\w\s]", text)) / number,
        *(scripts[script] / max(1, len(looked)) for script in _SCRIPTS),
    ]


def _script(letter: str) -> str:
    """Return the script of a letter: the first word of its name in Unicode."""
    return unicodedata.name(letter, "?").split(" ")[0].split("-")[0]
