"""A corpus as token ids in a memory-mapped file, made a piece at a time.

Memory is bounded by a few pieces however large the corpus, or one document of it, is. The ids lie
in an entry of the cache (``storage.cache``), checked when it is opened; where the cache cannot take
them they lie in a file without a name among temporary files, as long as somebody has them. Beside
each id stands whether it begins a word, for whole words to be hidden. Special tokens are not in
there: they belong to the windows that a network reads.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from headstart.errors import DataError
from headstart.events import emit
from headstart.preprocessing.text_pieces import pieces_of
from headstart.preprocessing.tokens import TextTokenizer
from headstart.storage.cache import (
    CacheError,
    cache_limit,
    cache_root,
    new_entry,
    read_entry,
    without_cache,
)
from headstart.types import Stretch

LOT_CHARACTERS = 500_000  # encoded at once
_TOLD_CHARACTERS = 5_000_000  # between two looks at how far it is
_IDS, _BEGINS, _OFFSETS, _HELD = "ids", "begins", "offsets", "held_out"
_COUNTED = 2**22  # ids at once
Segment = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class TokenCorpus:
    """The documents of a corpus that hold at least one token.

    Attributes:
        ids: int32, shape (T,), of all documents one after the other; memory-mapped.
        begins: uint8, shape (T,), 1 where a token is the first of a word; memory-mapped.
        offsets: int64, shape (N + 1,), where each document begins, and the end.
        is_held_out: bool, shape (N,).
    """

    ids: np.ndarray
    begins: np.ndarray
    offsets: np.ndarray
    is_held_out: np.ndarray

    def __len__(self) -> int:
        return len(self.is_held_out)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, int64, shape (N,)."""
        return np.diff(self.offsets)

    def documents(self, *, is_held_out: bool) -> np.ndarray:
        """Return the numbers of the documents of one side, int64."""
        return np.flatnonzero(self.is_held_out == is_held_out)

    def count(self, num_ids: int) -> np.ndarray:
        """Return how often each id occurs in what is learned from, int64, shape (num_ids,)."""
        counts = np.zeros(num_ids, np.int64)
        for begin in range(0, len(self.ids), _COUNTED):
            counts += np.bincount(self.ids[begin : begin + _COUNTED], minlength=num_ids)
        for place in self.documents(is_held_out=True).tolist():  # few
            np.subtract.at(counts, self.ids[self.offsets[place] : self.offsets[place + 1]], 1)
        return counts


@dataclass
class _Bounds:
    """Where documents end, while they are written."""

    ends: list[int] = field(default_factory=lambda: [0])
    held_out: list[bool] = field(default_factory=list)
    num_tokens: int = 0

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ``offsets`` and ``is_held_out``."""
        return np.array(self.ends, np.int64), np.array(self.held_out, bool)

    def add(self, num_tokens: int, stretch: Stretch) -> None:
        """Count the tokens of the next stretch."""
        self.num_tokens += num_tokens
        if stretch.is_last and self.num_tokens > self.ends[-1]:
            self.ends.append(self.num_tokens)
            self.held_out.append(stretch.is_held_out)


@dataclass(frozen=True)
class CorpusJob:
    """What is to be encoded, and how.

    Attributes:
        stretches: Gives all documents, in the same order each time.
        tokenizer: Cuts them into ids.
        name: What the user called the corpus.
        key: A digest of its content, of the tokenizer and of how words are found.
        num_characters: Of the corpus.
        segment: A text to the places where its words begin; None takes the tokenizer's words.
    """

    stretches: Callable[[], Iterable[Stretch]]
    tokenizer: TextTokenizer
    name: str
    key: str
    num_characters: int
    segment: Segment | None = None

    @property
    def told(self) -> str:
        """What it makes, in words."""
        return f"the token ids of {self.name}"


def encode_corpus(job: CorpusJob) -> TokenCorpus:
    """Return a corpus as token ids, from the cache or encoded now.

    Raises:
        DataError: If the tokenizer leaves nothing of it.
    """
    try:
        found = _cached(job, cache_root() / "corpora" / job.key)
    except CacheError as error:
        without_cache(error)
        with tempfile.TemporaryFile() as ids, tempfile.TemporaryFile() as begins:
            ends, is_held_out = _write(job, ids, begins).arrays()
            mapped = _mapped(ids, np.int32), _mapped(begins, np.uint8)
            found = TokenCorpus(*mapped, ends, is_held_out)
    if not len(found):
        raise DataError(
            f"The tokenizer leaves nothing of {job.name}; expected texts that it knows. Begin with "
            f"another start, or from scratch, where the vocabulary is learned from the corpus."
        )
    return found


def is_encoded(job: CorpusJob) -> bool:
    """Return whether the cache has a corpus as token ids already."""
    try:
        return _open(cache_root() / "corpora" / job.key) is not None
    except CacheError:
        return False


def _cached(job: CorpusJob, folder: Path) -> TokenCorpus:
    """Return a corpus from its entry of the cache, which is made where there is none."""
    if (found := _open(folder)) is not None:
        return found
    needed = 5 * job.num_characters  # an id and a byte for each character, at the most
    limit = cache_limit(cache_root())
    whole = partial(_is_whole, folder)
    with new_entry(folder, needed, job.told, whole, limit_bytes=limit) as (path, record):
        with open(path / _IDS, "wb") as ids, open(path / _BEGINS, "wb") as begins:
            ends, is_held_out = _write(job, ids, begins).arrays()
            for file in (ids, begins):
                file.flush()
                os.fsync(file.fileno())
        (path / _OFFSETS).write_bytes(ends.tobytes())
        (path / _HELD).write_bytes(is_held_out.tobytes())
        record["about"] = job.told
    found = _open(folder)
    if found is None:
        raise CacheError(
            f"{job.told.capitalize()} changed on disk right after they were written to {folder}. "
            f"Check the disk, or set HEADSTART_CACHE to another one."
        )
    return found


def _is_whole(folder: Path) -> bool:
    return _open(folder) is not None


def _open(folder: Path) -> TokenCorpus | None:
    """Return what an entry holds; None if missing or damaged."""
    if read_entry(folder) is None:
        return None
    try:
        offsets = np.frombuffer((folder / _OFFSETS).read_bytes(), np.int64)
        held_out = np.frombuffer((folder / _HELD).read_bytes(), bool)
        with open(folder / _IDS, "rb") as ids, open(folder / _BEGINS, "rb") as begins:
            found = TokenCorpus(
                _mapped(ids, np.int32), _mapped(begins, np.uint8), offsets, held_out
            )
    except (OSError, ValueError):
        return None
    is_sound = len(offsets) == len(held_out) + 1 and len(found.ids) == len(found.begins)
    return found if is_sound and offsets[-1] == len(found.ids) else None


def _mapped(file: IO[bytes], dtype: Any) -> np.ndarray:
    """Return a file as an array that lies on the disk."""
    file.flush()
    size = os.fstat(file.fileno()).st_size
    return np.memmap(file, dtype, "r") if size else np.empty(0, dtype)


def _write(job: CorpusJob, ids: IO[bytes], begins: IO[bytes]) -> _Bounds:
    """Write the ids of all documents; return where each ends."""
    bounds, done, told = _Bounds(), 0, 0
    for lot in _lots(job.stretches()):
        owners = [(place, piece) for place, s in enumerate(lot) for piece in pieces_of(s.text)]
        sizes = [0] * len(lot)
        encoded = job.tokenizer.encode_bodies([piece for _, piece in owners], job.segment)
        for (place, _), (some, first) in zip(owners, encoded, strict=True):
            ids.write(some.tobytes())
            begins.write(first.tobytes())
            sizes[place] += len(some)
        for size, stretch in zip(sizes, lot, strict=True):
            bounds.add(size, stretch)
        done += sum(len(stretch.text) for stretch in lot)
        if done - told > _TOLD_CHARACTERS:
            told = done
            emit("task", name="tokenize", done=done, total=max(done, job.num_characters))
    return bounds


def _lots(stretches: Iterable[Stretch]) -> Iterator[list[Stretch]]:
    """Yield stretches, a bounded lot at a time."""
    lot: list[Stretch] = []
    size = 0
    for stretch in stretches:
        lot.append(stretch)
        size += len(stretch.text) + 100  # an encoding costs something however short its text
        if size >= LOT_CHARACTERS:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot
