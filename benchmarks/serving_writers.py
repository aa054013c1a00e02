"""Tokens a second of a server that writes, by how many ask at once, and whether its memory grows.

    python benchmarks/serving_writers.py BUNDLE [--seconds 20] [--clients 1 4 16] [--soak 300]

BUNDLE is what ``headstart export RUN --to onnx`` wrote of a run that writes; the server has one
core. Each client asks, waits for the whole answer and asks again; texts come from ``--texts``, a
line each, or are a few of its own. Told are tokens (``headstart_tokens_total``) a second of
the clock and of the server's processor time, what 50 and 99 of 100 answers stay below, and in the
soak the resident memory at its beginning and its end, by a straight line through a sample a second.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
from serving import free_port, processor_seconds, serving
from timing import describe_machine, markdown_table

TEXTS = [
    "Two dogs run on a beach.",
    "A man in a blue shirt is standing on a ladder cleaning a window.",
    "What comes after three?",
    "A young girl in a pink dress climbs up a set of stairs in an entry way.",
]
READY = "/v2/health/ready"
_WARM = 3.0  # seconds before anything counts


def asked(url: str, text: str) -> tuple[float, int]:
    """Return the seconds of an answer, and its status."""
    request = urllib.request.Request(
        f"{url}/v1/predict", text.encode(), {"content-type": "text/plain"}
    )
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return time.perf_counter() - began, status


def tokens_of(url: str) -> float:
    """Return how many tokens the server has written."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode()
    found = re.findall(r"^headstart_tokens_total\{[^}]*\} (\S+)", lines, re.MULTILINE)
    return sum(map(float, found))


def resident(pid: int) -> float:
    """Return MiB of memory that a process holds."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


class Load:
    """So many clients that ask one thing after the other."""

    def __init__(self, url: str, texts: list[str], clients: int) -> None:
        self.seconds: list[float] = []
        self.failed: list[int] = []
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(url, texts, first)) for first in range(clients)
        ]

    def _ask(self, url: str, texts: list[str], place: int) -> None:
        while not self._ends.is_set():
            took, status = asked(url, texts[place % len(texts)])
            if status == 200:
                self.seconds.append(took)
            else:
                self.failed.append(status)
            place += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()


def _counted(statuses: list[int]) -> str:
    """Return how many there are of each status."""
    found = Counter(statuses)
    return ", ".join(f"{number} x {status}" for status, number in found.items()) or "none"


def row_of(url: str, pid: int, texts: list[str], clients: int, seconds: float) -> list[str]:
    """Measure one number of clients."""
    with Load(url, texts, clients) as load:
        time.sleep(_WARM)
        load.seconds.clear()
        began, told, worked = time.perf_counter(), tokens_of(url), processor_seconds(pid)
        time.sleep(seconds)
        took = time.perf_counter() - began
        told, worked = tokens_of(url) - told, processor_seconds(pid) - worked
        waits = sorted(load.seconds)
    half, most = (1000 * float(np.quantile(waits, share)) for share in (0.5, 0.99))
    cells = [f"{clients}", f"{told / took:.0f}", f"{told / max(worked, 1e-9):.0f}"]
    return [*cells, f"{len(waits) / took:.1f}", f"{half:.0f}", f"{most:.0f}", _counted(load.failed)]


def soak(url: str, pid: int, texts: list[str], clients: int, seconds: float) -> str:
    """Return how memory has grown under load."""
    held: list[float] = []
    with Load(url, texts, clients) as load:
        time.sleep(_WARM)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            held.append(resident(pid))
            time.sleep(1)
    slope = statistics.linear_regression(range(len(held)), held).slope * 60
    return (
        f"{seconds:.0f} s, {clients} clients: {len(load.seconds):,} answers, "
        f"refused: {_counted(load.failed)}; {held[0]:.1f} to {held[-1]:.1f} MiB, "
        f"{slope:+.2f} a minute"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--soak", type=float, default=0.0)
    parser.add_argument("--texts", type=Path)
    said = parser.parse_args()
    texts = said.texts.read_text().splitlines() if said.texts else TEXTS
    print(describe_machine(1).sentence())
    print("load average", *(f"{one:.1f}" for one in os.getloadavg()))
    command = [sys.executable, "-m", "headstart", "serve", str(said.bundle), "--quiet"]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)  # the last one is the server's
    words = [*command, "--port", str(port := free_port())]
    with serving(words, port, READY, core=cores[-1]) as server:
        url = f"http://127.0.0.1:{port}"
        taken = [one for one in texts if asked(url, one)[1] == 200]
        print(f"{len(taken)} of {len(texts)} texts are taken; asked are these")
        texts = taken
        rows = [row_of(url, server.pid, texts, num, said.seconds) for num in said.clients]
        head = ["clients", "tokens/s", "tokens/s of its processor", "answers/s", "ms, half"]
        print(markdown_table([*head, "ms, 99 %", "refused"], rows))
        if said.soak:
            print(soak(url, server.pid, texts, max(said.clients), said.soak))


if __name__ == "__main__":
    main()
