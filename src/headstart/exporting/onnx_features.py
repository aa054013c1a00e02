"""What the head of an ONNX network reads: found from its logits backwards, tried before it is told.

The network itself stays as it is, with one output for everybody who loads it; whoever wants the
features too asks for the value by its name (``bundles.session``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from headstart.bundles import Bundle
from headstart.bundles.records import VALUE_NAME
from headstart.bundles.session import MODEL, OUTPUT, OnnxSession
from headstart.errors import ExportError

_HEADS = ("Gemm", "MatMul")
_QUANTISED = ("QuantizeLinear", "DequantizeLinear")
_PASSED = ("Identity", "Cast", "Add", "Squeeze", *_QUANTISED)


def feature_value(content: bytes) -> str:
    """Return the name of the value that the last dense layer of a network reads.

    Args:
        content: Of its file.

    Returns:
        Empty where there is no such layer, or it reads what the network is given.
    """
    import onnx

    graph = onnx.load_model_from_string(content).graph
    makers = {output: node for node in graph.node for output in node.output}
    kept = {one.name for one in graph.initializer}

    def behind(name: str, kinds: tuple[str, ...]) -> str:
        """Return what some layers in a row have been given."""
        while name in makers and makers[name].op_type in kinds:
            given = makers[name].input
            name = next((one for one in given if one not in kept), given[0])
        return name

    logits = behind(OUTPUT, _PASSED)
    if logits not in makers or makers[logits].op_type not in _HEADS:
        return ""
    given = makers[logits].input
    found = behind(next((one for one in given if one not in kept), given[0]), _QUANTISED)
    return found if found in makers else ""


def watched(bundle: Bundle, arrays: Mapping[str, np.ndarray]) -> Bundle:
    """Return a bundle whose first member gives its features, where its network has them.

    Args:
        bundle: Opened.
        arrays: Of at least one sample, of its first member.
    """
    first = bundle.members[0]
    path = bundle.path / first.record.folder / MODEL
    name = feature_value(path.read_bytes())
    if not VALUE_NAME.fullmatch(name) or not name:
        return bundle
    num_outputs = bundle.task.num_outputs(bundle.schema)
    try:
        session = OnnxSession(path, first.preprocess.exported_inputs, num_outputs, features=name)
    except ExportError:
        return bundle  # it is no value that can be given
    features: list[np.ndarray] = []
    session.run(arrays, features)
    if features[0].ndim != 2 or features[0].dtype != np.float32:
        return bundle
    record = replace(first.record, features=name)
    members = (replace(first, record=record, session=session), *bundle.members[1:])
    said = replace(bundle.record, members=tuple(one.record for one in members))
    return replace(bundle, members=members, record=said)
