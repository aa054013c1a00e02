"""Run the trained part of a network alone, by running its own code with the frozen part absent.

What the frozen part would have computed is either handed in (it crossed the cut) or absent: a
tensor of which only shape, type and place are known. An operation on an absent tensor costs no
arithmetic and gives an absent tensor, until the operation whose result was handed in. Frozen
modules are not entered at all. Because the code is the network's own, train and eval mode, dropout,
BatchNorm, autocast and any batch size are exactly what they were; because absence spreads, a result
that would need a number nobody handed in is an error and never a wrong number. Deliberately absent:
``torch.compile`` of the whole, which cannot see through this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from headstart.training.frozen.partition import Handed
from headstart.training.frozen.recording import (
    Frames,
    Place,
    forwards,
    function_name,
    read_by_value,
    tensor_leaves,
)
from headstart.training.frozen.slots import Slot

# Where a handed-in value appears among operations on absent tensors: name, number, leaf.
Ordinal = tuple[str, int, int]
_DEVICES = {"is_cuda": "cuda", "is_cpu": "cpu", "is_mps": "mps"}


class CutError(RuntimeError):
    """Report that a network cannot be run in two parts; a fault of the cut, not of the user."""


class Absent(Tensor):
    """A tensor on the ``meta`` device that says it is where the others are."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replay = _replaying.get()
        if replay is None:
            raise CutError("A value of the frozen part was used after the pass it belongs to.")
        return replay.compute(func, args, kwargs or {})


class Replay:
    """The state of one pass through the trained part.

    Args:
        handed: What crossed the cut.
        device: Where.
        ordinals: Which operations on absent tensors give which of them.
        sizes: The batch and, where texts cross, the length.
    """

    def __init__(
        self,
        handed: Sequence[Tensor],
        device: torch.device,
        ordinals: Mapping[Ordinal, int],
        sizes: Sequence[int],
    ) -> None:
        self.handed, self.device, self.ordinals = handed, device, ordinals
        self.sizes = tuple(sizes)
        self.calls: Counter[str] = Counter()
        self.is_imitating = self.is_locating = False
        self.latest: tuple[str, int] | None = None
        self._counts: Counter[str] = Counter()
        self.is_mixed = torch.is_autocast_enabled(device.type)

    @contextmanager
    def imitating(self) -> Iterator[None]:
        """Let nothing inside the block count as an operation of the network's own."""
        self.is_imitating = True
        try:
            with torch.inference_mode(False):
                yield
        finally:
            self.is_imitating = False

    def absent(self, like: Tensor) -> Absent:
        """Return an absent tensor of the same shape, strides and type."""
        made: Absent = self._to_meta(like).as_subclass(Absent)
        return made

    def _to_meta(self, tensor: Tensor) -> Tensor:
        if isinstance(tensor, Absent):
            plain: Tensor = tensor.as_subclass(Tensor)
            return plain
        shape, stride = tensor.shape, tensor.stride()
        return torch.empty_strided(shape, stride, dtype=self._type(tensor.dtype), device="meta")

    def _type(self, dtype: torch.dtype) -> torch.dtype:
        """Return the type of an absent tensor: they know no autocast, so one type for all."""
        is_lower = self.is_mixed and dtype in (torch.float16, torch.bfloat16)
        return torch.float32 if is_lower else dtype

    def regular(self, like: Slot) -> Absent | None:
        """Return an absent tensor of this pass' sizes; None where the length is not known."""
        if like.is_ragged and len(self.sizes) < 2:
            return None
        with torch._C.DisableTorchFunctionSubclass():
            blank = like.blank(self.sizes[0], self.sizes[-1])
            made: Absent = blank.to(self._type(blank.dtype)).as_subclass(Absent)
            return made

    def compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Compute the shape of what a function gives, or give what was handed in for it."""
        name = function_name(func)
        if name == "device":
            return self.device
        if name in _DEVICES:
            return self.device.type == _DEVICES[name]
        learns = torch.is_grad_enabled()
        # tensors made under inference mode could not be worked on in place after it
        with torch._C.DisableTorchFunctionSubclass(), torch.inference_mode(False), torch.no_grad():
            if func.__name__ == "__get__" and not isinstance(found := func(*args), Tensor):
                return found
            leaves, spec = tree_flatten((args, kwargs))
            places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
            matters = read_by_value(name, places)
            by_value = [leaves[i] for i, matter in zip(places, matters, strict=True) if matter]
            if not any(isinstance(leaf, Absent) for leaf in by_value):
                # only the shape is asked for: a real tensor of that shape will do
                made = [self._stand_in(x) if isinstance(x, Absent) else x for x in leaves]
                args, kwargs = tree_unflatten(made, spec)
                return func(*args, **kwargs)
            if learns and any(leaf.requires_grad for leaf in by_value):
                raise CutError(
                    f"'{name}' combines a frozen value that does not cross the cut with one that "
                    f"requires a gradient; expected the parameters to learn that were named when "
                    f"the network was cut. Set requires_grad accordingly, or cut it again."
                )
            args, kwargs = tree_unflatten([self._place(leaf) for leaf in leaves], spec)
            output = func(*args, **kwargs)
            return self._hand_out(name, output)

    def _stand_in(self, absent: Tensor) -> Tensor:
        shape, stride = absent.shape, absent.stride()
        return torch.empty_strided(shape, stride, dtype=absent.dtype, device=self.device)

    def _place(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return self._to_meta(leaf)
        if isinstance(leaf, torch.device):
            return torch.device("meta")
        return leaf

    def _hand_out(self, name: str, output: Any) -> Any:
        leaves, spec = tree_flatten(output)
        if not any(isinstance(leaf, Tensor) for leaf in leaves):
            return output
        made = [leaf.as_subclass(Absent) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        if not self.is_imitating:
            number = self._counts[name]
            self._counts[name] += 1
            self.latest = (name, number)
            tensors = [i for i, leaf in enumerate(made) if isinstance(leaf, Tensor)]
            for leaf, i in enumerate(tensors):
                slot = self.ordinals.get((name, number, leaf))
                if slot is not None:
                    made[i] = self.handed[slot]
        return tree_unflatten(made, spec)


_replaying: ContextVar[Replay | None] = ContextVar("headstart_replay", default=None)


class StandIn:
    """What answers for a frozen module that is not entered.

    Args:
        module: The frozen module.
        path: Its path.
        handed: For each of its calls, what was handed in of its output.
    """

    def __init__(self, module: nn.Module, path: str, handed: Sequence[Handed]) -> None:
        self._forward: Callable[..., Any] = module.forward
        self._path, self._handed = path, handed
        self._known: dict[object, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module would: what was handed in, and absent tensors."""
        replay = _replaying.get()
        if replay is None or replay.is_imitating:
            return self._forward(*args, **kwargs)
        call = replay.calls[self._path]
        replay.calls[self._path] += 1
        if call >= len(self._handed):
            raise CutError(f"'{self._path}' was called {call + 1} times, expected {call}.")
        handed = self._handed[call]
        if handed.is_whole:
            return tree_unflatten([replay.handed[s] for s in handed.slots.values()], handed.spec)
        known = self._regular(replay, call, handed)
        if known is None:
            known = self._imitated(replay, call, args, kwargs)
        if isinstance(known, Tensor) and not handed.slots:
            return known
        given, spec = tree_flatten(known)
        tensors = [place for place, leaf in enumerate(given) if isinstance(leaf, Tensor)]
        for leaf, slot in handed.slots.items():
            given[tensors[leaf]] = replay.handed[slot]
        return tree_unflatten(given, spec)

    def _regular(self, replay: Replay, call: int, handed: Handed) -> Any:
        """Return what the module gives but for its numbers, where the sizes decide it."""
        if handed.like is None or replay.is_locating:
            return None  # who locates numbers the calls of modules inside, which may be shared
        key = (call, replay.sizes, replay.is_mixed)
        if key not in self._known:
            with replay.imitating():
                made = [replay.regular(like) for like in handed.like]
            is_known = all(leaf is not None for leaf in made)
            self._known[key] = tree_unflatten(made, handed.spec) if is_known else None
        return self._known[key]

    def _imitated(self, replay: Replay, call: int, args: Any, kwargs: Any) -> Any:
        """Return the same, found out once for all arguments of these shapes."""
        if kwargs or not all(isinstance(arg, Tensor) for arg in args):
            leaves, spec = tree_flatten((args, kwargs))
            key: object = (call, spec, tuple(map(_describe, leaves)))
        else:  # the usual case, without the cost of flattening
            key = (call, tuple(map(_describe, args)))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._imitate(replay, args, kwargs)
        return known

    def _imitate(self, replay: Replay, args: Any, kwargs: Any) -> Any:
        """Return what the module gives but for its numbers, by running it on absent tensors."""
        with replay.imitating():
            args, kwargs = tree_map_only(Tensor, replay.absent, (args, kwargs))
            return self._forward(*args, **kwargs)


def _describe(leaf: object) -> object:
    """Return what of an argument decides the shapes that a module gives."""
    if isinstance(leaf, Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            return tuple(leaf.shape), leaf.stride(), leaf.dtype
    return leaf if isinstance(leaf, (bool, int, float, str, type(None))) else id(leaf)


class Suffix(nn.Module):
    """The trained part of a network, as a module of what crosses the cut.

    Its parameters are those of the network, which it holds as ``module``; modes and
    ``requires_grad`` are set there. It may overwrite what it is handed, as networks with in-place
    activations do.

    Args:
        module: The network.
        inputs: Examples of its inputs; sizes that vary are taken from what is handed in.
        varying: For each input, which of its dimensions are the batch (0) and the length (1).
        stand_ins: What answers for frozen modules.
        input_slots: Which inputs cross themselves.
        sizes: Slot and dimension that tell the batch and, where texts cross, the length.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Sequence[Tensor],
        varying: Sequence[Mapping[int, int]],
        stand_ins: Mapping[nn.Module, StandIn],
        input_slots: Mapping[int, int],
        sizes: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__()
        self.module = module
        self.ordinals: dict[Ordinal, int] = {}
        self._inputs = [_blank(tensor) for tensor in inputs]
        self._varying, self._sizes = varying, sizes
        self._stand_ins, self._input_slots = dict(stand_ins), dict(input_slots)

    def forward(self, *handed: Tensor) -> Any:
        """Return what the network gives for the samples whose values are handed in.

        Args:
            handed: What the prefix gave, each of B rows.
        """
        with self.replaying(handed) as inputs:
            output = self.module(*inputs)
        if any(isinstance(leaf, Absent) for leaf in tensor_leaves(output)):
            raise CutError("The network's output depends on a value that does not cross the cut.")
        return output

    @contextmanager
    def replaying(self, handed: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        """Put the stand-ins in place inside the block; gives the inputs to run the network on."""
        now = [handed[slot].shape[dimension] for slot, dimension in self._sizes]
        replay = Replay(handed, handed[0].device, self.ordinals, now)
        inputs: list[Tensor] = []
        for index, (blank, varying) in enumerate(zip(self._inputs, self._varying, strict=True)):
            if index in self._input_slots:
                inputs.append(handed[self._input_slots[index]])
                continue
            shape = list(blank.shape)
            for dimension, kind in varying.items():
                if kind < len(now):
                    shape[dimension] = now[kind]
            layout = torch.contiguous_format
            if blank.ndim == 4 and blank.is_contiguous(memory_format=torch.channels_last):
                layout = torch.channels_last
            with torch.inference_mode(False):
                made = torch.empty(shape, dtype=blank.dtype, device="meta", memory_format=layout)
                inputs.append(replay.absent(made))
        token = _replaying.set(replay)
        try:
            with forwards(self._stand_ins):
                yield inputs
        finally:
            _replaying.reset(token)


def _blank(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


class _Locator(Frames, TorchFunctionMode):
    """Follow a replayed pass, hand in the values of given places, and number those places."""

    def __init__(self, root: nn.Module, wanted: Mapping[Place, int]) -> None:
        Frames.__init__(self, root)
        TorchFunctionMode.__init__(self)
        self._wanted = wanted
        self.found: dict[Ordinal, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replay = _replaying.get()
        assert replay is not None
        replay.latest = None
        output = func(*args, **(kwargs or {}))
        if replay.is_imitating or not tensor_leaves(output):
            return output
        place = self.place(function_name(func))
        if replay.latest is None:
            return output
        leaf = -1

        def hand_in(tensor: Tensor) -> Tensor:
            nonlocal leaf
            leaf += 1
            slot = self._wanted.get(place._replace(leaf=leaf))
            if slot is None or replay.latest is None:
                return tensor
            self.found[(*replay.latest, leaf)] = slot
            return replay.handed[slot]

        return tree_map_only(Tensor, hand_in, output)


def locate(suffix: Suffix, handed: Sequence[Tensor], wanted: Mapping[Place, int]) -> None:
    """Find the operations at which values are handed in, in the mode the network is in.

    Args:
        suffix: Its ``ordinals`` are set.
        handed: What the prefix gave.
        wanted: Where in the network's code each value arises, and its slot.

    Raises:
        CutError: If one is not met, or this mode meets another one than an earlier call did.
    """
    suffix.ordinals = {}
    with suffix.replaying(handed) as inputs:
        replay = _replaying.get()
        assert replay is not None
        replay.is_locating = True
        locator = _Locator(suffix.module, wanted)
        with locator.watching(), locator:
            suffix.module(*inputs)
    if set(locator.found.values()) != set(wanted.values()):
        raise CutError("The pass does not meet every value that crosses the cut.")
    suffix.ordinals = locator.found
