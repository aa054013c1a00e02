"""Several processes that train one model: who they are, what they agree on, what they add up.

The main process alone looks at the clock, the validation split and the disk. The workers compute
their share of every step, and nothing else. Four things travel. Messages (JSON, through the store
that the launcher brings) say what to do next, and nobody waits to send one. Before every step all
hand round one row of numbers: the main process's is the instruction, the workers' say whether
somebody asked to stop or had too little memory. Gradients are all-reduced while the last backward
pass of a step still runs (``gradients``). Buffers are broadcast by the main process.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import Store

from headstart.errors import HeadstartError, ProcessLost, first_line
from headstart.training.company import Placement
from headstart.training.machine.memory import is_out_of_memory
from headstart.training.options.recipe import Recipe
from headstart.training.processes.buckets import buckets, flatten, sort_alike, spread
from headstart.training.processes.environment import num_local_processes
from headstart.training.processes.instruction import ACTS, Instruction
from headstart.training.processes.placement import SharedPlacement, settle_split
from headstart.training.state.checkpoint import CheckpointFolder

T = TypeVar("T")

# who waits here may wait for all that the main process does alone; a process that dies is seen at
# once
_WAIT = timedelta(days=30)
_FAREWELL_SECONDS = 20.0
_LAST_MESSAGE_SECONDS = 2.0
_STOP_SECONDS = 0.5


class Several:
    """This process among those that train together; ``launch.joined`` makes it.

    Args:
        store: Carries the messages.
        rank: This process's number; 0 is the main process.
        size: How many there are.
        device: Where this process trains.

    Attributes:
        stop_number: The signal with which another process was asked to stop; None while none was.
        own_stop: Says which signal this process has received, 0 for none.
    """

    def __init__(self, store: Store, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, size, device
        self.stop_number: int | None = None
        self.own_stop: Callable[[], int] = lambda: 0
        self._store = store
        self._num_messages = self._num_gathered = 0
        self._pattern = 0
        self._asked, self._has_told = 0.0, False
        # what is said about steps never waits for a GPU
        self._host: dist.ProcessGroup = self.new_group()

    @property
    def is_main(self) -> bool:
        """Whether this is the process that decides, validates and writes."""
        return self.rank == 0

    @property
    def num_local(self) -> int:
        """How many of the processes run on this machine."""
        return num_local_processes(self.size)

    # Messages -------------------------------------------------------------------------------

    def send(self, kind: str, **fields: object) -> None:
        """Send the workers a message; the main process does not wait for them."""
        message = json.dumps({"kind": kind, **fields})
        self._store.set(f"message/{self._num_messages}", message)
        self._num_messages += 1

    def receive(self, *, seconds: float | None = None) -> dict[str, Any] | None:
        """Return the main process's next message, or None where none came in time.

        Args:
            seconds: How long to wait; None waits for as long as the main process lives.

        Raises:
            ProcessLost: If the store has gone, and so the main process.
        """
        key, began = f"message/{self._num_messages}", time.monotonic()
        with self.noticing_loss():
            while not self._store.check([key]):
                if seconds is not None and time.monotonic() - began > seconds:
                    return None
                time.sleep(0.02)
            found: dict[str, Any] = json.loads(self._store.get(key))
        self._num_messages += 1
        return found

    def await_message(self, *kinds: str) -> dict[str, Any]:
        """Return the main process's next message, where this process has nothing to do without it.

        Args:
            kinds: One of them it must be.

        Raises:
            SystemExit: If the main process has ended instead, which it has told.
            ProcessLost: If it has gone without a word.
            HeadstartError: If it says something else: the two are at different places.
        """
        message = self.receive() or {}
        if message["kind"] == "ended":
            raise SystemExit(message["code"])
        if message["kind"] not in kinds:
            waited = "' or '".join(kinds)
            raise HeadstartError(
                f"The main process says '{message['kind']}' and this one waits for '{waited}'; "
                f"expected the same program everywhere. Start all processes with the same command "
                f"and version."
            )
        return message

    def last_message(self) -> dict[str, Any] | None:
        """Return the message with which the main process ended; None where it could not send it."""
        found = None
        try:
            while (message := self.receive(seconds=_LAST_MESSAGE_SECONDS)) is not None:
                found = message
                if message["kind"] in ("done", "ended"):
                    return found
        except ProcessLost:
            pass
        return None

    def agree_on(self, compute: Callable[[], T]) -> T:
        """Return what the main process computes, in every process.

        Args:
            compute: Called in the main process alone; gives something that JSON can hold.

        Raises:
            SystemExit: In a worker, if the main process has ended instead.
        """
        if not self.is_main:
            found: T = self.await_message("value")["value"]
            return found
        value = compute()
        self.send("value", value=value)
        return value

    def gather(self, value: T) -> list[T]:
        """Return what each process gives, by rank, in every process.

        Args:
            value: Something that JSON can hold.

        Raises:
            ProcessLost: If a process has left.
        """
        number, self._num_gathered = self._num_gathered, self._num_gathered + 1
        self._store.set(f"gathered/{number}/{self.rank}", json.dumps(value))
        self.barrier()  # notices who has gone
        with self.noticing_loss():
            return [
                json.loads(self._store.get(f"gathered/{number}/{rank}"))
                for rank in range(self.size)
            ]

    def tell_stop(self, number: int) -> None:
        """Tell the others that this process was asked to stop; see ``Company``."""
        if not self._has_told:
            self._has_told = True
            self._store.set("stop", str(number))

    def told_stop(self) -> int | None:
        """Return the signal of which another process has told; asked for twice a second at most.

        Raises:
            ProcessLost: If the store has gone, and so the main process.
        """
        now = time.monotonic()
        if now - self._asked < _STOP_SECONDS:
            return None
        self._asked = now
        with self.noticing_loss():
            return int(self._store.get("stop")) if self._store.check(["stop"]) else None

    def leave(self, *, is_broken: bool = False) -> None:
        """Take leave: workers say so, the main process waits a while until all have.

        Args:
            is_broken: Whether somebody has left already, so that nobody is waited for.
        """
        # first: whoever waits in the middle of a step must notice
        del self._host
        dist.destroy_process_group()
        names = [f"left/{rank}" for rank in range(1, self.size)]
        with suppress(RuntimeError):  # somebody is gone already: whoever launched us knows
            if not self.is_main:
                self._store.set(f"left/{self.rank}", "")
            elif not is_broken:
                self._store.wait(names, timedelta(seconds=_FAREWELL_SECONDS))

    # Training -------------------------------------------------------------------------------

    def settle_split(self, recipe: Recipe, learning_bytes: Callable[[], int]) -> Recipe:
        """Return the recipe with whether the weights are split; see ``Company``.

        Raises:
            OptionError: If what was settled elsewhere cannot be done with split weights.
        """
        return settle_split(recipe, self.device, learning_bytes)

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

        See ``Company`` for the arguments.

        Raises:
            StartError: If the network is to be split and cannot be.
        """
        if not recipe.is_split:
            return SharedPlacement(self, module, checkpoints)
        from headstart.training.processes.shard_placement import ShardPlacement

        return ShardPlacement(self, module, recipe, checkpoints, example(), name)

    def broadcast_module(self, module: nn.Module) -> None:
        """Set all parameters and buffers to the main process's, when all have come so far."""
        self.barrier()
        self.broadcast([*module.parameters(), *module.buffers()])

    # Steps ----------------------------------------------------------------------------------

    def barrier(self) -> None:
        """Wait until all processes have come so far, however long one may take.

        Raises:
            ProcessLost: If a process has left.
        """
        with self.noticing_loss():
            _wait(dist.barrier(group=self._host, async_op=True))

    def agree(self, instruction: Instruction) -> Instruction:
        """Hand round one row of numbers before a step or another act; return what all do.

        Args:
            instruction: The main process's. Of a worker's only the micro-batch size counts.

        Returns:
            The main process's instruction, with the smallest micro-batch size of all.

        Raises:
            ProcessLost: If a process has left.
            HeadstartError: If the processes train different networks.
        """
        row = [
            float(ACTS.index(instruction.act)),
            float(instruction.num_steps),
            instruction.progress,
            float(instruction.micro_batch_size or 0),
            float(self.own_stop()),
            float(self._pattern),
        ]
        own = torch.tensor(row, dtype=torch.float64)
        rows = [torch.empty_like(own) for _ in range(self.size)]
        with self.noticing_loss():
            work = dist.all_gather(rows, own, group=self._host, async_op=True)
            _wait(work)
        found = [each.tolist() for each in rows]
        if len({each[5] for each in found}) > 1:
            raise HeadstartError(
                "The processes have gradients for different parameters; expected one network and "
                "one data set everywhere. Start all of them with the same command."
            )
        self.stop_number = int(max(each[4] for each in found)) or None
        sizes = [int(each[3]) for each in found if each[3]]
        act, num_steps, progress = found[0][:3]
        smallest = min(sizes) if sizes else None
        return Instruction(ACTS[int(act)], int(num_steps), progress, smallest)

    def note_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Remember which parameters have a gradient, for the next ``agree`` to compare."""
        self._pattern = zlib.crc32(bytes(p.grad is not None for p in parameters))

    @torch.no_grad()
    def all_reduce(self, tensors: Sequence[Tensor], group: dist.ProcessGroup | None = None) -> None:
        """Add up tensors over the processes, in place.

        Args:
            tensors: As many, and of the same shapes and types, in every process.
            group: Some of the processes; None for all.
        """
        for bucket in buckets(sort_alike(tensors)):
            flat = flatten(bucket)
            with self.noticing_loss():
                dist.all_reduce(flat, group=group or self.group_of(flat))
            spread(flat, bucket)

    def begin_all_reduce(self, tensor: Tensor) -> dist.Work:
        """Begin to add up a contiguous tensor over the processes, in place."""
        with self.noticing_loss():
            work = dist.all_reduce(tensor, group=self.group_of(tensor), async_op=True)
        assert work is not None
        return work

    def finish_all_reduce(self, work: dist.Work) -> None:
        """Wait for one that was begun; on a GPU what is computed next waits, not the host."""
        with self.noticing_loss():
            work.wait()

    @torch.no_grad()
    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to what they are in the main process.

        Args:
            tensors: As many, and of the same shapes and types, in every process.
        """
        for bucket in buckets(sort_alike(tensor.detach() for tensor in tensors)):
            flat = flatten(bucket)
            with self.noticing_loss():
                dist.broadcast(flat, 0, group=self.group_of(flat))
            if not self.is_main:
                spread(flat, bucket)

    def send_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Send tensors to the workers, who know nothing of them; they call ``receive_tensors``."""
        kinds = [[str(t.dtype).removeprefix("torch."), list(t.shape)] for t in tensors]
        with self.noticing_loss():
            dist.broadcast_object_list([kinds], 0, group=self._host)
        self.broadcast(tensors)

    def receive_tensors(self) -> list[Tensor]:
        """Return the tensors that the main process sends."""
        told: list[list[tuple[str, list[int]]]] = [[]]
        with self.noticing_loss():
            dist.broadcast_object_list(told, 0, group=self._host)
        tensors = [
            torch.empty(shape, dtype=getattr(torch, dtype), device=self.device)
            for dtype, shape in told[0]
        ]
        self.broadcast(tensors)
        return tensors

    def new_group(self) -> dist.ProcessGroup:
        """Return a group of all processes for work beside the training; all must ask for it."""
        made = dist.new_group(backend="gloo", timeout=_WAIT)
        assert isinstance(made, dist.ProcessGroup)
        return made

    def group_of(self, tensor: Tensor) -> dist.ProcessGroup | None:
        """Return the processes as a tensor reaches them: by the host where it lies there."""
        return self._host if tensor.device.type == "cpu" else None

    @contextmanager
    def noticing_loss(self) -> Iterator[None]:
        """Say in a sentence that another process has gone, where PyTorch fails inside the block.

        Raises:
            ProcessLost: In place of the RuntimeError.
        """
        try:
            yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ProcessLost(
                f"Another of the {self.size} processes that train together has left "
                f"({first_line(error)}); expected all of them to stay. Its own message says why; "
                f"the newest checkpoint is intact. Go on with --resume, or let torchrun "
                f"--max-restarts do it."
            ) from error


def _wait(work: dist.Work | None) -> None:
    """Wait so that signals are seen meanwhile; the pauses grow with the wait."""
    assert work is not None
    pause = 2e-5
    while not work.is_completed():
        time.sleep(pause)
        pause = min(0.01, pause * 1.1)
    work.wait()
