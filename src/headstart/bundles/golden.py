"""Golden samples: a few that were exported with what they have to give, and the check of it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.bundles.answering import Arrays, Bundle, open_bundle
from headstart.bundles.equality import Agreement, compare_logits
from headstart.errors import DataError, ExportError
from headstart.types import Prediction

GOLDEN = "golden.npz"
_ANSWERS = "answers"
NUM_GOLDEN = 5


def golden_bytes(
    arrays: Sequence[Arrays], logits: Sequence[np.ndarray], answers: Sequence[Prediction]
) -> bytes:
    """Return the file of golden samples.

    Args:
        arrays: Of each member, by the names of its inputs.
        logits: Of each member, as PyTorch computed them.
        answers: What the run says of the samples by these logits: labels, sets, intervals.
    """
    content: dict[str, np.ndarray] = {_ANSWERS: np.array([_said(one) for one in answers])}
    for place, (own, made) in enumerate(zip(arrays, logits, strict=True)):
        content |= {f"{place}.{name}": array for name, array in own.items()}
        content[f"{place}.logits"] = made
    file = io.BytesIO()
    np.savez(file, **content)  # type: ignore[arg-type]
    return file.getvalue()


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
        found = bundle.run(arrays)
    except (DataError, KeyError, ValueError) as error:
        raise _unlike(bundle, f"they cannot be computed ({error})") from error
    each = [compare_logits(one, own) for one, own in zip(found, expected, strict=True)]
    worst = max(each, key=lambda one: (not one.holds, one.largest / one.allowed))
    if not worst.holds:
        raise _unlike(
            bundle,
            f"logits differ by {worst.largest:.2g}, expected at most {worst.allowed:.2g}"
            f"{f', and {worst.num_wrong} classes are others' if worst.num_wrong else ''}",
        )
    _check_answers(bundle, expected)
    return bundle, worst


def _check_answers(bundle: Bundle, logits: Sequence[np.ndarray]) -> None:
    """Let a bundle decide by the logits that were exported: that needs no network.

    Raises:
        ExportError: If it says something else of them than the run has said.
    """
    with np.load(bundle.path / GOLDEN, allow_pickle=False) as file:
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
    return ExportError(
        f"{bundle.path} does not answer its golden samples as it did when it was exported: {how}. "
        "Expected the same answers. Use the release of onnxruntime that "
        f"{bundle.record.versions.get('onnxruntime', 'it was exported with')} names, or export the "
        "run again."
    )


def _read_golden(bundle: Bundle) -> tuple[list[Arrays], list[np.ndarray]]:
    """Return inputs and logits of each member."""
    arrays: list[Arrays] = []
    logits: list[np.ndarray] = []
    try:
        with np.load(bundle.path / GOLDEN, allow_pickle=False) as file:
            for place, one in enumerate(bundle.members):
                names = [expected.name for expected in one.session.inputs]
                arrays.append({name: file[f"{place}.{name}"] for name in names})
                logits.append(file[f"{place}.logits"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ExportError(
            f"{bundle.path / GOLDEN} is damaged ({type(error).__name__}: {error}); expected the "
            "golden samples that headstart wrote. Export the run again."
        ) from error
    return arrays, logits
