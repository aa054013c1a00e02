"""One look at training images before training: what a network would see less of than a person.

Said are pictures of one colour, long shapes of which the centre square shows less than half, and
measurements in 16-bit files that use a small part of the range. Each sentence names what helps.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from headstart.preprocessing.images import decode_one, open_image
from headstart.preprocessing.samples import UnreadableImage
from headstart.types import Finding, ImageSpec, Samples

LOOKED_AT = 64
SEEN_LEAST = 0.5  # share of the picture in its centre square
RANGE_LEAST = 0.25  # share of the 16 bits that the brightest pixel reaches
_SPEC = ImageSpec(32, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 32, 3)


def look_at_images(samples: Samples, sizes: np.ndarray, chosen: np.ndarray) -> list[Finding]:
    """Return what is to be said of training images.

    Args:
        samples: All images.
        sizes: int64, shape (N, 2), height and width of each, in pixels.
        chosen: int64, places of those that train has.
    """
    if len(chosen) == 0:
        return []
    places = chosen[np.unique(np.linspace(0, len(chosen) - 1, LOOKED_AT).astype(int))]
    constant, highest, looked_at = list[str](), list[int](), 0
    for place in places.tolist():
        try:
            content = samples.read(place)
            pixels = decode_one(content, _SPEC)
            if isinstance(content, bytes) and (top := _highest(content)) is not None:
                highest.append(top)
        except UnreadableImage:
            continue  # named when everything is decoded
        looked_at += 1
        if np.ptp(pixels.reshape(-1, 3).astype(int), axis=0).max() == 0:
            constant.append(samples.name(place))
    return [*_of_shapes(sizes[chosen]), *_of_range(highest), *_of_constant(constant, looked_at)]


def _of_shapes(sizes: np.ndarray) -> list[Finding]:
    """Say where the centre square cuts most of the picture away."""
    seen = sizes.min(axis=1) / np.maximum(1, sizes.max(axis=1))
    few = seen < SEEN_LEAST
    if few.mean() < 0.1:
        return []
    height, width = np.median(sizes[few], axis=0).astype(int)
    sentence = (
        f"{int(few.sum()):,} of {len(seen):,} training images are long (such as {width} x {height} "
        f"pixels): only their centre square is seen, {seen[few].mean():.0%} of the picture. If "
        "what matters may lie outside, pad or squeeze the images to squares before (for example "
        "PIL.ImageOps.pad)."
    )
    return [Finding("truncated", "warning", (), sentence)]


def _highest(content: bytes) -> int | None:
    """Return the highest value of a 16-bit grey image; None of any other."""
    image: Image.Image = open_image(content)
    if not image.mode.startswith("I"):
        return None
    return int(np.asarray(image).max())


def _of_range(highest: list[int]) -> list[Finding]:
    """Say where 16-bit images use a small part of their range."""
    if not highest or max(highest) >= RANGE_LEAST * 65535:
        return []
    top = max(highest)
    sentence = (
        f"The 16-bit images hold values up to {top:,} of 65,535, so that about {top // 257 + 1} of "
        f"256 grey levels are seen. Scale them before: (values * (255 / {top})).astype('uint8')."
    )
    return [Finding("truncated", "warning", (), sentence)]


def _of_constant(names: list[str], num: int) -> list[Finding]:
    """Say which pictures show nothing."""
    if not names:
        return []
    shown = ", ".join(f"'{name}'" for name in names[:3])
    sentence = (
        f"{len(names):,} of {num:,} training images looked at are of one colour all over ({shown}"
        f"{' …' if len(names) > 3 else ''}): nothing can be learned from them. Check how they were "
        "written, or leave them out."
    )
    return [Finding("constant", "warning", names, sentence)]
