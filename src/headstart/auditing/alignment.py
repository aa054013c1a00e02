"""How alike two pictures are once one is laid over the other.

The one is moved and stretched, each side by itself, until the part that both show agrees best:
Gauss-Newton steps on the grey levels, brightness and contrast left free (Lucas and Kanade 1981,
with the forward warp; many pairs at once). What remains is measured on that part alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from headstart.auditing.pictures import SIDE, grey, is_bare

GRID = 24  # points a side at which the common part is compared
COARSE_STEPS, FINE_STEPS = 3, 3  # on blurred pictures first: their slopes point from further away
STRETCH = (0.6, 1.67)  # of a side of one to that of the other
LONGEST_STEP = 0.06  # of a side
DAMPING = 1e-3
BLOCK = 1024  # pairs at once
# Simple shapes on a plain ground are like any others of their kind once they are moved: such
# pictures are alike only as they lie, and in their levels.
BARE_GREY, BARE_LEVELS = 0.995, 8.0  # correlation at the least, mean difference at the most
COLOURED = 6.0  # root mean square of chroma, in grey levels, from which colours are compared


@dataclass(frozen=True)
class Likeness:
    """How alike P pairs of pictures are.

    Attributes:
        grey: float32, shape (P,), correlation of grey levels over what both show, blurred a little
            so that a copy at half the size is like its original.
        detail: float32, shape (P,), correlation of what the blur takes away from the blurred.
        colour: float32, shape (P,), cosine of their chroma; 1 where one of them has none.
        common: float32, shape (P,), share of the smaller that both show.
        contrast: float32, shape (P,), standard deviation of the flatter, in grey levels.
        is_told: bool, shape (P,), whether one of them shows more than a few shapes, or both agree
            pixel by pixel as they lie.
    """

    grey: np.ndarray
    detail: np.ndarray
    colour: np.ndarray
    common: np.ndarray
    contrast: np.ndarray
    is_told: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Likeness]) -> Likeness:
        """Return one record of several, in their order."""
        if not parts:
            nothing = np.zeros(0, np.float32)
            return cls(nothing, nothing, nothing, nothing, nothing, np.zeros(0, bool))
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def align(
    first: np.ndarray,
    second: np.ndarray,
    down: tuple[np.ndarray, np.ndarray],
    across: tuple[np.ndarray, np.ndarray],
) -> Likeness:
    """Return how alike pairs of pictures are, laid over one another as well as can be.

    Args:
        first: uint8, shape (P, 32, 32, 3).
        second: The same, mirrored where that is to be tried.
        down: Ends of a window of each that show nearly the same, float32 (P, 2) each, from top to
            bottom.
        across: The same from left to right.
    """
    parts = [slice(start, start + BLOCK) for start in range(0, len(first), BLOCK)]
    return Likeness.joined(
        [
            _align(
                first[part],
                second[part],
                _from_ends(down[0][part], down[1][part]),
                _from_ends(across[0][part], across[1][part]),
            )
            for part in parts
        ]
    )


def _from_ends(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return stretch and shift that take places of one side to those of the other, (P, 2)."""
    stretch = (two[:, 1] - two[:, 0]) / (one[:, 1] - one[:, 0])
    return np.stack([stretch, two[:, 0] - one[:, 0] * stretch], 1).astype(np.float32)


def _align(first: np.ndarray, second: np.ndarray, down: np.ndarray, across: np.ndarray) -> Likeness:
    one, two = _blurred(grey(first)), _blurred(grey(second))
    coarse = _blurred(one), _blurred(two)
    best = _correlation(one, two, down, across)
    best_down, best_across = down, across
    for step in range(COARSE_STEPS + FINE_STEPS):
        pair = coarse if step < COARSE_STEPS else (one, two)
        down, across = _step(*pair, down, across)
        value = _correlation(one, two, down, across)
        is_better = value > best
        best = np.where(is_better, value, best)
        best_down = np.where(is_better[:, None], down, best_down)
        best_across = np.where(is_better[:, None], across, best_across)
    return _measure(first, second, best_down, best_across)


def _places(moved: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places on a side that both show, (P, 24) on either, and what share of the first."""
    stretch, shift = moved[:, :1], moved[:, 1:]
    low = np.clip(-shift / stretch, 0, 0.9)
    high = np.maximum(np.minimum(1, (1 - shift) / stretch), low + 0.05)
    places = low + (high - low) * ((np.arange(GRID, dtype=np.float32) + 0.5) / GRID)
    return places, stretch * places + shift, (high - low)[:, 0]


def _weights(places: np.ndarray) -> np.ndarray:
    """Return the weights of the pixels of a line at places, in pixels; (P, 24, 32)."""
    inside = np.clip(places, 0, SIDE - 1).astype(np.float32)
    pixels = np.arange(SIDE, dtype=np.float32)
    return np.asarray(np.maximum(0, 1 - np.abs(inside[..., None] - pixels)))


def _at(levels: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    return np.asarray(down @ levels @ across.transpose(0, 2, 1))


def _unit(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    levels = levels - levels.mean((1, 2), keepdims=True)
    norm = np.sqrt((levels * levels).sum((1, 2), keepdims=True))
    return levels / np.maximum(norm, 1e-3), norm


def _pair(
    one: np.ndarray, two: np.ndarray, down: np.ndarray, across: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the common part of both, (P, 24, 24) each."""
    down_one, down_two, _ = _places(down)
    across_one, across_two, _ = _places(across)
    return (
        _at(one, _weights(down_one * SIDE - 0.5), _weights(across_one * SIDE - 0.5)),
        _at(two, _weights(down_two * SIDE - 0.5), _weights(across_two * SIDE - 0.5)),
    )


def _correlation(
    one: np.ndarray, two: np.ndarray, down: np.ndarray, across: np.ndarray
) -> np.ndarray:
    a, b = (_unit(part)[0] for part in _pair(one, two, down, across))
    return np.asarray((a * b).sum((1, 2)))


def _step(
    one: np.ndarray, two: np.ndarray, down: np.ndarray, across: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how the second lies after one Gauss-Newton step."""
    down_one, down_two, _ = _places(down)
    across_one, across_two, _ = _places(across)
    y, x = down_two * SIDE, across_two * SIDE
    rows, columns = _weights(y - 0.5), _weights(x - 0.5)
    target, _ = _unit(_at(one, _weights(down_one * SIDE - 0.5), _weights(across_one * SIDE - 0.5)))
    now, norm = _unit(_at(two, rows, columns))
    norm = np.maximum(norm, 1e-3) / SIDE
    slope_x = _at(two, rows, _weights(x) - _weights(x - 1)) / norm
    slope_y = _at(two, _weights(y) - _weights(y - 1), columns) / norm
    terms = [
        slope_y * down_one[:, :, None],
        slope_y,
        slope_x * across_one[:, None, :],
        slope_x,
        now,  # contrast
        np.ones_like(now),  # brightness
    ]
    design = np.stack(terms, -1).reshape(len(one), -1, len(terms))
    turned = design.transpose(0, 2, 1)
    normal = turned @ design
    damped = DAMPING * np.trace(normal, axis1=1, axis2=2) / len(terms) + 1e-12
    normal += np.eye(len(terms), dtype=np.float32) * damped[:, None, None]
    wrong = turned @ (target - now).reshape(len(one), -1, 1)
    moves = np.clip(np.linalg.solve(normal, wrong)[..., 0], -LONGEST_STEP, LONGEST_STEP)
    down, across = down + moves[:, :2], across + moves[:, 2:4]
    down[:, 0], across[:, 0] = np.clip(down[:, 0], *STRETCH), np.clip(across[:, 0], *STRETCH)
    return down, across


def _blurred(levels: np.ndarray) -> np.ndarray:
    """Return pictures blurred by (1, 2, 1) / 4 both ways, (P, 32, 32)."""
    wide = np.pad(levels, ((0, 0), (1, 1), (1, 1)), "edge")
    down = 0.25 * wide[:, :-2] + 0.5 * wide[:, 1:-1] + 0.25 * wide[:, 2:]
    return np.asarray(0.25 * down[..., :-2] + 0.5 * down[..., 1:-1] + 0.25 * down[..., 2:])


def _measure(
    first: np.ndarray, second: np.ndarray, down: np.ndarray, across: np.ndarray
) -> Likeness:
    a, b = _blurred(grey(first)), _blurred(grey(second))
    one, two = _pair(a, b, down, across)
    unit_one, norm_one = _unit(one)
    unit_two, norm_two = _unit(two)
    fine_one, fine_two = _pair(a - _blurred(_blurred(a)), b - _blurred(_blurred(b)), down, across)
    detail = (_unit(fine_one)[0] * _unit(fine_two)[0]).sum((1, 2))
    shown = _places(down)[2] * _places(across)[2]
    other = shown * down[:, 0] * across[:, 0]
    return Likeness(
        grey=(unit_one * unit_two).sum((1, 2)),
        detail=detail,
        colour=_colour(first, second, down, across),
        common=np.maximum(shown, other),
        contrast=np.minimum(norm_one, norm_two)[:, 0, 0] / GRID,
        is_told=_told(first, second, a, b),
    )


def _told(first: np.ndarray, second: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return which pairs say something: a few shapes only where they lie alike; bool (P,)."""
    told = ~(is_bare(first) & is_bare(second))
    bare = np.flatnonzero(~told)
    alike = (_unit(a[bare])[0] * _unit(b[bare])[0]).sum((1, 2)) >= BARE_GREY
    apart = np.abs(first[bare].astype(np.float32) - second[bare]).mean((1, 2, 3))
    told[bare] = alike & (apart <= BARE_LEVELS)
    return np.asarray(told)


def _colour(
    first: np.ndarray, second: np.ndarray, down: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """Return the cosine of the chroma of both, 1 where one of them is as good as grey; (P,)."""
    product = norm_one = norm_two = np.zeros(len(first), np.float32)
    for channels in ((0, 1), (2, 1)):
        one, two = (
            p[..., channels[0]].astype(np.float32) - p[..., channels[1]] for p in (first, second)
        )
        a, b = _pair(_blurred(one), _blurred(two), down, across)
        product = product + (a * b).sum((1, 2))
        norm_one = norm_one + (a * a).sum((1, 2))
        norm_two = norm_two + (b * b).sum((1, 2))
    is_coloured = np.sqrt(np.minimum(norm_one, norm_two)) > COLOURED * GRID
    return np.where(is_coloured, product / np.maximum(np.sqrt(norm_one * norm_two), 1e-3), 1.0)
