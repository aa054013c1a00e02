"""Room for the requests of one model: how many rows and bytes may be under way, and its thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import overloaded

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """How a request wants to be answered.

    Attributes:
        deadline: On the loop's clock.
        is_gone: Whether whoever asked has hung up.
    """

    deadline: float
    is_gone: Callable[[], bool]


class Room:
    """What holds places for requests.

    Args:
        name: Of the model.
        limits: Of the server.
        measures: What is counted.
    """

    def __init__(self, name: str, limits: ServerLimits, measures: ServerMeasures) -> None:
        self._limits = limits
        self._depth = measures.depth.labels(name)
        self._rows = self._bytes = 0
        self._is_retired = False
        self._began: float | None = None  # what is computed now, by the clock of ``time``
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"model-{name}")

    def demand_room(self, rows: int, size: int) -> None:
        """Refuse a request that there is no room for now.

        Args:
            rows: That it asks about, at least.
            size: Bytes that it holds.

        Raises:
            Refusal: If there is none.
        """
        limits = self._limits
        is_full = (
            self._rows + rows > limits.waiting_rows or self._bytes + size > limits.waiting_bytes
        )
        if self._rows and is_full:
            raise overloaded(
                f"The server is busy: {self._rows} rows are under way. Try again in a second.",
                "full",
            )

    @contextmanager
    def admitted(self, rows: int, size: int) -> Iterator[None]:
        """Hold a place for a request inside the block.

        Args:
            rows: That it asks about.
            size: Bytes that it holds.

        Raises:
            Refusal: If there is none.
        """
        self.demand_room(rows, size)
        self._rows += rows
        self._bytes += size
        self._depth.set(self._rows)
        try:
            yield
        finally:
            self._rows -= rows
            self._bytes -= size
            self._depth.set(self._rows)
            self._end_if_idle()

    @property
    def is_stuck(self) -> bool:
        """Whether what is computed takes twice as long as a request may: it will not end."""
        limit = 2 * self._limits.request_seconds
        return self._began is not None and time.monotonic() - self._began > limit

    async def in_thread(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Return what work gives, computed in the model's thread."""
        loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        try:
            return await loop.run_in_executor(self._thread, partial(work, *given, **named))
        finally:
            self._began = None

    def retire(self) -> None:
        """Take no more requests than have begun, and end the thread when they are answered."""
        self._is_retired = True
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._is_retired and not self._rows:
            self._thread.shutdown(wait=False)
