"""An exponential moving average of the weights, bias-corrected.

With decay d, the average after t steps is ``sum d^(t-i) (1-d) w_i / (1 - d^t)``; the correction is
applied as a varying step size, so that the average equals the weights after the first step. The
decay may change on the way: a run that a deadline shortens must forget faster.
Floating buffers (BatchNorm's statistics) are averaged alike; integer buffers are copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keep the average of what a module learns.

    Args:
        learned: What is averaged, by name, as ``learned_state`` gives it.
        half_life_steps: Steps after which a weight's share has halved.
    """

    def __init__(self, learned: Mapping[str, Tensor], half_life_steps: float) -> None:
        self.half_life_steps = half_life_steps
        self.total_weight = 0.0  # sum of the shares before scaling: 1 + d + d² … for a constant d
        self._live = learned
        self.state = {name: value.detach().clone() for name, value in self._live.items()}
        # as lists: looking every name up again costs as much as averaging a small network
        floats = [name for name, value in self._live.items() if value.is_floating_point()]
        self._weights, self._averages = ([s[n] for n in floats] for s in (self._live, self.state))
        counters = [name for name, value in self._live.items() if not value.is_floating_point()]
        self._counts, self._counted = ([s[n] for n in counters] for s in (self._live, self.state))

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into the average."""
        decay = 0.5 ** (1.0 / max(1.0, self.half_life_steps))
        self.total_weight = decay * self.total_weight + 1.0
        share = 1.0 / self.total_weight
        torch._foreach_lerp_(self._averages, self._weights, share)
        if self._counts:
            torch._foreach_copy_(self._counted, self._counts)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Swap the averaged weights into the module inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self._live.items():
            kept = value.detach().clone()
            value.copy_(self.state[name])
            self.state[name].copy_(kept)


def learned_state(module: nn.Module) -> dict[str, Tensor]:
    """Return what training changes, by name: parameters that learn now, and buffers.

    Of a parameter that is split over several processes it is the piece that lies in this one.
    """
    learned = {n: own_piece(p) for n, p in module.named_parameters() if p.requires_grad}
    return {**learned, **dict(module.named_buffers())}


def own_piece(tensor: Tensor) -> Tensor:
    """Return what lies in this process of a tensor that may be split over several."""
    to_local = getattr(tensor, "to_local", None)
    if to_local is None:
        return tensor
    piece: Tensor = to_local()
    return piece.detach()


@torch.no_grad()
def set_tensors(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy values into tensors of the same names.

    Raises:
        KeyError: If a value is missing.
    """
    for name, tensor in tensors.items():
        tensor.copy_(values[name])
