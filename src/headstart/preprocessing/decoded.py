"""Decode each image once, into a memory-mapped array that every later run finds again.

An entry of the cache (``storage.cache``) holds ``pixels``, raw uint8, and in its record the samples
that were left out. What is asked of a split in part (a sample to screen starts with) is an entry of
its own until the whole is asked for: then its rows are taken over instead of being decoded again,
and it goes. Memory stays bounded by a few chunks however large the data is. Where the cache cannot
take an entry, the array is a file without a name in the folder for temporary files, or memory, and
lives as long as somebody has it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from headstart.errors import DataError, DeviceError
from headstart.preprocessing.bad_samples import check_prepared
from headstart.preprocessing.framing import ground
from headstart.preprocessing.levels import Depth, Depths, strange_values
from headstart.preprocessing.pixel_files import (
    Apart,
    Decoded,
    Entry,
    Work,
    close_gaps,
    decode_apart,
    pixel_shape,
    write_pixels,
)
from headstart.preprocessing.samples import ArraySamples
from headstart.storage.cache import (
    CacheError,
    cache_root,
    new_entry,
    read_entry,
    remove_entry,
    without_cache,
)
from headstart.types import (
    BadSample,
    Dataset,
    Finding,
    ImageSpec,
    PlainInputs,
    Rows,
    Samples,
    SplitName,
)

DECODER_VERSION = 3  # raise it when decode_one gives other pixels for the same image
# What was decoded without the cache, by the name it would have there, while somebody has it.
_apart: WeakValueDictionary[str, Apart] = WeakValueDictionary()


@dataclass(frozen=True)
class Pixels(PlainInputs):
    """The decoded images of a split, without those that could not be decoded.

    Attributes:
        images: uint8, shape (M, S, S, C); memory-mapped copy-on-write, or the caller's own array.
        targets: int64, shape (N,).
        ids: int64, shape (N,).
        names: N names.
        bad_samples: Samples asked for that could not be decoded, each with its reason.
        findings: What a user should know of the preparation.
        rows: int64, shape (N,), where in ``images`` each sample stands; None where they are the
            same in number and order.
    """

    images: np.ndarray
    targets: Rows
    ids: np.ndarray
    names: Sequence[str]
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch, uint8 (B, S, S, C).

        Args:
            places: int64, shape (B,), positions of the wanted images.
        """
        rows = places if self.rows is None else self.rows[places]
        # unlike an index, it lets other threads run meanwhile; the copy is plain memory
        return (np.asarray(self.images).take(rows, axis=0),)


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
            out by ``load`` count too), or neither cache nor temporary files nor memory have room.

    Example:
        >>> from headstart.data import load
        >>> spec = ImageSpec(8, 1, (0.5,), (0.5,), "bilinear", 8, 1)
        >>> decode(load("digits-8x8"), "test", spec).images.shape
        (359, 8, 8, 1)
    """
    split = dataset.split(split_name)
    chosen = np.arange(len(split)) if indices is None else np.asarray(indices, np.int64)
    samples, shape = split.samples, pixel_shape(spec)
    if _are_pixels(samples, shape):
        assert isinstance(samples, ArraySamples)
        images = samples.images if indices is None else samples.images[chosen]
        found = _Found(images, None, {}, {})
    elif dataset.pool is not None:
        found = _in_pool(dataset.pool, split.ids[chosen], spec)
    else:
        found = _find(dataset, split_name, spec, chosen, is_whole=indices is None)
    kept = np.delete(chosen, list(found.reasons))
    bad = [BadSample(samples.name(int(chosen[i])), why) for i, why in found.reasons.items()]
    check_prepared(dataset, bad)
    if len(kept) == 0:
        raise DataError(f"No image of {dataset.name} ({split_name}) is left to decode.")
    names = [samples.name(int(i)) for i in kept]
    targets, ids = split.targets[kept], split.ids[kept]
    strange = strange_values(spec, _told(found), names)
    return Pixels(found.images, targets, ids, names, tuple(bad), strange, rows=found.rows)


def _in_pool(pool: Dataset, ids: np.ndarray, spec: ImageSpec) -> _Found:
    """Return samples from those of all divisions of the data, which are decoded once."""
    everyone = np.arange(len(pool.train))
    whole = _find(pool, "train", spec, everyone, is_whole=True)
    order = np.argsort(pool.train.ids, kind="stable")
    places = order[np.searchsorted(pool.train.ids, ids, sorter=order)]
    return _some_of(Entry(whole.images, whole.reasons, dict(whole.depths)), places)


def _told(found: _Found) -> Depths:
    """Return what there was of more than 8 bits, by places among what could be decoded."""
    told, failed = Depths(), np.array(sorted(found.reasons), np.int64)
    for position, depth in found.depths.items():
        told.add(position - int(np.searchsorted(failed, position)), depth)
    return told


def _are_pixels(samples: Samples, shape: tuple[int, int, int]) -> bool:
    """Return whether samples are what would be decoded already."""
    if not isinstance(samples, ArraySamples):
        return False
    return samples.images.dtype == np.uint8 and samples.images.shape[1:] == shape


@dataclass(frozen=True)
class _Found:
    """Decoded samples.

    Attributes:
        images: uint8, shape (M, S, S, C).
        rows: Where each sample stands in them, the failed ones left out; None for one by one.
        reasons: Why some could not be decoded, by their place among those that were asked for.
        depths: What the values were of those of more than 8 bits, by the same places.
    """

    images: np.ndarray
    rows: np.ndarray | None
    reasons: dict[int, str]
    depths: Mapping[int, Depth]


def _find(
    dataset: Dataset, split_name: SplitName, spec: ImageSpec, chosen: np.ndarray, *, is_whole: bool
) -> _Found:
    """Return samples from what was decoded before; what was not is decoded now."""
    work = Work(dataset, split_name, spec, chosen)
    name = _entry_name(dataset, split_name, spec)
    if name in _apart:
        return _some_of(_apart[name].open(), None if is_whole else chosen)
    try:
        return _find_kept(cache_root() / "pixels" / name, work, is_whole=is_whole)
    except CacheError as error:
        without_cache(error)
        name = name if is_whole else f"{name}-{_digest(chosen)}"
        held = _apart.get(name) or decode_apart(work, error)
        _apart[name] = held
        return _some_of(held.open(), None)


def _find_kept(whole: Path, work: Work, *, is_whole: bool) -> _Found:
    """Return samples from the cache, which then holds them."""
    chosen, shape = work.chosen, pixel_shape(work.spec)
    if (entry := _open_entry(whole, shape)) is not None:
        return _some_of(entry, None if is_whole else chosen)
    folder = whole if is_whole else whole.with_name(f"{whole.name}-{_digest(chosen)}")
    entry = None if is_whole else _open_entry(folder, shape)
    if entry is None:
        parts = _parts_of(whole, shape)
        entry = _make_entry(folder, work, parts)
        if is_whole:
            for path in parts:
                remove_entry(path)
    return _Found(entry.images, None, entry.reasons, entry.depths)


def _some_of(entry: Entry, chosen: np.ndarray | None) -> _Found:
    """Return some samples of a whole split, by their positions in it; None returns all."""
    images, reasons, depths = entry.images, entry.reasons, entry.depths
    if chosen is None:
        return _Found(images, None, reasons, depths)
    wanted = chosen.tolist()
    failed = {i: reasons[place] for i, place in enumerate(wanted) if place in reasons}
    deep = {i: depths[place] for i, place in enumerate(wanted) if place in depths}
    good = np.delete(chosen, list(failed))
    rows = good - np.searchsorted(np.array(sorted(reasons), np.int64), good)
    return _Found(images, rows, failed, deep)


def _parts_of(whole: Path, shape: tuple[int, int, int]) -> dict[Path, Decoded]:
    """Return the entries that hold some samples of a split."""
    found = {}
    for path in sorted(whole.parent.glob(f"{whole.name}-*")):
        entry = None if ".tmp-" in path.name else _open_entry(path, shape)
        if entry is not None:
            chosen = np.asarray((read_entry(path) or {}).get("chosen", []), np.int64)
            found[path] = Decoded(entry, chosen)
    return found


def _entry_name(dataset: Dataset, split_name: str, spec: ImageSpec) -> str:
    """Return the name of the pixels of a split under exactly this preprocessing."""
    what: list[object] = [
        DECODER_VERSION,
        dataset.fingerprint,
        split_name,
        *pixel_shape(spec),
        spec.interpolation,
    ]
    what += [spec.framing, spec.value_range]
    if spec.framing == "pad":
        what.append(ground(spec, "L" if spec.decode_channels == 1 else "RGB"))
    return blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()


def _digest(indices: np.ndarray) -> str:
    return blake2b(indices.astype("<i8").tobytes(), digest_size=8).hexdigest()


def _open_entry(folder: Path, shape: tuple[int, int, int]) -> Entry | None:
    """Return what an entry holds; None if missing or damaged."""
    record: Any = read_entry(folder)
    try:
        num_images = int(record["num_images"])
        reasons = {int(i): str(reason) for i, reason in record["reasons"].items()}
        depths = {int(i): Depth(*map(float, values)) for i, values in record["depths"].items()}
        if record["files"]["pixels"]["bytes"] != num_images * int(np.prod(shape)):
            return None
        if num_images == 0:
            return Entry(np.empty((0, *shape), np.uint8), reasons, depths)
        # Copy-on-write: torch takes it as a writable array, and the file stays as it is.
        pixels = np.memmap(folder / "pixels", np.uint8, "c", shape=(num_images, *shape))
        return Entry(pixels, reasons, depths)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise DeviceError(
                f"{folder / 'pixels'} cannot be mapped into memory ({error.strerror}): "
                f"{record['files']['pixels']['bytes']:,} bytes, more than this process may take. "
                f"Raise its limit (ulimit -v), or choose a start that reads smaller images."
            ) from error
        return None


def _make_entry(folder: Path, work: Work, parts: Mapping[Path, Decoded]) -> Entry:
    """Decode into a new entry, put it in place, and open it."""
    dataset, chosen, spec = work.dataset, work.chosen, work.spec
    shape = pixel_shape(spec)
    row_bytes = int(np.prod(shape))
    what = f"{dataset.name} ({work.split_name})"
    needed = len(chosen) * row_bytes
    is_whole = partial(_is_whole, folder, shape)
    told = f"the decoded pixels of {what}"
    with new_entry(folder, needed, told, is_whole) as (temporary, record):
        with open(temporary / "pixels", "wb+", buffering=0) as file:
            reasons, depths = write_pixels(file.fileno(), work, list(parts.values()))
            num_images = close_gaps(file.fileno(), len(chosen), reasons, row_bytes)
            os.fsync(file.fileno())
        # Too many bad images end the run here, before anything is kept.
        samples = dataset.split(work.split_name).samples
        bad = [BadSample(samples.name(int(chosen[i])), why) for i, why in reasons.items()]
        check_prepared(dataset, bad)
        record["about"] = f"{what} at {spec.decode_size} pixels"
        record["num_images"], record["reasons"] = num_images, reasons
        record["depths"] = {i: astuple(depth) for i, depth in depths.items()}
        record["chosen"] = chosen.tolist() if "-" in folder.name else None
    made = _open_entry(folder, shape)
    if made is None:
        raise CacheError(
            f"The decoded pixels of {what} changed on disk right after they were written to "
            f"{folder}. Check the disk, or set HEADSTART_CACHE to another one."
        )
    return made


def _is_whole(folder: Path, shape: tuple[int, int, int]) -> bool:
    return _open_entry(folder, shape) is not None
