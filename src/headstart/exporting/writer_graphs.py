"""Networks that write as ONNX: a decoder's step, or how an encoder–decoder begins and goes on.

They are the modules that PyTorch writes with (``starts.texts.stepping``), each exported as one
graph whose batch, length and past are of any size; a past of nothing is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headstart.bundles.session import MODEL, OUTPUT
from headstart.bundles.writing import (
    IDS,
    MASK,
    OWN,
    PAST_MASK,
    READ,
    STEP,
    TOKEN,
    value_names,
)
from headstart.errors import ExportError
from headstart.exporting.onnx_file import OPSET, quiet_exporter, reason_of
from headstart.exporting.varying import BATCH, LENGTH
from headstart.model import Model
from headstart.starts.lora import merge_lora
from headstart.starts.texts.language_network import LanguageNetwork
from headstart.starts.texts.sequences import SequenceNetwork, begin_of
from headstart.starts.texts.stepping import DecoderStep, SequenceBegin, SequenceStep, nothing_read

PAST = "past"
# Of an example: all different, and none of 0 or 1, which an exporter would take for a constant.
_ROWS, _TOKENS, _BEFORE = 2, 5, 3
_MOST_BYTES = 2**31 - 2**20  # of a protocol buffer
Axes = dict[int, str]
_ROW: Axes = {0: BATCH, 1: LENGTH}
WriterNetwork = SequenceNetwork | LanguageNetwork


@dataclass(frozen=True)
class Graph:
    """A module that becomes a file.

    Attributes:
        file: Its name.
        module: Takes and gives tensors alone.
        example: Its inputs.
        inputs: What these are called.
        axes: Which axes of each are of any size, and how these are called.
        values: What is called that it gives beside logits.
        num_values: How many of its inputs are keys and values: its last ones.
    """

    file: str
    module: nn.Module
    example: Sequence[Tensor]
    inputs: Sequence[str]
    axes: Sequence[Axes]
    values: Sequence[str]
    num_values: int


def writer_network(model: Model) -> WriterNetwork:
    """Return a copy of what writes on the CPU, adapters merged, its attention in plain words.

    Args:
        model: Left as it is.

    Raises:
        ExportError: If it is no network that headstart built to write.
    """
    encoder = deepcopy(model.encoder).cpu().eval()
    merge_lora(encoder)
    network = encoder.network
    if not isinstance(network, WriterNetwork):
        raise ExportError(
            f"'{encoder.start.address}' writes by {type(network).__name__}; expected a decoder or "
            "an encoder–decoder that headstart built. Answer with 'headstart predict'."
        )
    network.requires_grad_(False)
    network.model.set_attn_implementation("eager")
    return network.eval()


def graphs_of(network: WriterNetwork) -> list[Graph]:
    """Return what is exported of a network that writes.

    Args:
        network: Of ``writer_network``.
    """
    if isinstance(network, LanguageNetwork):
        return [_decoder_graph(network)]
    return _pair_graphs(network)


def _ids(num: int, length: int) -> Tensor:
    return torch.arange(num * length).reshape(num, length) % 3 + 1


def _decoder_graph(network: LanguageNetwork) -> Graph:
    past = [
        torch.randn(_ROWS, one.shape[1], _BEFORE, one.shape[3])
        for one in nothing_read(network.model, _ROWS)
    ]
    ids = _ids(_ROWS, _TOKENS)
    names = value_names(OWN, len(past) // 2)
    return Graph(
        MODEL,
        DecoderStep(network.model),
        [ids, torch.ones_like(ids), torch.ones(_ROWS, _BEFORE, dtype=torch.int64), *past],
        [IDS, MASK, PAST_MASK, *names],
        [_ROW, _ROW, {0: BATCH, 1: PAST}, *[{0: BATCH, 2: PAST} for _ in past]],
        names,
        len(past),
    )


def _pair_graphs(network: SequenceNetwork) -> list[Graph]:
    begin = SequenceBegin(network.model, begin_of(network.model.config))
    ids = _ids(_ROWS, _TOKENS)
    mask = torch.ones_like(ids)
    with torch.no_grad():
        _, *values = begin(ids, mask)
    half = len(values) // 2
    own = [torch.randn(one.shape[0], one.shape[1], _BEFORE, one.shape[3]) for one in values[:half]]
    names = [value_names(kind, half // 2) for kind in (OWN, READ)]
    both = [*names[0], *names[1]]
    of_own, of_text = ({0: BATCH, 2: PAST}, {0: BATCH, 2: LENGTH})
    axes = [{0: BATCH}, _ROW, *[of_own] * half, *[of_text] * half]
    step = SequenceStep(network.model)
    example = [ids[:, :1], mask, *own, *values[half:]]
    return [
        Graph(MODEL, begin, [ids, mask], [IDS, MASK], [_ROW, _ROW], both, 0),
        Graph(STEP, step, example, [TOKEN, MASK, *both], axes, names[0], 2 * half),
    ]


def graph_bytes(graph: Graph, address: str) -> bytes:
    """Return a graph as an ONNX file.

    Args:
        graph: What is written.
        address: Names the start in a refusal.

    Raises:
        ExportError: If it cannot be exported, is too large for one file, or its batch is fixed.
    """
    size = sum(p.numel() * p.element_size() for p in graph.module.parameters())
    if size > _MOST_BYTES:
        raise ExportError(
            f"'{address}' has weights of {size / 1e9:.1f} GB; expected less than 2.1 GB, which is "
            "what an ONNX file holds. Hand it to transformers: headstart export RUN --to "
            "transformers."
        )
    named = len(graph.axes) - graph.num_values  # those of forward that have a name of their own
    rest = tuple(graph.axes[named:])
    axes = (*graph.axes[:named], *([rest] if rest else []))
    try:
        with quiet_exporter(), torch.no_grad():
            program = torch.onnx.export(
                graph.module,
                tuple(graph.example),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=[OUTPUT, *(f"new.{name}" for name in graph.values)],
                dynamic_shapes=axes,
                verbose=False,
                external_data=False,
            )
            assert program is not None
            proto = program.model_proto
    except Exception as error:
        # networks fail under an exporter, and the exporter on networks, in every way Python knows
        raise ExportError(
            f"'{address}' cannot be written as ONNX ({reason_of(error)}). Expected a network that "
            "torch.export takes. Hand it to transformers: headstart export RUN --to transformers."
        ) from error
    values = [*proto.graph.input, *proto.graph.output]
    found = {one.name: one.type.tensor_type.shape.dim for one in values}
    fixed = [name for name, dims in found.items() if dims[0].dim_param != BATCH]
    if [one.name for one in proto.graph.input] != list(graph.inputs) or fixed:
        raise ExportError(
            f"'{address}' becomes an ONNX network of {len(proto.graph.input)} inputs in which "
            f"{', '.join(fixed[:3]) or 'the order'} is fixed; expected {len(graph.inputs)}, each "
            f"with a first axis called '{BATCH}'. Nothing was kept. Please report this with the "
            "start's name."
        )
    content: bytes = proto.SerializeToString()
    return content
