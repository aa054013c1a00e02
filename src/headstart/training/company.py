"""Who trains one model together, seen from one of them; a process alone is a company of one.

Whoever trains talks to a ``Company`` and asks no further: ``Alone`` answers here, and does nothing;
several processes answer from ``processes/``, a room that a process alone never enters. Three things
are handed out by a company: itself; a ``Placement``, how a network lies on the processes while it
learns; and an ``Exchange``, what one loop exchanges with the loops of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.training.machine.device import choose_device
from headstart.training.state.finite import clip_gradients

if TYPE_CHECKING:
    from headstart.training.batches.feed import Batch
    from headstart.training.loop import Loop
    from headstart.training.options.recipe import Recipe
    from headstart.training.state.checkpoint import CheckpointFolder

T = TypeVar("T")

# What the main process's loop does next. Where each process has the whole network the workers take
# part in "end" and "step" alone. Where the weights are split, whatever one process does with a
# whole network needs the pieces of all: begin to validate, run one batch of that, gather the pieces
# in the main process, keep the weights just validated as the best, save.
Act = Literal["end", "step", "validate", "forward", "gather", "keep", "save"]


class Exchange(Protocol):
    """What one loop exchanges with the loops of the other processes.

    Attributes:
        is_alone: Whether there are no others.
    """

    is_alone: bool

    def announce(self, act: Act) -> object:
        """In the main process: agree with the others on what comes next."""
        ...

    def align(self) -> None:
        """Come to the main process's state, before the first step."""
        ...

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of a step, of all processes."""
        ...

    def expect_gradients(self, *, is_last: bool) -> None:
        """Before a backward pass: say whether gradients are whole after it."""
        ...

    def all_reduce(self, loss: Tensor, ids: list[np.ndarray]) -> list[np.ndarray]:
        """Add up gradients and loss over the processes, in place.

        Args:
            loss: Of this process's share, shape (); afterwards of the whole step.
            ids: Of the samples of this process's share.

        Returns:
            The ids of all samples of the step.
        """
        ...

    def all_gather(self, rows: Tensor) -> list[Tensor]:
        """Return what each process gives, by rank; of any number of rows, all of one shape."""
        ...

    def clip(self, most: float, *, may_read: bool) -> Tensor:
        """Scale the gradients so that their norm is at most so large; see ``clip_gradients``."""
        ...

    def in_step(self) -> AbstractContextManager[None]:
        """Surround the passes of a step: what goes wrong in another process is said inside."""
        ...


class Placement(Protocol):
    """How a network lies on the processes while it learns.

    Attributes:
        module: What learns: the network itself, or a copy of it in pieces.
        checkpoints: Where this process keeps the loop's state; None keeps none.
    """

    @property
    def company(self) -> Company:
        """The processes."""
        ...

    module: nn.Module
    checkpoints: CheckpointFolder | None

    def localize(self, groups: Sequence[dict[str, object]]) -> None:
        """Put what lies here of each parameter into the groups of an optimizer."""
        ...

    def join(self, loop: Loop) -> Exchange:
        """Return what a loop over this network exchanges with the other processes."""
        ...

    def run(self, *inputs: Tensor) -> Tensor:
        """Return the logits of a batch of a validation; in the main process."""
        ...

    def lend_whole(self) -> None:
        """Within a validation: give the whole network the weights that are validated."""
        ...

    def finish(self, optimizer: torch.optim.Optimizer) -> None:
        """After the loop: give the main process's whole network what was learned."""
        ...


class Company(Protocol):
    """The processes that train together, as one of them sees them."""

    @property
    def rank(self) -> int:
        """This process's number; 0 is the main process."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    @property
    def num_local(self) -> int:
        """How many of them run on this machine."""
        ...

    @property
    def is_main(self) -> bool:
        """Whether this is the process that decides, validates and writes."""
        ...

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        ...

    @property
    def stop_number(self) -> int | None:
        """The signal with which another process was asked to stop; None while none was."""
        ...

    def send(self, kind: str, **fields: object) -> None:
        """From the main process: send a message to the workers, and do not wait for them."""
        ...

    def agree_on(self, compute: Callable[[], T]) -> T:
        """Return what the main process computes, in every process; all call it at the same place.

        Args:
            compute: Called in the main process alone; gives something that JSON can hold.
        """
        ...

    def gather(self, value: T) -> list[T]:
        """Return what each process gives, by rank, in every process; all call it at one place.

        Args:
            value: Something that JSON can hold.
        """
        ...

    def tell_stop(self, number: int) -> None:
        """Tell the others that this process was asked to stop, where they work by themselves.

        Args:
            number: The signal.
        """
        ...

    def told_stop(self) -> int | None:
        """Return the signal of which another process has told; None while none has."""
        ...

    def broadcast_module(self, module: nn.Module) -> None:
        """Set all parameters and buffers of a module to the main process's."""
        ...

    def settle_split(self, recipe: Recipe, learning_bytes: Callable[[], int]) -> Recipe:
        """Return the recipe with whether the weights are split over the processes.

        Args:
            recipe: What the user said about it stands.
            learning_bytes: What learning takes beside the weights.

        Raises:
            OptionError: If what was settled elsewhere cannot be done with split weights.
        """
        ...

    def place(
        self,
        module: nn.Module,
        recipe: Recipe,
        *,
        checkpoints: CheckpointFolder | None,
        example: Callable[[], Sequence[Tensor]],
        name: str,
    ) -> Placement:
        """Lay a network on the processes, all of which call this at the same time.

        Args:
            module: The same in every process; what learns requires gradients.
            recipe: Says whether the weights are split, as ``settle_split`` has settled it.
            checkpoints: Where the loop's state is kept; None keeps none.
            example: Gives the inputs of some samples, which show that pieces compute what the whole
                does.
            name: What to call the network in a sentence.

        Raises:
            StartError: If the network is to be split and cannot be.
        """
        ...


class NoExchange:
    """What a loop alone exchanges with others: nothing; and what all loops do by themselves.

    Args:
        loop: The loop.
    """

    is_alone = True

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._nothing = nullcontext()

    def announce(self, act: Act) -> object:
        """Nobody waits to be told."""

    def align(self) -> None:
        """There is one state."""

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of a step."""
        return self.loop.hooks.batches(step, self.loop.state.micro_batch_size)

    def expect_gradients(self, *, is_last: bool) -> None:
        """Gradients stay where they are."""

    def all_reduce(self, loss: Tensor, ids: list[np.ndarray]) -> list[np.ndarray]:
        """Return the ids: the gradients are those of the whole step."""
        return ids

    def all_gather(self, rows: Tensor) -> list[Tensor]:
        """Return what this process gives."""
        return [rows]

    def clip(self, most: float, *, may_read: bool) -> Tensor:
        """Scale the gradients so that their norm is at most so large; see ``clip_gradients``."""
        return clip_gradients(self.loop.parameters, most, may_read=may_read)

    def in_step(self) -> AbstractContextManager[None]:
        """Nothing can go wrong elsewhere."""
        return self._nothing


class WholePlacement:
    """A network that this process has whole.

    Args:
        company: This process.
        module: The network.
        checkpoints: Where the loop's state is kept; None keeps none.
    """

    def __init__(
        self, company: Company, module: nn.Module, checkpoints: CheckpointFolder | None = None
    ) -> None:
        self.company, self.module, self.checkpoints = company, module, checkpoints

    def localize(self, groups: Sequence[dict[str, object]]) -> None:
        """All of each parameter lies here."""

    def join(self, loop: Loop) -> Exchange:
        """Return what a loop alone exchanges."""
        return NoExchange(loop)

    def run(self, *inputs: Tensor) -> Tensor:
        """Return the logits of a batch."""
        logits: Tensor = self.module(*inputs)
        return logits

    def lend_whole(self) -> None:
        """It has the weights that are validated."""

    def finish(self, optimizer: torch.optim.Optimizer) -> None:
        """It has what was learned."""


class Alone:
    """A process that trains alone.

    Args:
        device: The user's word for the device, which is looked for when it is asked for.
    """

    rank = 0
    size = 1
    num_local = 1
    is_main = True
    stop_number: int | None = None

    def __init__(self, device: str = "auto") -> None:
        self._device = device

    @cached_property
    def device(self) -> torch.device:
        """Where this process trains.

        Raises:
            DeviceError: If there is no such device.
        """
        return choose_device(self._device)

    def send(self, kind: str, **fields: object) -> None:
        """Nobody receives it."""

    def agree_on(self, compute: Callable[[], T]) -> T:
        """Return what this process computes."""
        return compute()

    def gather(self, value: T) -> list[T]:
        """Return what this process gives."""
        return [value]

    def tell_stop(self, number: int) -> None:
        """Nobody needs to know."""

    def told_stop(self) -> int | None:
        """Nobody tells."""
        return None

    def broadcast_module(self, module: nn.Module) -> None:
        """There is one."""

    def settle_split(self, recipe: Recipe, learning_bytes: Callable[[], int]) -> Recipe:
        """Return the recipe with whole weights: a process may resume alone what several began."""
        return replace(recipe, fsdp=False, tensor_parallel_size=1)

    def place(
        self,
        module: nn.Module,
        recipe: Recipe,
        *,
        checkpoints: CheckpointFolder | None,
        example: Callable[[], Sequence[Tensor]],
        name: str,
    ) -> Placement:
        """Return the network as it lies here."""
        return WholePlacement(self, module, checkpoints)


ALONE = Alone()
