"""A network as ONNX, whose batch and length vary: what both engines beside PyTorch read.

The exporter by tracing, which PyTorch keeps beside the newer one: half a second a network where the
newer takes five to eleven. A trace may freeze what a network computes of a batch or a length: given
another one, ONNX Runtime raises an error then, and OpenVINO 2026.4 read beyond its memory, so that
a later pass ended the process. So a network is written twice, of two examples that differ in both,
and has to come out the same before an engine sees it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import cast

import torch
from torch import Tensor, nn

from headstart.engines.choice import RefusedError
from headstart.errors import first_line
from headstart.tensors import evaluating

_OPSET = 18


def export_varying(network: nn.Module, example: Sequence[Tensor], num_outputs: int) -> bytes:
    """Return a network as ONNX, proven to hold nothing of the example's batch and length.

    Args:
        network: As ``export_onnx`` takes it, and what follows.
        example: At least two samples, the longest.
        num_outputs: How many tensors it gives.

    Raises:
        RefusedError: If it cannot be exported, or would be another one for another batch.
    """
    other = tuple(torch.cat([tensor, tensor[:1]]) for tensor in example)
    other = tuple(t[:, :-1] if _is_ragged(t) and t.shape[1] > 1 else t for t in other)
    written = export_onnx(network, example, num_outputs)
    if written != export_onnx(network, other, num_outputs):
        raise RefusedError("its trace holds the size of a batch or the length of its samples")
    return written


def _is_ragged(tensor: Tensor) -> bool:
    """Return whether an input may have another length in another batch."""
    return tensor.ndim == 2 and not tensor.is_floating_point()


def export_onnx(network: nn.Module, example: Sequence[Tensor], num_outputs: int) -> bytes:
    """Return a network as ONNX; inputs are called ``in0``, ``in1`` … and outputs ``out0`` ….

    Args:
        network: Traced in eval mode.
        example: At least two samples: of one, its size would be taken for a constant.
        num_outputs: How many tensors it gives.

    Raises:
        RefusedError: If it cannot be exported.
    """
    assert all(len(tensor) > 1 for tensor in example)
    names = [f"in{number}" for number in range(len(example))]
    made = [f"out{number}" for number in range(num_outputs)]
    varying = {name: {0: "batch"} for name in (*names, *made)}
    for name, tensor in zip(names, example, strict=True):
        if _is_ragged(tensor):
            varying[name][1] = "length"
    buffer = io.BytesIO()
    try:
        # the tracer warns of every size that a network looks at; the check sees which matter
        with warnings.catch_warnings(), evaluating(network), _traceable():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                tuple(example),
                cast("str", buffer),  # a file will do, which its annotation leaves out
                dynamo=False,
                opset_version=_OPSET,
                input_names=names,
                output_names=made,
                dynamic_axes=varying,
            )
    except Exception as error:
        # networks fail under a tracer, and the tracer on networks, in every way Python knows
        raise RefusedError(
            f"it cannot be written as ONNX ({type(error).__name__}: {first_line(error)})"
        ) from error
    return buffer.getvalue()


@contextmanager
def _traceable() -> Iterator[None]:
    """Let attention take the way that can be traced, and keep what fails from being printed."""
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with redirect_stdout(io.StringIO()):  # a whole graph: the reason is told in one line
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)
