"""What a forward pass with gradients takes of a machine's memory, measured on very few samples.

Tensors are counted while two passes run, of two samples and of three (BatchNorm wants two): the
bytes alive at the highest point, and those of the largest tensor. What the third adds is what each
sample adds, since every activation has a row a sample; the rest is there whatever the micro-batch.

Counted: all that the pass makes and keeps for the backward pass, what is alive only for a moment,
and the batch itself. Not counted, because no tensor shows it: the workspace of kernels, the
gradients of activations (each takes the place of an activation, or nearly), and the holes of a heap
that keeps what was freed; nor a sparse tensor or one in MKL-DNN's layout, which has no storage that
can be asked. ``_BESIDE`` largest tensors stand for these; docs/benchmarks.md, "Memory
of a step", holds the estimate against what processes took. A compiled network is measured as it
would run uncompiled.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_FEW, _MORE = 2, 3  # samples
_BESIDE = 6  # largest tensors that are taken beside what is counted: 2 to 9 were measured


@dataclass(frozen=True)
class Footprint:
    """Bytes that a step takes.

    Attributes:
        fixed: Whatever the micro-batch.
        per_sample: What each sample of a micro-batch adds.
    """

    fixed: int
    per_sample: int

    def of(self, num_samples: int) -> int:
        """Return the bytes of a step whose micro-batches have so many samples."""
        return self.fixed + self.per_sample * num_samples


def measure_forward(
    module: nn.Module,
    make_inputs: Callable[[int], Sequence[Tensor]],
    forward: Callable[..., Tensor],
) -> Footprint:
    """Measure what a forward pass takes, beside parameters and buffers.

    Args:
        module: What learns requires gradients, and it is in the mode in which it trains; its
            buffers may move, random numbers are drawn.
        make_inputs: A number of samples to as many, all as long as the longest.
        forward: These to an output, as the training has it.
    """
    own = [*module.parameters(), *module.buffers()]
    few, more = (_pass_bytes(own, make_inputs, forward, num) for num in (_FEW, _MORE))
    each = max(0, (more - few) // (_MORE - _FEW))
    return Footprint(max(0, few - _FEW * each), each)


def _pass_bytes(
    own: Iterable[Tensor],
    make_inputs: Callable[[int], Sequence[Tensor]],
    forward: Callable[..., Tensor],
    num_samples: int,
) -> int:
    """Return the bytes of one pass, with those that stand for what no tensor shows."""
    live = LiveTensors(own)
    with torch.enable_grad(), live:
        inputs = make_inputs(num_samples)
        for tensor in inputs:
            live.note(tensor)
        output = forward(*inputs)
        del output  # the graph and all it kept live until here
    return live.most_bytes + _BESIDE * live.largest_bytes


class LiveTensors(TorchDispatchMode):
    """Counts tensors that lie in the memory of the machine, while operations make them.

    Args:
        own: Tensors that are there anyway; they and their views are not counted.

    Attributes:
        num_bytes: Of the tensors that are alive now.
        most_bytes: The same, at its highest.
        largest_bytes: Of the largest one.
    """

    def __init__(self, own: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_bytes = self.most_bytes = self.largest_bytes = 0
        self._known: dict[int, weakref.ref[Any] | None] = {
            tensor.untyped_storage()._cdata: None
            for tensor in own
            if tensor.layout is torch.strided
        }

    def note(self, tensor: Tensor) -> None:
        """Count a tensor, unless it has no storage or is a view of one that is known."""
        # networks that run in part see to every question about a tensor
        with torch._C.DisableTorchFunction():
            if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
                return
            storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def forget(_: object) -> None:
            self.num_bytes -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, forget)
        self.num_bytes += size
        self.most_bytes = max(self.most_bytes, self.num_bytes)
        self.largest_bytes = max(self.largest_bytes, size)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return that PyTorch need not read its compiler for this: that takes it two seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count what it makes."""
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self.note(leaf)
        return made
