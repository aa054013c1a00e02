"""One look at training images before training: what a network would see less of than a person.

Measured are the share of a picture that its centre square cuts away, and the values of images of
more than 8 bits: ``framing`` and ``value_range`` are chosen by them where nobody says them. Said
are pictures of one colour, long shapes, more than 8 bits, and files of several pages; each sentence
names what helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from headstart.preprocessing.images import decode_one, grey_values, several_pages
from headstart.preprocessing.levels import NEARLY_ALL, choose_range, sampled, told
from headstart.preprocessing.samples import ArraySamples, UnreadableImage
from headstart.types import CUT_MOST, Finding, GreyLevels, ImageSpec, Ragged, Rows, Samples

LOOKED_AT = 64
SAMPLES_LOOKED_AT = 64  # of all, and of each class, but no more than MOST_LOOKED_AT together
LEAST_OF_A_CLASS, MOST_LOOKED_AT = 2, 4096
FEW_LEVELS = 10  # between the darkest and the brightest value of a picture of 8 bits
SEEN_LEAST = 0.5  # share of the picture in its centre square
LONG_LEAST = 0.1  # of the images, from which long ones among others are said
_SPEC = ImageSpec(32, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 32, 3, "squash")


@dataclass(frozen=True)
class ImageLook:
    """What was seen of training images.

    Attributes:
        findings: What is to be said of them.
        cut: Mean share of a picture that lies outside its centre square.
        levels: Values of images of more than 8 bits; None where none was seen.
    """

    findings: Sequence[Finding] = ()
    cut: float = 0.0
    levels: GreyLevels | None = None


def look_at_images(samples: Samples, sizes: np.ndarray, chosen: np.ndarray) -> ImageLook:
    """Return what is to be known and said of training images.

    Args:
        samples: All images.
        sizes: int64, shape (N, 3): height and width of each in pixels, and its pages.
        chosen: int64, places of those that train has.
    """
    if len(chosen) == 0:
        return ImageLook()
    places = chosen[np.unique(np.linspace(0, len(chosen) - 1, LOOKED_AT).astype(int))]
    constant, dull, deep, looked_at = list[str](), list[int](), list[np.ndarray](), 0
    for place in places.tolist():
        try:
            content = samples.read(place)
            values = grey_values(content)
            if values is None:
                values = decode_one(content, _SPEC)
                if 0 < np.ptp(values) < FEW_LEVELS:
                    dull += [int(values.min()), int(values.max())]
            else:
                deep.append(values)
        except UnreadableImage:
            continue  # named when everything is decoded
        looked_at += 1
        channels = values.reshape(-1, values.shape[2] if values.ndim == 3 else 1)
        if (channels == channels[:1]).all():
            constant.append(samples.name(place))
    cut = 1 - sizes[chosen, :2].min(axis=1) / np.maximum(1, sizes[chosen, :2].max(axis=1))
    levels = _levels(deep)
    findings = [
        *_of_shapes(sizes[chosen, :2], cut),
        *_of_levels(levels, len(deep), looked_at),
        *of_pages(samples, sizes[:, 2], chosen),
        *_of_constant(constant, looked_at),
        *_of_dull(dull, looked_at),
    ]
    return ImageLook(findings, float(cut.mean()), levels)


def _of_shapes(sizes: np.ndarray, cut: np.ndarray) -> list[Finding]:
    """Say where the centre square cuts most of the picture away."""
    few = cut > 1 - SEEN_LEAST
    is_padded = cut.mean() >= CUT_MOST
    if few.mean() < LONG_LEAST and not is_padded:
        return []
    long = few if few.any() else cut > 0
    height, width = np.median(sizes[long], axis=0).astype(int)
    sentence = (
        f"{int(long.sum()):,} of {len(cut):,} training images are long (such as {width} x {height} "
        f"pixels): their centre square is {1 - cut[long].mean():.0%} of the picture. "
    )
    if is_padded:
        sentence += (
            f"Of all of train it is {1 - cut.mean():.0%}: all of a picture is shown on a square "
            "ground, unless --framing says otherwise."
        )
        return [Finding("truncated", "note", (), sentence)]
    sentence += (
        "Most others are not, so that only this square is seen. If what matters may lie outside, "
        "--framing pad shows all of every picture."
    )
    return [Finding("truncated", "warning", (), sentence)]


def _of_dull(ends: Sequence[int], looked_at: int) -> list[Finding]:
    """Say that pictures of 8 bits use next to none of their levels; ends are two of each."""
    if len(ends) < looked_at:  # half of them
        return []
    sentence = (
        f"{len(ends) // 2:,} of {looked_at:,} training images looked at use fewer than "
        f"{FEW_LEVELS} of 256 levels ({min(ends)} to {max(ends)} in all), as masks and maps of "
        "classes do: a network sees next to nothing. Spread the values over 0 to 255, or give the "
        "pictures themselves."
    )
    return [Finding("constant", "warning", (), sentence)]


def _levels(deep: Sequence[np.ndarray]) -> GreyLevels | None:
    """Return what the values of images of more than 8 bits are."""
    parts = [part for values in deep if len(part := sampled(values))]
    if not parts:
        return None
    finite = [values[np.isfinite(values)] for values in deep]
    lowest = min(float(values.min()) for values in finite if values.size)
    highest = max(float(values.max()) for values in finite if values.size)
    low, high = np.percentile(np.concatenate(parts), NEARLY_ALL)
    is_float = any(values.dtype.kind == "f" for values in deep)
    return GreyLevels(lowest, highest, float(low), float(high), is_float)


def _of_levels(levels: GreyLevels | None, num: int, looked_at: int) -> list[Finding]:
    """Say that images hold more than 8 bits."""
    if levels is None or (not levels.is_float and levels.lowest >= 0 and levels.highest <= 255):
        return []
    sentence = (
        f"{num:,} of {looked_at:,} training images looked at hold more than 8 bits a value, "
        f"{told(levels.lowest)} to {told(levels.highest)}: one range for all is brought to 256 "
        "grey levels (--value-range)."
    )
    return [Finding("reading", "note", (), sentence)]


def of_pages(samples: Samples, pages: np.ndarray, chosen: np.ndarray) -> list[Finding]:
    """Say which files have several pages, of which the first is the image.

    Args:
        samples: All images.
        pages: int64, shape (N,), how many each has.
        chosen: int64, places of those that are spoken of.
    """
    several = chosen[pages[chosen] > 1]
    names = [samples.name(int(place)) for place in several]
    return several_pages(names, pages[several].tolist(), len(chosen))


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


def num_channels(samples: Samples, targets: Rows, looked: ImageLook) -> int:
    """Return 1 when the images looked at are all grey, also where they are stored as RGB, else 3.

    Some of every class are looked at: where one class of many is coloured, colour is what tells it.

    Args:
        samples: All images.
        targets: Theirs.
        looked: What was seen of them.
    """
    if isinstance(samples, ArraySamples) and samples.images.shape[3] == 1:
        return 1
    known = choose_range(looked.levels)[0] if looked.levels else None
    spec = ImageSpec(32, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 32, 3, "squash", known)
    for i in _some_of_each(targets):
        try:
            pixels = decode_one(samples.read(i), spec)
        except UnreadableImage:
            continue  # truncated: named when everything is decoded
        if (pixels != pixels[..., :1]).any():
            return 3
    return 1


def _some_of_each(targets: Rows) -> list[int]:
    """Return places of samples spread over all, and over each class, the firsts of all first."""
    num = len(targets)
    spread: list[int] = np.unique(np.linspace(0, num - 1, SAMPLES_LOOKED_AT).astype(int)).tolist()
    if isinstance(targets, Ragged) or targets.dtype.kind == "f":
        return spread
    if targets.ndim == 1:
        groups = [np.flatnonzero(targets == k) for k in np.unique(targets)]
    else:
        groups = [np.flatnonzero(column) for column in targets.T]
    each = max(LEAST_OF_A_CLASS, min(SAMPLES_LOOKED_AT, MOST_LOOKED_AT // max(1, len(groups))))
    chosen = [
        group[np.unique(np.linspace(0, len(group) - 1, each).astype(int))].tolist()
        for group in groups
        if len(group)
    ]
    in_turn = (i for turn in zip_longest(*chosen) for i in turn if i is not None)
    return list(dict.fromkeys([*spread, *in_turn]))
