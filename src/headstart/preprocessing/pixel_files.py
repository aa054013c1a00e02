"""Decode images in threads into a file, wherever that lies: the cache, temporary files, memory."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import IO

import numpy as np

from headstart import events
from headstart.cores import usable_cores
from headstart.preprocessing.images import decode_deep
from headstart.preprocessing.levels import Depth
from headstart.preprocessing.samples import UnreadableImage
from headstart.storage.cache import CacheError, write_all
from headstart.types import Dataset, ImageSpec, SplitName

CHUNK_BYTES = 8 * 2**20

Seen = tuple[dict[int, str], dict[int, Depth]]  # by position: what failed, and depths


@dataclass(frozen=True)
class Work:
    """What is decoded: which samples of which split, and how."""

    dataset: Dataset
    split_name: SplitName
    spec: ImageSpec
    chosen: np.ndarray


@dataclass(frozen=True)
class Entry:
    """What an entry holds: images, and by position why some are missing, and depths."""

    images: np.ndarray
    reasons: dict[int, str]
    depths: dict[int, Depth]


class Decoded:
    """Some decoded samples of a split, by their position in it."""

    def __init__(self, entry: Entry, chosen: np.ndarray) -> None:
        self.images = entry.images
        self.reasons = {int(chosen[i]): why for i, why in entry.reasons.items()}
        self.depths = {int(chosen[i]): depth for i, depth in entry.depths.items()}
        there = np.delete(chosen, list(entry.reasons)).tolist()
        self.row_of = {position: row for row, position in enumerate(there)}

    def read(self, position: int) -> tuple[np.ndarray, Depth | None] | None:
        """Return a sample's pixels and depth, or None where it is not among these.

        Raises:
            UnreadableImage: It was tried, and could not be decoded.
        """
        if position in self.reasons:
            raise UnreadableImage(self.reasons[position])
        row = self.row_of.get(position)
        return None if row is None else (self.images[row], self.depths.get(position))


def pixel_shape(spec: ImageSpec) -> tuple[int, int, int]:
    """Return the shape of one decoded image."""
    return spec.decode_size, spec.decode_size, spec.decode_channels


def write_pixels(file: int, work: Work, parts: Sequence[Decoded]) -> Seen:
    """Decode in threads and write each image to its place; return what was seen."""
    samples, spec, chosen = work.dataset.split(work.split_name).samples, work.spec, work.chosen
    task, row_bytes = f"decode {work.split_name}", int(np.prod(pixel_shape(spec)))
    chunk = max(1, min(256, CHUNK_BYTES // row_bytes))
    # In the order of the source, so that a Parquet row group is read once.
    order = np.argsort(chosen, kind="stable")

    def read(place: int) -> tuple[np.ndarray, Depth | None]:
        for part in parts:
            if (known := part.read(place)) is not None:
                return known
        return decode_deep(samples.read(place), spec)

    def decode_chunk(positions: np.ndarray) -> Seen:
        failed: dict[int, str] = {}
        deep: dict[int, Depth] = {}
        rows = np.zeros((len(positions), *pixel_shape(spec)), np.uint8)
        for row, position in enumerate(positions):
            try:
                rows[row], depth = read(int(chosen[position]))
                deep |= {} if depth is None else {int(position): depth}
            except UnreadableImage as error:
                failed[int(position)] = error.reason
        if np.all(np.diff(positions) == 1):
            write_all(file, rows.data, int(positions[0]) * row_bytes)
        else:
            for position, pixels in zip(positions, rows, strict=True):
                write_all(file, pixels.data, int(position) * row_bytes)
        return failed, deep

    reasons: dict[int, str] = {}
    depths: dict[int, Depth] = {}
    done, workers = 0, usable_cores()
    pending: dict[Future[Seen], int] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            for start in range(0, len(order), chunk):
                positions = order[start : start + chunk]
                pending[pool.submit(decode_chunk, positions)] = len(positions)
                while len(pending) >= 2 * workers or (pending and start + chunk >= len(order)):
                    for future in wait(pending, return_when=FIRST_COMPLETED).done:
                        done += pending.pop(future)
                        failed, deep = future.result()
                        reasons |= failed
                        depths |= deep
                        events.emit("task", name=task, done=done, total=len(order))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return dict(sorted(reasons.items())), depths


def close_gaps(file: int, num_rows: int, reasons: dict[int, str], row_bytes: int) -> int:
    """Move images down over those that failed, cut the file, and return how many are left."""
    kept = np.delete(np.arange(num_rows), list(reasons))
    if reasons:
        for target, source in enumerate(kept.tolist()):
            if target != source:
                row = os.pread(file, row_bytes, source * row_bytes)
                write_all(file, memoryview(row), target * row_bytes)
    os.ftruncate(file, len(kept) * row_bytes)
    return len(kept)


class Apart:
    """Decoded images in a file without a name, which goes when nobody has an array of it.

    Args:
        file: Holds them, uint8.
        shape: Of all of them, (M, S, S, C).
        seen: Why some could not be decoded, and depths, by place among those asked for.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int, int, int], seen: Seen) -> None:
        self.file, self.shape, self.seen = file, shape, seen
        weakref.finalize(self, file.close)

    def open(self) -> Entry:
        """Return the images, copy-on-write: who writes into an array spoils nobody else's."""
        if not self.shape[0]:
            return Entry(np.empty(self.shape, np.uint8), *self.seen)
        images = np.memmap(self.file, np.uint8, "c", shape=self.shape)
        images.of = self  # type: ignore[attr-defined]  # lives as long as the array, or a view
        return Entry(images, *self.seen)


def decode_apart(work: Work, why: CacheError) -> Apart:
    """Decode without the cache: among temporary files, else in memory.

    Raises:
        CacheError: Neither has room.
    """
    shape = pixel_shape(work.spec)
    row_bytes = int(np.prod(shape))
    needed = len(work.chosen) * row_bytes
    for make in (_temporary_file, _memory_file):
        if (file := make(needed)) is None:
            continue
        try:
            seen = write_pixels(file.fileno(), work, [])
            number = close_gaps(file.fileno(), len(work.chosen), seen[0], row_bytes)
            return Apart(file, (number, *shape), seen)
        except OSError as error:
            file.close()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
    raise CacheError(
        f"{why} Neither the folder for temporary files nor memory has room for twice the "
        f"{needed:,} bytes of decoded images. Set TMPDIR to a folder that has, or choose a start "
        "that reads smaller images."
    ) from why


def _temporary_file(num_bytes: int) -> IO[bytes] | None:
    """Return an open file without a name among temporary files; None where there is no room."""
    try:
        folder = tempfile.gettempdir()
        if shutil.disk_usage(folder).free > 2 * num_bytes:
            return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError:  # no folder for temporary files
        pass
    return None


def _memory_file(num_bytes: int) -> IO[bytes] | None:
    """Return an open file in memory; None where there is no room, or the system has no such files.

    Linux alone has them.
    """
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if free > 2 * num_bytes:
            return os.fdopen(os.memfd_create("headstart pixels"), "wb+", buffering=0)
    except (AttributeError, ValueError, OSError):
        pass
    return None
