"""What cannot be cut into slices is cut off: a limit on the clock for work that never looks at it.

Loops pause between two steps and passes between two batches, but importing a library, reading a
start, growing a tree or drawing intervals ask nobody how late it is, and on a busy machine each of
them has outlasted whole budgets. Inside ``cut_off`` an alarm of the system ends such work where it
is, as Ctrl-C would, and one error comes out of the block in its place.

Left out: threads other than the main one, and systems without such an alarm (Windows): nothing is
cut there, and a budget is kept as well as planning keeps it. One call into a library that computes
in C ends before the alarm is heard.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from headstart.errors import HeadstartError

_AGAIN_SECONDS = 2.0  # after an alarm that something has swallowed
# Seconds: the shortest wait for an alarm, and for an import to end; and the longest, since the
# clock of the program may run otherwise than that of the alarm (in a test it does).
_GRAIN, _LONGEST = 0.02, 0.5
_IMPORT = "<frozen importlib._bootstrap>"  # the file of what imports, as frames name it


class _RingError(BaseException):
    """What an alarm raises; it never leaves the block that it belongs to."""

    def __init__(self, cut: CutOff) -> None:
        super().__init__()
        self.cut = cut


class CutOff:
    """A block that is cut off at a time.

    Args:
        at: ``time.monotonic()`` value; None never cuts.
        cuts_imports: Whether an import is cut, too. What it leaves half done cannot be imported
            again: only where the process ends then.

    Attributes:
        unless: Asked now and then; from when it holds on nothing is cut any more.
    """

    def __init__(self, at: float | None, *, cuts_imports: bool) -> None:
        self.at, self.cuts_imports = at, cuts_imports
        self.is_over = False
        self.unless: Callable[[], bool] = lambda: False

    def call_off(self) -> None:
        """Cut nothing any more."""
        self.is_over = True

    def bring_forward(self, at: float | None) -> None:
        """Cut earlier than was said.

        Args:
            at: ``time.monotonic()`` value; a later one, or None, changes nothing.
        """
        if at is not None and self.at is not None and at < self.at:
            self.at = at

    def ring(self, number: int, frame: FrameType | None) -> None:
        """Cut, if it is time; else wait on.

        Raises:
            _RingError: If so.
        """
        if self.is_over or self.at is None:
            return
        if self.unless():
            self.is_over = True
            return
        if (left := self.at - time.monotonic()) > 0:
            _wake_in(left)
        elif not self.cuts_imports and _is_importing(frame):
            _wake_in(_GRAIN)
        else:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
            raise _RingError(self)


@contextmanager
def cut_off(
    at: float | None, error: Callable[[], HeadstartError], *, cuts_imports: bool = False
) -> Iterator[CutOff]:
    """Cut what is done inside the block off at a time; blocks may lie in one another.

    Args:
        at: ``time.monotonic()`` value; None never cuts. What lies in another block ends no later.
        error: Gives what is raised in place of the work.
        cuts_imports: As ``CutOff`` takes it.

    Raises:
        HeadstartError: ``error()``, if the time came before the end of the block.
    """
    found = CutOff(at, cuts_imports=cuts_imports)
    is_possible = hasattr(signal, "setitimer") and (
        threading.current_thread() is threading.main_thread()
    )
    if at is None or not is_possible:
        yield found
        return
    former, began = signal.signal(signal.SIGALRM, found.ring), time.perf_counter()
    signal.siginterrupt(signal.SIGALRM, False)  # what libraries read and wait for goes on
    if isinstance(outer := getattr(former, "__self__", None), CutOff) and not outer.is_over:
        found.at = at = min(at, at if outer.at is None else outer.at)
    rest, _ = _wake_in(at - time.monotonic())
    try:
        try:
            yield found
        finally:
            found.is_over = True  # an alarm that is late is none
    except _RingError as ring:
        if ring.cut is not found:
            raise
        raise error() from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, former)
        if rest:  # of the block around this one, or of whoever else set an alarm
            rest -= time.perf_counter() - began
            signal.setitimer(signal.ITIMER_REAL, max(_GRAIN, rest))


def _wake_in(seconds: float) -> tuple[float, float]:
    """Have the alarm ring; return what was left of the one before."""
    return signal.setitimer(signal.ITIMER_REAL, min(_LONGEST, max(_GRAIN, seconds)))


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a module is being imported at the moment."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
