"""Images: regions that speak for an answer, deleting them, and pictures of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from headstart.explaining.answers import Answerer, Changed
from headstart.explaining.faithfulness import NUM_RANDOM, Faithfulness, judge, num_deleted
from headstart.explaining.heat import heat_method, heat_of
from headstart.types import Inputs

_SIDE = 160  # pixels of a picture at the most
_WARM = np.array([235.0, 75.0, 25.0])  # what a region is tinted with
_MOST_TINT = 0.6


def method_of_images(answerer: Answerer, inputs: Sequence[Inputs]) -> str:
    """Return how the images are explained: by the first of several models; empty for not at all."""
    return heat_method(answerer.ensemble.first, inputs[0])


def check_images(
    answerer: Answerer, inputs: Sequence[Inputs], draw: np.random.Generator
) -> Faithfulness:
    """Delete the hottest fifth of images, and regions of the same form elsewhere.

    What is deleted becomes the mean colour of its image. Elsewhere is where the region comes to lie
    when it is moved round the image by a random step and mirrored at random.

    Args:
        answerer: Whoever answers.
        inputs: N images as each member takes them.
        draw: Of random regions.
    """
    before = answerer.outputs(inputs)
    heat = heat_of(answerer.ensemble.first, inputs[0], answerer.chosen(before))
    hottest = hottest_cells(heat)
    deleted = answerer.fall(before, answerer.outputs(_without(inputs, hottest)))
    falls = [
        answerer.fall(before, answerer.outputs(_without(inputs, _moved(hottest, draw))))
        for _ in range(NUM_RANDOM)
    ]
    return judge(deleted, np.mean(falls, axis=0))


def hottest_cells(heat: np.ndarray) -> np.ndarray:
    """Return the hottest fifth of each grid, bool, shape (N, g, g)."""
    flat = heat.reshape(len(heat), -1)
    number = num_deleted(flat.shape[1])
    order = np.argsort(-flat, axis=1, kind="stable")[:, :number]
    cells = np.zeros(flat.shape, bool)
    np.put_along_axis(cells, order, values=True, axis=1)
    return cells.reshape(heat.shape)


def _moved(cells: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return regions of the same form elsewhere: moved round each grid, and mirrored."""
    _, height, width = cells.shape
    moved = []
    for own in cells:
        mirrored = own[:: draw.choice((1, -1)), :: draw.choice((1, -1))]
        steps = int(draw.integers(height)), int(draw.integers(width))
        moved.append(np.roll(mirrored, steps, axis=(0, 1)))
    return np.stack(moved)


def _without(inputs: Sequence[Inputs], cells: np.ndarray) -> list[Inputs]:
    """Return images without some cells of their grid, as each member takes them."""
    found: list[Inputs] = []
    for own in inputs:
        (pixels,) = own.arrays(np.arange(len(own)))
        found.append(Changed((erased(pixels, cells),)))
    return found


def erased(pixels: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return images whose cells have the mean colour of their image.

    Args:
        pixels: uint8, shape (N, S, S, C).
        cells: bool, shape (N, g, g).
    """
    rows = np.arange(pixels.shape[1]) * cells.shape[1] // pixels.shape[1]
    columns = np.arange(pixels.shape[2]) * cells.shape[2] // pixels.shape[2]
    mask = cells[:, rows[:, None], columns[None, :], None]
    mean = pixels.mean(axis=(1, 2), keepdims=True).round().astype(pixels.dtype)
    return np.where(mask, mean, pixels)


def explain_images(
    answerer: Answerer, inputs: Sequence[Inputs], outputs: np.ndarray
) -> list[dict[str, object]]:
    """Return for each image ``plain`` and ``picture``, PNG in base64: with and without its heat.

    Args:
        answerer: Whoever answers.
        inputs: N images as each member takes them.
        outputs: What it says of them.
    """
    heat = heat_of(answerer.ensemble.first, inputs[0], answerer.chosen(outputs))
    (pixels,) = inputs[0].arrays(np.arange(len(inputs[0])))
    return [
        {"plain": _png(image), "picture": _png(tinted(image, own))}
        for image, own in zip(pixels, heat, strict=True)
    ]


def tinted(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return an image in RGB, tinted where its grid is hot.

    Args:
        image: uint8, shape (S, S, C).
        heat: In [0, 1], shape (g, g).
    """
    size = (image.shape[1], image.shape[0])
    smooth = Image.fromarray((255 * heat).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    share = _MOST_TINT * np.asarray(smooth, np.float64)[..., None] / 255
    coloured = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    mixed: np.ndarray = (coloured * (1 - share) + _WARM * share).round().astype(np.uint8)
    return mixed


def _png(image: np.ndarray) -> str:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    longest = max(picture.size)
    if longest > _SIDE:
        picture.thumbnail((_SIDE, _SIDE))
    elif longest * 2 <= _SIDE:  # a digit of 28 pixels is looked at larger
        factor = _SIDE // longest
        size = (picture.width * factor, picture.height * factor)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
