"""Golden samples: a few that were exported with what they have to give, and the check of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.bundles.answering import Arrays, Bundle, open_bundle
from headstart.bundles.equality import Agreement, compare_logits
from headstart.bundles.golden_file import golden_file, golden_file_bytes, otherwise
from headstart.errors import DataError, ExportError
from headstart.types import Prediction, Ragged, Rows

_ANSWERS, _LOGITS = "answers", "logits"
NUM_GOLDEN = 5


def golden_bytes(
    arrays: Sequence[Arrays], logits: Sequence[Rows], answers: Sequence[Prediction]
) -> bytes:
    """Return the file of golden samples.

    Args:
        arrays: Of each member, by the names of its inputs, and what its preprocessing needs beside.
        logits: Of each member, as PyTorch computed them.
        answers: What the run says of the samples by these logits: labels, sets, intervals.
    """
    content: dict[str, np.ndarray] = {_ANSWERS: np.array([_said(one) for one in answers])}
    for place, (own, made) in enumerate(zip(arrays, logits, strict=True)):
        content |= {f"{place}.{name}": array for name, array in own.items()}
        content[f"{place}.{_LOGITS}"] = made.whole if isinstance(made, Ragged) else made
    return golden_file_bytes(content)


def verify_bundle(folder: Path, *, num_threads: int = 1) -> tuple[Bundle, Agreement]:
    """Check the files of a bundle, open it, and let it answer its golden samples.

    Args:
        folder: The bundle.
        num_threads: Of ONNX Runtime.

    Returns:
        The bundle, and how far its answers are from those that were exported.

    Raises:
        ExportError: If a file is not what was exported, or an answer is another.
    """
    return check_golden(open_bundle(folder, num_threads=num_threads))


def check_golden(bundle: Bundle) -> tuple[Bundle, Agreement]:
    """Let an opened bundle answer its golden samples; otherwise as ``verify_bundle``."""
    arrays, expected = _read_golden(bundle)
    try:
        found = bundle.logits(arrays)
        expected = [_alike(own, one) for own, one in zip(expected, found, strict=True)]
    except (DataError, IndexError, KeyError, ValueError) as error:
        raise _unlike(bundle, f"they cannot be computed ({error})") from error
    task = bundle.task
    each = [
        compare_logits(task.compared(one), task.compared(own))
        for one, own in zip(found, expected, strict=True)
    ]
    worst = max(each, key=lambda one: (not one.holds, one.largest / one.allowed))
    if not worst.holds:
        raise _unlike(
            bundle,
            f"logits differ by {worst.largest:.2g}, expected at most {worst.allowed:.2g}"
            f"{f', and {worst.num_wrong} classes are others' if worst.num_wrong else ''}",
        )
    _check_answers(bundle, expected)
    return bundle, worst


def _alike(flat: Rows, found: Rows) -> Rows:
    """Return logits that were kept, in the rows of those that were found."""
    if not isinstance(found, Ragged) or isinstance(flat, Ragged):
        return flat
    if len(flat) != len(found.flat):
        raise ValueError(f"{len(flat)} words are kept of {len(found.flat)}")
    return Ragged(flat, found.offsets)


def _check_answers(bundle: Bundle, logits: Sequence[Rows]) -> None:
    """Let a bundle decide by the logits that were exported: that needs no network.

    Raises:
        ExportError: If it says something else of them than the run has said.
    """
    with golden_file(bundle.path) as file:
        told = file[_ANSWERS].tolist() if _ANSWERS in file.files else None
    outputs = bundle.outputs(logits)
    found = [_said(one) for one in bundle.predictions([""] * len(outputs), outputs)]
    if told is not None and told != found:
        pairs = zip(told, found, strict=True)
        was, now = next((was, now) for was, now in pairs if was != now)
        raise _unlike(bundle, f"what was {was} is {now}")


def _said(answer: Prediction) -> str:
    """Return what is decided of a sample, without the digits that a machine may round."""
    label = "a number" if answer.value is not None else answer.label
    beside = {n: f"{v:.6g}" if isinstance(v, float) else v for n, v in answer.beside.items()}
    return json.dumps([label, beside], ensure_ascii=False)


def _unlike(bundle: Bundle, how: str) -> ExportError:
    return otherwise(bundle.path, bundle.record, "answer", how)


def _read_golden(bundle: Bundle) -> tuple[list[Arrays], list[Rows]]:
    """Return inputs and logits of each member."""
    arrays: list[Arrays] = []
    logits: list[Rows] = []
    with golden_file(bundle.path) as file:
        for place in range(len(bundle.members)):
            arrays.append({name: file[f"{place}.{name}"] for name in _names(file, place)})
            logits.append(file[f"{place}.{_LOGITS}"])
    return arrays, logits


def _names(file: np.lib.npyio.NpzFile, place: int) -> list[str]:
    """Return the names of the arrays of a member."""
    own = f"{place}."
    found = [name.removeprefix(own) for name in file.files if name.startswith(own)]
    return [name for name in found if name != _LOGITS]
