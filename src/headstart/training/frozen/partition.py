"""Choose which steps of a recorded pass belong to the frozen prefix.

Everything expensive that no trainable parameter, random number or batch statistic precedes is in
the prefix. What is cheap beside it (additions, norms, pooling, masks) is taken on whichever side,
or on both, so that the fewest bytes cross: a minimal cut of the graph of steps, as late as
possible. The maximal flow that finds it is SciPy's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.training.frozen.recording import Call, Trace
from headstart.training.frozen.slots import Slot

_ENDLESS = 2**29  # bytes: more than any cut that is worth having


@dataclass(frozen=True)
class Partition:
    """Two sides of a pass.

    Attributes:
        prefix: Steps of the prefix.
        suffix: Steps that depend on an input or learn, and are not in the prefix; the other steps
            depend on neither, and both parts may take them.
        crossing: Values that the prefix hands over, in the order they arise.
        silenced: Paths of modules that draw random numbers inside the prefix; they must be in eval
            mode wherever the uncut network is to give the same.
        flops: Multiplications and additions of the whole pass.
        flop_share: Share of them that lies in the prefix.
    """

    prefix: frozenset[int]
    suffix: frozenset[int]
    crossing: tuple[int, ...]
    silenced: tuple[str, ...]
    flops: float
    flop_share: float


@dataclass(frozen=True)
class Handed:
    """What a frozen module that is not entered gives instead.

    Attributes:
        slots: Which tensor of its output is which slot.
        number: Which call of the module it was in the pass.
        spec: The structure of its output where it holds tensors only, otherwise None.
        like: What each of these is like for any batch, where that is known of all.
    """

    slots: Mapping[int, int]
    number: int
    spec: Any = None
    like: tuple[Slot, ...] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether everything that the module gives is a slot."""
        return self.spec is not None and len(self.slots) == self.spec.num_leaves


def divide(
    trace: Trace, trainable: AbstractSet[str], bytes_of: Mapping[int, int]
) -> Partition | str:
    """Divide a pass at the last point that no trainable parameter precedes.

    Args:
        trace: A pass in train mode.
        trainable: Names of the parameters that learn.
        bytes_of: Bytes per sample of each value that can cross; the others cannot.

    Returns:
        The two sides, or why there are none.
    """
    depends = _reached(trace, trace.inputs, ())
    learning = {
        index
        for index, step in enumerate(trace.steps)
        if step.is_stateful or not trainable.isdisjoint(step.weights)
    }
    live = _reached(trace, (), learning)
    frozen = depends - live
    heavy = {index for index in frozen if trace.steps[index].flops > 0}
    if not heavy:
        return "no matrix product or convolution lies before the first trainable parameter"
    needed = _ancestors(trace, heavy)
    random = {index for index in frozen if trace.steps[index].is_random}
    silenced = tuple(dict.fromkeys(trace.steps[i].place.module for i in sorted(random & needed)))
    # what draws after the last heavy step (a dropout before the head) belongs to the trained part
    frozen -= _reached(trace, (), random - needed)
    prefix = _minimal_cut(trace, frozen, heavy, bytes_of)
    if prefix is None:
        return "what the trainable part reads of the frozen part is not one row a sample"
    crossing = tuple(sorted(_made(trace, prefix) & _read(trace, prefix)))
    total = sum(step.flops for step in trace.steps)
    share = sum(trace.steps[index].flops for index in prefix) / total
    suffix = (depends | live) - prefix
    return Partition(frozenset(prefix), frozenset(suffix), crossing, silenced, total, share)


def _reached(trace: Trace, values: Collection[int], steps: Collection[int]) -> set[int]:
    """Return the steps that depend on some values or steps, those steps included."""
    known, reached = set(values), set(steps)
    for index, step in enumerate(trace.steps):
        if index in reached or not known.isdisjoint(step.takes):
            reached.add(index)
            known.update(step.gives)
    return reached


def _ancestors(trace: Trace, steps: Collection[int]) -> set[int]:
    """Return the steps that some steps depend on, those steps included."""
    wanted: set[int] = set()
    found = set(steps)
    for index in range(len(trace.steps) - 1, -1, -1):
        step = trace.steps[index]
        if index in found or not wanted.isdisjoint(step.gives):
            found.add(index)
            wanted.update(step.takes)
    return found


def _made(trace: Trace, prefix: Collection[int]) -> set[int]:
    return set(trace.inputs).union(*(trace.steps[index].gives for index in prefix))


def _read(trace: Trace, prefix: Collection[int]) -> set[int]:
    """Return the values that are read outside the prefix, the network's output among them."""
    read = {value for value in trace.root.gives if value is not None}
    for index, step in enumerate(trace.steps):
        if index not in prefix:
            read.update(step.takes)
    return read


def _minimal_cut(
    trace: Trace, frozen: set[int], heavy: set[int], bytes_of: Mapping[int, int]
) -> set[int] | None:
    """Return the steps that the suffix need not take; None where no set of values may cross.

    Nodes: 0 is the prefix, 1 the suffix, then the steps, then the values. A value reaches the
    suffix by crossing, which costs its bytes (the edge from its step), or by its step being taken
    there too, which needs what that step reads; heavy steps are never taken there.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    steps = len(trace.steps)
    edges: dict[tuple[int, int], int] = {(0, 2 + index): _ENDLESS for index in heavy}
    made_by = dict.fromkeys(trace.inputs, 0)
    for index in frozen:
        made_by |= dict.fromkeys(trace.steps[index].gives, 2 + index)
    for value, maker in made_by.items():
        edges[maker, 2 + steps + value] = bytes_of.get(value, _ENDLESS)
        if value in trace.root.gives:
            edges[2 + steps + value, 1] = _ENDLESS
    for index, step in enumerate(trace.steps):
        for value in made_by.keys() & set(step.takes):
            edges[2 + steps + value, 2 + index if index in frozen else 1] = _ENDLESS
    size = 2 + steps + len(trace.values)
    ends = np.array(list(edges), dtype=np.int32)
    prices = np.array(list(edges.values()), dtype=np.int32)
    graph = csr_array((prices, (ends[:, 0], ends[:, 1])), shape=(size, size))
    found = maximum_flow(graph, 0, 1)
    if found.flow_value >= _ENDLESS:
        return None
    residual = (graph - found.flow).tocoo()
    open_edges: dict[int, list[int]] = {}
    for start, end, left in zip(residual.row, residual.col, residual.data, strict=True):
        if left > 0:
            open_edges.setdefault(int(end), []).append(int(start))
    # as late as possible: the suffix is only what can still reach its end
    suffix, waiting = {1}, [1]
    while waiting:
        for node in open_edges.get(waiting.pop(), ()):
            if node not in suffix:
                suffix.add(node)
                waiting.append(node)
    return {index for index in frozen if 2 + index not in suffix}


def replaceable(
    trace: Trace, parts: Partition, slots: Mapping[int, int], regular: Mapping[int, Slot]
) -> dict[str, list[Handed]]:
    """Return the outermost modules that need not be entered once the values of a cut are known.

    Args:
        trace: The pass.
        parts: Its two sides.
        slots: For each value that crosses, its number.
        regular: What a value is like, where a sample's part is the same whatever the batch is.

    Returns:
        For each path, what each call that still happens is handed.
    """
    readers: dict[int, list[int]] = {value: [len(trace.steps)] for value in slots}
    for value in trace.root.gives:
        readers.setdefault(-1 if value is None else value, []).append(len(trace.steps))
    for index, step in enumerate(trace.steps):
        if index not in parts.prefix:
            for value in step.takes:
                readers.setdefault(value, []).append(index)

    def fits(call: Call) -> bool:
        inside = range(call.first, call.last)
        if parts.prefix.isdisjoint(inside) or not parts.suffix.isdisjoint(inside):
            return False
        # what is made here of no input (a position bias) matters only if it is read elsewhere
        read = {v for v, where in readers.items() if any(index not in inside for index in where)}
        needed = read & {value for index in inside for value in trace.steps[index].gives}
        if not needed <= slots.keys() & set(call.gives):
            return False
        return all(
            value in slots or (value is not None and value not in read) for value in call.gives
        )

    unfit: set[str] = set()
    calls = [trace.root]
    for call in calls:
        calls.extend(call.inside)
        if not fits(call):
            unfit.add(call.module)
    found: dict[str, list[Handed]] = {}
    waiting = [trace.root]
    while waiting:
        call = waiting.pop()
        if call.module in unfit:
            waiting.extend(reversed(call.inside))
            continue
        handed = {
            leaf: slots[v] for leaf, v in enumerate(call.gives) if v is not None and v in slots
        }
        like = [regular[v] for v in call.gives if v is not None and v in regular]
        is_regular = call.spec is not None and len(like) == len(call.gives)
        known = tuple(like) if is_regular else None
        found.setdefault(call.module, []).append(Handed(handed, call.number, call.spec, known))
    return found
