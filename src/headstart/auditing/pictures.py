"""Small pictures of images, by which near copies are found: whole, in colour, 32 x 32 pixels.

Each image is read as training reads it (upright, without transparency), but nothing is cut away. An
image with a margin of one colour gives a second picture without it, so that a padded copy has one
that is like the original.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from headstart.cores import usable_cores
from headstart.preprocessing.images import whole_image
from headstart.preprocessing.samples import UnreadableImage
from headstart.types import Samples

SIDE = 32
MOST_READ = 8 * SIDE  # pixels of a side; what is larger is reduced before margins are looked for
MARGIN_LEVELS = 12  # of 255 that a margin of one colour may vary by: a JPEG's is never quite even
LEAST_MARGIN, MOST_MARGIN = 0.02, 2 / 3  # of a side
LEAST_CONTRAST = 4.0  # standard deviation in grey levels: less is noise of one colour
# Of a shape on a plain ground: the most pixels that have an edge, in standard deviations of the
# grey, and the least that are of one grey, give or take so many levels. Out of focus, the ground of
# a photograph has no edges either, but is not of one grey.
BARE, EDGE, GROUND, GROUND_LEVELS = 0.3, 0.1, 0.5, 4
CHUNK = 256
GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Pictures:
    """Small pictures of N images.

    Attributes:
        pixels: uint8, shape (M, 32, 32, 3), M >= N: the first N are of one image each, whole.
        owners: int64, shape (M,), the image that each is of.
        is_plain: bool, shape (N,), whether an image is of one colour, nearly, or unreadable: what
            is the same there says nothing.
    """

    pixels: np.ndarray
    owners: np.ndarray
    is_plain: np.ndarray


def read_pictures(
    samples: Samples,
    is_over: Callable[[], bool] = lambda: False,
    value_range: tuple[float, float] | None = None,
) -> Pictures | None:
    """Return pictures of all images; None if the time is up before.

    Args:
        samples: Images.
        is_over: Whether the time is up.
        value_range: What becomes black and white of more than 8 bits, as in training.
    """
    whole = np.zeros((len(samples), SIDE, SIDE, 3), np.uint8)
    cut: list[tuple[int, np.ndarray]] = []
    readable = np.ones(len(samples), bool)

    def read(start: int) -> list[tuple[int, np.ndarray]] | None:
        if is_over():
            return None
        found = []
        for i in range(start, min(start + CHUNK, len(samples))):
            try:
                image = whole_image(samples.read(i), MOST_READ, value_range)
            except UnreadableImage:
                readable[i] = False  # named where everything is decoded
                continue
            image = _reduced(image)
            whole[i] = _small(image)
            if (box := _without_margin(image)) is not None:
                found.append((i, _small(image.crop(box))))
        return found

    with ThreadPoolExecutor(usable_cores()) as pool:
        for found in pool.map(read, range(0, len(samples), CHUNK)):
            if found is None:
                return None
            cut += found
    pixels = np.concatenate([whole, np.stack([p for _, p in cut])]) if cut else whole
    owners = np.concatenate([np.arange(len(samples)), np.array([i for i, _ in cut], np.int64)])
    spread = np.concatenate(
        [grey(whole[i : i + 4096]).std((1, 2)) for i in range(0, len(whole), 4096)] or [np.zeros(0)]
    )
    return Pictures(pixels, owners, ~readable | (spread < LEAST_CONTRAST))


def grey(pixels: np.ndarray) -> np.ndarray:
    """Return grey levels, float32 (N, S, S), of uint8 (N, S, S, 3)."""
    return np.asarray(pixels.astype(np.float32) @ GREY)


def is_bare(pixels: np.ndarray) -> np.ndarray:
    """Return which pictures show a shape or two on a plain ground, and so almost nothing.

    Args:
        pixels: uint8, shape (N, S, S, 3).

    Returns:
        bool, shape (N,).
    """
    found = np.zeros(len(pixels), bool)
    for start in range(0, len(pixels), 4096):
        levels = grey(pixels[start : start + 4096])
        least = EDGE * levels.std((1, 2), keepdims=True)
        down = np.abs(np.diff(levels, axis=1))[:, :, 1:] > least
        across = np.abs(np.diff(levels, axis=2))[:, 1:] > least
        few = np.flatnonzero((down | across).mean((1, 2)) < BARE)
        found[start + few] = _ground(levels[few]) >= GROUND
    return found


def _ground(levels: np.ndarray) -> np.ndarray:
    """Return the share of each picture that is of its most frequent grey, shape (N,)."""
    rows = np.arange(len(levels))[:, None, None] * 256
    places = rows + np.rint(levels).astype(np.int64)
    counts = np.bincount(places.reshape(-1), minlength=256 * len(levels)).reshape(-1, 256)
    width = 2 * GROUND_LEVELS + 1
    padded = np.pad(counts, ((0, 0), (width, 0))).cumsum(axis=1)
    most = (padded[:, width:] - padded[:, :-width]).max(axis=1, initial=0)
    return np.asarray(most / (levels.shape[1] * levels.shape[2]))


def _reduced(image: Image.Image) -> Image.Image:
    factor = min(image.size) // MOST_READ
    return image.reduce(factor) if factor > 1 else image


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _without_margin(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the box that a margin of one colour leaves; None where there is none worth a look."""
    ground = Image.new("RGB", image.size, image.getpixel((0, 0)))
    differs = ImageChops.difference(image, ground)
    box = differs.point([255 * (level > MARGIN_LEVELS) for level in range(256)] * 3).getbbox()
    if box is None:
        return None
    shares = (
        (image.width - box[2] + box[0]) / image.width,
        (image.height - box[3] + box[1]) / image.height,
    )
    return box if LEAST_MARGIN < max(shares) < MOST_MARGIN else None
