"""Read every sample once: what it is (a number), whether it can be used, how large an image is.

From what they are (``identity``) come the sample ids, the copies and the fingerprint of the data
set. Names do not count: a folder that moves keeps its fingerprint, and so do files that are renamed
and stay in order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from headstart import events
from headstart.columnar import give_memory_back
from headstart.cores import usable_cores
from headstart.data.identity import Identity, mixed, row_identity, text_identity
from headstart.preprocessing.image_files import seems_whole
from headstart.preprocessing.images import decode_one, read_header
from headstart.preprocessing.rows import TableSamples, TextSamples, text_faults
from headstart.preprocessing.samples import ArraySamples, UnreadableImage
from headstart.types import ImageSpec, Ragged, Rows, Samples

CHUNK = 256
_SPEC = ImageSpec(32, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 32, 3, "squash")


@dataclass(frozen=True)
class Inspection:
    """What one pass over all samples found.

    Attributes:
        identity: What each sample is; zero where unreadable.
        sizes: int64, shape (N, 3), height and width in pixels, and pages; zero where unreadable.
        reasons: Index of each sample that cannot be used, with the reason.
        alone: uint64, shape (N,), what each is without the row that it stands in; None where no
            row is part of it.
    """

    identity: Identity
    sizes: np.ndarray
    reasons: dict[int, str]
    alone: np.ndarray | None = None

    def take(self, places: np.ndarray) -> Inspection:
        """Return what was found of these samples, all of which can be used."""
        alone = None if self.alone is None else self.alone[places]
        return Inspection(self.identity.take(places), self.sizes[places], {}, alone)


def inspect_samples(samples: Samples, beside: Samples | None, name: str) -> Inspection:
    """Read every sample of any kind.

    Args:
        samples: The inputs.
        beside: The rows that texts or images stand in, where these are part of the sample. Copies
            are still told by texts and images alone: neither side of a split may learn the other's.
        name: What progress is reported as.
    """
    if isinstance(samples, TableSamples):
        return inspect_rows(samples, name)
    if isinstance(samples, TextSamples):
        found = inspect_texts(samples, name)
    else:
        found = inspect(samples, name)
    if not isinstance(beside, TableSamples):
        return found
    alone = found.identity.exact
    exact = mixed(alone) + row_identity(beside.table).exact
    return replace(found, identity=Identity(exact, found.identity.content), alone=alone)


def inspect(samples: Samples, name: str) -> Inspection:
    """Hash every sample and look at its header.

    Args:
        samples: The inputs; encoded bytes or arrays (H, W, C).
        name: What progress is reported as.
    """
    total = len(samples)
    numbers = np.zeros(total, np.uint64)
    sizes = np.zeros((total, 3), np.int64)
    reasons: dict[int, str] = {}

    def look(start: int) -> None:
        for i in range(start, min(start + CHUNK, total)):
            try:
                content = samples.read(i)
                if isinstance(content, bytes):
                    header = read_header(content)
                    if not seems_whole(content):
                        decode_one(content, _SPEC)  # what breaks off is known before a training
                    sizes[i] = header.height, header.width, header.num_pages
                else:
                    sizes[i] = *content.shape[:2], 1
                    content = np.ascontiguousarray(content).tobytes()
                digest = blake2b(content, digest_size=8).digest()
                numbers[i] = int.from_bytes(digest, "little")
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
    return Inspection(Identity(numbers, numbers), sizes, dict(sorted(reasons.items())))


def inspect_texts(samples: TextSamples, name: str) -> Inspection:
    """Hash every text, and find those that cannot be used.

    Args:
        samples: The texts.
        name: What progress is reported as.
    """
    reasons = text_faults(samples.texts)
    texts = samples.texts
    if reasons:
        texts = ["" if i in reasons else text for i, text in enumerate(texts)]
    return _told(text_identity(texts), reasons, name)


def inspect_rows(samples: TableSamples, name: str) -> Inspection:
    """Hash every row, column by column; a row without any value cannot be used.

    Args:
        samples: The rows.
        name: What progress is reported as.
    """
    empty = np.ones(len(samples), bool)
    for column in samples.table.columns:
        empty &= column.is_null().to_numpy()
    fault = "every cell of the row is empty"
    reasons = dict.fromkeys(np.flatnonzero(empty).tolist(), fault)
    give_memory_back()  # what the kinds of columns were found with
    return _told(row_identity(samples.table), reasons, name)


def _told(identity: Identity, reasons: dict[int, str], name: str) -> Inspection:
    total = len(identity.exact)
    events.emit("task", name=name, done=total, total=total)
    return Inspection(identity, np.zeros((total, 3), np.int64), reasons)


def fingerprint(
    ids: np.ndarray,
    exact: np.ndarray,
    targets: Rows,
    splits: np.ndarray,
    classes: object,
    kind: Sequence[str] = (),
) -> str:
    """Return 32 hexadecimal digits that change with any sample, target, class or split.

    Args:
        ids: int64, shape (N,).
        exact: uint64, shape (N,), of their contents.
        targets: As in ``Split.targets``, for all samples.
        splits: int8, shape (N,).
        classes: Class names, JSON-able.
        kind: Modality and task; empty for the classification of images, which came first.
    """
    give_memory_back(len(ids))  # what the columns were looked at with
    state = blake2b(digest_size=16)
    state.update(json.dumps(["headstart data 2", len(ids), classes, *kind]).encode())
    if targets.dtype == object:  # texts
        targets = text_identity(np.asarray(targets).tolist()).exact.view(np.int64)
    of_targets = {"f": "<f8", "u": "u1"}.get(targets.dtype.kind, "<i8")
    told: list[tuple[np.ndarray, str]] = [(ids, "<i8"), (exact, "<u8")]
    if isinstance(targets, Ragged):
        told += [(targets.lengths, "<i8"), (targets.whole, of_targets)]
    else:
        told.append((targets, of_targets))
    for array, dtype in (*told, (splits, "i1")):
        state.update(np.ascontiguousarray(array, dtype=dtype).data)  # its bytes, not copied
    return state.hexdigest()
