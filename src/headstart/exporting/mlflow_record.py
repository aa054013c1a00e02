"""What MLflow reads of a bundle: ``MLmodel``, so that its ``onnx`` and ``pyfunc`` flavors load it.

MLflow sees the network alone: prepared inputs to logits. It is written by hand, since nobody needs
MLflow to write a file of 30 lines; JSON is YAML too. Bundles of several models have none.

Source: https://mlflow.org/docs/latest/ml/model (MLmodel, onnx flavor).
"""

from __future__ import annotations

import json

from headstart.bundles import Bundle
from headstart.bundles.session import MODEL, OUTPUT
from headstart.preprocessing import NamedInput

MLMODEL, REQUIREMENTS = "MLmodel", "requirements.txt"


def mlflow_files(bundle: Bundle) -> dict[str, str]:
    """Return the files that MLflow needs, by name; none of a bundle of several models.

    Args:
        bundle: Opened.
    """
    if len(bundle.members) > 1:
        return {}
    versions = bundle.record.versions
    width = bundle.task.num_outputs(bundle.schema)
    given = bundle.members[0].session.inputs
    inputs = [_tensor(one) for one in given]
    is_of_tokens = bundle.is_pieced and any(isinstance(one.shape[0], str) for one in given)
    of_tokens = [-1] if is_of_tokens else []
    output = {
        "name": OUTPUT,
        "type": "tensor",
        "tensor-spec": {"dtype": "float32", "shape": [-1, *of_tokens, width]},
    }
    record = {
        "flavors": {
            "onnx": {
                "code": None,
                "data": MODEL,
                "onnx_version": versions["onnx"],
                "providers": ["CPUExecutionProvider"],
            },
            "python_function": {
                "data": MODEL,
                "loader_module": "mlflow.onnx",
                "python_version": versions["python"],
            },
        },
        "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps([output])},
    }
    wanted = "".join(f"{name}=={versions[name]}\n" for name in ("onnx", "onnxruntime", "numpy"))
    return {MLMODEL: json.dumps(record, indent=2) + "\n", REQUIREMENTS: wanted}


def _tensor(one: NamedInput) -> dict[str, object]:
    shape = [-1, *(-1 if isinstance(number, str) else number for number in one.shape)]
    return {"name": one.name, "type": "tensor", "tensor-spec": {"dtype": one.dtype, "shape": shape}}
