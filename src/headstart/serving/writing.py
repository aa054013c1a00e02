"""Texts that a model writes for several requests, a token of each in turn.

Requests that wait when a place is free, and want to be written alike, become a group that is
computed together; groups go on in turns, a token each, so that a short answer does not wait for a
long one. Between two tokens whoever has hung up, or has waited too long, is left out, and whoever
reads along is told. What is written of a text does not depend on what is written beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from headstart.bundles.writing import WritingBundle
from headstart.decoding import Search
from headstart.preprocessing import NamedInput
from headstart.serving.batching import late
from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import ClientGone
from headstart.serving.room import Asked, Room
from headstart.types.texts import Telling

MOST_GROUPS = 4  # that go on in turns
Arrays = Mapping[str, np.ndarray]
Ids = list[int]


@dataclass(eq=False)
class WritingJob:
    """One request, prepared.

    Attributes:
        arrays: Ids and mask by name, B rows.
        how: It wants to be written.
        asked: Until when, and whether somebody still waits.
        came: On the loop's clock.
        hears: Is told the ids of its first row as they grow; None where nobody reads along.
        answer: Ids of each row.
        texts: The same, as far as they are written.
        open: Rows that are not written yet.
    """

    arrays: Arrays
    how: Telling
    asked: Asked
    came: float
    answer: asyncio.Future[list[Ids]]
    hears: Callable[[Ids], None] | None = None
    texts: list[Ids] = field(default_factory=list)
    open: int = 0


@dataclass(eq=False)
class _Part:
    """Some rows of a request: as many as are computed together."""

    job: WritingJob
    rows: range


@dataclass(eq=False)
class _Group:
    """Rows of several requests that are written together.

    Attributes:
        search: Writes them.
        owners: Of each row of it the request, and the row there.
        waiting: Rows of it that are under way.
    """

    search: Search
    owners: list[tuple[WritingJob, int]]
    waiting: set[int]


class WritingQueue(Room):
    """What writes for the requests of one model, in a thread of its own.

    Args:
        bundle: The model.
        limits: Of the server.
        measures: What is counted.
    """

    def __init__(
        self, bundle: WritingBundle, limits: ServerLimits, measures: ServerMeasures
    ) -> None:
        name = bundle.record.name
        super().__init__(name, limits, measures)
        self._bundle = bundle
        self._queue_seconds = measures.queue.labels(name)
        self._compute_seconds = measures.inference.labels(name)
        self._batch_rows = measures.batch.labels(name)
        self._tokens = measures.tokens.labels(name)
        self._cancelled = measures.cancelled
        self._waiting: deque[_Part] = deque()
        self._groups: list[_Group] = []
        self._worker: asyncio.Task[None] | None = None

    async def write(
        self,
        arrays: Arrays,
        how: Telling,
        asked: Asked,
        hears: Callable[[Ids], None] | None = None,
    ) -> list[Ids]:
        """Return what is written of each row.

        Args:
            arrays: See ``WritingJob``, as all others.
            how: See there.
            asked: See there.
            hears: See there.

        Raises:
            Refusal: If its time ran out before it was written.
            ClientGone: If nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        num = len(next(iter(arrays.values())))
        job = WritingJob(arrays, how, asked, loop.time(), loop.create_future(), hears)
        job.texts, job.open = [[] for _ in range(num)], num
        size = self._limits.batch_rows
        self._waiting += [
            _Part(job, range(start, min(start + size, num))) for start in range(0, num, size)
        ]
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        return await job.answer

    async def _work(self) -> None:
        """Write until nothing waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting or self._groups:
                self._begin(loop.time())
                for group in list(self._groups):
                    began = time.perf_counter()
                    try:
                        grown = await self.in_thread(group.search.advance)
                    except Exception as error:  # ONNX Runtime's have no common class
                        self._fail(group, error)
                        continue
                    self._compute_seconds.observe(time.perf_counter() - began)
                    self._tell(group, grown, loop.time())
        finally:
            self._worker = None

    def _begin(self, now: float) -> None:
        """Make groups of what waits, as far as there are places."""
        left: deque[_Part] = deque()
        while self._waiting:
            part = self._waiting.popleft()
            if not self._is_wanted(part.job, now):
                continue
            if len(self._groups) == MOST_GROUPS:
                left.append(part)
                continue
            parts = [part, *self._alike(part, now)]
            try:
                self._groups.append(self._group(parts))
            except Exception as error:
                for one in parts:
                    _end(one.job, error)
                continue
            for one in parts:
                self._queue_seconds.observe(now - one.job.came)
        self._waiting = left

    def _alike(self, first: _Part, now: float) -> list[_Part]:
        """Take others that wait and want to be written alike, as many as fit."""
        rows, found, left = len(first.rows), list[_Part](), deque[_Part]()
        while self._waiting:
            part = self._waiting.popleft()
            if part.job.how == first.job.how and rows + len(part.rows) <= self._limits.batch_rows:
                if self._is_wanted(part.job, now):
                    found.append(part)
                    rows += len(part.rows)
            else:
                left.append(part)
        self._waiting = left
        return found

    def _group(self, parts: Sequence[_Part]) -> _Group:
        """Return rows that are to be written together, none begun."""
        arrays = {
            one.name: _joined(one, [part.job.arrays[one.name][part.rows] for part in parts])
            for one in self._bundle.writer.inputs
        }
        owners = [(part.job, row) for part in parts for row in part.rows]
        self._batch_rows.observe(len(owners))
        search = self._bundle.search(arrays, parts[0].job.how)
        return _Group(search, owners, set(range(len(owners))))

    def _is_wanted(self, job: WritingJob, now: float) -> bool:
        """Return whether somebody waits for a request; who does not, or too long, is told."""
        if job.answer.done():
            return False
        if job.asked.is_gone():
            self._cancelled.inc()
            job.answer.set_exception(ClientGone())
        elif now > job.asked.deadline:
            job.answer.set_exception(late())
        return not job.answer.done()

    def _tell(self, group: _Group, grown: Sequence[int], now: float) -> None:
        """Hand on what has grown, end what is written, and leave out what nobody waits for."""
        is_open = set(group.search.under_way)
        for row in sorted(group.waiting):
            job, own = group.owners[row]
            job.texts[own] = group.search.written[row]
            if job.hears is not None and own == 0 and row in grown:
                job.hears(list(job.texts[0]))
            if row not in is_open:
                group.waiting.discard(row)
                self._tokens.inc(len(job.texts[own]))
                job.open -= 1
                if not job.open and not job.answer.done():
                    job.answer.set_result(job.texts)
        unwanted = [r for r in group.waiting if not self._is_wanted(group.owners[r][0], now)]
        if unwanted:
            group.search.drop(unwanted)
            group.waiting.difference_update(unwanted)
        if not group.waiting:
            self._groups.remove(group)

    def _fail(self, group: _Group, error: Exception) -> None:
        """Tell all of a group that it cannot be written."""
        self._groups.remove(group)
        for job, _ in group.owners:
            _end(job, error)


def _end(job: WritingJob, error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _joined(expected: NamedInput, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows of several requests as one array; shorter ones are filled up at their side."""
    longest = max(array.shape[1] for array in arrays)
    missing = [longest - array.shape[1] for array in arrays]
    sides = [(num, 0) if expected.fills_before else (0, num) for num in missing]
    padded = [
        np.pad(array, ((0, 0), side), constant_values=expected.fill) if any(side) else array
        for array, side in zip(arrays, sides, strict=True)
    ]
    return np.concatenate(padded)
