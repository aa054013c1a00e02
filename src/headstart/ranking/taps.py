"""What every block of a network knows: its output, pooled, in the same pass as the features.

The last block is not always the best to read: of texts the middle ones often tell more, and of
networks pretrained to reconstruct the last one tells little. A pass is computed by the engine that
the verb settles on, and what took longer than half a second is kept in the cache: ranking the same
start for the same samples again reads it from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from headstart.engines import PLAIN, listed
from headstart.model import Model, pass_size, run_batches, settle_engine, weights_digest
from headstart.storage.cache import CacheError, without_cache
from headstart.tasks import array_of
from headstart.tensors import evaluating, to_tensors
from headstart.training.batches.feed import ids_digest
from headstart.training.contract import never, stoppable
from headstart.training.frozen.activations import ActivationCache, Layout, activation_key
from headstart.training.frozen.slots import Slot
from headstart.types import Inputs

FEATURES = "features"  # what a head of this model would read
_WORTH_SECONDS = 0.5  # what took less is not worth a place on disk


def tapped_features(
    model: Model,
    inputs: Inputs,
    *,
    most_blocks: int | None = None,
    name: str | None = None,
    stop_requested: Callable[[], bool] = never,
) -> dict[str, np.ndarray]:
    """Return pooled outputs, float32, shape (N, D) each: the features, then those of each block.

    Images are pooled over their places, texts over their tokens, padding left out.

    Args:
        model: As it stands, in eval mode.
        inputs: The samples; their ids name their content.
        most_blocks: How many of the last blocks are read, too; None for all.
        name: Name of the progress line; None shows none.
        stop_requested: Whether someone asked to stop.

    Raises:
        StopRequested: Between two batches, if someone asked to stop.
    """
    network = TappedNetwork(model, most_blocks=most_blocks)
    with evaluating(model), torch.no_grad():  # two samples tell the widths
        network(*to_tensors(inputs.arrays(np.arange(min(2, len(inputs)))), model.device))
    whole = _computed_once(network, inputs, name, stop_requested)
    parts = np.split(whole, np.cumsum(network.widths)[:-1], axis=1)
    return dict(zip([FEATURES, *network.names], parts, strict=True))


def _computed_once(
    network: TappedNetwork, inputs: Inputs, name: str | None, stop_requested: Callable[[], bool]
) -> np.ndarray:
    """Return all taps side by side, float32, shape (N, the sum of all D); from the cache, or kept.

    What PyTorch has computed will do for any engine; what another has is kept apart.
    """
    model = network.model
    layout = Layout((Slot((sum(network.widths),), "float32", (0,)),), len(inputs))
    parts: dict[str, object] = {
        "taps": weights_digest(model.encoder),
        "names": network.names,
        "architecture": repr(model.encoder.architecture),
        "preprocess": model.encoder.preprocess.digest(),
        "ids": ids_digest(inputs),
        "device": model.device.type,
    }
    everything, key, cache = np.arange(len(inputs)), activation_key(parts), None
    try:
        cache = ActivationCache()
        if (store := cache.open(key, layout)) is not None:
            return store.rows(everything)[0]
    except CacheError as error:
        without_cache(error)
    choice, job = settle_engine(
        model, inputs, pass_size(model, inputs), phase="taps", network=network
    )
    compute: Callable[..., Tensor] = network
    if choice != PLAIN and job is not None:
        key, run = activation_key({**parts, "computed": choice.to_json()}), job.guarded(choice)
        if cache is not None and (store := cache.open(key, layout)) is not None:
            return store.rows(everything)[0]

        def compute(*given: Tensor) -> Tensor:
            return listed(run(*given))[0]

    began = time.monotonic()
    pass_of = stoppable(compute, stop_requested)
    whole = array_of(run_batches(model, inputs, pass_of, name=name, phase=None))
    if cache is not None and time.monotonic() - began > _WORTH_SECONDS:
        about = f"what all blocks of {model.encoder.start.address} know"
        try:
            cache.fill(key, layout, [(everything, (torch.from_numpy(whole),))], about=about)
        except CacheError as error:
            without_cache(error)
    return whole


class TappedNetwork(nn.Module):
    """A model whose outputs are its features and its blocks' pooled outputs, side by side.

    Args:
        model: Its own parameters, not copies.
        most_blocks: How many of the last blocks are among the outputs; None for all.

    Attributes:
        names: Of the blocks.
        widths: D of the features and of each block, once a pass has run.
    """

    def __init__(self, model: Model, *, most_blocks: int | None = None) -> None:
        super().__init__()
        self.model = model
        blocks = list(model.encoder.blocks)
        self.names = blocks if most_blocks is None else blocks[max(0, len(blocks) - most_blocks) :]
        self.widths: list[int] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return features and taps, float32, shape (B, the sum of all D)."""
        mask = inputs[1] if len(inputs) == 2 and inputs[1].ndim == 2 else None
        caught: dict[int, Tensor] = {}

        def keep(place: int) -> Callable[[nn.Module, object, object], None]:
            def hook(_: nn.Module, given: object, made: object) -> None:
                del given
                tensor = made[0] if isinstance(made, tuple) else made
                assert isinstance(tensor, Tensor)
                caught[place] = pooled(tensor, mask)

            return hook

        blocks = [self.model.encoder.get_submodule(name) for name in self.names]
        hooks = [b.register_forward_hook(keep(i)) for i, b in enumerate(blocks)]
        try:
            features = self.model.own_features(*inputs)
        finally:
            for hook in hooks:
                hook.remove()
        found = [features, *(caught[place] for place in range(len(blocks)))]
        self.widths = [int(tensor.shape[1]) for tensor in found]
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
