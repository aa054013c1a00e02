"""Passes without gradients: something computed for every sample, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from headstart.events import emit
from headstart.model.network import Model
from headstart.tensors import evaluating, to_tensors
from headstart.types import Inputs, Ragged, Rows


def run_batches(
    model: Model,
    inputs: Inputs,
    compute: Callable[..., Tensor],
    *,
    name: str | None = None,
    batch_size: int = 128,
) -> Rows:
    """Compute something for every sample, batch by batch, in eval mode.

    Samples of like length share a batch, so that little is computed on padding; the rows come back
    in the order of the samples. What is computed for each element of samples that differ in length,
    a tensor (B, T, …), comes back without its padding.

    Args:
        model: Gives the device.
        inputs: The samples.
        compute: What a model's forward takes, B rows, to a tensor of B rows: one row of numbers a
            sample, or T of them.
        name: Name of the progress line; None shows none.
        batch_size: Samples a pass.

    Returns:
        float32, N rows; ``Ragged`` where they are as long as the samples.
    """
    num = len(inputs)
    lengths = inputs.lengths
    order = np.arange(num) if lengths is None else np.argsort(lengths, kind="stable")
    rows: list[np.ndarray] = []
    with evaluating(model):
        for start in range(0, num, batch_size):
            arrays = inputs.arrays(order[start : start + batch_size])
            rows.append(compute(*to_tensors(arrays, model.device)).float().cpu().numpy())
            if name:
                emit("task", name=name, done=min(start + batch_size, num), total=num)
    if lengths is not None and rows and rows[0].ndim > 2:
        return without_padding(rows, lengths, order)
    found = np.concatenate(rows)
    if lengths is None:
        return found
    back = np.empty_like(found)
    back[order] = found
    return back


def without_padding(
    batches: Sequence[np.ndarray], lengths: np.ndarray, order: np.ndarray
) -> Ragged:
    """Return the rows of batches (B, T, …) at the samples' own lengths, in the samples' order.

    Args:
        batches: Each padded to the longest of its samples.
        lengths: Of all samples, int64, shape (N,).
        order: Which samples the batches hold, one after the other, int64, shape (N,).
    """
    parts, start = [], 0
    for batch in batches:
        own = lengths[order[start : start + len(batch)]]
        parts.append(batch[np.arange(batch.shape[1])[None, :] < own[:, None]])
        start += len(batch)
    offsets = np.concatenate(([0], np.cumsum(lengths[order])))
    return Ragged(np.concatenate(parts), offsets)[np.argsort(order)]
