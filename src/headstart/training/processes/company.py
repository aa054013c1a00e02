"""Several processes that train one model: who they are, what they agree on, what they add up.

The first process leads: it alone looks at the clock, the validation split and the disk. The others
follow: they compute their share of every step, and nothing else. Four things travel. Words (JSON,
through the store that the launcher brings) say what to do next, and nobody waits to speak. Before
every step all hand round one row of numbers: the leader's is the order, the others' say whether
somebody asked to stop or had too little memory. Gradients are added up while the last backward pass
of a step still runs (``gradients``). Buffers are the leader's.

Nothing here is imported by a process that trains alone.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import Store

from headstart.errors import HeadstartError, ProcessLost, first_line
from headstart.training.machine.memory import is_out_of_memory

# who waits here may wait for all that the leader does alone; a process that dies is seen at once
_WAIT = timedelta(days=30)
_FAREWELL_SECONDS = 20.0
_LAST_WORD_SECONDS = 2.0
BUCKET_BYTES = 25 << 20  # DistributedDataParallel's

# The loop has ended, or takes a step. The others are for weights that are split, where whatever one
# process does with a whole network needs the pieces of all: begin a look at the validation split,
# run one batch of it, give all pieces to the leader, keep the weights looked at as the best, save.
Act = Literal["end", "step", "look", "forward", "whole", "keep", "save"]
_ACTS: tuple[Act, ...] = get_args(Act)


@dataclass(frozen=True)
class Order:
    """What all processes do next.

    Attributes:
        act: What to do.
        num_steps: Steps of the run as it is planned now.
        progress: Progress of the schedule, in [0, 1].
        micro_batch_size: Samples a forward pass, where memory has run out somewhere.
    """

    act: Act
    num_steps: int = 0
    progress: float = 0.0
    micro_batch_size: int | None = None


class Team:
    """This process among those that train together; ``launch.join`` makes it.

    Args:
        store: Carries the words.
        rank: This process's number; 0 leads.
        num: How many there are.
        device: Where this process trains.

    Attributes:
        stop_number: The signal with which another process was asked to stop; None while none was.
        own_stop: Says which signal this process has received, 0 for none.
    """

    def __init__(self, store: Store, rank: int, num: int, device: torch.device) -> None:
        self.rank, self.num, self.device = rank, num, device
        self.stop_number: int | None = None
        self.own_stop: Callable[[], int] = lambda: 0
        self._store = store
        self._num_words = 0
        self._pattern = 0
        # words about steps never wait for a GPU
        self._host: dist.ProcessGroup = self.new_group()

    @property
    def leads(self) -> bool:
        """Whether this is the process that decides, looks and writes."""
        return self.rank == 0

    # Words ----------------------------------------------------------------------------------

    def say(self, kind: str, **fields: object) -> None:
        """Tell the followers something; the leader does not wait for them."""
        word = json.dumps({"kind": kind, **fields})
        self._store.set(f"word/{self._num_words}", word)
        self._num_words += 1

    def hear(self, *, seconds: float | None = None) -> dict[str, object] | None:
        """Return the leader's next word, or None where none came in time.

        Args:
            seconds: How long to wait; None waits for as long as the leader lives.

        Raises:
            ProcessLost: If the store has gone, and so the leader.
        """
        key, began = f"word/{self._num_words}", time.monotonic()
        with self.noticing_loss():
            while not self._store.check([key]):
                if seconds is not None and time.monotonic() - began > seconds:
                    return None
                time.sleep(0.02)
            found: dict[str, object] = json.loads(self._store.get(key))
        self._num_words += 1
        return found

    def last_word(self) -> dict[str, object] | None:
        """Return the word with which the leader ended, or None where it could not say one."""
        found = None
        try:
            while (word := self.hear(seconds=_LAST_WORD_SECONDS)) is not None:
                found = word
                if word["kind"] in ("done", "ended"):
                    return found
        except ProcessLost:
            pass
        return None

    def leave(self, *, is_broken: bool = False) -> None:
        """Take leave: followers say so, the leader waits a while until all have heard it.

        Args:
            is_broken: Whether somebody has left already, so that nobody is waited for.
        """
        # first: whoever waits in the middle of a step must notice
        del self._host
        dist.destroy_process_group()
        names = [f"left/{rank}" for rank in range(1, self.num)]
        with suppress(RuntimeError):  # somebody is gone already: whoever launched us knows
            if not self.leads:
                self._store.set(f"left/{self.rank}", "")
            elif not is_broken:
                self._store.wait(names, timedelta(seconds=_FAREWELL_SECONDS))

    # Steps ----------------------------------------------------------------------------------

    def meet(self) -> None:
        """Wait until all processes have come so far, however long one may take.

        Raises:
            ProcessLost: If a process has left.
        """
        with self.noticing_loss():
            _wait(dist.barrier(group=self._host, async_op=True))

    def agree(self, order: Order) -> Order:
        """Hand round one row of numbers before a step or another act; return the leader's will.

        Args:
            order: The leader's order. Of a follower's only the micro-batch size counts.

        Returns:
            The leader's order, with the smallest micro-batch size of all.

        Raises:
            ProcessLost: If a process has left.
            HeadstartError: If the processes train different networks.
        """
        row = [
            float(_ACTS.index(order.act)),
            float(order.num_steps),
            order.progress,
            float(order.micro_batch_size or 0),
            float(self.own_stop()),
            float(self._pattern),
        ]
        own = torch.tensor(row, dtype=torch.float64)
        rows = [torch.empty_like(own) for _ in range(self.num)]
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
        return Order(_ACTS[int(act)], int(num_steps), progress, smallest)

    def note_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Remember which parameters have a gradient, for the next ``agree`` to compare."""
        self._pattern = zlib.crc32(bytes(p.grad is not None for p in parameters))

    @torch.no_grad()
    def add_up(self, tensors: Sequence[Tensor], group: dist.ProcessGroup | None = None) -> None:
        """Add up tensors over the processes, in place.

        Args:
            tensors: As many, and of the same shapes and types, in every process.
            group: Some of the processes; None for all.
        """
        for bucket in buckets(_alike(tensors)):
            flat = _flatten(bucket)
            with self.noticing_loss():
                dist.all_reduce(flat, group=group or self._group(flat))
            _spread(flat, bucket)

    def begin_sum(self, tensor: Tensor) -> dist.Work:
        """Begin to add up a contiguous tensor over the processes, in place."""
        with self.noticing_loss():
            work = dist.all_reduce(tensor, group=self._group(tensor), async_op=True)
        assert work is not None
        return work

    def finish_sum(self, work: dist.Work) -> None:
        """Wait for a sum that was begun; on a GPU what is computed next waits, not the host."""
        with self.noticing_loss():
            work.wait()

    def send(self, tensors: Sequence[Tensor]) -> None:
        """Give tensors to the followers, who know nothing of them; they call ``receive``."""
        kinds = [[str(t.dtype).removeprefix("torch."), list(t.shape)] for t in tensors]
        with self.noticing_loss():
            dist.broadcast_object_list([kinds], 0, group=self._host)
        self.copy_from_leader(tensors)

    def receive(self) -> list[Tensor]:
        """Return the tensors that the leader sends."""
        told: list[list[tuple[str, list[int]]]] = [[]]
        with self.noticing_loss():
            dist.broadcast_object_list(told, 0, group=self._host)
        tensors = [
            torch.empty(shape, dtype=getattr(torch, dtype), device=self.device)
            for dtype, shape in told[0]
        ]
        self.copy_from_leader(tensors)
        return tensors

    def new_group(self) -> dist.ProcessGroup:
        """Return a group of all processes for work beside the training; all must ask for it."""
        made = dist.new_group(backend="gloo", timeout=_WAIT)
        assert isinstance(made, dist.ProcessGroup)
        return made

    @torch.no_grad()
    def copy_from_leader(self, tensors: Sequence[Tensor]) -> None:
        """Set tensors to what they are in the leading process.

        Args:
            tensors: As many, and of the same shapes and types, in every process.
        """
        for bucket in buckets(_alike(tensor.detach() for tensor in tensors)):
            flat = _flatten(bucket)
            with self.noticing_loss():
                dist.broadcast(flat, 0, group=self._group(flat))
            if not self.leads:
                _spread(flat, bucket)

    def _group(self, tensor: Tensor) -> dist.ProcessGroup | None:
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
                f"Another of the {self.num} processes that train together has left "
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


def buckets(tensors: Iterable[Tensor], first_bytes: int = BUCKET_BYTES) -> Iterator[list[Tensor]]:
    """Yield neighbours of one type and device, closed when they have reached a size.

    Args:
        tensors: In the order in which they travel.
        first_bytes: Size of the first one.
    """
    most = first_bytes
    for _, alike in groupby(tensors, key=lambda tensor: (tensor.dtype, tensor.device)):
        some: list[Tensor] = []
        num_bytes = 0
        for tensor in alike:
            some.append(tensor)
            num_bytes += tensor.nbytes
            if num_bytes >= most:
                yield some
                some, num_bytes, most = [], 0, BUCKET_BYTES
        if some:
            yield some


def _alike(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return tensors with those of one type and device together."""
    return sorted(tensors, key=lambda tensor: (str(tensor.dtype), str(tensor.device)))


def _flatten(bucket: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in bucket])


def _spread(flat: Tensor, bucket: Sequence[Tensor]) -> None:
    """Copy a flat bucket back to where it came from."""
    parts = torch.split(flat, [tensor.numel() for tensor in bucket])
    for tensor, part in zip(bucket, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))
