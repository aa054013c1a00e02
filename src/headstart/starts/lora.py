"""LoRA: low-rank adapters on the linear layers of an encoder's blocks, put in and merged by peft.

The base is frozen and only the adapters learn. Which layers get one follows from the network alone
(every linear layer inside a list of blocks that a forward pass really calls; some of timm's read a
layer's weight without calling it, where an adapter would do nothing), so the architecture records
only rank, alpha and dropout, and rebuilding puts the same adapters in.

Source: Hu et al. 2021 (arXiv 2106.09685); all linear layers as in Dettmers et al. 2023
(arXiv 2305.14314), where attention alone fell short of full fine-tuning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.extras import require_text_extra
from headstart.preprocessing import ImagePreprocess, Preprocess
from headstart.starts.architecture import Lora
from headstart.starts.duals.networks import PairNetwork
from headstart.starts.encoder import DescribedNetwork, Encoder
from headstart.starts.four_bits import quantise, require_four_bits, restore
from headstart.tensors import evaluating, find_blocks, seeded
from headstart.types import WRITING, Start

_ADAPTER = "default"  # peft's name for the one set of adapters
_MAX_RANK = 1024


def add_lora(
    encoder: Encoder,
    *,
    rank: int = 8,
    alpha: float = 16,
    dropout: float = 0.0,
    seed: int = 0,
    is_in_four_bits: bool = False,
) -> None:
    """Put adapters into an encoder in place, and freeze all else.

    An encoder with new adapters gives the same features: each adapter starts at zero.

    Args:
        encoder: A text transformer, a vision transformer, or a pair with one of them: of a pair the
            parameters that bring both into one space learn, too.
        rank: Columns of each adapter's first matrix.
        alpha: The adapter's output is multiplied by ``alpha / rank``.
        dropout: Dropped share of an adapter's input while training.
        seed: Seeds the adapters' random halves.
        is_in_four_bits: Whether the layers beside them are rounded to four bits (QLoRA); the
            features are those of the rounded layers then, and the architecture says nothing of it.

    Raises:
        StartError: If peft is missing, a value is not possible, there are adapters already, or the
            network has no linear layers in blocks.
        PackageMissing: If four bits are wanted without bitsandbytes.
    """
    address = encoder.start.address
    if not 1 <= rank <= _MAX_RANK or not alpha > 0 or not 0 <= dropout < 1:
        raise StartError(
            f"LoRA with rank {rank}, alpha {alpha} and dropout {dropout} is not possible for "
            f"'{address}'. Expected rank 1 to {_MAX_RANK}, alpha above 0 and dropout from 0 to "
            f"below 1. Common values are 8, 16 and 0."
        )
    if encoder.architecture.get("lora") is not None:
        raise StartError(
            f"'{address}' has adapters already. Expected an encoder without. Merge them first."
        )
    require_text_extra("LoRA", "peft")
    if is_in_four_bits:
        require_four_bits()
    from peft import LoraConfig, inject_adapter_in_model

    targets = find_targets(encoder)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets)
    with seeded(seed):
        inject_adapter_in_model(config, encoder.network, adapter_name=_ADAPTER)
    for module in _adapted(encoder).values():
        # new parts come in train mode, which an encoder in eval mode must not have
        module.train(module.get_base_layer().training)
    learning = set(adapter_names(encoder))
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(name in learning)
    encoder.architecture["lora"] = asdict(Lora(rank, float(alpha), float(dropout)))
    if is_in_four_bits:
        quantise(_adapted(encoder).values())
    encoder.find_layers()


def merge_lora(encoder: Encoder) -> None:
    """Add the adapters into the weights they adapt, in place, and take them out.

    The features stay the same, and the encoder is of the plain architecture again, all of it
    ready to learn. An encoder without adapters is left as it is.
    """
    if encoder.architecture.get("lora") is None:
        return
    restore(_adapted(encoder).values())
    for name, module in _adapted(encoder).items():
        module.merge(safe_merge=True)
        encoder.network.set_submodule(name, module.get_base_layer())
    if hasattr(encoder.network, "peft_config"):
        del encoder.network.peft_config
    encoder.requires_grad_(True)
    del encoder.architecture["lora"]
    encoder.find_layers()


def adapter_names(encoder: Encoder) -> list[str]:
    """Return the names in ``named_parameters()`` of what learns beside a frozen base.

    They are the adapters' parameters, none without; of a pair of networks also those that bring
    both into one space, which is what a head is elsewhere.
    """
    marks = (f".lora_A.{_ADAPTER}.", f".lora_B.{_ADAPTER}.")
    names = [name for name, _ in encoder.named_parameters() if any(mark in name for mark in marks)]
    network = encoder.network
    joint = network.joint_names() if names and isinstance(network, PairNetwork) else []
    return [*names, *(f"network.{name}" for name in joint)]


def check_adaptable(start: Start) -> None:
    """Refuse adapters for a start that is no transformer, before it is built.

    Raises:
        StartError: If so.
    """
    if start.family not in ("bert", "vit", "dual", *WRITING):
        raise StartError(
            f"LoRA cannot be used with '{start.address}', a {start.family}: it adapts the linear "
            f"layers of transformer blocks. Expected a text or vision transformer. Use strategy "
            f"'last-n' or 'full' instead."
        )


def find_targets(encoder: Encoder) -> list[str]:
    """Return the names in ``encoder.network`` of the linear layers that can have an adapter.

    Raises:
        StartError: If there is none, or the encoder is no transformer.
    """
    check_adaptable(encoder.start)
    network = encoder.network
    blocks = tuple(f"{name}." for name in find_blocks(network, whole_stages=True))
    called = _called_modules(encoder)
    found = [
        name
        for name, module in network.named_modules()
        if type(module) is nn.Linear and name.startswith(blocks) and name in called
    ]
    if not found:
        raise StartError(
            f"LoRA finds no linear layers in the blocks of '{encoder.start.address}'. Expected a "
            f"transformer that has some. Use strategy 'last-n' or 'full' instead."
        )
    return found


def _adapted(encoder: Encoder) -> dict[str, Any]:
    """Return the layers with an adapter, peft's ``LoraLayer``, by their names in the network."""
    from peft.tuners.lora import LoraLayer

    return {n: m for n, m in encoder.network.named_modules() if isinstance(m, LoraLayer)}


def _called_modules(encoder: Encoder) -> set[str]:
    """Return the names of the modules that a forward pass calls."""
    called: set[str] = set()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, module in encoder.network.named_modules()
    ]
    try:
        with evaluating(encoder):
            encoder(*_blank_inputs(encoder))
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _blank_inputs(encoder: Encoder) -> Iterator[Tensor]:
    """Yield one blank sample as the encoder's inputs."""
    first = next(encoder.parameters())
    whole, preprocess = encoder.preprocess, encoder.preprocess.main
    if isinstance(preprocess, ImagePreprocess):
        spec = preprocess.spec
        shape = (1, spec.channels, spec.size, spec.size)
        yield torch.zeros(shape, device=first.device, dtype=first.dtype)
        if isinstance(encoder.network, PairNetwork):
            yield from encoder.network.blank_inputs(first.device)
        yield from _blank_cells(whole, first.device)
        return
    assert isinstance(encoder.network, DescribedNetwork)
    yield from encoder.network.blank_inputs(first.device)
    yield from _blank_cells(whole, first.device)


def _blank_cells(preprocess: Preprocess, device: torch.device) -> Iterator[Tensor]:
    """Yield the numbers and codes of a row, where columns stand beside a text or an image."""
    table = preprocess.rows
    if table is None or table is preprocess:
        return
    for one in table.inputs:
        yield torch.zeros(1, *map(int, one.shape), dtype=getattr(torch, one.dtype), device=device)
