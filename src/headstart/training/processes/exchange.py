"""What a loop exchanges with those of the other processes, and how all come to one state first.

Where every process has the whole network, gradients travel while the last backward pass of a step
runs. Where the weights are split, the pieces' gradients travel by themselves after every pass, and
the workers need to hear of everything that needs a whole network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.events import emit
from headstart.training.company import Act, NoExchange
from headstart.training.contract import LoopState
from headstart.training.processes.buckets import gather_rows
from headstart.training.processes.gradients import GradientReducer
from headstart.training.processes.instruction import Instruction
from headstart.training.state.checkpoint import optimizer_tensors, restore_optimizer

if TYPE_CHECKING:
    from headstart.training.batches.feed import Batch
    from headstart.training.loop import Loop
    from headstart.training.processes.company import Several
    from headstart.training.processes.shards import Shards


class SharedExchange(NoExchange):
    """What a loop exchanges where every process has the whole network.

    Args:
        loop: Of the main process or of a worker.
        company: The processes.
    """

    is_alone = False

    def __init__(self, loop: Loop, company: Several) -> None:
        super().__init__(loop)
        self.company = company

    def all_gather(self, rows: Tensor) -> list[Tensor]:
        """Return what each process gives, by rank; of any number of rows, all of one shape."""
        company = self.company
        with company.noticing_loss():
            return gather_rows(rows, company.size, company.group_of(rows))

    @cached_property
    def _gradients(self) -> GradientReducer:
        return GradientReducer(self.company, self.loop.module, self.loop.optimizer)

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of a step, of all processes."""
        assert self.loop.hooks.whole is not None
        return self.loop.hooks.whole(step)

    def expect_gradients(self, *, is_last: bool) -> None:
        """Before a backward pass: let gradients travel while the last of a step still runs."""
        self._gradients.expect(is_last=is_last)

    def announce(self, act: Act) -> object:
        """Agree on what comes next, and on the smallest micro-batch; return what it is.

        Where every process has the whole network the workers need to hear of steps alone.

        Args:
            act: What the main process wants; what a worker says does not count.
        """
        return self._agree(act) if act in ("end", "step") else act

    def receive_act(self) -> Act:
        """Return what the main process wants next."""
        return self._agree("end")

    def _agree(self, act: Act) -> Act:
        state = self.loop.state
        size = state.micro_batch_size
        agreed = self.company.agree(Instruction(act, state.num_steps, state.progress, size))
        if agreed.act == "end":
            self._close()
        if agreed.act not in ("end", "step"):
            return agreed.act
        state.num_steps, state.progress = agreed.num_steps, agreed.progress
        state.micro_batch_size = agreed.micro_batch_size
        if self.company.is_main and state.micro_batch_size != size:
            why = f"out of memory in another process before step {state.step}"
            emit("choice", name="micro_batch_size", value=state.micro_batch_size, why=why)
        return agreed.act

    def all_reduce(self, loss: Tensor, ids: list[np.ndarray]) -> list[np.ndarray]:
        """Add up gradients and loss over all processes; buffers become the main process's.

        Args:
            loss: Of this process's share, shape (); afterwards of the whole step.
            ids: Of the samples of this process's share.

        Returns:
            The ids of all samples of the step.
        """
        loop = self.loop
        self._reduce_gradients(loss)
        self.company.broadcast(loop.statistics.buffers)
        return [loop.hooks.step_ids(loop.state.step)] if loop.hooks.step_ids else ids

    def _close(self) -> None:
        self._gradients.close()

    def _reduce_gradients(self, loss: Tensor) -> None:
        self._gradients.finish(loss)

    def align(self) -> None:
        """Make weights, buffers, optimizer and the loop's numbers the main process's everywhere.

        Raises:
            SystemExit: In a worker, if the main process has ended instead.
        """
        loop, company = self.loop, self.company
        if company.is_main:
            told = optimizer_tensors(loop.optimizer)
            company.send(
                "align",
                network=digest_module(loop.module),
                loop=asdict(loop.state),
                scaler=loop.scaler.state_dict(),
                optimizer=[[n, *_kind(t), list(t.shape)] for n, t in told.items()],
            )
            company.broadcast_module(loop.module)
            company.broadcast(list(told.values()))
            return
        message = self._receive_alignment()
        company.broadcast_module(loop.module)
        found = {
            name: torch.empty(shape, dtype=getattr(torch, dtype), device=self._device(device))
            for name, dtype, device, shape in message["optimizer"]
        }
        company.broadcast(list(found.values()))
        restore_optimizer(loop.optimizer, found)
        if loop.scaler.is_enabled():
            loop.scaler.load_state_dict(message["scaler"])
        loop.state = LoopState(**message["loop"])
        loop.guard.skipped = loop.state.skipped_in_a_row

    def _receive_alignment(self) -> dict[str, Any]:
        """Return what the main process says of its state, once the networks are known to be alike.

        Raises:
            SystemExit: If the main process has ended instead, which it has told: its training was
                refused, by what was settled for it alone.
            HeadstartError: If this process has built another network.
        """
        message = self.company.await_message("align")
        if message["network"] != digest_module(self.loop.module):
            raise HeadstartError(
                "This process has built another network than the main one; expected the same "
                "start, data and versions everywhere. Start all processes with the same command."
            )
        return message

    def _device(self, kind: str) -> torch.device:
        own = self.company.device
        return own if kind == own.type else torch.device(kind)


class ShardExchange(SharedExchange):
    """What a loop exchanges where each process has a part of the weights.

    Args:
        loop: Of the main process or of a worker.
        company: The processes.
        shards: The network in pieces.
    """

    def __init__(self, loop: Loop, company: Several, shards: Shards) -> None:
        super().__init__(loop, company)
        self.shards = shards

    def announce(self, act: Act) -> object:
        """Agree on what comes next; return it. The workers need to hear of everything."""
        if act in ("end", "step"):
            return self._agree(act)
        if self.company.is_main:
            self.company.agree(Instruction(act))
        return act

    def expect_gradients(self, *, is_last: bool) -> None:
        """Nothing to prepare: the pieces' gradients travel by themselves after every pass."""

    def clip(self, most: float, *, may_read: bool) -> Tensor:
        """Scale the gradients so that their norm over all processes is at most so large."""
        return self.shards.clip(most)

    def in_step(self) -> AbstractContextManager[None]:
        """Surround the passes of a step: the processes meet within them."""
        return self.shards.in_step()

    def _close(self) -> None:
        """Nothing to end."""

    def _reduce_gradients(self, loss: Tensor) -> None:
        self.shards.all_reduce(loss)

    def align(self) -> None:
        """Make sure that all have the same network, and come to the same numbers of the loop.

        Weights and optimizer are what the main process's were before they were split, or what each
        process has read from the same checkpoint.

        Raises:
            SystemExit: In a worker, if the main process has ended instead.
        """
        loop, company = self.loop, self.company
        if company.is_main:
            company.send("align", network=digest_module(loop.module), loop=asdict(loop.state))
            return
        loop.state = LoopState(**self._receive_alignment()["loop"])


def digest_module(module: nn.Module) -> str:
    """Return a digest of the names, types and shapes of all parameters and buffers."""
    said = [(n, str(t.dtype), tuple(t.shape)) for n, t in _tensors(module)]
    return blake2b(repr(said).encode(), digest_size=16).hexdigest()


def _tensors(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _kind(tensor: Tensor) -> tuple[str, str]:
    return str(tensor.dtype).removeprefix("torch."), tensor.device.type
