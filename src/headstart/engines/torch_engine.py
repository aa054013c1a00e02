"""PyTorch itself, in float32 or, where the processor has units for it, in bf16; norms folded.

Images lie in memory pixel by pixel in either: docs/experiments.md says what the other layout gave.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headstart.cores import has_bf16_units
from headstart.engines.choice import Choice, Outputs, Pass
from headstart.engines.folding import folded


def torch_pass(network: nn.Module, example: Sequence[Tensor], choice: Choice) -> Pass:
    """Return a pass of PyTorch.

    Args:
        network: In eval mode whenever the pass is called.
        example: Not looked at.
        choice: The number format, and whether norms are folded.

    Raises:
        RefusedError: If norms are to be folded and there are none.
    """
    computing = folded(network) if choice.is_folded else network

    def run(*inputs: Tensor) -> Outputs:
        with torch.autocast("cpu", torch.bfloat16, enabled=choice.precision == "bf16"):
            made: Outputs = computing(*inputs)
        if isinstance(made, Tensor):
            return _as_float(made)
        return tuple(map(_as_float, made))

    return run


def _as_float(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def torch_precisions() -> tuple[str, ...]:
    """Return the number formats that a pass on this processor is worth trying in."""
    return ("bf16", "fp32") if has_bf16_units() else ("fp32",)
