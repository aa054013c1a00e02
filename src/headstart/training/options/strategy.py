"""What a strategy's record says, in torch: which parameters learn, with which learning rates.

The records are in ``strategies``; here they become phases, flags of parameters, and an optimizer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from headstart.errors import OptionError
from headstart.training.options.muon import Muon, is_kernel
from headstart.training.options.recipe import Recipe
from headstart.training.options.strategies import find_strategy
from headstart.training.options.training_options import Batchnorm

# Two-dimensional parameters that are no weight matrices, by timm's names.
_EMBEDDINGS = ("pos_embed", "cls_token", "dist_token", "reg_token", "relative_position_bias")


@dataclass(frozen=True)
class Phase:
    """A stretch of the loop in which the same layers learn.

    Attributes:
        start: Progress in [0, 1) at which it begins.
        end: Progress at which the next one begins; 1 for the last.
        learns: For each encoder layer, stem first, whether it learns.
    """

    start: float
    end: float
    learns: tuple[bool, ...]


def phases_of(recipe: Recipe, num_layers: int) -> list[Phase]:
    """Return the phases of the loop; what has begun to learn goes on to the end.

    Args:
        recipe: Says the strategy.
        num_layers: Layers of the encoder.
    """
    stages = find_strategy(recipe.strategy).stages(num_layers, recipe.num_last_layers)
    ends = [*(start for start, _ in stages[1:]), 1.0]
    return [
        Phase(start, end, tuple(index >= num_layers - count for index in range(num_layers)))
        for (start, count), end in zip(stages, ends, strict=True)
    ]


def freeze(
    encoder: nn.Module,
    layers: Sequence[Sequence[str]],
    learns: Sequence[bool],
    *,
    only: Collection[str] | None = None,
) -> None:
    """Set ``requires_grad`` of every encoder parameter, layer by layer.

    Args:
        encoder: Where the parameters are.
        layers: Names of parameters, a group a layer, stem first.
        learns: For each layer whether it learns.
        only: Names of what learns of these layers where that is not all, as adapters do.
    """
    parameters = dict(encoder.named_parameters())
    for names, learn in zip(layers, learns, strict=True):
        for name in names:
            parameters[name].requires_grad_(learn and (only is None or name in only))


def set_train_mode(module: nn.Module, batchnorm: Batchnorm = "train") -> None:
    """Put a module in train mode, but every part whose parameters are all frozen in eval mode.

    A frozen BatchNorm must neither use nor update batch statistics, and a frozen block must not
    drop paths: what is frozen computes the same function at every step. Under ``frozen`` no
    BatchNorm uses batch statistics, even where its scale and shift learn.
    """
    if batchnorm == "frozen" and isinstance(module, nn.modules.batchnorm._BatchNorm):
        module.eval()
        return
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    module.training = True
    for child in module.children():
        set_train_mode(child, batchnorm)


def parameter_groups(
    encoder: nn.Module, head: nn.Module, layers: Sequence[Sequence[str]], recipe: Recipe
) -> list[dict[str, object]]:
    """Build optimizer groups: one rate a layer, no weight decay on biases, norms and embeddings.

    What has the same rate and decay, and begins to learn in the same phase, is one group: an
    optimizer takes its time for each group, and SGD's fused kernel wants a momentum of all in a
    group or of none.
    Layer l of L (stem 0) learns at ``learning_rate * bottom_multiplier ** ((L-1-l) / (L-1))``, so
    that the first layer's multiple does not depend on the depth.

    Returns:
        Groups with ``params``, ``weight_decay`` and ``peak`` (the peak learning rate).
    """
    parameters = dict(encoder.named_parameters())
    phases = phases_of(recipe, len(layers))
    last = max(1, len(layers) - 1)
    found: dict[tuple[int, float, float, bool], list[nn.Parameter]] = {}

    def add(first_phase: int, named: Iterable[tuple[str, nn.Parameter]], peak: float) -> None:
        for name, parameter in named:
            if parameter.requires_grad:
                decay = recipe.weight_decay if _decays(name, parameter) else 0.0
                is_orthogonal = recipe.optimizer == "muon" and is_kernel(parameter)
                key = (first_phase, peak, decay, is_orthogonal)
                found.setdefault(key, []).append(parameter)

    for index, names in enumerate(layers):
        depth = (len(layers) - 1 - index) / last  # from the head: 0 for the last layer
        peak = recipe.learning_rate * recipe.bottom_multiplier**depth
        first_phase = sum(not phase.learns[index] for phase in phases)
        add(first_phase, ((name, parameters[name]) for name in names), peak)
    add(0, head.named_parameters(), recipe.learning_rate * recipe.head_multiplier)
    return [
        {"params": params, "lr": peak, "peak": peak, "weight_decay": decay}
        | ({"is_orthogonal": True} if is_orthogonal else {})
        for (_, peak, decay, is_orthogonal), params in found.items()
    ]


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not any(word in name for word in _EMBEDDINGS)


def check_optimizer(encoder: nn.Module, layers: Sequence[Sequence[str]], recipe: Recipe) -> None:
    """Refuse before anything is computed what ``build_optimizer`` would refuse after the probe.

    Args:
        encoder: The network.
        layers: Names of its parameters by layer.
        recipe: Every option.

    Raises:
        OptionError: If the optimizer has nothing to do that is its own, or cannot do it.
    """
    if recipe.optimizer != "muon" or not find_strategy(recipe.strategy).loops:
        return
    parameters = dict(encoder.named_parameters())
    learns = phases_of(recipe, len(layers))[-1].learns
    names = [name for layer, does in zip(layers, learns, strict=True) if does for name in layer]
    _check_muon(recipe, has_kernels=any(is_kernel(parameters[name]) for name in names))


def _check_muon(recipe: Recipe, *, has_kernels: bool) -> None:
    if recipe.is_split:
        raise OptionError(
            "optimizer is 'muon' and the weights are split over processes; it needs each "
            "kernel as a whole. Choose adamw, or leave fsdp and tensor_parallel_size out."
        )
    if not has_kernels:
        raise OptionError(
            "optimizer is 'muon', and nothing that learns here is a convolution that reads 16 "
            "channels or more, which it is for. Choose adamw."
        )


def build_optimizer(groups: list[dict[str, object]], recipe: Recipe) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe; fused kernels, one pass over the parameters a step.

    Raises:
        OptionError: If the optimizer has nothing to do that is its own, or cannot do it.
    """
    rate = recipe.learning_rate
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=True
        )
    betas = (recipe.beta1, recipe.beta2)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate, betas=betas, fused=True)
    if recipe.optimizer == "muon":
        _check_muon(recipe, has_kernels=any(group.get("is_orthogonal") for group in groups))
        return Muon(groups, rate, betas, recipe.momentum)
    return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=True)


@contextmanager
def as_trained(module: nn.Module, trainable: set[str], batchnorm: Batchnorm) -> Iterator[None]:
    """Put a network in its training mode; flags, modes, buffers and random state come back.

    Args:
        module: The network.
        trainable: Names of the parameters that require gradients inside the block.
        batchnorm: As in ``Recipe``.
    """
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    modes = [(child, child.training) for child in module.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    try:
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in trainable)
        set_train_mode(module, batchnorm)
        with torch.random.fork_rng(devices=list(devices)), torch.enable_grad():
            yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for child, mode in modes:
            child.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
