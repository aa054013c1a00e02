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
from concurrent.futures import ThreadPoolExecutor
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

    def events(self, path: str, text: str) -> list[tuple[str, Any]]:
        """Return the events of the stream that answers a text: each its name, what it tells."""
        status, headers, told = self.ask(
            "POST", path, text.encode(), content_type="text/plain", accept="text/event-stream"
        )
        assert (status, headers["content-type"]) == (200, "text/event-stream"), told
        found = []
        for event in told.decode().split("\n\n")[:-1]:
            name, _, data = event.rpartition("data: ")
            found.append((name.removeprefix("event: ").strip(), json.loads(data)))
        return found


def texts_of(answer: Any) -> list[str]:
    """Return what was written."""
    return [one["text"] for one in answer["predictions"]]


def asks_by_the_protocol(
    server: ServingProcess, name: str, texts: list[str], wanted: list[str]
) -> None:
    """Assert that a model that writes answers tensors of the Open Inference Protocol."""
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    (told,) = server.post(f"/v2/models/{name}/infer", {"inputs": [tensor]})["outputs"]
    assert (told["name"], told["datatype"], told["data"]) == ("text", "BYTES", wanted)
    short = {"inputs": [tensor], "parameters": {"max_tokens": 2}}
    brief = server.post(f"/v2/models/{name}/infer", short)["outputs"][0]["data"]
    assert all(len(one) <= len(whole) for one, whole in zip(brief, wanted, strict=True))
    assert brief != wanted
    described = server.get(f"/v2/models/{name}")
    assert [one["name"] for one in described["inputs"] + described["outputs"]] == ["text", "text"]


def streams(server: ServingProcess, name: str, text: str) -> list[tuple[str, Any]]:
    """Assert that an answer that is sent in pieces is the whole answer; return the pieces."""
    path = f"/v1/predict?model={name}"
    whole = server.post(path, text.encode(), "text/plain")
    *pieces, (last, done) = server.events(path, text)
    assert last == "done"
    assert done == whole
    assert {kind for kind, _ in pieces} == {""}
    assert "".join(told["text"] for _, told in pieces) == whole["predictions"][0]["text"]
    status, _, told = server.ask(
        "POST",
        path,
        json.dumps([text, text]).encode(),
        content_type="application/json",
        accept="text/event-stream",
    )
    assert (status, b"one at a time" in told) == (400, True)
    return pieces


def all_at_once(server: ServingProcess, jobs: list[tuple[str, str]]) -> list[str]:
    """Return what models write of texts that are all asked at once."""

    def ask(job: tuple[str, str]) -> Any:
        model, text = job
        return server.post(f"/v1/predict?model={model}", text.encode(), "text/plain")

    with ThreadPoolExecutor(12) as pool:
        return [texts_of(one)[0] for one in pool.map(ask, jobs)]
