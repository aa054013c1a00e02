"""A server under load: what is too much is refused at once, and memory and files stay as they are.

``HEADSTART_SOAK_SECONDS`` says how long the longest test asks (60; the proof is 600).
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import theilslopes
from serving_process import SECONDS, ServingProcess
from small_runs import TEXTS, table

pytestmark = pytest.mark.slow
ROWS = json.loads(table().drop(columns="label").iloc[:20].to_json(orient="records"))
SOAK_SECONDS = float(os.environ.get("HEADSTART_SOAK_SECONDS", "60"))
# a model that takes a while, and a queue that is short
NARROW = """
import time
from dataclasses import replace
import headstart.bundles.answering as answering
import headstart.serving as serving
import headstart.serving.limits as limits
whole, made = answering.Bundle.run, limits.ServerLimits
def run(self, arrays, features=None):
    time.sleep(0.5)
    return whole(self, arrays, features)
answering.Bundle.run = run
serving.ServerLimits = lambda: replace(made(), waiting_rows=8, batch_rows=4)
"""


def memory(process: int) -> float:
    """Return what a process holds, in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


def files(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered(mlp_bundle):
    told: list[tuple[int, float, str | None]] = []
    begin = threading.Barrier(64)

    def ask(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.connect()
        begin.wait(SECONDS)
        began = time.perf_counter()
        connection.request(
            "POST", "/v1/predict", json.dumps(ROWS[:1]), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        answer.read()
        told.append((answer.status, time.perf_counter() - began, answer.getheader("retry-after")))
        connection.close()

    with ServingProcess(mlp_bundle[1], code=NARROW) as running:
        asking = [threading.Thread(target=ask, args=(running.port,)) for _ in range(64)]
        for one in asking:
            one.start()
        for one in asking:
            one.join(SECONDS)
        assert len(running.post("/v1/predict", ROWS[:1])["predictions"]) == 1  # there is room again
    answered = [seconds for status, seconds, _ in told if status == 200]
    refused = [(seconds, again) for status, seconds, again in told if status == 503]
    assert len(answered) + len(refused) == 64
    assert len(answered) >= 8
    assert refused
    assert {again for _, again in refused} == {"1"}
    # at once: before even the first batch is answered, however busy the machine is
    assert statistics.median(seconds for seconds, _ in refused) < min(answered)
    assert max(answered) < 2 * 8 / 4 * 0.5 + 10


def test_what_there_is_no_room_for_is_refused_before_its_body_is_sent(mlp_bundle):
    is_over = threading.Event()
    body, head = json.dumps(ROWS[:4]), {"Content-Type": "application/json"}

    def ask(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        while not is_over.is_set():
            connection.request("POST", "/v1/predict", body, head)
            connection.getresponse().read()
        connection.close()

    with ServingProcess(mlp_bundle[1], code=NARROW) as running:
        asking = [threading.Thread(target=ask, args=(running.port,)) for _ in range(6)]
        for one in asking:
            one.start()
        told, end = b"", time.monotonic() + SECONDS
        while not told and time.monotonic() < end:
            with running.connect() as connection:
                connection.settimeout(10)  # where there is room, the server waits for the body
                connection.sendall(
                    b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 10000000\r\n\r\n"
                )
                with contextlib.suppress(TimeoutError):
                    told = connection.recv(4096)
        is_over.set()
        for one in asking:
            one.join(SECONDS)
    assert told.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in told


def test_large_bodies_and_bombs_are_not_held(mlp_bundle):
    bomb = gzip.compress(b" " * 2**30, 9)  # a MiB
    with ServingProcess(mlp_bundle[1]) as running:
        running.post("/v1/predict", ROWS)
        before = memory(running.process.pid)
        status, _, told = running.ask(
            "POST", "/v1/predict", bomb, content_type="application/json", content_encoding="gzip"
        )
        assert (status, list(json.loads(told))) == (413, ["error"])
        with running.connect() as connection:
            head = "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {300 * 2**20}\r\n\r\n".encode())
            assert connection.recv(12) == b"HTTP/1.1 413"  # before any of it was sent
        with running.connect() as connection:
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            try:
                for _ in range(300):
                    connection.sendall(b"100000\r\n" + b" " * 2**20 + b"\r\n")
            except OSError:
                pass  # the server has hung up
        assert running.get("/v2/health/live") == {"live": True}
        assert memory(running.process.pid) - before < 64 + 16  # what one unpacked body may have


class MixedClient:
    """A client that asks for this and that: what is known, what is not, what is broken.

    Args:
        port: Of the server.
        seed: Of what it asks.
        picture: The bytes of one.
    """

    def __init__(self, port: int, seed: int, picture: bytes) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        self._draw, self._number, self._picture = np.random.default_rng(seed), 0, picture
        self.statuses: dict[int, int] = {}

    def ask(self) -> float:
        """Ask once, and return the seconds until the whole answer was there."""
        self._number += 1
        kind = int(self._draw.integers(0, 7))
        body: bytes | str = json.dumps(ROWS[: 1 + kind])
        path, content = "/v1/predict?model=rows", "application/json"
        if kind == 1:
            path, content, body = "/v1/predict?model=pictures", "image/png", self._picture
        elif kind == 2:
            path, content = "/v1/predict?model=texts", "text/plain"
            body = TEXTS[self._number % len(TEXTS)].encode()
        elif kind == 3:
            path = f"/v2/models/stranger{self._number}/infer"
        elif kind == 4:
            body = '[{"x": '
        elif kind == 5:
            path = "/metrics"
        method = "GET" if kind == 5 else "POST"
        began = time.perf_counter()
        self._connection.request(
            method, path, None if kind == 5 else body, {"Content-Type": content}
        )
        answer = self._connection.getresponse()
        answer.read()
        passed = time.perf_counter() - began
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if kind == 6:  # somebody hangs up
            self._connection.close()
        return passed

    def close(self) -> None:
        self._connection.close()


def ask_at(client: MixedClient, gap: float, is_over: threading.Event) -> None:
    """Ask once a gap: what could not be sent in its time is left out, not caught up with."""
    due = time.monotonic()
    while not is_over.wait(max(0.0, due - time.monotonic())):
        client.ask()
        due = max(due + gap, time.monotonic())
    client.close()


def test_memory_and_files_stay_as_they_are(mlp_bundle, text_bundle, image_bundle):
    picture = next(image_bundle[0].path.parent.rglob("0.png")).read_bytes()
    is_over = threading.Event()
    with ServingProcess(mlp_bundle[1], text_bundle[1], image_bundle[1]) as running:
        process = running.process.pid
        # half of what one client after the other is answered here and now, whoever else is here
        first = MixedClient(running.port, 0, picture)
        alone = statistics.mean([first.ask() for _ in range(200)][40:])
        first.close()
        clients = [MixedClient(running.port, seed, picture) for seed in range(1, 7)]
        gap = 2 * len(clients) * alone
        asking = [threading.Thread(target=ask_at, args=(one, gap, is_over)) for one in clients]
        for one in asking:
            one.start()
        time.sleep(SOAK_SECONDS / 4)  # caches of the allocator fill up
        held, began = [(0.0, memory(process))], time.monotonic()
        while (passed := time.monotonic() - began) < 3 * SOAK_SECONDS / 4:
            time.sleep(SOAK_SECONDS / 60)
            held.append((passed, memory(process)))
        is_over.set()
        for one in asking:
            one.join(SECONDS)
        statuses: Counter[int] = sum((Counter(one.statuses) for one in clients), Counter())
        seconds, size = np.array(held).T
        slope, _, low, high = (60 * float(one) for one in theilslopes(size, seconds))
        told = f"{slope:+.2f} MiB a minute ({low:+.2f} to {high:+.2f}, {len(size)} readings)"
        print(
            f"{statuses.total():,} requests, one in {1000 * alone:.1f} ms alone, {dict(statuses)}, "
            f"{size[-1]:.0f} MiB, {told}"
        )
        assert set(statuses) == {200, 400, 404}
        assert slope < 1.0 or size[-1] - size[0] < 2.0
        end = time.monotonic() + SECONDS
        while files(process) > 40 and time.monotonic() < end:
            time.sleep(0.1)
        assert files(process) <= 40
        assert "fault:" not in running.log
