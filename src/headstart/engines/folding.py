"""BatchNorm folded into the convolution before it: a pass less over memory, the same numbers.

In eval mode a BatchNorm multiplies and adds constants, which a convolution can do as well. The
folded weights, by PyTorch's own function, take the place of the network's own for the time of a
pass; a copy of the network would not do, as what watches its modules would not see those. Which
convolution stands before a norm is taken from the order in which a module holds its parts; where
that is not the order in which they run the numbers are others, and the check before use refuses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from headstart.engines.choice import Outputs, Pass, RefusedError


@dataclass(frozen=True)
class _Pair:
    """A convolution and the norm behind it, with the weights of both in one."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    weight: nn.Parameter
    bias: nn.Parameter


def folded(network: nn.Module) -> Pass:
    """Return a network's pass with its norms folded.

    Args:
        network: In eval mode, now and whenever the pass is called; its weights as they stand.

    Raises:
        RefusedError: Without a reason to tell, if there is nothing to fold.
    """
    pairs = list(_pairs(network))
    if not pairs:
        raise RefusedError("")

    def run(*inputs: Tensor) -> Outputs:
        with _in_place(pairs):
            made: Outputs = network(*inputs)
        return made

    return run


@torch.no_grad()
def _pairs(network: nn.Module) -> Iterator[_Pair]:
    for parent in network.modules():
        for before, after in itertools.pairwise(parent.children()):
            if not isinstance(before, nn.Conv2d) or not isinstance(after, nn.BatchNorm2d):
                continue
            if after.running_mean is None or after.running_var is None:
                continue
            weight, bias = fuse_conv_bn_weights(
                before.weight,
                before.bias,
                after.running_mean,
                after.running_var,
                after.eps,
                after.weight,
                after.bias,
            )
            # as the network's own lie in memory
            laid = torch.empty_like(before.weight).copy_(weight)
            yield _Pair(before, after, nn.Parameter(laid, False), nn.Parameter(bias, False))


@contextmanager
def _in_place(pairs: Sequence[_Pair]) -> Iterator[None]:
    """Let the folded weights stand in the place of the network's own inside the block."""
    former = [(dict(pair.convolution._parameters), dict(vars(pair.norm))) for pair in pairs]
    try:
        for pair in pairs:
            pair.convolution._parameters.update(weight=pair.weight, bias=pair.bias)
            # timm's norms hold their activation
            vars(pair.norm)["forward"] = _only(getattr(pair.norm, "act", None))
        yield
    finally:
        for pair, (parameters, attributes) in zip(pairs, former, strict=True):
            pair.convolution._parameters.update(parameters)
            vars(pair.norm).pop("forward")
            if "forward" in attributes:  # someone watches it
                vars(pair.norm)["forward"] = attributes["forward"]


def _only(activation: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    def forward(images: Tensor) -> Tensor:
        return images if activation is None else activation(images)

    return forward
