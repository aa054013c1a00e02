"""The frozen part of a network: run it up to the cut, and keep what crosses.

The network's own forward runs in eval mode and is left as soon as the last wanted value has arisen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from headstart.training.frozen.recording import (
    Frames,
    Place,
    Trace,
    forwards,
    function_name,
    tensor_leaves,
)
from headstart.training.frozen.slots import in_order
from headstart.training.frozen.suffix import CutError


class _Enough(BaseException):
    """Leave a forward pass once everything wanted has been seen."""


class Prefix:
    """The frozen part of a network, as a function of its inputs.

    Args:
        module: The network.
        places: Where each crossing value arises; an int is the number of an input.

    Attributes:
        orders: The memory order that each value is brought to, as a store keeps it; None for
            whatever it has.
    """

    def __init__(self, module: nn.Module, places: Sequence[Place | int]) -> None:
        self._module, self._places = module, places
        self.orders: Sequence[tuple[int, ...]] | None = None
        self._paths = {path: child for child, path in Frames(module).paths.items()}

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what crosses the cut, each of B rows, for a batch of inputs."""
        found: dict[Place, Tensor] = {}
        wanted = {place for place in self._places if isinstance(place, Place)}
        modes = [(module, module.training) for module in self._module.modules()]
        self._module.eval()
        try:
            with self._watching(wanted, found):
                self._module(*inputs)
        except _Enough:
            pass
        finally:
            for module, mode in modes:
                module.training = mode
        if missing := wanted - found.keys():
            raise CutError(f"The pass did not meet {next(iter(missing)).said()}.")
        given = [inputs[p].clone() if isinstance(p, int) else found[p] for p in self._places]
        if self.orders is not None:
            given = [in_order(t, order) for t, order in zip(given, self.orders, strict=True)]
        return tuple(given)

    @contextmanager
    def _watching(self, wanted: set[Place], found: dict[Place, Tensor]) -> Iterator[None]:
        """Keep wanted values as they arise; the pass ends with the last of them."""

        def keep(place: Place, output: object) -> None:
            leaves = tensor_leaves(output)
            for leaf in range(len(leaves)):
                full = place._replace(leaf=leaf)
                if full in wanted:
                    # a copy, as what follows may work in place
                    is_last = len(found) + 1 == len(wanted)
                    found[full] = leaves[leaf] if is_last else leaves[leaf].clone()
            if len(found) == len(wanted):
                raise _Enough

        if any(place.function for place in wanted):
            finder = _Finder(self._module, keep)
            with finder.watching(), finder:
                yield
            return
        watched = {place.module: self._paths[place.module] for place in wanted}
        with forwards({child: _watch(child, path, keep) for path, child in watched.items()}):
            yield


def _watch(
    module: nn.Module, path: str, keep: Callable[[Place, object], None]
) -> Callable[..., Any]:
    """Return a module's forward that shows what it gives."""
    original, calls = module.forward, -1

    def forward(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        call = calls
        output = original(*args, **kwargs)
        keep(Place(path, call), output)
        return output

    return forward


class _Finder(Frames, TorchFunctionMode):
    """Follow a pass and show what every function and module gives."""

    def __init__(self, root: nn.Module, keep: Callable[[Place, object], None]) -> None:
        Frames.__init__(self, root)
        TorchFunctionMode.__init__(self)
        self._keep = keep

    def left(self, path: str, call: int, output: object) -> None:
        self._keep(Place(path, call), output)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if tensor_leaves(output):
            self._keep(self.place(function_name(func)), output)
        return output


def fingerprint(
    module: nn.Module, trace: Trace, prefix: Collection[int], places: Sequence[Place | int]
) -> str:
    """Return a digest of a prefix: what it does, and with which weights.

    Args:
        module: The network.
        trace: A pass through it.
        prefix: Numbers of the prefix's steps.
        places: Where what crosses arises.
    """
    digest = blake2b(repr([tuple(p) if isinstance(p, Place) else p for p in places]).encode())
    used: set[str] = set()
    for index in sorted(prefix):
        step = trace.steps[index]
        used.update(step.weights)
        function = step.place.function
        # sizes differ from example to example; strides and the like do not
        keeps_ints = any(word in function for word in ("conv", "pool", "norm"))
        plain = [c for c in step.constants if keeps_ints or type(c) is not int]
        digest.update(repr((function, [] if "dropout" in function else plain)).encode())
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name in sorted(used):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
