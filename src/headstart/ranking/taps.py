"""What every block of a network knows: its output, pooled, in the same pass as the features.

The last block is not always the best to read: of texts the middle ones often tell more, and of
networks pretrained to reconstruct the last one tells little.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from headstart.model import Model, run_batches
from headstart.tasks import array_of
from headstart.training.contract import never, stoppable
from headstart.types import Inputs

FEATURES = "features"  # what a head of this model would read


def tapped_features(
    model: Model,
    inputs: Inputs,
    *,
    name: str | None = None,
    stop_requested: Callable[[], bool] = never,
) -> dict[str, np.ndarray]:
    """Return pooled outputs, float32, shape (N, D) each: the features, then those of each block.

    Images are pooled over their places, texts over their tokens, padding left out.

    Args:
        model: As it stands, in eval mode.
        inputs: The samples.
        name: Name of the progress line; None shows none.
        stop_requested: Whether someone asked to stop.

    Raises:
        StopRequested: Between two batches, if someone asked to stop.
    """
    tapped = _Tapped(model)
    compute = stoppable(tapped, stop_requested)
    # an engine shows nothing of what arises inside a network
    whole = array_of(run_batches(model, inputs, compute, name=name, phase=None))
    edges = np.cumsum(tapped.widths)[:-1]
    parts = np.split(whole, edges, axis=1)
    return dict(zip([FEATURES, *tapped.names], parts, strict=True))


class _Tapped:
    """A pass that gives the features and the blocks' pooled outputs, one beside the other."""

    def __init__(self, model: Model) -> None:
        self._model = model
        blocks = {name: model.encoder.get_submodule(name) for name in model.encoder.blocks}
        self.names = list(blocks)
        self._blocks = list(blocks.values())
        self.widths: list[int] = []

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return features and taps, shape (B, the sum of all D)."""
        mask = inputs[1] if len(inputs) == 2 and inputs[1].ndim == 2 else None
        caught: dict[int, Tensor] = {}

        def keep(place: int) -> Callable[[nn.Module, object, object], None]:
            def hook(_: nn.Module, given: object, made: object) -> None:
                del given
                tensor = made[0] if isinstance(made, tuple) else made
                assert isinstance(tensor, Tensor)
                caught[place] = pooled(tensor, mask)

            return hook

        hooks = [b.register_forward_hook(keep(i)) for i, b in enumerate(self._blocks)]
        try:
            features = self._model.features(*inputs)
        finally:
            for hook in hooks:
                hook.remove()
        found = [features, *(caught[place] for place in range(len(self._blocks)))]
        self.widths = [tensor.shape[1] for tensor in found]
        return torch.cat([tensor.float() for tensor in found], dim=1)


def pooled(output: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean over places or tokens, shape (B, D).

    Args:
        output: Of a block: (B, C, H, W), (B, T, D) or (B, D).
        mask: 1 where a token is one, shape (B, T); None where nothing is padded.
    """
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    if output.ndim == 3 and mask is not None and mask.shape == output.shape[:2]:
        weights = mask.to(output.dtype).unsqueeze(-1)
        return (output * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return output.flatten(1, -2).mean(dim=1) if output.ndim > 2 else output
