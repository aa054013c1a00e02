"""A server in a process of its own, and the plainest clients of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SECONDS = 200  # catches what hangs: on a busy machine an export takes minutes


class ServingProcess:
    """``headstart serve`` on a free port, ready when it is entered."""

    def __init__(self, *bundles: Path | str, options: tuple[str, ...] = (), code: str = "") -> None:
        words = [*map(str, bundles), "--port", "0", "--grace-seconds", "0", *options]
        program = f"import sys\n{code}\nfrom headstart.cli import main\nsys.exit(main())"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", *words],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.lines: list[str] = []
        self._has_spoken = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._has_spoken:
                self.lines.append(line)
                self._has_spoken.notify_all()

    def wait_for(self, pattern: str) -> str:
        """Return the line that says something, once it does."""
        end = time.monotonic() + SECONDS
        with self._has_spoken:
            while time.monotonic() < end:
                for line in self.lines:
                    if re.search(pattern, line):
                        return line
                assert self.process.poll() is None or self._reader.is_alive(), self.log
                self._has_spoken.wait(1)
        raise AssertionError(f"nobody said {pattern!r}: {self.log}")

    @property
    def log(self) -> str:
        return "".join(self.lines)

    @property
    def port(self) -> int:
        return int(self.wait_for("Ready: ").rsplit(":", 1)[1])

    def __enter__(self) -> ServingProcess:
        try:
            self.wait_for("Ready: ")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self._reader.join()
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return response.status, told, response.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Any:
        """Return the JSON at a path."""
        status, _, body = self.ask("GET", path, **headers)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, body: Any, kind: str = "application/json", **headers: str) -> Any:
        """Return the JSON that answers a body."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, told = self.ask("POST", path, content, content_type=kind, **headers)
        assert status == 200, told
        return json.loads(told)
