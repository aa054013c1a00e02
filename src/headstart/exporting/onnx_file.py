"""A network as one ONNX file whose batch varies, proven at other batches before it is kept.

PyTorch's newer exporter takes an example to be a promise where it may: of a batch of one sample it
makes a network for one. So the example has two, every input and output must name its batch, and the
file is run at one and at three before anybody writes it.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.bundles import compare_logits
from headstart.errors import ExportError, first_line, quoted
from headstart.exporting.onnx_network import ExportedNetwork
from headstart.exporting.varying import BATCH, varying_shapes
from headstart.extras import require_extra

OPSET = 20
OUTPUT = "logits"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Refuse an export where its packages are missing.

    Raises:
        PackageMissing: Naming them, and how they are installed.
    """
    require_extra("onnx", "The export to ONNX", *_PACKAGES)


def export_file(network: ExportedNetwork, example: Sequence[np.ndarray], address: str) -> bytes:
    """Return a network as ONNX.

    Args:
        network: In eval mode, on the CPU.
        example: Its inputs, of at least three samples: two are shown to the exporter.
        address: Names the start in a refusal.

    Raises:
        ExportError: If it cannot be exported, its batch is fixed, or it answers otherwise than
            PyTorch at another batch.
    """
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in example)
    shown = tuple(tensor[:2] for tensor in tensors)
    program = _export(network, shown, address)
    _check_shapes(program.graph, network, address)
    content: bytes = program.SerializeToString()
    _check_batches(content, network, tensors, address)
    return content


def _export(network: ExportedNetwork, example: tuple[Tensor, ...], address: str) -> Any:
    """Return the protocol buffer that the exporter makes."""
    names = [one.name for one in network.inputs]
    try:
        with quiet_exporter(), torch.no_grad():
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=names,
                output_names=[OUTPUT],
                dynamic_shapes=varying_shapes(network.inputs),
                verbose=False,
                external_data=False,
            )
    except Exception as error:
        # networks fail under an exporter, and the exporter on networks, in every way Python knows
        raise ExportError(
            f"'{address}' cannot be written as ONNX ({reason_of(error)}). "
            "Expected a network that torch.export takes. Serve the run folder with 'headstart "
            "predict', or choose another start."
        ) from error
    assert program is not None
    return program.model_proto


def _check_shapes(graph: Any, network: ExportedNetwork, address: str) -> None:
    """Refuse a graph that does not name its batch at every input and output."""
    wanted = [*(one.name for one in network.inputs), OUTPUT]
    values = [*graph.input, *graph.output]
    found = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in values
    }
    if list(found) != wanted or any(shape[:1] != [BATCH] for shape in found.values()):
        raise ExportError(
            f"'{address}' becomes an ONNX network with {found}, expected {quoted(wanted)}, each "
            f"with a first axis called '{BATCH}': the exporter took the batch for a constant. "
            "Nothing was kept. Please report this with the start's name."
        )


def _check_batches(
    content: bytes, network: ExportedNetwork, tensors: tuple[Tensor, ...], address: str
) -> None:
    """Run a file at batches that the exporter has not seen, and compare with PyTorch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        for size in (1, 3):
            given = tuple(tensor[:size] for tensor in tensors)
            with torch.no_grad():
                expected = network(*given).numpy()
            names = (one.name for one in network.inputs)
            arrays = {name: t.numpy() for name, t in zip(names, given, strict=True)}
            found = session.run([OUTPUT], arrays)[0]
            agreement = compare_logits(found, expected)
            if not agreement.holds:
                raise ExportError(
                    f"'{address}' as ONNX answers otherwise than PyTorch at a batch of {size}: "
                    f"logits differ by {agreement.largest:.2g}, expected at most "
                    f"{agreement.allowed:.2g}. Nothing was kept. Please report this with the "
                    "start's name."
                )
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common class but this one
        raise ExportError(
            f"'{address}' as ONNX cannot be run at a batch that the exporter has not seen "
            f"({first_line(error)}). Nothing was kept. Please report this with the start's name."
        ) from error


def reason_of(error: BaseException) -> str:
    """Return what the exporter failed on: its own errors only say in which step that was.

    Args:
        error: That it raised.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep exporters and quantisers from printing and warning: what fails is told in a line."""
    former = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
            warnings.simplefilter("ignore")
            with redirect_stdout(io.StringIO()), redirect_stderr(nowhere):
                yield
    finally:
        logging.disable(former)
