"""Read every sample once: what it is (a digest), whether it can be used, how large an image is.

From the digests come the sample ids and the fingerprint of the data set. Names count relative to
the data's own folder, so a folder that moves keeps its fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from headstart import events
from headstart.cores import usable_cores
from headstart.data.images import read_header
from headstart.data.rows import TableSamples, TextSamples, row_texts, text_fault
from headstart.data.sources.samples import ArraySamples, UnreadableImage
from headstart.types import Ragged, Rows, Samples

DIGEST_BYTES = 16
CHUNK = 256


@dataclass(frozen=True)
class Inspection:
    """What one pass over all samples found.

    Attributes:
        digests: uint8, shape (N, 16), a hash of each sample's content; zero where unreadable.
        sizes: int64, shape (N, 2), height and width in pixels; zero where unreadable.
        reasons: Index of each sample that cannot be used, with the reason.
    """

    digests: np.ndarray
    sizes: np.ndarray
    reasons: dict[int, str]


def inspect(samples: Samples, name: str) -> Inspection:
    """Hash every sample and look at its header.

    Args:
        samples: The inputs; encoded bytes or uint8 arrays (H, W, C).
        name: What progress is reported as.
    """
    total = len(samples)
    digests = np.zeros((total, DIGEST_BYTES), np.uint8)
    sizes = np.zeros((total, 2), np.int64)
    reasons: dict[int, str] = {}

    def look(start: int) -> None:
        for i in range(start, min(start + CHUNK, total)):
            try:
                content = samples.read(i)
                if isinstance(content, bytes):
                    header = read_header(content)
                    sizes[i] = header.height, header.width
                else:
                    sizes[i] = content.shape[:2]
                    content = np.ascontiguousarray(content).tobytes()
                digest = blake2b(content, digest_size=DIGEST_BYTES).digest()
                digests[i] = np.frombuffer(digest, np.uint8)
            except UnreadableImage as error:
                reasons[i] = error.reason

    # Threads help where reading waits for the disk; on small arrays they only wait for each other.
    workers = 1 if isinstance(samples, ArraySamples) else usable_cores()
    with ThreadPoolExecutor(workers) as pool:
        starts = range(0, total, CHUNK)
        for start, _ in zip(starts, pool.map(look, starts), strict=True):
            done = min(start + CHUNK, total)
            if done == total or (start // CHUNK) % 8 == 7:
                events.emit("task", name=name, done=done, total=total)
    return Inspection(digests, sizes, dict(sorted(reasons.items())))


def inspect_texts(samples: TextSamples, name: str) -> Inspection:
    """Hash every text, and find those that cannot be used.

    Args:
        samples: The texts.
        name: What progress is reported as.
    """
    return _hash_all(samples.texts, [text_fault(text) for text in samples.texts], name)


def inspect_rows(samples: TableSamples, name: str) -> Inspection:
    """Hash every row in its canonical form; a row without any value cannot be used.

    Args:
        samples: The rows.
        name: What progress is reported as.
    """
    empty = np.ones(len(samples), bool)
    for column in samples.table.columns:
        empty &= column.is_null().to_numpy()
    faults = ["every cell of the row is empty" if is_empty else None for is_empty in empty]
    return _hash_all(row_texts(samples.table), faults, name)


def _hash_all(texts: Sequence[str], faults: Sequence[str | None], name: str) -> Inspection:
    digests = np.zeros((len(texts), DIGEST_BYTES), np.uint8)
    for i, (text, fault) in enumerate(zip(texts, faults, strict=True)):
        if fault is None:
            digest = blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()
            digests[i] = np.frombuffer(digest, np.uint8)
    events.emit("task", name=name, done=len(texts), total=len(texts))
    reasons = {i: fault for i, fault in enumerate(faults) if fault is not None}
    return Inspection(digests, np.zeros((len(texts), 2), np.int64), reasons)


def sample_ids(digests: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return a number for each sample: 63 bits of a hash of its content and name.

    The same file has the same id in every run and split. A sample listed twice under one name
    gets a second number, so that ids are unique.

    Args:
        digests: uint8, shape (N, 16).
        names: N names.

    Returns:
        int64, shape (N,), all different, none negative.
    """
    ids = np.empty(len(names), np.int64)
    seen: dict[int, int] = {}
    for i, (digest, name) in enumerate(zip(digests, names, strict=True)):
        number = _number(digest.tobytes() + name.encode(errors="surrogateescape"))
        while number in seen:
            seen[number] += 1
            number = _number(f"{number} {seen[number]}".encode())
        seen[number] = 0
        ids[i] = number
    return ids


def _number(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") >> 1


def fingerprint(
    ids: np.ndarray,
    digests: np.ndarray,
    targets: Rows,
    splits: np.ndarray,
    classes: object,
    kind: Sequence[str] = (),
) -> str:
    """Return 32 hexadecimal digits that change with any sample, target, class or split.

    Args:
        ids: int64, shape (N,).
        digests: uint8, shape (N, 16).
        targets: As in ``Split.targets``, for all samples.
        splits: int8, shape (N,).
        classes: Class names, JSON-able.
        kind: Modality and task; empty for the classification of images, which came first.
    """
    state = blake2b(digest_size=16)
    state.update(json.dumps(["headstart data 1", len(ids), classes, *kind]).encode())
    of_targets = {"f": "<f8", "u": "u1"}.get(targets.dtype.kind, "<i8")
    told: list[tuple[np.ndarray, str]] = [(ids, "<i8"), (digests, "u1")]
    if isinstance(targets, Ragged):
        told += [(targets.lengths, "<i8"), (targets.whole, of_targets)]
    else:
        told.append((targets, of_targets))
    for array, dtype in (*told, (splits, "i1")):
        state.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
    return state.hexdigest()
