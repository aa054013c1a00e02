"""Tensor parallelism: several processes compute each block of a transformer together.

The first layers of attention and of the feed-forward part are split by their outputs (each process
has some of the heads, some of the hidden units), the last by their inputs, so that one sum after
each part is all that travels (Shoeybi et al. 2019, arXiv 1909.08053, §3; ``parallelize_module``).
What lies outside the blocks, and the norms, every process computes whole, on the same samples.

The plan follows from the names that transformers and timm give their layers. It is made only where
every linear layer of every block is known and nothing else in a part that is split has parameters;
whoever splits a network compares its outputs with the whole one's besides. Query, key and value in
one layer (``qkv``) are split across the borders of the three: there the outputs are gathered, and
each process takes its heads of each, which costs a gathering more a block, and keeps every weight a
plain piece of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from headstart.errors import StartError

# By the end of a layer's name in its block. ``dense`` is what BERT and its kin call three of them.
_BY_OUTPUTS = (
    "query", "key", "value", "q_lin", "k_lin", "v_lin", "q_proj", "k_proj", "v_proj",
    "intermediate.dense", "fc1", "lin1",
)  # fmt: skip
_FUSED = ("qkv", "Wqkv")
_BY_INPUTS = ("output.dense", "proj", "out_lin", "out_proj", "attn.Wo", "fc2", "lin2")
_ALL = (*_BY_OUTPUTS, *_FUSED, *_BY_INPUTS)
_HEADS = ("num_heads", "num_attention_heads", "n_heads")
_WIDTHS = ("attn_dim", "all_head_size")
_KNOWN = "BERT, RoBERTa, ELECTRA, DistilBERT and their kin, and plain vision transformers"


class FusedColumns(ColwiseParallel):
    """Split a layer by its outputs that gives query, key and value side by side."""

    @staticmethod
    def _prepare_output_fn(
        output_layouts: Any, use_local_output: bool, mod: nn.Module, outputs: Any, mesh: DeviceMesh
    ) -> Tensor:
        """Return this process's heads of each of the three, side by side."""
        del output_layouts, use_local_output, mod
        assert isinstance(outputs, DTensor)
        gathered = outputs.redistribute(placements=[Replicate()])
        # each process uses some of the columns: the gradient is the sum over all
        whole = gathered.to_local(grad_placements=[Partial()])
        parts = whole.reshape(*whole.shape[:-1], 3, mesh.size(), -1)
        own: Tensor = parts[..., mesh.get_local_rank(), :].flatten(-2)
        return own


def parallelize(blocks: list[nn.Module], mesh: DeviceMesh) -> None:
    """Split the blocks of a transformer over processes, in place.

    Args:
        blocks: In order.
        mesh: The processes, all of which call this.

    Raises:
        StartError: If the blocks are none whose layers are known, or cannot be divided evenly.
    """
    plans = [_plan(block, mesh.size()) for block in blocks]
    if not any(plans):
        raise StartError(
            f"The network has no blocks of a transformer; expected those of {_KNOWN}, whose "
            f"layers tensor parallelism can split. Give --fsdp instead of --tensor-parallel-size."
        )
    for block, plan in zip(blocks, plans, strict=True):
        for attention in _attentions(block):
            for name in (*_HEADS, *_WIDTHS):
                if isinstance(value := getattr(attention, name, None), int):
                    setattr(attention, name, value // mesh.size())
        # every process has the whole weights still: nothing needs to travel
        parallelize_module(block, mesh, plan, src_data_rank=None)


def _plan(block: nn.Module, num: int) -> dict[str, ParallelStyle]:
    """Return how each linear layer of a block is split.

    Raises:
        StartError: If one is unknown, or cannot be divided evenly.
    """
    plan: dict[str, ParallelStyle] = {}
    for name, layer in block.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        if _is(name, _BY_OUTPUTS):
            plan[name] = ColwiseParallel()
        elif _is(name, _FUSED):
            plan[name] = FusedColumns()
        elif _is(name, _BY_INPUTS):
            plan[name] = RowwiseParallel()
        else:
            raise _unknown(block, f"its layer '{name}' is unknown")
        width = layer.in_features if _is(name, _BY_INPUTS) else layer.out_features
        if width % (num * (3 if _is(name, _FUSED) else 1)):
            raise _uneven(f"layer '{name}' has a width of {width}", num)
    for name, owner in block.named_modules():
        first = [child for child, _ in owner.named_children() if _is_first(f"{name}.{child}")]
        known = {f"{child}." for child, _ in owner.named_children() if _is(f"{name}.{child}", _ALL)}
        for parameter, _ in owner.named_parameters() if first else ():
            if not any(parameter.startswith(child) for child in known):
                raise _unknown(block, f"'{name}.{parameter}' belongs to some heads or units only")
    for attention in _attentions(block):
        for name in _HEADS:
            if (heads := getattr(attention, name, num)) % num:
                raise _uneven(f"attention has {heads} heads", num)
    return plan


def _is(name: str, ends: tuple[str, ...]) -> bool:
    return any(f".{name}".endswith(f".{end}") for end in ends)


def _is_first(name: str) -> bool:
    return _is(name, (*_BY_OUTPUTS, *_FUSED))


def _attentions(block: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules of a block that hold query, key and value."""
    wanted = {*_FUSED, *_BY_OUTPUTS} - {"intermediate.dense", "fc1", "lin1"}
    for module in block.modules():
        if any(name in wanted for name, _ in module.named_children()):
            yield module


def _unknown(block: nn.Module, why: str) -> StartError:
    return StartError(
        f"A {type(block).__name__} has no plan for tensor parallelism ({why}); expected a block "
        f"of {_KNOWN}. Give --fsdp instead of --tensor-parallel-size."
    )


def _uneven(what: str, num: int) -> StartError:
    return StartError(
        f"A block cannot be split over {num} processes: {what}; expected a multiple. Choose "
        f"another --tensor-parallel-size."
    )
