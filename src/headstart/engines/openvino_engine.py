"""OpenVINO (extra ``openvino``): float32 or bf16, on as many threads as PyTorch has.

Its Python package sends a message to a web analytics service as it is imported, by the package
``openvino_telemetry`` that comes with it. headstart sends nothing anywhere, so that package is kept
out of the import, for which OpenVINO is prepared. Float32 it would round to bf16 of its own accord
where the processor has units for it, so the number format is always named.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from headstart.engines.choice import Choice, Outputs, Pass, RefusedError, listed
from headstart.engines.onnx_export import export_varying
from headstart.errors import first_line

_TELEMETRY = "openvino_telemetry"
_FORMATS = {"fp32": "f32", "bf16": "bf16"}


def import_openvino() -> Any:
    """Return the package ``openvino``, imported without what would send a message."""
    if "openvino" not in sys.modules:
        modules = cast("dict[str, ModuleType | None]", sys.modules)
        former, was_there = modules.get(_TELEMETRY), _TELEMETRY in modules
        modules[_TELEMETRY] = None  # an import of it fails now, and OpenVINO goes on without
        try:
            import openvino
        finally:
            del modules[_TELEMETRY]
            if was_there:
                modules[_TELEMETRY] = former
        return openvino
    return sys.modules["openvino"]


def openvino_pass(network: nn.Module, example: Sequence[Tensor], choice: Choice) -> Pass:
    """Return a pass of OpenVINO.

    Args:
        network: Compiled as it stands; what it learns later the pass does not know.
        example: At least two samples.
        choice: The number format.

    Raises:
        RefusedError: If it does not take the network.
    """
    with torch.no_grad():
        told = network(*example)
    is_one, num_outputs = isinstance(told, Tensor), len(listed(told))
    onnx = export_varying(network, example, num_outputs)
    try:
        core = _core()
        compiled = core.compile_model(
            core.read_model(onnx),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _FORMATS[choice.precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False,  # others may have work for these cores
            },
        )
        request = compiled.create_infer_request()
    except Exception as error:  # its errors have no common class but this one
        raise RefusedError(f"it does not take the network ({first_line(error)})") from error
    places = [int(one.get_any_name().removeprefix("in")) for one in compiled.inputs]

    def run(*inputs: Tensor) -> Outputs:
        # the request is the compiled network's, which has to outlive it; inputs are copied, since a
        # request keeps what it was given beyond the call
        assert compiled is not None
        found = request.infer([inputs[place].contiguous().numpy() for place in places])
        made = tuple(torch.from_numpy(found[number]) for number in range(num_outputs))
        return made[0] if is_one else made

    return run


def openvino_precisions() -> tuple[str, ...]:
    """Return the number formats that this processor has units for, as OpenVINO sees it."""
    if find_spec("openvino") is None:
        return ()
    can = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "fp32") if "BF16" in can else ("fp32",)


@cache
def _core() -> Any:
    return import_openvino().Core()
