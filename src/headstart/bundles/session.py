"""One network in ONNX Runtime: opened from bytes, asked for logits, given nothing that it fears.

Bytes, not a path, and files that these may name (external data) in no folder that there is: so what
was checked is what is run. Of bytes alone, ONNX Runtime reads such files from wherever it was
started. Row numbers and lengths are bounded before every run, because engines answer what lies
outside with anything from zeros to a crash.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import DataError, ExportError, first_line
from headstart.extras import require_extra
from headstart.preprocessing import NamedInput

MODEL, OUTPUT = "model.onnx", "logits"
_FOLDER_OF_OTHERS = "session.model_external_initializers_file_folder_path"


class OnnxSession:
    """A network that gives logits.

    Args:
        path: ``model.onnx``.
        inputs: What it takes, by its preprocessing; those of no numbers at all it does not know.
        num_outputs: Columns of its logits; None for any number.
        num_threads: Of ONNX Runtime.
        features: The value in it that the head reads, to be given too; empty where none is.

    Raises:
        PackageMissing: If ONNX Runtime is not installed.
        ExportError: If it does not take the file as such a network.
    """

    def __init__(
        self,
        path: Path,
        inputs: Sequence[NamedInput],
        num_outputs: int | None,
        num_threads: int = 1,
        features: str = "",
    ) -> None:
        self.inputs = [one for one in inputs if 0 not in one.shape]
        self.features = features
        self._session = open_session(path, num_threads, features)
        wanted = [one.name for one in self.inputs]
        known = [one.name for one in self._session.get_inputs()]
        given = [(one.name, list(one.shape)) for one in self._session.get_outputs()]
        given = [one for one in given if one[0] != features]
        shapes = [list(one.shape) for one in self._session.get_inputs()]
        is_batched = all(isinstance(shape[0], str) for shape in [*shapes, given[0][1]])
        self.num_outputs = given[0][1][-1] if num_outputs is None else num_outputs
        is_ours = given == [(OUTPUT, [*given[0][1][:-1], self.num_outputs])]
        is_flat = all(isinstance(axis, str) for axis in given[0][1][:-1])  # of tokens: a length
        if wanted != known or not (is_ours and is_flat and is_batched):
            raise ExportError(
                f"{path} takes {known} and gives {given}; expected {wanted} and '{OUTPUT}' of "
                f"{self.num_outputs} columns, with a batch of any size. Export the run again."
            )

    def run(
        self, arrays: Mapping[str, np.ndarray], features: list[np.ndarray] | None = None
    ) -> np.ndarray:
        """Return logits, float32, shape (B, K), or (B, T, K) of each token.

        Args:
            arrays: By name, as ``self.inputs`` says, B rows each.
            features: Is given the features, float32, shape (B, D), where the network has them.

        Raises:
            DataError: If a row number or a length is beyond what the network knows.
        """
        given = {one.name: arrays[one.name] for one in self.inputs}
        for one in self.inputs:
            check_bounds(one, given[one.name])
        wanted = [OUTPUT] if features is None or not self.features else [OUTPUT, self.features]
        logits: np.ndarray
        logits, *own = self._session.run(wanted, given)
        if features is not None:
            features += own
        return logits


def check_bounds(expected: NamedInput, array: np.ndarray) -> None:
    """Refuse another shape, whole numbers that name no row of a table, and lengths beyond limits.

    Args:
        expected: What the network takes.
        array: B rows of it.

    Raises:
        DataError: Saying which.
    """
    is_ragged = isinstance(expected.shape[0], str)
    if array.ndim != 1 + len(expected.shape) or not (
        is_ragged or array.shape[1:] == expected.shape
    ):
        raise DataError(
            f"'{expected.name}' has shape {list(array.shape)}; expected "
            f"{[-1, *(-1 if isinstance(n, str) else n for n in expected.shape)]}, where -1 is any "
            "number. Give it that shape."
        )
    if expected.longest is not None and array.shape[1] > expected.longest:
        raise DataError(
            f"'{expected.name}' has {array.shape[1]:,} places; expected at most "
            f"{expected.longest:,}. Cut it."
        )
    if expected.below and array.size:
        low, high = int(array.min()), array.max(axis=0) if len(expected.below) > 1 else array.max()
        if low < 0 or (np.asarray(high) >= np.asarray(expected.below)).any():
            raise DataError(
                f"'{expected.name}' holds {low} to {int(array.max())}; expected whole numbers from "
                f"0 and below {', '.join(map(str, expected.below[:8]))}. Prepare it as the model's "
                "preprocessing does."
            )


def open_session(path: Path, num_threads: int, features: str = "") -> Any:
    """Open a network in ONNX Runtime.

    Args:
        path: Of the file.
        num_threads: Of ONNX Runtime.
        features: See ``OnnxSession``.

    Raises:
        PackageMissing: If ONNX Runtime is not installed.
        ExportError: If it does not take the file.
    """
    require_extra("serve", str(path), "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # threads that wait for work would take the cores from decoding and answering
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # a device holds no files: nothing that a network names beside itself is found
    options.add_session_config_entry(_FOLDER_OF_OTHERS, os.devnull)
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as read:
            content = b"".join((read, _given_too(features)))  # copied once: networks are large
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise ExportError(
            f"{path} cannot be read ({error.strerror or error}). Expected the network of a bundle. "
            "Export the run again."
        ) from error
    except Exception as error:  # its errors have no common class but this one
        raise ExportError(
            f"{path} is not taken by ONNX Runtime ({first_line(error)}). Expected what headstart "
            "exported. Export the run again."
        ) from error


def _given_too(value: str) -> bytes:
    """Return what, behind the bytes of a network, makes one of its values an output; b"" of none.

    Messages of protocol buffers that follow one another are read as one, and what repeats in them
    is joined: this one is a model with a graph (field 7) with an output (12) of a name (1).
    """
    content = value.encode()
    for field in (1, 12, 7) if value else ():
        content = bytes([field << 3 | 2, len(content)]) + content  # both below 128: a byte each
    return content
