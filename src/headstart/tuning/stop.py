"""Ctrl-C: the first asks the loop to save and stop, the second leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from headstart.events import emit


class StopRequest:
    """Whether someone asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        """Return whether someone asked to stop."""
        return self.requested


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM inside the block into a request; a second one raises at once.

    Outside the main thread signals cannot be caught, and the request stays False.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.requested:
            raise KeyboardInterrupt
        request.requested = True
        emit("note", text="Stopping after this step; once more to leave at once.")

    former = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
