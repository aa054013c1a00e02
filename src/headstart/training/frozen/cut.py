"""Cut a network at the last point that no trainable parameter precedes.

``prefix(*inputs)`` is the frozen part in eval mode: its outputs can be computed once and kept.
``suffix(*crossing)`` is the trained part, with the network's own parameters, in whatever mode they
are. Together they are the network, bit for bit, which is checked before a cut is handed out. The
point is found from one recorded pass (``trace``), so no list of architectures exists; what crosses
is chosen so that the fewest bytes do (``partition``); the suffix runs the network's own code with
the frozen part ``absent``. Left out on purpose: storing what crosses (``activations``), and any
cut that needs other numbers, such as a narrower type.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headstart.errors import first_line
from headstart.training.frozen.partition import Partition, divide, replaceable
from headstart.training.frozen.prefix import Prefix, fingerprint
from headstart.training.frozen.recording import Frames, Place, Trace, record, tensor_leaves
from headstart.training.frozen.slots import Slot, lies_in_order, memory_order
from headstart.training.frozen.suffix import CutError, StandIn, Suffix, locate
from headstart.training.options.strategy import as_trained
from headstart.training.options.training_options import Batchnorm

_PROBE_ROWS = 2  # rows of the example that a cut is found with


@dataclass(frozen=True)
class Cut:
    """A network in two parts.

    Attributes:
        name: The places whose outputs cross, for people.
        prefix: Inputs to what crosses; eval mode, no gradients.
        suffix: What crosses to the network's output.
        slots: What crosses, in order.
        flops: Multiplications and additions of a forward pass, for one sample of the example's
            length.
        flop_share: Share of them that lies in the prefix, in (0, 1].
        bytes_per_sample: Bytes that the prefix computes for one sample of the example's length.
        silenced: Modules that would draw random numbers inside the prefix (a dropout on the
            embeddings); the uncut network gives the same only where they are in eval mode.
        fingerprint: Digest of the prefix: its weights, and what it does with them.
    """

    name: str
    prefix: Prefix
    suffix: Suffix
    slots: tuple[Slot, ...]
    flops: float
    flop_share: float
    bytes_per_sample: int
    silenced: tuple[str, ...]
    fingerprint: str

    @property
    def kept(self) -> tuple[Slot, ...]:
        """The slots that the prefix computes: what a store keeps."""
        return tuple(slot for slot in self.slots if slot.input is None)

    def compute(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the kept slots of a batch of inputs."""
        handed = zip(self.slots, self.prefix(*inputs), strict=True)
        return tuple(tensor for slot, tensor in handed if slot.input is None)

    def time_share(self, *inputs: Tensor, repeats: int = 3) -> float:
        """Return the prefix's share of a forward pass, in (0, 1], in time rather than arithmetic.

        The two differ where layers differ in how fast their arithmetic is, as early and late
        convolutions do.

        Args:
            inputs: A batch as training will have it.
            repeats: Passes of each; the fastest counts.
        """
        whole, prefix = [], []
        network = self.suffix.module
        modes = [(child, child.training) for child in network.modules()]
        try:
            network.eval()
            for _ in range(repeats):
                began = _now(inputs)
                with torch.no_grad():
                    network(*inputs)
                middle = _now(inputs)
                self.prefix(*inputs)
                whole.append(middle - began)
                prefix.append(_now(inputs) - middle)
        finally:
            for child, mode in modes:
                child.training = mode
        return min(1.0, min(prefix) / min(whole))

    def merge(self, kept: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the suffix's arguments, of kept slots and of the inputs that cross themselves.

        Args:
            kept: What ``compute`` gave, or a store.
            inputs: The inputs of the same samples; only those that a slot names are read.
        """
        rest = iter(kept)
        return tuple(next(rest) if s.input is None else inputs[s.input] for s in self.slots)


def _now(inputs: Sequence[Tensor]) -> float:
    if inputs[0].device.type == "cuda":
        torch.cuda.synchronize(inputs[0].device)
    return time.perf_counter()


@dataclass(frozen=True)
class Uncut:
    """A network that stays whole, and why, in words that continue "it trains uncached: "."""

    reason: str


def cut_network(
    module: nn.Module,
    example_inputs: Sequence[Tensor],
    *,
    trainable: Collection[str] | None = None,
    batchnorm: Batchnorm = "train",
    length_dim: int | None = None,
) -> Cut | Uncut:
    """Cut a network at the last point that no trainable parameter precedes.

    The network must be on the device where it will train, and be cut under the autocast that it
    will train under. Modes, flags, statistics and random state are left as they were.

    Args:
        module: The network; it must give the same for a sample whatever the batch is.
        example_inputs: Arguments of its forward, at least two rows each.
        trainable: Names of the parameters that learn; None for those that require a gradient.
        batchnorm: As ``set_train_mode`` takes it.
        length_dim: Dimension of every input that holds tokens, where texts differ in length.

    Returns:
        The two parts, or why there are none.
    """
    learning = {n for n, p in module.named_parameters() if p.requires_grad}
    names = learning if trainable is None else set(trainable)
    first = tuple(tensor[:_PROBE_ROWS].detach() for tensor in example_inputs)
    if not names:
        return Uncut("nothing learns")
    if not first or any(len(tensor) < 2 for tensor in first):
        return Uncut("the example has fewer than two samples")
    if length_dim is not None and any(tensor.shape[length_dim] < 3 for tensor in first):
        return Uncut("the example is shorter than three tokens")
    second = tuple(torch.cat([tensor, tensor[:1]]) for tensor in first)
    if length_dim is not None:
        second = tuple(t.narrow(length_dim, 0, t.shape[length_dim] - 1) for t in second)
    with as_trained(module, names, batchnorm):
        try:
            return _find(_Search(module, first, second, names, length_dim))
        except CutError as error:
            return Uncut(str(error))
        except Exception as error:
            # Networks do what they like in a forward pass, and fail in every way Python knows.
            said = f"{type(error).__name__}: {first_line(error)}"
            return Uncut(f"its pass cannot be followed ({said})")


@dataclass(frozen=True)
class _Search:
    """What a cut is looked for with: two examples that differ in batch size, and in length."""

    module: nn.Module
    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    trainable: set[str]
    length_dim: int | None

    def pattern(self, one: Tensor, other: Tensor) -> tuple[int | None, ...] | None:
        """Return the shape of one sample, None where it varies; None if it is not row by row."""
        if one.ndim != other.ndim or not one.ndim or one.dtype != other.dtype:
            return None
        if (len(one), len(other)) != (len(self.first[0]), len(self.second[0])):
            return None
        dims: list[int | None] = []
        for number, (a, b) in enumerate(zip(one.shape[1:], other.shape[1:], strict=True)):
            varies = a != b
            if varies and (number or self.length_dim is None or b != a - 1):
                return None
            dims.append(None if varies else a)
        return tuple(dims)


def _find(search: _Search) -> Cut | Uncut:
    trace, other = record(search.module, search.first), record(search.module, search.second)
    patterns = _patterns(search, trace, other)
    tokens = [v for v in trace.inputs if not trace.values[v].is_floating_point()]
    bytes_of = {v: trace.values[v].nbytes // len(search.first[0]) for v in patterns}
    # ids and masks are at hand with every batch: all but free
    bytes_of |= {v: 1 for v in tokens if v in patterns}
    parts = divide(trace, search.trainable, bytes_of)
    if isinstance(parts, str):
        return Uncut(parts)
    failed = CutError("")
    # some networks look at the numbers of their integer inputs (a mask, ids): then those cross too
    for crossing in dict.fromkeys((parts.crossing, tuple(sorted({*parts.crossing, *tokens})))):
        try:
            return _build(search, trace, parts, crossing, patterns)
        except (CutError, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            failed = CutError(f"its parts do not fit ({first_line(error).split(';')[0]})")
    raise failed


def _patterns(search: _Search, trace: Trace, other: Trace) -> dict[int, tuple[int | None, ...]]:
    """Return the shape of one sample for every value that has one row a sample in both passes."""
    by_name = {place: value for value, places in other.names.items() for place in places}
    twins = dict(zip(trace.inputs, other.inputs, strict=True))
    for value, places in trace.names.items():
        twin = next((by_name[place] for place in places if place in by_name), None)
        if twin is not None:
            twins.setdefault(value, twin)
    found = {v: search.pattern(trace.values[v], other.values[t]) for v, t in twins.items()}
    return {value: pattern for value, pattern in found.items() if pattern is not None}


def _regular(
    search: _Search, trace: Trace, patterns: Mapping[int, tuple[int | None, ...]]
) -> dict[int, Slot]:
    """Return what each value is like that is the same for a sample whatever the batch is."""
    found = {}
    for value, pattern in patterns.items():
        tensor = trace.values[value]
        slot = _slot(pattern, tensor)
        if search.length_dim is not None:
            # as many tokens as the inputs have; what two lengths have alike a third may not
            length = search.first[0].shape[search.length_dim]
            if None not in pattern or tensor.shape[1] != length:
                continue
        if lies_in_order(tensor, slot.order):  # no view of something larger
            found[value] = slot
    return found


def _build(
    search: _Search,
    trace: Trace,
    parts: Partition,
    crossing: tuple[int, ...],
    patterns: Mapping[int, tuple[int | None, ...]],
) -> Cut:
    """Make the two parts and prove that they are the whole."""
    module = search.module
    slots = {value: slot for slot, value in enumerate(crossing)}
    inputs = {value: index for index, value in enumerate(trace.inputs)}
    paths = {path: child for child, path in Frames(module).paths.items()}
    at: dict[int, Place | int] = {}
    stand_ins: dict[nn.Module, StandIn] = {}
    for path, handed in replaceable(trace, parts, slots, _regular(search, trace, patterns)).items():
        stand_ins[paths[path]] = StandIn(paths[path], path, handed)
        for call in handed:
            for leaf, slot in call.slots.items():
                at.setdefault(slot, Place(path, call.number, leaf=leaf))
    wanted: dict[Place, int] = {}
    for value, slot in slots.items():
        if value in inputs:
            at[slot] = inputs[value]
        elif slot not in at:
            functions = [place for place in trace.names.get(value, []) if place.function]
            if not functions:
                raise CutError("a value that crosses has no name")
            at[slot] = functions[0]
            wanted[functions[0]] = slot
    places = [at[slot] for slot in range(len(slots))]
    prefix = Prefix(module, places)
    suffix = Suffix(
        module,
        search.first,
        _varying(search),
        stand_ins,
        {inputs[value]: slot for value, slot in slots.items() if value in inputs},
        _sizes([patterns[value] for value in crossing]),
    )
    made = prefix(*search.first)
    described = tuple(
        _slot(patterns[v], tensor, inputs.get(v)) for v, tensor in zip(crossing, made, strict=True)
    )
    prefix.orders = [slot.order for slot in described]
    _prove(search, parts, prefix, suffix, wanted)
    return Cut(
        _said(places),
        prefix,
        suffix,
        described,
        parts.flops / _PROBE_ROWS,
        parts.flop_share,
        sum(
            t.nbytes // len(t)
            for t, slot in zip(made, described, strict=True)
            if slot.input is None
        ),
        parts.silenced,
        fingerprint(module, trace, parts.prefix, places),
    )


def _said(places: Sequence[Place | int]) -> str:
    names = [place.said() for place in places if isinstance(place, Place)]
    return " + ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _slot(pattern: tuple[int | None, ...], tensor: Tensor, given: int | None = None) -> Slot:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return Slot(pattern, dtype, _order(pattern, tensor), given)


def _order(pattern: tuple[int | None, ...], tensor: Tensor) -> tuple[int, ...]:
    """Return the memory order of a slot; tokens always come first."""
    order = memory_order(tensor)
    return tuple(range(len(order))) if None in pattern and order[0] else order


def _varying(search: _Search) -> list[dict[int, int]]:
    length = {} if search.length_dim is None else {search.length_dim: 1}
    return [{0: 0, **length} for _ in search.first]


def _sizes(patterns: Sequence[tuple[int | None, ...]]) -> list[tuple[int, int]]:
    """Return the slot and dimension that tell the batch, and those that tell the length."""
    ragged = [(slot, 1) for slot, pattern in enumerate(patterns) if None in pattern]
    return [(0, 0), *ragged[:1]]


def _prove(
    search: _Search, parts: Partition, prefix: Prefix, suffix: Suffix, wanted: Mapping[Place, int]
) -> None:
    """Demand that the parts give what the whole gives, in both modes and at both sizes."""
    module = search.module
    modes = [(child, child.training) for child in module.modules()]
    met: list[object] = []
    for inputs, is_training in ((search.first, True), (search.second, False)):
        for child, mode in modes:
            child.training = mode and is_training
        for path in parts.silenced:
            module.get_submodule(path).training = False
        handed = prefix(*inputs)
        if wanted:
            locate(suffix, handed, wanted)
            met.append(suffix.ordinals)
        if not _are_equal(_seeded(module, inputs), _seeded(suffix, handed)):
            raise CutError("they give other numbers than the whole")
    for child, mode in modes:
        child.training = mode
    if any(ordinals != met[0] for ordinals in met):
        raise CutError("its train and eval passes differ before the cut")
    # a sample's row must not depend on the others'
    alone = prefix(*(torch.cat([tensor[:1]] * len(tensor)) for tensor in search.first))
    for one, all_rows in zip(alone, prefix(*search.first), strict=True):
        if not torch.allclose(one[0].double(), all_rows[0].double(), rtol=1e-3, atol=1e-4):
            raise CutError("a sample's values depend on the other samples of its batch")


def _seeded(run: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    torch.manual_seed(0)
    return tensor_leaves(run(*(tensor.clone() for tensor in inputs)))


def _are_equal(expected: Sequence[Tensor], found: Sequence[Tensor]) -> bool:
    """Return whether two outputs are the same, bit for bit on a CPU."""
    if len(expected) != len(found):
        return False
    for one, other in zip(expected, found, strict=True):
        if one.device.type == "cpu" or not one.is_floating_point():
            same = one.shape == other.shape and bool(((one == other) | (one != one)).all())
        else:
            # kernels may add in another order from run to run
            same = one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4)
        if not same:
            return False
    return True
