"""Keep what crosses a cut on disk, memory-mapped, one entry a view of a split.

An entry of the cache (``entries``) holds ``rows`` (what has one shape a sample, all slots of a
sample together) and ``tokens`` (what is as long as the sample). What is damaged is computed again.
Left out on purpose: narrower types than the network computes in, which would be other numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import DataError
from headstart.storage.cache import (
    CacheError,
    cache_limit,
    cache_root,
    new_entry,
    read_entry,
    write_all,
)
from headstart.training.frozen.slots import Slot

FORMAT = 2  # raise it when an entry of the same key would hold something else
_KIND = "activations"
_ALIGN = 64  # bytes: a slot of a row begins where any type may


def activation_key(parts: Mapping[str, object]) -> str:
    """Return the name of an entry: a digest of everything that its numbers depend on.

    Args:
        parts: JSON-able: the cut's fingerprint and name, the preprocessing, the data's fingerprint,
            the split, the view, the precision, the device's kind. PyTorch's version is added.
    """
    what = {"format": FORMAT, "torch": str(torch.__version__), **parts}
    text = json.dumps(what, sort_keys=True).encode()
    return blake2b(text, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Layout:
    """What the rows of an entry are.

    Attributes:
        slots: Tensors that are kept; those that are inputs of the network are not among them.
        num_samples: N.
        lengths: int64, shape (N,), tokens a sample; None where no slot varies in length.
    """

    slots: tuple[Slot, ...]
    num_samples: int
    lengths: np.ndarray | None = None

    @property
    def places(self) -> list[int]:
        """Byte of a row, or of a token, at which each slot begins."""
        at, found = {True: 0, False: 0}, []
        for slot in self.slots:
            found.append(at[slot.is_ragged])
            at[slot.is_ragged] += -(-slot.num_bytes // _ALIGN) * _ALIGN
        return found

    @property
    def row_bytes(self) -> int:
        """Bytes of the part of a sample that has one shape."""
        return self._width(False)

    @property
    def token_bytes(self) -> int:
        """Bytes of one token."""
        return self._width(True)

    def _width(self, ragged: bool) -> int:
        sizes = [slot.num_bytes for slot in self.slots if slot.is_ragged == ragged]
        # alone it needs no alignment: every row of one type is aligned
        return sizes[0] if len(sizes) == 1 else sum(-(-size // _ALIGN) * _ALIGN for size in sizes)

    @property
    def offsets(self) -> np.ndarray:
        """First token of each sample, int64, shape (N + 1,)."""
        lengths = np.zeros(0, np.int64) if self.lengths is None else self.lengths
        return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file of an entry."""
        tokens = int(self.offsets[-1]) * self.token_bytes
        return {"rows": self.num_samples * self.row_bytes, "tokens": tokens}


class ActivationStore:
    """One entry, open for reading.

    Args:
        folder: Its folder.
        layout: What its rows are.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder, self.layout = folder, layout
        self._files = {
            name: np.memmap(folder / name, np.uint8, "r") if size else np.zeros(0, np.uint8)
            for name, size in layout.sizes.items()
        }
        self._offsets, self._at = layout.offsets, layout.places

    def rows(self, places: np.ndarray, length: int | None = None) -> tuple[np.ndarray, ...]:
        """Return the rows of some samples, one array a slot, in memory order.

        Args:
            places: int64, shape (B,), positions of the samples.
            length: Tokens to fill up to with zeros; None for the longest of these samples.
        """
        layout = self.layout
        whole: dict[bool, np.ndarray] = {}
        if layout.row_bytes:
            # unlike an index, it lets other threads run meanwhile
            whole[False] = self._files["rows"].reshape(-1, layout.row_bytes).take(places, axis=0)
        if layout.token_bytes:
            whole[True] = self._tokens(places, length)
        found = []
        for slot, at in zip(layout.slots, self._at, strict=True):
            part = whole[slot.is_ragged][..., at : at + slot.num_bytes]
            values = np.ascontiguousarray(part).view(slot.stored_dtype)
            found.append(values.reshape(*part.shape[:-1], *slot.stored_shape))
        return tuple(found)

    def tensors(self, places: np.ndarray, length: int | None = None) -> tuple[Tensor, ...]:
        """Return the rows of some samples as the tensors that were kept, strides included."""
        rows = self.rows(places, length)
        return tuple(s.unpack(row) for s, row in zip(self.layout.slots, rows, strict=True))

    def _tokens(self, places: np.ndarray, length: int | None) -> np.ndarray:
        """Return bytes, shape (B, T, token bytes), zero behind the end of each sample."""
        first = self._offsets[places][:, None]
        counts = self._offsets[places + 1][:, None] - first
        steps = np.arange(int(counts.max(initial=0)) if length is None else length)
        is_token = steps < counts
        tokens = self._files["tokens"].reshape(-1, self.layout.token_bytes)
        found: np.ndarray = tokens.take(np.where(is_token, first + steps, 0), axis=0)
        found[~is_token] = 0
        return found


class ActivationCache:
    """The entries of activations in the cache.

    Args:
        root: The folder of the cache; None for the user's.
        limit_bytes: What the whole cache may hold; None for the user's limit.
    """

    def __init__(self, root: Path | None = None, limit_bytes: int | None = None) -> None:
        self.root = cache_root() if root is None else root
        self.limit_bytes = cache_limit(self.root) if limit_bytes is None else limit_bytes
        self._in_use: set[Path] = set()

    def open(self, key: str, layout: Layout) -> ActivationStore | None:
        """Return an entry, None where it is missing or damaged; it counts as used now.

        Args:
            key: From ``activation_key``.
            layout: What its rows must be.
        """
        folder = self.root / _KIND / key
        if not _is_whole(folder, layout):
            return None
        try:
            store = ActivationStore(folder, layout)
        except OSError:
            return None  # another process has just removed it
        self._in_use.add(folder)
        return store

    def fill(
        self,
        key: str,
        layout: Layout,
        batches: Iterable[tuple[np.ndarray, Sequence[Tensor]]],
        *,
        about: str,
    ) -> ActivationStore:
        """Write an entry and open it; where another process was faster, open that one's.

        Args:
            key: From ``activation_key``.
            layout: What its rows are.
            batches: Positions of samples, int64, shape (B,), and the kept slots of those; every
                sample once, in any order. Tokens behind a sample's end are left out.
            about: What it holds, in a few words.

        Raises:
            CacheError: If the cache cannot be written or is full.
            DataError: If a sample is missing.
        """
        folder, needed = self.root / _KIND / key, sum(layout.sizes.values())
        told = f"the activations of {about}"
        with new_entry(
            folder,
            needed,
            told,
            partial(_is_whole, folder, layout),
            limit_bytes=self.limit_bytes,
            keep=self._in_use,
        ) as (made, record):
            _write(made, layout, batches, about)
            record["about"], record["layout"] = about, _described(layout)
        store = self.open(key, layout)
        if store is None:
            raise CacheError(
                f"The activations of {about} changed on disk right after they were written to "
                f"{folder}. Check the disk, or set HEADSTART_CACHE to another one."
            )
        return store


def _described(layout: Layout) -> list[object]:
    """Return the layout as JSON gives it back, the lengths as their digest."""
    lengths = b"" if layout.lengths is None else layout.lengths.astype("<i8").tobytes()
    slots = [[list(slot.stored_shape), slot.dtype, slot.is_ragged] for slot in layout.slots]
    return [slots, layout.num_samples, blake2b(lengths, digest_size=16).hexdigest()]


def _is_whole(folder: Path, layout: Layout) -> bool:
    """Return whether an entry is there, of that layout, and as it was written."""
    record: Any = read_entry(folder)
    try:
        sizes = {name: state["bytes"] for name, state in record["files"].items()}
        return bool(record["layout"] == _described(layout) and sizes == layout.sizes)
    except (KeyError, TypeError, AttributeError):
        return False


def _write(
    folder: Path,
    layout: Layout,
    batches: Iterable[tuple[np.ndarray, Sequence[Tensor]]],
    about: str,
) -> None:
    """Write every sample to its place, in whatever order they come."""
    is_written, offsets = np.zeros(layout.num_samples, bool), layout.offsets
    files = {name: os.open(folder / name, os.O_WRONLY | os.O_CREAT) for name in layout.sizes}
    try:
        for name, size in layout.sizes.items():
            os.ftruncate(files[name], size)
        for places, tensors in batches:
            fixed, ragged = _joined(layout, tensors)
            _write_rows(files["rows"], fixed, places, layout.row_bytes)
            if layout.lengths is not None and layout.token_bytes:
                starts = offsets[places] * layout.token_bytes
                for row, start, length in zip(ragged, starts, layout.lengths[places], strict=True):
                    write_all(files["tokens"], _bytes(row[:length]), int(start))
            is_written[places] = True
        for file in files.values():
            os.fsync(file)
    finally:
        for file in files.values():
            os.close(file)
    if not is_written.all():
        raise DataError(
            f"{int((~is_written).sum())} of {layout.num_samples} samples of {about} were not "
            f"computed, the first is number {int(np.argmin(is_written))}; expected all of them."
        )


def _joined(layout: Layout, tensors: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of a batch: (B, row bytes) and (B, T, token bytes)."""
    packed = [slot.pack(t) for slot, t in zip(layout.slots, tensors, strict=True)]
    num = len(packed[0]) if packed else 0
    longest = next(
        (p.shape[1] for s, p in zip(layout.slots, packed, strict=True) if s.is_ragged), 0
    )
    fixed = np.zeros((num, layout.row_bytes), np.uint8)
    ragged = np.zeros((num, longest, layout.token_bytes), np.uint8)
    for slot, at, rows in zip(layout.slots, layout.places, packed, strict=True):
        target = ragged if slot.is_ragged else fixed
        flat = np.ascontiguousarray(rows).reshape(*target.shape[:-1], -1).view(np.uint8)
        target[..., at : at + slot.num_bytes] = flat
    return fixed, ragged


def _write_rows(file: int, rows: np.ndarray, places: np.ndarray, row_bytes: int) -> None:
    """Write rows to their places, neighbours together."""
    if not row_bytes:
        return
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    for run in np.split(np.arange(len(places)), ends):
        if len(run):
            some = _bytes(rows[run[0] : run[-1] + 1])
            write_all(file, some, int(places[run[0]]) * row_bytes)


def _bytes(rows: np.ndarray) -> memoryview:
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
