"""Make the batches of coming steps in threads, while the present step runs.

What a batch holds is a function of its step and number alone, so neither the number of threads nor
their speed can change a result: who asks gets the batch that was asked for, made ahead or anew.

Threads, not processes. NumPy and PyTorch let go of the interpreter's lock where the time goes
(gather, copy, augmentation), and the data is one memory map or array that a thread reads where it
lies: no copy through a pipe, no start-up of seconds, nothing that a fork in the middle of CUDA or
OpenMP could break, no process that a signal to the group ends before the last checkpoint, none
that is left over after kill -9. A thread here

- touches no state that others see: no global generator, no gradient mode, no current stream;
- keeps few batches: one more than there are threads, besides the one in use;
- never fails silently: its error is raised in the training thread, at the micro-batch concerned;
- is dropped with its work where another step or size is asked for than was expected (memory had
  run out, a step is taken again).

On a GPU each thread copies on a stream of its own, from page-locked memory, so that the copies
overlap with the step; the step's stream waits for them, the host does not. Not here: what is in a
batch (``Feed``), and processes that read files, of which there are none: data is decoded once.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import torch
from torch import Tensor

B = TypeVar("B")  # a micro-batch
_LEAVE_SECONDS = 5.0  # that a thread in the middle of a batch is waited for


@dataclass(frozen=True)
class _Made(Generic[B]):
    """A micro-batch, and when the device will have it; None where it is there already."""

    batch: B
    event: torch.cuda.Event | None


@dataclass(frozen=True)
class _Coming(Generic[B]):
    """A micro-batch that is being made."""

    step: int
    size: int
    number: int
    is_last: bool
    made: Future[_Made[B]]


_Task = tuple[Future[_Made[B]], Callable[[], B]]


class Prefetch(Generic[B]):
    """Micro-batches, made ahead.

    Args:
        makers_of: Step number and micro-batch size to one function for each micro-batch of that
            step, which makes it; the functions run in the threads.
        tensors_of: The tensors of a micro-batch.
        device: Where batches are wanted.
        num_workers: Threads, at least 1.
    """

    def __init__(
        self,
        makers_of: Callable[[int, int], list[Callable[[], B]]],
        tensors_of: Callable[[B], list[Tensor]],
        device: torch.device,
        num_workers: int,
    ) -> None:
        self._makers_of, self._tensors_of, self._device = makers_of, tensors_of, device
        self._line: deque[_Coming[B]] = deque()
        self._coming: Iterator[_Coming[B]] = iter(())
        self._ahead = num_workers + 1
        self._tasks: SimpleQueue[_Task[B] | None] = SimpleQueue()
        self._threads = [
            # daemons: a process that leaves at once does not wait for them
            threading.Thread(target=_work, args=(self._tasks, device), name="feed", daemon=True)
            for _ in range(num_workers)
        ]
        self._is_started = False
        # also where nobody closes, and before the interpreter is taken down
        self._dismiss = weakref.finalize(self, _dismiss, self._tasks, self._threads)

    def batches(self, step: int, size: int) -> Iterator[B]:
        """Yield the micro-batches of one step; those of the next steps are begun meanwhile.

        Args:
            step: Its number.
            size: Samples a micro-batch.
        """
        first = self._line[0] if self._line else None
        if first is None or (first.step, first.size, first.number) != (step, size, 0):
            self._begin(step, size)
        is_last = False
        while not is_last:
            coming = self._line.popleft()
            self._fill()
            is_last = coming.is_last
            made = coming.made
            del coming
            yield self._handed_over(made.result())

    def close(self) -> None:
        """Drop what was made ahead and end the threads; asking again is an error."""
        self._drop()
        self._dismiss()

    def _begin(self, step: int, size: int) -> None:
        """Drop what is there, and begin with the first micro-batch of a step."""
        self._drop()
        if not self._is_started:
            self._is_started = True
            for thread in self._threads:
                thread.start()
        self._coming = self._sequence(step, size)
        self._fill()

    def _sequence(self, first: int, size: int) -> Iterator[_Coming[B]]:
        """Order the micro-batches of a step and of all that follow, one at a time."""
        for step in count(first):
            makers = self._makers_of(step, size)
            for number, make in enumerate(makers):
                made: Future[_Made[B]] = Future()
                self._tasks.put((made, make))
                yield _Coming(step, size, number, number == len(makers) - 1, made)

    def _fill(self) -> None:
        while len(self._line) < self._ahead:
            self._line.append(next(self._coming))

    def _drop(self) -> None:
        """Forget what was made ahead, and wait for what is being made: it holds memory."""
        running = [coming.made for coming in self._line if not coming.made.cancel()]
        self._line.clear()
        wait(running)

    def _handed_over(self, made: _Made[B]) -> B:
        """Return a micro-batch that the present stream may use, when its time comes."""
        if made.event is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(made.event)
            for tensor in self._tensors_of(made.batch):
                tensor.record_stream(stream)  # its memory is not given to others before
        return made.batch


def _work(tasks: SimpleQueue[_Task[B] | None], device: torch.device) -> None:
    """Make what is asked for, until told to end."""
    try:
        with ExitStack() as here:
            stream = _own_stream(here, device)
            while (task := tasks.get()) is not None:
                _make(*task, stream)
                del task  # nothing is kept while waiting
    except BaseException as error:  # no stream could be had: whoever waits must hear of it
        while (task := tasks.get()) is not None:
            if task[0].set_running_or_notify_cancel():
                task[0].set_exception(error)


def _own_stream(here: ExitStack, device: torch.device) -> torch.cuda.Stream | None:
    """Enter what this thread needs for itself; return the stream that it copies on."""
    here.enter_context(torch.no_grad())
    if device.type != "cuda":
        return None
    here.enter_context(torch.cuda.device(device))
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    # what lies on the device already was put there on the stream of the others
    stream.wait_stream(torch.cuda.default_stream(device))
    here.enter_context(torch.cuda.stream(stream))
    return stream


def _make(made: Future[_Made[B]], make: Callable[[], B], stream: torch.cuda.Stream | None) -> None:
    """Make one micro-batch, unless nobody wants it any more."""
    if not made.set_running_or_notify_cancel():
        return
    try:
        batch = make()
        made.set_result(_Made(batch, stream.record_event() if stream else None))
    except BaseException as error:  # raised again in the training thread
        made.set_exception(error)


def _dismiss(tasks: SimpleQueue[_Task[B] | None], threads: list[threading.Thread]) -> None:
    """End the threads; what is asked for and not begun is not made."""
    with suppress(Empty):
        while (task := tasks.get_nowait()) is not None:
            task[0].cancel()
    for _ in threads:
        tasks.put(None)
    for thread in threads:
        # the last to let go of the feed may be one of the threads
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(_LEAVE_SECONDS)
