"""All tensors that resuming needs, under one name each, and back again.

Prefixes: ``model`` (parameters that learn, and buffers), ``optimizer``, ``average``, ``best``.
Frozen parameters are the start's and are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.training.average import WeightAverage, set_tensors
from headstart.training.checkpoint import optimizer_tensors, restore_optimizer


def gather(
    learned: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    best: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Return the tensors themselves, not copies, by prefix and name."""
    parts: dict[str, Mapping[str, Tensor]] = {
        "model": learned,
        "optimizer": optimizer_tensors(optimizer),
        "average": average.state if average else {},
        "best": best or {},
    }
    return {f"{part}.{n}": t for part, tensors in parts.items() for n, t in tensors.items()}


def give_back(
    tensors: Mapping[str, Tensor],
    learned: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> dict[str, Tensor] | None:
    """Set what learns, optimizer and average to what ``gather`` gave; return the best weights.

    Raises:
        KeyError, RuntimeError, and their like: If the tensors are another model's.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, name = key.split(".", 1)
        parts.setdefault(part, {})[name] = value
    set_tensors(learned, parts["model"])
    restore_optimizer(optimizer, parts.get("optimizer", {}))
    if average:
        set_tensors(average.state, parts["average"])
    if "best" not in parts:
        return None
    return {name: value.to(learned[name].device) for name, value in parts["best"].items()}
