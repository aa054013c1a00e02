"""Room for the requests of one model: how many rows and bytes may be under way, and its thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from headstart.serving.limits import ServerLimits
from headstart.serving.measures import ServerMeasures
from headstart.serving.refusals import overloaded


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

    def retire(self) -> None:
        """Take no more requests than have begun, and end the thread when they are answered."""
        self._is_retired = True
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._is_retired and not self._rows:
            self._thread.shutdown(wait=False)
