"""ONNX Runtime (extra ``onnx``): float32, on as many threads as PyTorch has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headstart.engines.choice import Choice, Outputs, Pass, RefusedError, listed
from headstart.engines.onnx_export import export_varying
from headstart.errors import first_line


def onnxruntime_pass(network: nn.Module, example: Sequence[Tensor], choice: Choice) -> Pass:
    """Return a pass of ONNX Runtime.

    Args:
        network: Compiled as it stands; what it learns later the pass does not know.
        example: At least two samples.
        choice: Float32.

    Raises:
        RefusedError: If it does not take the network.
    """
    import onnxruntime

    assert choice.precision == "fp32"
    with torch.no_grad():
        told = network(*example)
    is_one, num_outputs = isinstance(told, Tensor), len(listed(told))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # threads that wait for work would take the cores from the decoding between two passes
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    onnx = export_varying(network, example, num_outputs)
    try:
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class but this one
        raise RefusedError(f"it does not take the network ({first_line(error)})") from error
    wanted = [(one.name, int(one.name.removeprefix("in"))) for one in session.get_inputs()]

    def run(*inputs: Tensor) -> Outputs:
        given = {name: inputs[place].contiguous().numpy() for name, place in wanted}
        made = tuple(torch.from_numpy(array) for array in session.run(None, given))
        return made[0] if is_one else made

    return run
