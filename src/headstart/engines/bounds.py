"""What the inputs of a network may hold, so that an engine is never asked beyond it.

PyTorch raises an error where an id is outside a table; OpenVINO answers with zeros and ONNX Runtime
in its own words. So a pass that is beyond what is known here goes to PyTorch, which answers or
raises as it always has. A network that looks up rows by numbers which it has made of its inputs is
refused: nothing is known of those before they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from headstart.engines.choice import RefusedError


@dataclass(frozen=True)
class InputBounds:
    """What an engine may be given.

    Attributes:
        rows: For each input the rows of the smallest table that it looks up in; None for none.
        length: Most elements of dimension 1 of integer inputs: longer ones PyTorch has not seen.
    """

    rows: tuple[int | None, ...]
    length: int | None

    def hold(self, inputs: Sequence[Tensor]) -> bool:
        """Return whether inputs are within the bounds."""
        for tensor, rows in zip(inputs, self.rows, strict=True):
            if tensor.is_floating_point() or tensor.ndim < 2:
                continue
            if self.length is not None and tensor.shape[1] > self.length:
                return False
            if rows is not None and tensor.numel():
                low, high = torch.aminmax(tensor)
                if int(low) < 0 or int(high) >= rows:
                    return False
        return True


def learn_bounds(network: nn.Module, inputs: Sequence[Tensor]) -> InputBounds:
    """Return what the inputs of a network may hold, by two passes of PyTorch.

    Args:
        network: In eval mode.
        inputs: The longest samples, at least two that differ.

    Raises:
        RefusedError: If rows are looked up by numbers that are made of the inputs.
    """
    if all(tensor.is_floating_point() for tensor in inputs):
        return InputBounds(tuple(None for _ in inputs), None)
    flipped = tuple(tensor.flip(0).clone() for tensor in inputs)
    rows: list[int | None] = [None] * len(inputs)
    made: list[list[Tensor]] = []
    for given in (tuple(inputs), flipped):
        with torch.no_grad(), _Lookups() as lookups:
            network(*given)
        places = {tensor.untyped_storage().data_ptr(): i for i, tensor in enumerate(given)}
        derived = []
        for ids, num_rows in lookups.seen:
            place = places.get(ids.untyped_storage().data_ptr())
            if place is None:
                derived.append(ids)
            else:
                rows[place] = min(num_rows, rows[place] or num_rows)
        made.append(derived)
    one, other = made
    if len(one) != len(other) or not all(map(torch.equal, one, other)):
        raise RefusedError("it looks up rows by numbers that it makes of its inputs")
    length = max(t.shape[1] for t in inputs if not t.is_floating_point() and t.ndim > 1)
    return InputBounds(tuple(rows), length)


class _Lookups(TorchFunctionMode):
    """Note every table that rows are looked up in, and by which ids."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.embedding:
            ids, table = (*args, *(kwargs or {}).values())[:2]
            self.seen.append((ids, len(table)))
        return func(*args, **(kwargs or {}))
