"""Where a server listens, and a process that starts it again where it crashes.

A crash in native code ends a process whatever Python would do. So the one that keeps the server
only holds the socket and waits: it imports next to nothing, what connects meanwhile waits in the
socket's queue, and a server that comes up takes it over. Left out: several servers at one socket
(each would count and watch for itself; a balancer before several ports does that), and a server
that fails in its own words, which would fail again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from headstart.errors import OptionError, ProcessLost

_BACKLOG = 2048
_GIVEN = "HEADSTART_KEPT"  # descriptors of the socket, and of what ends with the keeper
_SOON, _MOST = 10.0, 5  # crashes within so many seconds of a start, one after another


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens: that of the keeper, where there is one.

    Args:
        host: An address of this machine.
        port: 0 takes any that is free.

    Raises:
        OptionError: If the address is none, or the port is taken or not allowed.
    """
    if (given := _given()) is not None:
        return socket.socket(fileno=given[0])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise OptionError(
            f"The server cannot listen at {host} port {port} ({getattr(error, 'strerror', error)});"
            " expected an address of this machine and a free port. Say another --port or --host."
        ) from error


def keeper() -> int | None:
    """Return the descriptor that can be read once the keeper has ended; None without one."""
    given = _given()
    return None if given is None else given[1]


def _given() -> tuple[int, int] | None:
    told = os.environ.get(_GIVEN)
    if told is None:
        return None
    listening, ending = map(int, told.split())
    return listening, ending


def keep(command: Sequence[str], sock: socket.socket) -> None:
    """Run a server until it ends by itself, and again each time that a signal has killed it.

    SIGTERM, SIGINT and SIGHUP are handed on to it.

    Args:
        command: Of the server.
        sock: Where it listens.

    Raises:
        ProcessLost: If it crashes again and again soon after its start.
        SystemExit: With its exit code, if it fails.
    """
    ending, held = os.pipe()  # nobody writes: it can be read when the last holder has gone
    kept = _Kept()
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    former = {name: signal.signal(name, kept.hand_on) for name in names}
    env = {**os.environ, _GIVEN: f"{sock.fileno()} {ending}"}
    num_crashes = 0
    try:
        while True:
            began = time.monotonic()
            # in a session of its own: Ctrl-C of a terminal comes once, through here
            kept.process = subprocess.Popen(
                command, pass_fds=(sock.fileno(), ending), env=env, start_new_session=True
            )
            code = kept.process.wait()
            if code >= 0 or kept.is_ending:
                break
            num_crashes = num_crashes + 1 if time.monotonic() - began < _SOON else 1
            told = f"The server has crashed ({signal.Signals(-code).name})"
            if num_crashes == _MOST:
                raise ProcessLost(
                    f"{told} {_MOST} times, each within {_SOON:g} s of its start; expected it to "
                    "answer. Try the bundle without a server: headstart verify BUNDLE."
                )
            print(f"{told}; it is started again.", file=sys.stderr, flush=True)
    finally:
        for name, handler in former.items():
            signal.signal(name, handler)
        os.close(held)
        os.close(ending)
    if code > 0:
        sys.exit(code)


class _Kept:
    """The server that runs now."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ending = False

    def hand_on(self, number: int, frame: FrameType | None) -> None:
        """Let the server have a signal."""
        del frame
        self.is_ending |= number != signal.SIGHUP
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
