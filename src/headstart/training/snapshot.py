"""All tensors that resuming needs, under one name each, and back again.

Prefixes: ``model`` (parameters that learn, and buffers), ``optimizer``, ``average``, ``best``.
Frozen parameters are the start's and are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from headstart.training.average import WeightAverage, learned_state
from headstart.training.checkpoint import optimizer_tensors, restore_optimizer


def gather(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    best: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Return the tensors themselves, not copies, by prefix and name."""
    parts: dict[str, Mapping[str, Tensor]] = {
        "model": learned_state(module),
        "optimizer": optimizer_tensors(optimizer),
        "average": average.state if average else {},
        "best": best or {},
    }
    return {f"{part}.{n}": t for part, tensors in parts.items() for n, t in tensors.items()}


@torch.no_grad()
def give_back(
    tensors: Mapping[str, Tensor],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> dict[str, Tensor] | None:
    """Set module, optimizer and average to what ``gather`` gave; return the best weights.

    Raises:
        KeyError, RuntimeError, and their like: If the tensors are another model's.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, name = key.split(".", 1)
        parts.setdefault(part, {})[name] = value
    for name, value in learned_state(module).items():
        value.copy_(parts["model"][name])
    restore_optimizer(optimizer, parts.get("optimizer", {}))
    if average:
        for name, value in average.state.items():
            value.copy_(parts["average"][name])
    if "best" not in parts:
        return None
    device = next(module.parameters()).device
    return {name: value.to(device) for name, value in parts["best"].items()}
