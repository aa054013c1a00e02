"""The page of a run under way, for a browser on this machine and nobody else.

It listens at 127.0.0.1 alone, answers one path, takes nothing, and refuses requests that were made
for another host: a page elsewhere that has its own name point here (DNS rebinding) reads nothing.
"""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from headstart.errors import OptionError
from headstart.reporting.watching.followed import FollowedRun
from headstart.reporting.watching.live_page import render_live_page

HOST = "127.0.0.1"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class LocalServer:
    """Serves the page of a run until it is closed.

    Args:
        run: The run.
        port: 0 takes any that is free.

    Raises:
        OptionError: If the port is taken or not allowed.
    """

    def __init__(self, run: FollowedRun, port: int) -> None:
        self._run, self._lock = run, Lock()
        try:
            self._server = ThreadingHTTPServer((HOST, port), self._handler())
        except (OSError, OverflowError) as error:
            raise OptionError(
                f"The page cannot be served at port {port} "
                f"({getattr(error, 'strerror', None) or error}); expected a free port from 0 to "
                "65535. Say another --port; 0 takes any that is free."
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.port}/"

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self) -> bytes:
        """Return the page as the run stands."""
        with self._lock:
            self._run.update()
            return render_live_page(self._run).encode(errors="backslashreplace")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Answers one path."""

            server_version, sys_version = "headstart", ""

            def do_GET(self) -> None:
                known = {f"{host}:{server.port}" for host in (HOST, "localhost")}
                if self.headers.get("Host") not in known:
                    self.send_error(HTTPStatus.FORBIDDEN, "For a browser on this machine alone")
                elif self.path != "/":
                    self.send_error(HTTPStatus.NOT_FOUND)
                else:
                    self._send(server.page())

            def _send(self, page: bytes) -> None:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Content-Security-Policy", _POLICY)
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: the terminal shows the run."""

        return Handler
