"""Record one pass through a network: every torch function called, in which module, on which values.

A pass is watched where Python calls torch (a ``TorchFunctionMode``), so that what is recorded can
later be found again in the same code, in train or eval mode, at any batch size. Modules are watched
by replacing their ``forward`` for the length of the pass: some modules compute differently when
they have hooks. Deliberately absent: any graph that could run on its own, as ``torch.export``
makes; the network's own code stays the only program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves
from torch.utils.flop_counter import flop_registry

# Functions whose first tensor lends its shape, type and place only.
_LIKE = frozenset(f"{kind}_like" for kind in ("zeros", "ones", "empty", "full", "rand", "randn"))
# Methods whose further tensors lend only that.
_AS = frozenset({"type_as", "expand_as", "view_as", "reshape_as", "to"})


class Place(NamedTuple):
    """Where in a pass something happened, in terms that survive other shapes and modes.

    Attributes:
        module: Path of the innermost module.
        call: Which call of that module, from 0.
        function: Name of the torch function; empty for the module's own output.
        number: Which call of that function in this frame, from 0.
        leaf: Which tensor of the result.
    """

    module: str
    call: int
    function: str = ""
    number: int = 0
    leaf: int = 0

    def said(self) -> str:
        """Return the place as a person would say it: ``blocks.10``, ``output: mean 1``."""
        again = f" (call {self.call + 1})" if self.call else ""
        inside = f": {self.function} {self.number + 1}" if self.function else ""
        return f"{self.module or 'output'}{again}{inside}"


@dataclass(frozen=True)
class Step:
    """One call of a torch function.

    Attributes:
        place: Where, with leaf 0.
        takes: Values that its result depends on.
        gives: Values it made.
        weights: Names of the parameters and buffers it read.
        constants: Its scalar arguments, and digests of tensors that are neither values nor weights.
        flops: Multiplications and additions of matrix products and convolutions.
        is_random: Whether it drew random numbers.
        is_stateful: Whether it changed a buffer or parameter, or used the batch's statistics.
    """

    place: Place
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    weights: tuple[str, ...]
    constants: tuple[object, ...]
    flops: float
    is_random: bool
    is_stateful: bool


@dataclass
class Call:
    """One call of a module.

    Attributes:
        module: Its path.
        number: Which call of it, from 0.
        first: Steps from here …
        last: … up to here, exclusive, happened inside.
        gives: The value of each tensor of its output.
        spec: The structure of its output where it holds tensors only, otherwise None.
        inside: Calls that happened directly inside.
    """

    module: str
    number: int
    first: int
    last: int = 0
    gives: tuple[int | None, ...] = ()
    spec: Any = None
    inside: list[Call] = field(default_factory=list)


@dataclass
class Trace:
    """A recorded pass.

    Attributes:
        steps: In the order of the pass.
        root: The call of the whole network; its calls inside form a tree.
        inputs: Values of the inputs.
        values: The tensor of each value, as it was shaped.
        names: Every name a value has: the outputs of modules, innermost first, then of functions.
    """

    steps: list[Step]
    root: Call
    inputs: tuple[int, ...]
    values: list[Tensor]
    names: dict[int, list[Place]]


@contextmanager
def forwards(replaced: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Replace the ``forward`` of modules inside the block."""
    kept = [(module, module.__dict__.get("forward")) for module in replaced]
    try:
        for module, forward in replaced.items():
            module.__dict__["forward"] = forward
        yield
    finally:
        for module, before in kept:
            module.__dict__.pop("forward", None)
            if before is not None:
                module.__dict__["forward"] = before


def read_by_value(name: str, tensors: Sequence[Any]) -> list[bool]:
    """Return for each tensor argument of a function whether its numbers matter, not just its shape.

    Args:
        name: The function's name.
        tensors: Its tensor arguments in order.
    """
    if name in _LIKE or name.startswith("new_"):
        return [False] + [True] * (len(tensors) - 1)
    if name in _AS:
        return [True] + [False] * (len(tensors) - 1)
    return [True] * len(tensors)


def tensor_leaves(tree: object) -> list[Tensor]:
    """Return the tensors of nested tuples, lists, dicts and registered outputs, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class Frames:
    """Where a pass is: the stack of module calls, and in each how often a function was called."""

    def __init__(self, root: nn.Module) -> None:
        self.paths = {module: path for path, module in root.named_modules()}
        self._calls: Counter[str] = Counter()
        self._stack: list[tuple[str, int, Counter[str]]] = []

    def place(self, function: str) -> Place:
        """Count a function call in the present frame and say where it happens."""
        module, call, counts = self._stack[-1]
        counts[function] += 1
        return Place(module, call, function, counts[function] - 1)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow every module of the network inside the block."""
        self._calls.clear()
        self._stack.clear()
        scripted = torch.jit.ScriptModule
        watched = [module for module in self.paths if not isinstance(module, scripted)]
        with forwards({module: self._follow(module) for module in watched}):
            yield

    def entered(self, path: str, call: int) -> None:
        """Do something when a module is called."""

    def left(self, path: str, call: int, output: object) -> None:
        """Do something when a module has returned."""

    def _follow(self, module: nn.Module) -> Callable[..., Any]:
        original, path = module.forward, self.paths[module]

        def forward(*args: Any, **kwargs: Any) -> Any:
            call = self._calls[path]
            self._calls[path] += 1
            self._stack.append((path, call, Counter()))
            self.entered(path, call)
            try:
                output = original(*args, **kwargs)
            finally:
                self._stack.pop()
            self.left(path, call, output)
            return output

        return forward


class _FlopCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up the arithmetic of matrix products, convolutions and attention."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if "scaled_dot_product" in packet.__name__:
            query, key, value = args[:3]
            pairs = 2.0 * query.numel() * key.shape[-2]
            self.total += pairs + pairs * value.shape[-1] / query.shape[-1]
        elif "rnn" in packet.__name__:  # fused kernels of recurrent layers
            weights = sum(leaf.numel() for leaf in tensor_leaves(args) if leaf.ndim == 2)
            self.total += 2.0 * weights * output[0].numel() / output[0].shape[-1]
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=output)
        return output


class _Recorder(Frames, TorchFunctionMode):
    """Follow one pass and write it down."""

    def __init__(self, root: nn.Module) -> None:
        Frames.__init__(self, root)
        TorchFunctionMode.__init__(self)
        self.steps: list[Step] = []
        self.values: list[Tensor] = []
        self.names: dict[int, list[Place]] = {}
        self.calls: list[Call] = []
        self.root = Call("", 0, 0)
        self.flops = _FlopCount()
        self._value_of: dict[int, int] = {}
        self._weights = {id(p): n for n, p in root.named_parameters(remove_duplicate=True)}
        self._weights |= {id(b): n for n, b in root.named_buffers(remove_duplicate=True)}
        self._device = next((p.device for p in root.parameters()), torch.device("cpu"))

    def new_value(self, tensor: Tensor) -> int:
        """Give a tensor a number; it is kept, so that no later one can have its identity."""
        self.values.append(tensor)
        self._value_of[id(tensor)] = len(self.values) - 1
        return len(self.values) - 1

    def entered(self, path: str, call: int) -> None:
        made = self.root if not self.calls else Call(path, call, len(self.steps))
        if self.calls:
            self.calls[-1].inside.append(made)
        self.calls.append(made)

    def left(self, path: str, call: int, output: object) -> None:
        made = self.calls.pop()
        made.last = len(self.steps)
        leaves, spec = tree_flatten(output)
        made.gives = tuple(self._value_of.get(id(leaf)) for leaf in tensor_leaves(output))
        made.spec = spec if len(made.gives) == len(leaves) else None
        for leaf, value in enumerate(made.gives):
            if value is not None:
                self.names.setdefault(value, []).append(Place(path, call, leaf=leaf))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = tensor_leaves((args, kwargs))
        versions = [tensor._version for tensor in given]
        random_state, flops = self._random_state(), self.flops.total
        output = func(*args, **kwargs)
        made = tensor_leaves(output)
        changed = [t for t, v in zip(given, versions, strict=True) if t._version != v]
        if (not made and not changed) or not self.calls:
            return output
        name = function_name(func)
        matters = read_by_value(name, given)
        takes = [t for t, by_value in zip(given, matters, strict=True) if by_value]
        place = self.place(name) if made else Place("", 0, name)
        known = [self._value_of[id(t)] for t in takes if id(t) in self._value_of]
        loose = [t for t in takes if not (id(t) in self._value_of or id(t) in self._weights)]
        # what an in-place function changed is a new value, and so is what it is a view of
        bases = [t._base for t in changed if t._base is not None]
        unchanged = {id(t) for t in given} - {id(t) for t in changed}
        fresh = {id(t): t for t in (*made, *changed, *bases) if id(t) not in unchanged}
        gives = tuple(self.new_value(t) for key, t in fresh.items() if key not in self._weights)
        for leaf, tensor in enumerate(made):
            value = self._value_of.get(id(tensor))
            if value in gives:
                self.names.setdefault(value, []).append(place._replace(leaf=leaf))
        is_stateful = any(id(t) in self._weights for t in (*changed, *bases))
        self.steps.append(
            Step(
                place,
                tuple(dict.fromkeys(known)),
                gives,
                tuple(self._weights[id(t)] for t in given if id(t) in self._weights),
                (*_scalars(args, kwargs), *(_digest(tensor) for tensor in loose)),
                self.flops.total - flops,
                not torch.equal(random_state, self._random_state()),
                is_stateful or _uses_batch_statistics(name, args, kwargs),
            )
        )
        return output

    def _random_state(self) -> Tensor:
        if self._device.type == "cuda":
            return torch.cat([torch.get_rng_state(), torch.cuda.get_rng_state(self._device)])
        return torch.get_rng_state()


def function_name(func: Any) -> str:
    """Return what a torch function is called; for a property, the property's name."""
    name = str(getattr(func, "__name__", func))
    return str(func.__self__.__name__) if name == "__get__" else name


def _scalars(args: Any, kwargs: Any) -> tuple[object, ...]:
    plain = (bool, int, float, str, torch.dtype)
    return tuple(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, plain))


def _digest(tensor: Tensor) -> str:
    values = tensor.detach().cpu().contiguous().reshape(-1)
    return blake2b(values.view(torch.uint8).numpy().data, digest_size=16).hexdigest()


def _uses_batch_statistics(name: str, args: Any, kwargs: Any) -> bool:
    """Return whether this is a batch norm over the batch itself."""
    if name != "batch_norm":
        return False
    return bool(kwargs.get("training", args[5] if len(args) > 5 else False))


def record(module: nn.Module, inputs: Sequence[Tensor]) -> Trace:
    """Run a network once, as it stands, and write down what happens.

    Args:
        module: Its modes and ``requires_grad`` flags are left alone; its BatchNorm statistics
            change where a training pass changes them.
        inputs: Arguments of its forward.
    """
    recorder = _Recorder(module)
    # copies: an input may be the same tensor as another, or a parameter
    own = tuple(tensor.detach().clone() for tensor in inputs)
    numbers = tuple(recorder.new_value(tensor) for tensor in own)
    with recorder.watching(), recorder.flops, recorder:
        module(*own)
    return Trace(recorder.steps, recorder.root, numbers, recorder.values, recorder.names)
