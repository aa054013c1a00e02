"""Which pictures may show the same: the same signs of the same waves in some window of both.

A perceptual hash is the signs of a picture's lowest cosine waves (as ``imagehash.phash``). Here it
is taken of 18 windows of each picture instead of one, so that a part of a picture has a window that
nearly covers what some window of the whole covers: wherever up to 15 % are cut off a side, two ends
of one of the windows meet within 3 % of it on average. The waves of all windows are two products of
matrices, and of a mirrored picture they are the same but for the sign of the odd ones.

What two windows share is looked up in a table; signs that are uncertain, those of waves that are
nearly absent, are tried both ways. The table has so many places that a window finds a few others by
chance, however many there are, so that cost grows with the number of pictures and not its square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from headstart.auditing.pictures import SIDE, grey
from headstart.cores import usable_cores

# Ends of the windows of one side, as shares of it; each pair of the first four makes a window. The
# last two are for what is cut alike on every side, and stand with themselves alone.
ENDS = np.array(
    [(0, 1), (0.13, 0.87), (0.02, 0.88), (0.12, 0.98), (0.1, 0.9), (0.155, 0.845)], np.float32
)
WINDOWS = np.array([*product(range(4), repeat=2), (4, 4), (5, 5)])  # down, across
NUM_WINDOWS = len(WINDOWS)
ORDER = 6  # waves (i, j) with 0 < i + j <= ORDER, the longest first
WAVES = sorted(
    ((i, j) for i in range(ORDER + 1) for j in range(ORDER + 1 - i) if i + j), key=lambda w: sum(w)
)
IS_ODD = np.array([j % 2 == 1 for _, j in WAVES])  # from left to right: mirrored, the sign changes
BITS = np.uint32(1) << np.arange(len(WAVES), dtype=np.uint32)
LEAST_BITS, SPARE_BITS = 14, 2  # of a place in the table: 2 ** SPARE_BITS places a window
TRIED_ALONE, TRIED_IN_PAIRS = 7, 5  # uncertain signs
MOST_DIFFERENT = 6  # signs of all
ALIKE = 0.92  # cosine of the waves of two windows, at the least
NUM_OTHERS, NTH_OTHER = 512, 4  # drawn at random: the 4th nearest of these is as near as chance is
NEARER = 0.6  # than chance: 1 - cosine is to be at most so much of that
MOST_IN_A_PLACE = 32  # windows; of more, each is held against its neighbours in the fuller hash
BLOCK = 2048  # pictures at once
MOST_KEPT = 2**20  # rows that wait to be joined with those before


@dataclass(frozen=True)
class Proposals:
    """Pairs of pictures that may show the same.

    Attributes:
        first: int64, shape (P,), a picture.
        second: int64, shape (P,), another, whose place is greater.
        is_mirrored: bool, shape (P,), whether the second is to be mirrored.
        windows: int64, shape (P, 2), the window of each in which they are most alike.
        apart: float, shape (P,), how far apart they are there, 1 as far as a copy may be.
        is_crowded: bool, shape (M,), which pictures share a place with so many that they were held
            against the nearest of these alone.
    """

    first: np.ndarray
    second: np.ndarray
    is_mirrored: np.ndarray
    windows: np.ndarray
    apart: np.ndarray
    is_crowded: np.ndarray

    def take(self, places: np.ndarray) -> Proposals:
        """Return these pairs alone."""
        return Proposals(
            self.first[places],
            self.second[places],
            self.is_mirrored[places],
            self.windows[places],
            self.apart[places],
            self.is_crowded,
        )


@dataclass(frozen=True)
class _Table:
    """Windows by their place: ``order[starts[k] : starts[k + 1]]`` are those of place k.

    Attributes:
        waves: int8, shape (W, 27), of length 127.
        signs: uint32, shape (W,), one bit a wave.
        owners: int64, shape (W,).
        order: int32, shape (W,), by place, and in a place by the other signs.
        starts: int32, one more than there are places.
        num_bits: The signs of so many waves are the place.
        needed: int64, shape (M,), cosine in millionths that a copy of each picture has.
    """

    waves: np.ndarray
    signs: np.ndarray
    owners: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    num_bits: int
    needed: np.ndarray

    @property
    def mask(self) -> np.uint32:
        return np.uint32((1 << self.num_bits) - 1)


def propose(
    pixels: np.ndarray, owners: np.ndarray, is_over: Callable[[], bool] = lambda: False
) -> Proposals | None:
    """Return pairs of pictures that may show the same, each once; None if the time is up before.

    Args:
        pixels: uint8, shape (M, 32, 32, 3).
        owners: int64, shape (M,): two pictures of one owner make no pair.
        is_over: Whether the time is up.
    """
    table, size = _tabulate(pixels, owners), BLOCK * NUM_WINDOWS
    is_crowded = np.zeros(len(pixels), bool)

    def find(what: tuple[bool, int]) -> np.ndarray | None:
        is_mirrored, start = what
        if is_over():
            return None
        asked = np.arange(start, min(start + size, len(table.signs)))
        rows = _best(np.concatenate(list(_look_up(table, asked, is_mirrored, is_crowded))))
        return np.column_stack([rows, np.full(len(rows), is_mirrored, np.int32)])

    tasks = [(way, start) for way in (False, True) for start in range(0, len(table.signs), size)]
    kept = [np.zeros((0, 4), np.int32)]
    with ThreadPoolExecutor(usable_cores()) as pool:
        for found in pool.map(find, tasks):
            if found is None:
                return None
            kept.append(found)
            if (
                len(kept) > 1
                and len(found)
                and sum(map(len, kept[1:])) > max(MOST_KEPT, len(kept[0]))
            ):
                kept = [_best(np.concatenate(kept))]  # most are found from both ends
    rows = _best(np.concatenate(kept))
    windows = np.sort(rows[:, :2], axis=1)
    first, second = (windows // NUM_WINDOWS).T
    allowed = 1e6 - np.maximum(table.needed[first], table.needed[second])
    apart = (1e6 - rows[:, 2]) / np.maximum(allowed, 1)
    return Proposals(first, second, rows[:, 3] > 0, windows % NUM_WINDOWS, apart, is_crowded)


def window_ends(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of windows from top to bottom and from left to right, float32 (P, 2) each."""
    return ENDS[WINDOWS[windows, 0]], ENDS[WINDOWS[windows, 1]]


def _waves_of(pixels: np.ndarray) -> np.ndarray:
    """Return the waves of each window of pictures, float32 (M * 18, 27)."""
    basis = np.concatenate([_basis(*ends) for ends in ENDS]).astype(np.float32)
    levels = grey(pixels)
    levels -= levels.mean((1, 2), keepdims=True)
    waves = (basis @ levels) @ basis.T
    split = waves.reshape(len(pixels), len(ENDS), ORDER + 1, len(ENDS), ORDER + 1)
    down, across = np.array(WAVES).T
    chosen = split.transpose(0, 1, 3, 2, 4)[:, WINDOWS[:, 0], WINDOWS[:, 1]][..., down, across]
    return np.ascontiguousarray(chosen).reshape(-1, len(WAVES))


def _basis(begin: float, end: float) -> np.ndarray:
    """Return cosine waves over a window of a line of pixels, (7, 32); only the first has a mean."""
    edges = np.arange(SIDE + 1) / SIDE
    covered = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin), 0, None)
    places = ((np.arange(SIDE) + 0.5) / SIDE - begin) / (end - begin)
    waves = np.cos(np.pi * np.arange(ORDER + 1)[:, None] * places) * covered
    waves[1:] -= covered * waves[1:].sum(1, keepdims=True) / covered.sum()
    return np.asarray(waves / np.linalg.norm(waves, axis=1, keepdims=True))


def _tabulate(pixels: np.ndarray, owners: np.ndarray) -> _Table:
    num_windows = len(pixels) * NUM_WINDOWS
    waves = np.empty((num_windows, len(WAVES)), np.int8)
    signs = np.empty(num_windows, np.uint32)
    for start in range(0, len(pixels), BLOCK):
        some = _waves_of(pixels[start : start + BLOCK])
        place = slice(start * NUM_WINDOWS, start * NUM_WINDOWS + len(some))
        signs[place] = np.where(some > 0, BITS, np.uint32(0)).sum(1, dtype=np.uint32)
        some /= np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-6)
        waves[place] = np.round(some * 127)
    needed = int(np.ceil(np.log2(max(2, num_windows)))) + SPARE_BITS
    num_bits = min(max(LEAST_BITS, needed), len(WAVES))
    order = np.argsort(_sorted_by(signs, waves, num_bits), kind="stable").astype(np.int32)
    counts = np.bincount(signs & np.uint32((1 << num_bits) - 1), minlength=1 << num_bits)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    least = _needed(waves[::NUM_WINDOWS], owners)
    return _Table(waves, signs, np.repeat(owners, NUM_WINDOWS), order, starts, num_bits, least)


def _needed(waves: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return how alike a copy of each picture is at least, from how near chance brings others.

    Digits, or photographs of the sky, have neighbours that are no copies.

    Args:
        waves: int8, shape (M, 27), of whole pictures.
        owners: int64, shape (M,).

    Returns:
        int64, shape (M,), cosines in millionths.
    """
    step = max(1, len(waves) // NUM_OTHERS)
    others = np.arange(0, len(waves), step)[:NUM_OTHERS]
    known = waves[others].astype(np.float32)
    needed = np.empty(len(waves), np.int64)
    nth = min(NTH_OTHER, len(others))
    for start in range(0, len(waves), 4096):
        part = slice(start, start + 4096)
        cosines = waves[part].astype(np.float32) @ known.T / 127**2
        cosines[owners[part][:, None] == owners[others]] = -1
        chance = np.partition(cosines, -nth, axis=1)[:, -nth]
        needed[part] = 1e6 * np.maximum(ALIKE, 1 - NEARER * (1 - np.minimum(chance, 1)))
    return needed


def _sorted_by(signs: np.ndarray, waves: np.ndarray, num_bits: int) -> np.ndarray:
    """Return what windows are sorted by: place, the other signs, the longest wave; uint64 (W,)."""
    wide, spare = signs.astype(np.uint64), np.uint64(num_bits)
    place, rest = wide & np.uint64((1 << num_bits) - 1), wide >> spare
    longest = (waves[:, 0].astype(np.int64) + 128).astype(np.uint64)
    return (place << np.uint64(36)) | (rest << np.uint64(8)) | longest


def _look_up(
    table: _Table, asked: np.ndarray, is_mirrored: bool, is_crowded: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield pairs of alike windows of different pictures: asked, found, cosine in millionths.

    Args:
        table: All windows.
        asked: int64, windows, of whole pictures.
        is_mirrored: Whether what is asked for are mirrored pictures.
        is_crowded: Set where only the nearest of a place are found.
    """
    waves = table.waves[asked]
    if is_mirrored:
        waves = np.where(IS_ODD, -waves, waves)
    mirror = BITS[IS_ODD].sum(dtype=np.uint32) if is_mirrored else np.uint32(0)
    signs = table.signs[asked] ^ mirror
    uncertain = np.argsort(np.abs(waves[:, : table.num_bits]), axis=1)[:, :TRIED_ALONE]
    flips = BITS[uncertain]
    tries = [(), *((i,) for i in range(TRIED_ALONE)), *combinations(range(TRIED_IN_PAIRS), 2)]
    for tried in tries:
        wanted = signs.copy()
        for i in tried:
            wanted ^= flips[:, i]
        begin, count = _places(table, wanted, waves, asked, is_crowded)
        if tried:  # of a crowd, only those whose every sign is its own
            count[count >= MOST_IN_A_PLACE] = 0
        rows = np.repeat(np.arange(len(asked)), count)
        steps = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
        found = table.order[np.repeat(begin, count) + steps]
        fits = np.bitwise_count(table.signs[found] ^ signs[rows]) <= MOST_DIFFERENT
        fits &= table.owners[found] != table.owners[asked[rows]]
        rows, found = rows[fits], found[fits]
        alike = np.empty(len(rows), np.int64)
        for start in range(0, len(rows), 2**18):
            part = slice(start, start + 2**18)
            a, b = waves[rows[part]], table.waves[found[part]]
            products = np.einsum("ij,ij->i", a.astype(np.float32), b.astype(np.float32))
            alike[part] = products * (1e6 / 127**2)
        one, two = asked[rows] // NUM_WINDOWS, found // NUM_WINDOWS
        fits = alike >= np.maximum(table.needed[one], table.needed[two])
        yield np.column_stack([asked[rows[fits]], found[fits], alike[fits]]).astype(np.int32)


def _places(
    table: _Table,
    wanted: np.ndarray,
    waves: np.ndarray,
    asked: np.ndarray,
    is_crowded: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where in the table's order those of a place begin, and how many they are."""
    place = (wanted & table.mask).astype(np.int64)
    begin = table.starts[place].astype(np.int64)
    count = table.starts[place + 1] - begin
    crowded = np.flatnonzero(count > MOST_IN_A_PLACE)
    if len(crowded):
        is_crowded[asked[crowded] // NUM_WINDOWS] = True
        keys = _sorted_by(wanted[crowded], waves[crowded], table.num_bits)
        first = begin[crowded]
        low, high = first, first + count[crowded]
        while (low < high).any():  # a search by halves in each place
            middle = (low + high) // 2
            there = table.order[np.minimum(middle, len(table.order) - 1)]
            is_before = _sorted_by(table.signs[there], table.waves[there], table.num_bits) < keys
            open_ = low < high
            low = np.where(open_ & is_before, middle + 1, low)
            high = np.where(open_ & ~is_before, middle, high)
        last = first + count[crowded] - MOST_IN_A_PLACE
        begin[crowded] = np.clip(low - MOST_IN_A_PLACE // 2, first, last)
        count[crowded] = MOST_IN_A_PLACE
    return begin, count


def _best(rows: np.ndarray) -> np.ndarray:
    """Return of each two pictures the row of their most alike windows.

    Args:
        rows: int32, shape (R, 3 or more): two windows, how alike they are, and more.
    """
    pictures = np.sort(rows[:, :2] // NUM_WINDOWS, axis=1)
    order = np.lexsort((-rows[:, 2], pictures[:, 1], pictures[:, 0]))
    pictures = pictures[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (pictures[1:] != pictures[:-1]).any(1)
    return rows[order[is_first]]
