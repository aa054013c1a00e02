"""Passes without gradients: something computed for every sample, batch by batch.

Nothing is kept of such a pass, yet one layer of 128 photos is a gigabyte. So on a CPU photos go
through a network in passes of a few hundred megabytes, by what two of them were seen to take: a
function of the network and of their size, never of what happens to be free, so that every machine
computes the same. Texts go in passes of 32, which fit a processor's caches better than more do.
Left out: GPUs, whose allocator raises an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor

from headstart.events import emit
from headstart.model.engine_passes import FEATURES, engine_lent
from headstart.model.network import Model
from headstart.model.telling import tell_texts
from headstart.tensors import evaluating, to_tensors
from headstart.training.machine.footprint import LiveTensors
from headstart.training.machine.memory import give_back_freed_memory
from headstart.types import Inputs, Ragged, Rows, elements_of

MOST_SAMPLES = 128  # of one pass
_TEXTS = 32  # of one pass on a CPU: 128 long ones take 1.25 to 1.4 times as long a text
_PASS_BYTES = 320 * 10**6  # EfficientNet-Lite0 to 2 at their own sizes: sixteen photos
_MEASURED = 2  # samples
_pass_sizes: WeakKeyDictionary[Model, dict[tuple[int, ...], int]] = WeakKeyDictionary()


def run_batches(
    model: Model,
    inputs: Inputs,
    compute: Callable[..., Tensor],
    *,
    name: str | None = None,
    batch_size: int = MOST_SAMPLES,
    is_bounded: bool = True,
    phase: str | None = FEATURES,
    is_fixed: bool = True,
) -> Rows:
    """Compute something for every sample, batch by batch, in eval mode.

    What a model tells that writes texts is ``tell_texts``'s: rows of ``types.texts.TOLD``.

    Samples of like length share a batch, so that little is computed on padding; the rows come back
    in the order of the samples. What is computed for each element of samples that differ in length,
    a tensor (B, T, …), comes back without its padding; what is computed of samples that are read
    in windows comes back as their inputs put it together (``gathered``).

    Args:
        model: Gives the device.
        inputs: The samples.
        compute: What a model's forward takes, B rows, to a tensor of B rows: one row of numbers a
            sample, or T of them.
        name: Name of the progress line; None shows none.
        batch_size: Samples a pass, at the most.
        is_bounded: Whether passes are made smaller where these would take much memory; not where
            the weights are split over processes, since one of them cannot measure alone; such
            passes are PyTorch's, too.
        phase: Names the passes that one engine computes (``settle_engine``); None leaves them to
            PyTorch, and so do inputs that say which of their elements are told of: long texts are
            read in windows, which no compiled pass knows.
        is_fixed: Whether the weights stay as they are, so that compiling them pays.

    Returns:
        float32, N rows; ``Ragged`` where they are as long as the samples.
    """
    if compute is model and isinstance(model, Model) and model.task.tells_texts:
        return tell_texts(model, inputs, name=name)
    num = len(inputs)
    lengths = inputs.lengths
    gathered = inputs.gathered
    order = np.arange(num) if lengths is None else np.argsort(lengths, kind="stable")
    rows: list[np.ndarray] = []
    passed: list[np.ndarray] = []
    told_rows: list[Ragged] = []
    found: np.ndarray | None = None
    done, size = 0, pass_size(model, inputs) if is_bounded else batch_size
    engine = (
        engine_lent(model, inputs, size, phase=phase, is_fixed=is_fixed)
        if is_bounded and phase is not None and inputs.row_lengths is None
        else nullcontext()
    )
    with engine, evaluating(model), _tidied(is_large=size < batch_size):
        for places in split_passes(order, size, batch_size):
            arrays = inputs.arrays(places)
            made = compute(*to_tensors(arrays, model.device)).float().cpu().numpy()
            if gathered is not None:
                told_rows.append(gathered(places, made))
                passed.append(places)
            elif lengths is not None and made.ndim > 2:
                rows.append(made)
                passed.append(places)
            else:
                found = np.empty((num, *made.shape[1:]), np.float32) if found is None else found
                found[places] = made
            done = min(num, done + len(places))
            if name:
                emit("task", name=name, done=done, total=num)
    if told_rows:
        _, first = np.unique(np.concatenate(passed), return_index=True)
        return Ragged.joined(told_rows)[first]
    if rows and lengths is not None:
        told = elements_of(inputs)
        assert told is not None
        return without_padding(rows, told, np.concatenate(passed))
    assert found is not None, "there are no samples to compute anything for"
    return found


@contextmanager
def _tidied(*, is_large: bool) -> Iterator[None]:
    """Give freed memory back before large passes and after them.

    A training keeps freed blocks, and those of a step and of a pass do not fit into one another:
    the holes would stay, as many bytes again as the larger of both.
    """
    if is_large:
        give_back_freed_memory()
    yield
    if is_large:
        give_back_freed_memory()


def pass_size(model: Model, inputs: Inputs) -> int:
    """Return how many samples a pass without gradients has at the least: a power of two.

    ``MOST_SAMPLES``, but on a CPU fewer texts, and fewer images where more would take more than
    some hundred megabytes.

    Args:
        model: Whole, on one device; a pass of two samples measures it, once a model and size.
        inputs: The samples.
    """
    if model.device.type != "cpu" or len(inputs) < _MEASURED:
        return MOST_SAMPLES
    if inputs.lengths is not None:
        return _TEXTS
    if model.encoder.preprocess.size is None:
        return MOST_SAMPLES
    tensors = to_tensors(inputs.arrays(np.arange(_MEASURED)), model.device)
    shape, known = tuple(tensors[0].shape), _pass_sizes.setdefault(model, {})
    if shape not in known:
        live = LiveTensors([*model.parameters(), *model.buffers()])
        with evaluating(model), live:
            for tensor in tensors:
                live.note(tensor)
            model.features(*tensors)
        size = MOST_SAMPLES
        while size > 1 and size * live.most_bytes > _MEASURED * _PASS_BYTES:
            size //= 2
        known[shape] = size
    return known[shape]


def split_passes(
    order: np.ndarray, size: int, most_samples: int = MOST_SAMPLES
) -> Iterator[np.ndarray]:
    """Yield the places of each pass: ``size`` of them or more, at most half as many again.

    Never less than a size, which a short rest would be: kernels add a few rows in another order
    than many. So whatever the size, no pass is short that would not be short in one piece. What is
    nearly two passes becomes two that overlap, so that a few places come twice.

    Args:
        order: Places of the samples, int64, shape (N,).
        size: As ``pass_size`` gives it.
        most_samples: Of a pass.
    """
    for start in range(0, len(order), most_samples):
        piece = order[start : start + most_samples]
        least = min(size, most_samples)
        if 3 * least < 2 * len(piece) < 4 * least:
            yield piece[:least]
            yield piece[-least:]
        else:
            yield from np.array_split(piece, max(1, len(piece) // least))


def without_padding(
    batches: Sequence[np.ndarray], lengths: np.ndarray, order: np.ndarray
) -> Ragged:
    """Return the rows of batches (B, T, …) at the samples' own lengths, in the samples' order.

    Args:
        batches: Each padded to the longest of its samples.
        lengths: Of all samples, int64, shape (N,).
        order: Which samples the batches hold, one after the other, int64; all of them, some perhaps
            twice.
    """
    parts, start = [], 0
    for batch in batches:
        own = lengths[order[start : start + len(batch)]]
        parts.append(batch[np.arange(batch.shape[1])[None, :] < own[:, None]])
        start += len(batch)
    offsets = np.concatenate(([0], np.cumsum(lengths[order])))
    _, first = np.unique(order, return_index=True)  # of passes that overlap some come twice
    return Ragged(np.concatenate(parts), offsets)[first]
