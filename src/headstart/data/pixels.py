"""Decode a split once, into a memory-mapped array that every later run finds again.

An entry of the cache (``entries``) holds ``pixels``, raw uint8, and in its record the samples that
were left out. Memory stays bounded by a few chunks however large the data is.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from headstart import events
from headstart.data.assembly import check_bad_share
from headstart.data.fingerprint import num_workers
from headstart.data.images import decode_one
from headstart.data.sources.samples import ArraySamples, UnreadableImage
from headstart.errors import DataError, DeviceError
from headstart.storage.cache import cache_root, new_entry, read_entry, write_all
from headstart.types import BadSample, Dataset, Finding, ImageSpec, Rows, Samples, SplitName

DECODER_VERSION = 1  # raise it when decode_one gives other pixels for the same image
CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Pixels:
    """The decoded images of a split, without those that could not be decoded.

    Attributes:
        images: uint8, shape (N, S, S, C); memory-mapped copy-on-write, or the caller's own array.
        targets: int64, shape (N,).
        ids: int64, shape (N,).
        names: N names.
        bad_samples: Samples asked for that could not be decoded, each with its reason.
        findings: What a user should know of the preparation.
    """

    images: np.ndarray
    targets: Rows
    ids: np.ndarray
    names: Sequence[str]
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()

    @property
    def lengths(self) -> None:
        """None: all images have one shape."""
        return None

    def __len__(self) -> int:
        return len(self.images)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch, uint8 (B, S, S, C).

        Args:
            places: int64, shape (B,), positions of the wanted images.
        """
        # unlike an index, it lets other threads run meanwhile; the copy is plain memory
        return (np.asarray(self.images).take(places, axis=0),)


def decode(
    dataset: Dataset,
    split_name: SplitName,
    spec: ImageSpec,
    *,
    indices: np.ndarray | None = None,
) -> Pixels:
    """Return the pixels of a split at the size that a start reads, decoding at most once.

    Arrays in memory that have the right shape are passed through without a copy. Everything else
    is kept on disk under ``HEADSTART_CACHE`` (``~/.cache/headstart`` when not set), checked when
    it is opened, and decoded again when it is damaged.

    Args:
        dataset: The data.
        split_name: Which split.
        spec: The preprocessing; its decode size, decode channels and interpolation matter here.
        indices: Positions in the split to decode, shape (N,), or None for all.

    Raises:
        DataError: More images than ``dataset.max_bad_fraction`` are unusable (those already left
            out by ``load`` count too), or the cache cannot be written or is full.

    Example:
        >>> from headstart.data import load
        >>> spec = ImageSpec(8, 1, (0.5,), (0.5,), "bilinear", 8, 1)
        >>> decode(load("digits-8x8"), "test", spec).images.shape
        (359, 8, 8, 1)
    """
    split = dataset.split(split_name)
    chosen = np.arange(len(split)) if indices is None else np.asarray(indices, np.int64)
    samples, shape = split.samples, _shape(spec)
    reasons: dict[int, str] = {}
    if isinstance(samples, ArraySamples) and samples.images.shape[1:] == shape:
        images = samples.images if indices is None else samples.images[chosen]
        kept = chosen
    else:
        folder = _entry_folder(dataset, split_name, spec, chosen if indices is not None else None)
        entry = _open_entry(folder, shape)
        if entry is None:
            entry = _make_entry(folder, samples, chosen, spec, dataset, split_name)
        images, reasons = entry
        kept = np.delete(chosen, list(reasons))
    bad = [BadSample(samples.name(int(chosen[i])), why) for i, why in reasons.items()]
    _check_bad(dataset, bad)
    if len(kept) == 0:
        raise DataError(f"No image of {dataset.name} ({split_name}) is left to decode.")
    names = [samples.name(int(i)) for i in kept]
    return Pixels(images, split.targets[kept], split.ids[kept], names, tuple(bad))


def _check_bad(dataset: Dataset, bad: list[BadSample]) -> None:
    if bad:
        known = list(dataset.bad_samples)
        total = len(known) + len(dataset.train) + len(dataset.val) + len(dataset.test)
        check_bad_share(dataset.name, [*bad, *known], total, dataset.max_bad_fraction)


def _shape(spec: ImageSpec) -> tuple[int, int, int]:
    return spec.decode_size, spec.decode_size, spec.decode_channels


def _entry_folder(
    dataset: Dataset, split_name: str, spec: ImageSpec, indices: np.ndarray | None
) -> Path:
    """Return where the pixels of exactly these images under exactly this spec belong."""
    what = [DECODER_VERSION, dataset.fingerprint, split_name, *_shape(spec), spec.interpolation]
    state = blake2b(json.dumps(what).encode(), digest_size=16)
    if indices is not None:
        state.update(b"indices" + indices.astype("<i8").tobytes())
    return cache_root() / "pixels" / state.hexdigest()


def _open_entry(
    folder: Path, shape: tuple[int, int, int]
) -> tuple[np.ndarray, dict[int, str]] | None:
    """Return the images of an entry and the samples left out; None if missing or damaged."""
    record: Any = read_entry(folder)
    try:
        num_images = int(record["num_images"])
        reasons = {int(i): str(reason) for i, reason in record["reasons"].items()}
        if record["files"]["pixels"]["bytes"] != num_images * int(np.prod(shape)):
            return None
        if num_images == 0:
            return np.empty((0, *shape), np.uint8), reasons
        # Copy-on-write: torch takes it as a writable array, and the file stays as it is.
        return np.memmap(folder / "pixels", np.uint8, "c", shape=(num_images, *shape)), reasons
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise DeviceError(
                f"{folder / 'pixels'} cannot be mapped into memory ({error.strerror}): "
                f"{record['files']['pixels']['bytes']:,} bytes, more than this process may take. "
                f"Raise its limit (ulimit -v), or choose a start that reads smaller images."
            ) from error
        return None


def _make_entry(
    folder: Path,
    samples: Samples,
    chosen: np.ndarray,
    spec: ImageSpec,
    dataset: Dataset,
    split_name: str,
) -> tuple[np.ndarray, dict[int, str]]:
    """Decode into a new entry, put it in place, and open it."""
    shape = _shape(spec)
    row_bytes = int(np.prod(shape))
    what = f"{dataset.name} ({split_name})"
    needed = len(chosen) * row_bytes
    is_whole = partial(_is_whole, folder, shape)
    told = f"the decoded pixels of {what}"
    with new_entry(folder, needed, told, is_whole) as (temporary, record):
        with open(temporary / "pixels", "wb+", buffering=0) as file:
            reasons = _write_pixels(file.fileno(), samples, chosen, spec, f"decode {split_name}")
            num_images = _close_gaps(file.fileno(), len(chosen), reasons, row_bytes)
            os.fsync(file.fileno())
        # Too many bad images end the run here, before anything is kept.
        bad = [BadSample(samples.name(int(chosen[i])), why) for i, why in reasons.items()]
        _check_bad(dataset, bad)
        record["about"] = f"{what} at {spec.decode_size} pixels"
        record["num_images"], record["reasons"] = num_images, reasons
    made = _open_entry(folder, shape)
    if made is None:
        raise DataError(
            f"The decoded pixels of {what} changed on disk right after they were written to "
            f"{folder}. Check the disk, or set HEADSTART_CACHE to another one."
        )
    return made


def _is_whole(folder: Path, shape: tuple[int, int, int]) -> bool:
    return _open_entry(folder, shape) is not None


def _write_pixels(
    file: int, samples: Samples, chosen: np.ndarray, spec: ImageSpec, task: str
) -> dict[int, str]:
    """Decode in threads and write each image to its place; return what failed, by position."""
    row_bytes = int(np.prod(_shape(spec)))
    chunk = max(1, min(256, CHUNK_BYTES // row_bytes))
    # In the order of the source, so that a Parquet row group is read once.
    order = np.argsort(chosen, kind="stable")

    def work(positions: np.ndarray) -> dict[int, str]:
        failed = {}
        rows = np.zeros((len(positions), *_shape(spec)), np.uint8)
        for row, position in enumerate(positions):
            try:
                rows[row] = decode_one(samples.read(int(chosen[position])), spec)
            except UnreadableImage as error:
                failed[int(position)] = error.reason
        if np.all(np.diff(positions) == 1):
            write_all(file, rows.data, int(positions[0]) * row_bytes)
        else:
            for position, pixels in zip(positions, rows, strict=True):
                write_all(file, pixels.data, int(position) * row_bytes)
        return failed

    reasons: dict[int, str] = {}
    done, workers = 0, num_workers()
    pending: dict[Future[dict[int, str]], int] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            for start in range(0, len(order), chunk):
                positions = order[start : start + chunk]
                pending[pool.submit(work, positions)] = len(positions)
                while len(pending) >= 2 * workers or (pending and start + chunk >= len(order)):
                    for future in wait(pending, return_when=FIRST_COMPLETED).done:
                        done += pending.pop(future)
                        reasons |= future.result()
                        events.emit("task", name=task, done=done, total=len(order))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return dict(sorted(reasons.items()))


def _close_gaps(file: int, num_rows: int, reasons: dict[int, str], row_bytes: int) -> int:
    """Move images down over those that failed, cut the file, and return how many are left."""
    kept = np.delete(np.arange(num_rows), list(reasons))
    if reasons:
        for target, source in enumerate(kept.tolist()):
            if target != source:
                row = os.pread(file, row_bytes, source * row_bytes)
                write_all(file, memoryview(row), target * row_bytes)
    os.ftruncate(file, len(kept) * row_bytes)
    return len(kept)
