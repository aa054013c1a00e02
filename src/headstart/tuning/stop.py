"""Signals: the first asks the loop to save and stop, the second leaves at once.

SIGINT (Ctrl-C), SIGTERM and SIGUSR1 (what SLURM sends before a time limit) mean the same: the
state is on the disk within one step, or one batch of a validation. The exit code
is 128 plus the signal's number, as a shell counts: 130, 143 and 138.

A handler only takes note: it may run in the middle of a write to the log or the terminal.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from headstart.events import emit

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether someone asked to stop.

    Attributes:
        signal_number: The signal that asked; None while nobody did.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._is_told = False

    @property
    def requested(self) -> bool:
        """Whether someone asked to stop."""
        return self.signal_number is not None

    @property
    def exit_code(self) -> int:
        """What a process that stopped for this ends with: 128 plus the signal's number."""
        return 128 + (self.signal_number or signal.SIGINT)

    def __call__(self) -> bool:
        """Return whether someone asked to stop; the first time that is so, say it."""
        if self.requested and not self._is_told:
            self._is_told = True
            emit("note", text="Stopping after this step; once more to leave at once.")
        return self.requested


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the signals inside the block into a request; a second one raises at once.

    Outside the main thread signals cannot be caught, and the request stays False.

    Raises:
        KeyboardInterrupt: At the second signal; its argument is the signal's number.
    """
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request.requested:
            raise KeyboardInterrupt(number)
        request.signal_number = number

    with _handling(note):
        yield request


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Make every one of the signals raise, as Ctrl-C does: where there is nothing to save yet.

    Without it SIGTERM would end the process on the spot, and a run folder that holds nothing of
    use would stay behind.

    Raises:
        KeyboardInterrupt: At the first signal; its argument is the signal's number.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    with _handling(leave):
        yield


@contextmanager
def _handling(handler: signal._HANDLER) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)
