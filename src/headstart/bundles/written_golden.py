"""Golden samples of a bundle that writes: texts, what was written, and how sure each token was.

Tokens are compared one by one, each told from those before it as they were written when it was
exported: so a step that rounds otherwise on another machine is seen by how much it does, and does
not change all that follows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.bundles.equality import Agreement, compare_logits
from headstart.bundles.golden_file import golden_file, golden_file_bytes, otherwise
from headstart.bundles.writing import Arrays, WritingBundle, open_writer
from headstart.decoding import Steps
from headstart.decoding.following import brief, follow, likeliest
from headstart.errors import DataError, ExportError

_TOLD, _LENGTHS, _LIKELIEST, _LOGITS, _TEXTS = "told", "lengths", "likeliest", "logits", "texts"
NUM_TOKENS = 16  # that are kept of each sample


@dataclass(frozen=True)
class Written:
    """What was written of some samples, with how likely each token was.

    Attributes:
        told: Ids of each sample, at least one each.
        likeliest: int64, shape (M, K): of each token in turn (``follow``) the likeliest ids.
        logits: float32, shape (M, K + 1): ``brief`` of them.
    """

    told: Sequence[Sequence[int]]
    likeliest: np.ndarray
    logits: np.ndarray


def judged(steps: Steps, told: Sequence[Sequence[int]]) -> Written:
    """Return what a network says of tokens that were written.

    Args:
        steps: The network, with what they were written of, which it has not read yet.
        told: Ids of each sample.
    """
    ids, logits = [], []
    for _, found in follow(steps, told):
        best = likeliest(found)
        ids.append(best)
        logits.append(brief(found, best))
    return Written(told, np.concatenate(ids), np.concatenate(logits))


def compare_written(steps: Steps, expected: Written) -> Agreement:
    """Compare what a network says of tokens that were written with what it should say.

    Args:
        steps: The network, as for ``judged``.
        expected: What another computation of it said.
    """
    parts, begin = [], 0
    for _, found in follow(steps, expected.told):
        parts.append(brief(found, expected.likeliest[begin : begin + len(found)]))
        begin += len(found)
    return compare_logits(np.concatenate(parts), expected.logits)


def written_golden_bytes(arrays: Arrays, written: Written, texts: Sequence[str]) -> bytes:
    """Return the file of golden samples.

    Args:
        arrays: Ids and mask by name.
        written: What PyTorch wrote, and how likely it was.
        texts: The same as texts.
    """
    lengths = np.array([len(ids) for ids in written.told], np.int64)
    content = {
        **arrays,
        _TOLD: np.concatenate([np.array(ids, np.int64) for ids in written.told]),
        _LENGTHS: lengths,
        _LIKELIEST: written.likeliest,
        _LOGITS: written.logits,
        _TEXTS: np.array([json.dumps(text) for text in texts]),
    }
    return golden_file_bytes(content)


def verify_writer(folder: Path, *, num_threads: int = 1) -> tuple[WritingBundle, Agreement]:
    """Check the files of a bundle that writes, open it, and compare its golden samples.

    Args:
        folder: The bundle.
        num_threads: Of ONNX Runtime.

    Raises:
        ExportError: If a file is not what was exported, or what it says is another.
    """
    bundle = open_writer(folder, num_threads=num_threads)
    with golden_file(folder) as file:
        arrays = {one.name: file[one.name] for one in bundle.writer.inputs}
        ends = np.cumsum(file[_LENGTHS])[:-1]
        told = [ids.tolist() for ids in np.split(file[_TOLD], ends)]
        expected = Written(told, file[_LIKELIEST], file[_LOGITS])
        texts = [json.loads(text) for text in file[_TEXTS].tolist()]
    try:
        found = compare_written(bundle.writer.steps(arrays), expected)
    except (DataError, ExportError, IndexError, ValueError) as error:
        raise _unlike(bundle, f"they cannot be computed ({error})") from error
    if not found.holds:
        wrong = f", and {found.num_wrong} tokens are others" if found.num_wrong else ""
        raise _unlike(
            bundle,
            f"logits differ by {found.largest:.2g}, expected at most {found.allowed:.2g}{wrong}",
        )
    if texts != [bundle.text_of(ids) for ids in told]:
        raise _unlike(bundle, "its tokens become other texts")
    return bundle, found


def _unlike(bundle: WritingBundle, how: str) -> ExportError:
    return otherwise(bundle.path, bundle.record, "write", how)
