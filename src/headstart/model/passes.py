"""Passes without gradients: something computed for every sample, batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from headstart.events import emit
from headstart.model.network import Model
from headstart.tensors import evaluating, to_tensors
from headstart.types import Inputs


def run_batches(
    model: Model,
    inputs: Inputs,
    compute: Callable[..., Tensor],
    *,
    name: str | None = None,
    batch_size: int = 128,
) -> np.ndarray:
    """Compute something for every sample, batch by batch, in eval mode.

    Samples of like length share a batch, so that little is computed on padding; the rows come back
    in the order of the samples.

    Args:
        model: Gives the device.
        inputs: The samples.
        compute: What a model's forward takes, B rows, to a tensor of B rows.
        name: Name of the progress line; None shows none.
        batch_size: Samples a pass.

    Returns:
        float32, N rows.
    """
    num = len(inputs)
    lengths = inputs.lengths
    order = np.arange(num) if lengths is None else np.argsort(lengths, kind="stable")
    rows = []
    with evaluating(model):
        for start in range(0, num, batch_size):
            arrays = inputs.arrays(order[start : start + batch_size])
            rows.append(compute(*to_tensors(arrays, model.device)).float().cpu().numpy())
            if name:
                emit("task", name=name, done=min(start + batch_size, num), total=num)
    found = np.concatenate(rows)
    if lengths is None:
        return found
    back = np.empty_like(found)
    back[order] = found
    return back
