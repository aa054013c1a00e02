"""BatchNorm's running statistics, computed anew from samples: of weights they were not made with.

Weights that were averaged have statistics of no network, and those that learned from images with
holes have statistics of holes.

Source: P. Izmailov et al., 2018, Averaging Weights Leads to Wider Optima, UAI, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


def recompute_norms(
    module: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    run: Callable[..., object] | None = None,
) -> int:
    """Compute the running statistics of BatchNorm anew: the mean over batches; all else stands.

    Args:
        module: With weights that are as they shall be; its other layers run as in evaluation.
        batches: What ``run`` takes, of train, not augmented; a few hundred samples are enough.
        run: Passes a batch; the module itself when not given.

    Returns:
        How many layers were computed anew; 0 where there are none, and then no batch is read.
    """
    norms = [
        layer
        for layer in module.modules()
        if isinstance(layer, _NormBase) and layer.running_mean is not None
    ]
    if not norms:
        return 0
    with _learning_statistics(module, norms), torch.no_grad():
        for inputs in batches:
            (run or module)(*inputs)
    return len(norms)


@contextmanager
def _learning_statistics(module: nn.Module, norms: Sequence[_NormBase]) -> Iterator[None]:
    """Let BatchNorm alone learn inside the block, each batch counting the same."""
    modes = {layer: layer.training for layer in module.modules()}
    momenta = [layer.momentum for layer in norms]
    module.eval()
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean of all batches
        layer.train()
    try:
        yield
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        for each, mode in modes.items():
            each.training = mode
