"""Networks in whole numbers of eight bits: the ways that never let one sample change another.

ONNX Runtime's dynamic quantisation takes one scale for all activations of a batch, so that what a
sample gets depends on what stands beside it: it is not among the ways. Left out as well: eight bits
that are simulated while training.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference (2018), equation 1, for the scales.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from headstart.exporting.onnx_file import quiet_exporter

Batches = Sequence[Mapping[str, np.ndarray]]
_BLOCK = 32  # weights, and activations, that share a scale in a product
_INT8_SUMS = 4  # of MatMulNBits: activations in eight bits, a scale a block of a row


def _static(content: bytes, batches: Batches) -> bytes | None:
    """Return a network whose convolutions compute in whole numbers; None where it has none.

    Weights have a scale a channel, activations one that samples of train have shown once and for
    all (unsigned: most follow a ReLU).
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class _Calibration(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            found = next(self._left, None)
            return None if found is None else dict(found)

    if "Conv" not in _kinds(content):
        return None
    with quiet_exporter(), tempfile.TemporaryDirectory() as name:
        given, plain, made = (Path(name) / f"{word}.onnx" for word in ("given", "plain", "int8"))
        model = onnx.load_model_from_string(content)
        del model.graph.value_info[:]  # shapes of another batch than the quantiser's
        given.write_bytes(model.SerializeToString())
        quant_pre_process(given, plain, skip_symbolic_shape=True)  # BatchNorm into convolutions
        quantize_static(
            plain,
            made,
            _Calibration(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "Mul", "Clip", "Relu", "GlobalAveragePool"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return made.read_bytes()


def _by_rows(content: bytes, batches: Batches) -> bytes | None:
    """Return a network whose products by weights compute in whole numbers; None without any.

    Activations get their scales as they come, one a block of a row: no row sees another.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    del batches  # nothing is to be known before
    model = onnx.load_model_from_string(content)
    with quiet_exporter():
        quantizer = MatMulNBitsQuantizer(
            model, bits=8, block_size=_BLOCK, is_symmetric=True, accuracy_level=_INT8_SUMS
        )
        quantizer.process()
    made: bytes = quantizer.model.model.SerializeToString()
    return made if "MatMulNBits" in _kinds(made) else None


def _kinds(content: bytes) -> set[str]:
    import onnx

    return {node.op_type for node in onnx.load_model_from_string(content).graph.node}


# A network and batches of train to the network in whole numbers; None where it is not for it.
WAYS: dict[str, Callable[[bytes, Batches], bytes | None]] = {
    "calibrated convolutions": _static,
    "products by rows": _by_rows,
}
