"""A server from its start to its end: listens, loads, answers, swaps bundles, drains, exits with 0.

It listens before its models are loaded, so that live and ready are two things. SIGTERM: not ready
at once, answering for a moment longer so that a balancer can see it, then no new connections, and
what is under way is finished; a second signal ends it now. SIGHUP: the bundles are opened again
from where they lie, and take over only when they have answered their golden samples.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import uvicorn

from headstart.errors import HeadstartError
from headstart.serving.app import build_app
from headstart.serving.connections import PatientProtocol
from headstart.serving.models import Shelf
from headstart.serving.request_log import RequestLog


class _QuietServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: it would end as if it had been killed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class _Running:
    """A server while it runs.

    Args:
        shelf: Its models, not opened yet.
        server: Of uvicorn.
    """

    def __init__(self, shelf: Shelf, server: _QuietServer) -> None:
        self._shelf, self._server = shelf, server
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening = asyncio.Lock()  # a swap that is asked for while bundles are opened waits
        self.failure: HeadstartError | None = None
        self._num_signals = 0

    async def load(self, told: str) -> None:
        """Open all models; where one cannot be, end."""
        async with self._opening:
            try:
                bundles = await asyncio.to_thread(self._shelf.open_all)
            except HeadstartError as error:
                self.failure = error
                self._server.should_exit = True
                return
            self._shelf.serve(bundles)
        gc.freeze()  # what is there now stays: nobody needs to look through it while it answers
        gc.enable()
        names = ", ".join(f"{one.record.name} {one.version}" for one in bundles)
        say(f"Ready: {names} at {told}")

    def begin(self, work: Any) -> None:
        """Run something beside the server."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self, grace: float) -> None:
        """Begin to end; the second time at once."""
        self._num_signals += 1
        self._shelf.is_draining = True
        if self._num_signals > 1:
            self._server.should_exit = self._server.force_exit = True
        else:
            self.begin(self._drain(grace))

    async def _drain(self, grace: float) -> None:
        say("Draining: not ready, finishing what is under way.")
        await asyncio.sleep(grace)
        self._server.should_exit = True

    async def swap(self) -> None:
        """Open the bundles again, and let them take over; the former stay where that fails."""
        async with self._opening:
            if self.failure is not None:  # there are no former ones, and the server ends
                return
            try:
                bundles = await asyncio.to_thread(self._shelf.open_all)
            except HeadstartError as error:
                say(f"Not swapped, the former bundles go on: {error}")
                return
            self._shelf.serve(bundles)
        names = ", ".join(f"{one.record.name} {one.version}" for one in bundles)
        say(f"Swapped: {names}")


def run_server(
    shelf: Shelf,
    sock: socket.socket,
    keys: Sequence[bytes],
    host: str,
    keeper: int | None = None,
    log: RequestLog | None = None,
) -> None:
    """Serve until a signal ends it.

    Args:
        shelf: The models, not opened yet.
        sock: Listens.
        keys: Digests of the keys that open it; none lets everybody in.
        host: As a person said it.
        keeper: A descriptor that can be read once nobody keeps the server any more: then it ends.
        log: Gets a line a request; None writes none.

    Raises:
        ExportError: If a bundle is not what was exported.
    """
    limits = shelf.limits
    protocol = type("_Protocol", (PatientProtocol,), {"limits": limits})
    config = uvicorn.Config(
        build_app(shelf, keys, log),
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what strangers send that is no HTTP is answered, and fills no log
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody asks who the client is
        timeout_keep_alive=int(limits.keep_alive_seconds),
        timeout_graceful_shutdown=int(limits.drain_seconds),
    )
    server = _QuietServer(config)
    running = _Running(shelf, server)
    place = f"[{host}]" if ":" in host else host
    told = f"http://{place}:{sock.getsockname()[1]}"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, running.stop, limits.grace_seconds)
        loop.add_signal_handler(signal.SIGINT, running.stop, 0.0)
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, lambda: running.begin(running.swap()))
        if keeper is not None:
            loop.add_reader(keeper, _left_alone, loop, keeper, running)
        running.begin(running.load(told))
        await server.serve(sockets=[sock])

    factory = None
    if find_spec("uvloop") is not None:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    shelf.watches.finish()
    if running.failure is not None:
        raise running.failure
    say("Stopped.")


def _left_alone(loop: asyncio.AbstractEventLoop, keeper: int, running: _Running) -> None:
    loop.remove_reader(keeper)  # it can be read from now on
    running.stop(0.0)


def say(text: str) -> None:
    """Say what happens to the server, on stderr."""
    print(text, file=sys.stderr, flush=True)
