"""Requests for one model, computed together: whatever waits when the worker is free, and no delay.

A batch is what has come while the one before was computed, so that under load batches grow by
themselves, and a request that comes alone is computed at once. Nobody waits for company. A request
of which nobody waits for the answer any more, or that has waited too long, is not computed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.bundles import Bundle
from headstart.monitoring import Watch, answers_of, names_of
from headstart.preprocessing import NamedInput
from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import ClientGone, Refusal
from headstart.serving.room import Room
from headstart.tasks import array_of
from headstart.types import Prediction

Arrays = dict[str, np.ndarray]
Computed = tuple[np.ndarray, Sequence[Prediction]]  # outputs (B, K), and what is told of named rows
# Tokens that take as long to compute as the weights to read, which each pass does once: twice the
# operations of a core by the bytes that it reads in the same time, however large the network.
_PASS_TOKENS = 20
_ROUNDS = 2


@dataclass(eq=False)
class Pending:
    """One request, prepared.

    Attributes:
        arrays: Of each member of the bundle, by the names of its inputs; B rows.
        rows: B.
        deadline: On the loop's clock.
        is_gone: Whether whoever asked has hung up.
        came: On the loop's clock.
        answer: What is computed.
        names: What to call each row where it is a sample; empty where nothing is told of rows yet.
        answers: How many of its first rows answer somebody: the others are asked to explain these.
    """

    arrays: Sequence[Arrays]
    rows: int
    deadline: float
    is_gone: Callable[[], bool]
    came: float
    answer: asyncio.Future[Computed]
    names: Sequence[str]
    answers: int

    @property
    def length(self) -> int:
        """Tokens of its longest row."""
        return max((a.shape[1] for a in self.arrays[0].values() if a.ndim == 2), default=1)


class Batcher(Room):
    """What computes the requests for one model, a batch at a time in a thread of its own.

    Args:
        bundle: The model.
        limits: Of the server.
        measures: What is counted.
        watch: What is shown the answers; None where nobody watches.
    """

    def __init__(
        self,
        bundle: Bundle,
        limits: ServerLimits,
        measures: ServerMeasures,
        watch: Watch | None = None,
    ) -> None:
        name = bundle.record.name
        super().__init__(name, limits, measures)
        self.bundle, self._drift = bundle, watch
        self._queue_seconds = measures.queue.labels(name)
        self._compute_seconds = measures.inference.labels(name)
        self._batch_rows = measures.batch.labels(name)
        self._cancelled = measures.cancelled
        # what is told of words, or found, is known where their tokens are put together
        self._is_told = not bundle.is_pieced
        named = names_of(bundle.schema, bundle.task) if self._is_told else ()
        self._count = measures.answers_of(name, named)
        self._inputs = [
            {one.name: one for one in member.session.inputs} for member in bundle.members
        ]
        self._is_ragged = any(
            isinstance(one.shape[0], str) for inputs in self._inputs for one in inputs.values()
        )
        self._waiting: deque[Pending] = deque()
        self._open: set[Pending] = set()  # waiting, or computed now
        self._alarm: asyncio.TimerHandle | None = None
        self._worker: asyncio.Task[None] | None = None

    async def compute(
        self,
        arrays: Sequence[Arrays],
        rows: int,
        deadline: float,
        is_gone: Callable[[], bool],
        names: Sequence[str] = (),
        answers: int | None = None,
    ) -> Computed:
        """Return the outputs of a request, (B, K), and what is told of them where rows have names.

        Args:
            arrays: See ``Pending``, as all others.
            rows: B.
            deadline: On the loop's clock.
            is_gone: Whether whoever asked has hung up.
            names: See ``Pending``.
            answers: See ``Pending``; all of them when not given.

        Raises:
            Refusal: If its time ran out before it was computed.
            ClientGone: If nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        told = rows if answers is None else answers
        now, answer = loop.time(), loop.create_future()
        job = Pending(arrays, rows, deadline, is_gone, now, answer, names, told)
        self._waiting.append(job)
        self._open.add(job)
        self._watch(loop, deadline)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        try:
            return await job.answer
        finally:
            self._open.discard(job)

    def _watch(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """See to it that requests are told when their time is over: one timer for all of them."""
        if self._alarm is not None:
            if self._alarm.when() <= deadline:
                return
            self._alarm.cancel()
        self._alarm = loop.call_at(deadline, self._tell_late, loop)

    def _tell_late(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        now = loop.time()
        left = []
        for job in self._open:
            if job.answer.done():
                continue
            if job.deadline <= now:
                job.answer.set_exception(late())
            else:
                left.append(job.deadline)
        if left:
            self._watch(loop, min(left))

    async def _work(self) -> None:
        """Compute batches until nothing waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if not (jobs := self._take(loop.time())):
                    continue
                for group in self._groups(jobs):  # who is answered does not wait for the rest
                    answers = await self.in_thread(self._of_group, group)
                    for job, answer in zip(group, answers, strict=True):
                        if job.answer.done():
                            continue
                        if isinstance(answer, Exception):
                            job.answer.set_exception(answer)
                        else:
                            job.answer.set_result(answer)
                    # who is answered is so before the next pass takes the core: once round the
                    # loop answers are made, once more they are sent
                    for _ in range(_ROUNDS):
                        await asyncio.sleep(0)
        finally:
            self._worker = None

    def _take(self, now: float) -> list[Pending]:
        """Return the next batch, without those that nobody waits for."""
        jobs: list[Pending] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if jobs and rows + job.rows > self._limits.batch_rows:
                break
            self._waiting.popleft()
            if job.answer.done() or job.is_gone():
                self._cancelled.inc()
                if not job.answer.done():
                    job.answer.set_exception(ClientGone())
            elif now > job.deadline:
                job.answer.set_exception(late())
            else:
                jobs.append(job)
                rows += job.rows
                self._queue_seconds.observe(now - job.came)
        return jobs

    def _groups(self, jobs: list[Pending]) -> list[list[Pending]]:
        """Return a batch in parts, each a pass through the network, short texts first."""
        if not self._is_ragged or len(jobs) == 1:
            return [jobs]
        passes = passes_of([job.length for job in jobs], [job.rows for job in jobs])
        return [[jobs[place] for place in places] for places in passes]

    def _of_group(self, jobs: Sequence[Pending]) -> list[Computed | Exception]:
        """Compute requests together, in the thread."""
        try:
            outputs = self._outputs(jobs)
            told = self._told(jobs, outputs)
        except Exception as error:  # ONNX Runtime's have no common class
            if len(jobs) == 1:
                return [error]
            # one of them is the cause: only that one is to fail
            return [answer for job in jobs for answer in self._of_group([job])]
        ends = np.cumsum([job.rows for job in jobs])[:-1]
        return list(zip(np.split(outputs, ends), told, strict=True))

    def _told(self, jobs: Sequence[Pending], outputs: np.ndarray) -> list[Sequence[Prediction]]:
        """Return what is told of each request whose rows have names, of all of them at once."""
        has_names = np.repeat([bool(job.names) for job in jobs], [job.rows for job in jobs])
        names = [name for job in jobs for name in job.names]
        left = self.bundle.predictions(names, outputs[has_names]) if names else []
        found: list[Sequence[Prediction]] = []
        for job in jobs:
            found.append(left[: len(job.names)])
            left = left[len(job.names) :]
        return found

    def _outputs(self, jobs: Sequence[Pending]) -> np.ndarray:
        began = time.perf_counter()
        rows = sum(job.rows for job in jobs)
        joined = [
            {
                name: _joined(one, [job.arrays[place][name] for job in jobs])
                for name, one in inputs.items()
            }
            for place, inputs in enumerate(self._inputs)
        ]
        watch = self._drift if self._is_told and self._drift is not None else None
        watch = watch if watch is not None and watch.is_open else None
        features: list[np.ndarray] = []
        parts = []
        for start in range(0, rows, self._limits.batch_rows):
            part = slice(start, start + self._limits.batch_rows)
            given = [{n: a[part] for n, a in own.items()} for own in joined]
            logits = self.bundle.run(given) if watch is None else self.bundle.run(given, features)
            parts.append(array_of(self.bundle.outputs(logits)))
        outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._compute_seconds.observe(time.perf_counter() - began)
        self._batch_rows.observe(rows)
        if not np.isfinite(outputs).all():
            raise Refusal(500, "The model's answer is not a finite number.", "unfinite")
        if any(job.answers < job.rows for job in jobs):
            # what was asked to explain an answer is no answer: nobody counts or compares it
            told = np.concatenate([np.arange(job.rows) < job.answers for job in jobs])
        else:
            told = np.ones(rows, bool)
        if self._is_told:
            self._count(answers_of(self.bundle.task, outputs[told]))
        if watch is not None:
            seen = {name: array[told] for name, array in joined[0].items()}
            watch.add(outputs[told], seen, np.concatenate(features)[told] if features else None)
        return outputs


def passes_of(lengths: Sequence[int], rows: Sequence[int]) -> list[list[int]]:
    """Return which requests go through a network together: what costs least, padding counted.

    A pass costs its rows times its longest row, and ``_PASS_TOKENS``. Of requests sorted by length
    every way to divide them is looked at, by what the first ones cost at least.

    Args:
        lengths: Tokens of the longest row of each request.
        rows: Of each.

    Returns:
        Places of requests, a list a pass, short ones first.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    costs, begins = [0], [0]
    for end in range(1, len(order) + 1):
        longest, together = lengths[order[end - 1]], 0
        least, begin = 0, end
        for start in range(end - 1, -1, -1):
            together += rows[order[start]]
            cost = costs[start] + _PASS_TOKENS + together * longest
            if begin == end or cost < least:
                least, begin = cost, start
        costs.append(least)
        begins.append(begin)
    found: list[list[int]] = []
    end = len(order)
    while end:
        found.insert(0, order[begins[end] : end])
        end = begins[end]
    return found


def _joined(expected: NamedInput, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows of several requests as one array; shorter ones are filled up."""
    if len(arrays) == 1:
        return arrays[0]
    if isinstance(expected.shape[0], str):
        longest = max(array.shape[1] for array in arrays)
        arrays = [
            array
            if array.shape[1] == longest
            else np.pad(
                array, ((0, 0), (0, longest - array.shape[1])), constant_values=expected.fill
            )
            for array in arrays
        ]
    return np.concatenate(arrays)


def late() -> Refusal:
    """Return the refusal of a request whose time has run out."""
    return Refusal(504, "The answer took longer than the request may take.", "deadline")
