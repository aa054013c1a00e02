"""What a client of ``headstart serve`` sees by its clock: too much, half of what it can, a start.

A server on one core, asked by one asyncio client on another, whatever became of the requests
before: at 4 and 10 times of what it answers (how long a refusal takes, and an answer), at half of
it (beside one call of the same bundle without a server), and started anew (until it is ready).
Times run from when a request was to be sent, so that a client that falls behind makes them longer:
how late it was with the latest is told beside them; what is more than it can send is left out.
Requests at half load come evenly, and then at random. Then no server is quicker than a queue
allows: beside each stands the floor, what 99 % stay below where the bare calls are made one after
the other and a server costs nothing. Lindley's recursion: a request waits w' = max(0, w + s - g), w
and s the wait and the call of the one before, g the gap between them; its answer takes w' and its
own call. Of calls that all take S it is 4.3 S at random (M/D/1 at half load), 1.0 S evenly. A
server may be below: it computes what waits together.

    python benchmarks/serving_clock.py [--kinds rows texts pictures] [--seconds 8] [--turns 3]
        [--starts 5] [--nice N] [--json FILE]

It needs a quiet machine with two cores: load is printed before and after. Where others use it, root
may put both sides before them (``--nice -10``).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from serving import WIDTH, free_port, make_bundle, serving
from serving_models import KINDS
from timing import describe_machine, markdown_table

CONNECTIONS = 16  # of the client that finds out what a server can answer
TIMES = (4, 10)
MOST_SENT = 2000  # requests a second of one client
TICK = 0.001  # seconds that an event loop's timers may be late
Times = dict[int, list[float]]  # seconds from when a request was due, by status


def make_rows(folder: Path, number: int) -> tuple[Path, list[bytes], str]:
    """Return the bundle of a small MLP, and rows."""
    draw = np.random.default_rng(1)
    rows = draw.normal(0, 1, (number, WIDTH)).round(4).tolist()
    bundle = make_bundle(folder)
    record = json.loads((bundle / "bundle.json").read_text())
    names = record["members"][0]["preprocess"]["columns"]
    columns = [one["name"] for one in names]
    bodies = [json.dumps([dict(zip(columns, row, strict=True))]).encode() for row in rows]
    return bundle, bodies, "application/json"


ALL = {"rows": make_rows, **KINDS}


class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self._got = b""
        self._answer: asyncio.Future[int] | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Tell the status once an answer is whole."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            answer, self._answer, self._got = self._answer, None, b""
            if not answer.done():
                answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed"))

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Send a request, and return what becomes the status of its answer."""
        self._answer = self._loop.create_future()
        self.transport.write(request)
        return self._answer


class Client:
    """Sends requests to one server, over as many connections as are under way.

    Args:
        port: Of the server.
        bodies: What to send, one after the other and from the first again.
        kind: Their Content-Type.
        has_core: Whether it has a core of its own.
    """

    def __init__(
        self, port: int, bodies: list[bytes], kind: str, *, has_core: bool = False
    ) -> None:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: "
        self._port, self._number, self._has_core = port, 0, has_core
        self._requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
        self._free: list[Connection] = []
        self.latest = 0.0  # seconds from when a request was due until it was sent

    async def ask(self, due: float, found: Times) -> None:
        """Send the next request, and note how long it took from when it was due."""
        # a server closes what has been idle for some seconds
        while self._free and self._free[-1].transport.is_closing():
            self._free.pop()
        if self._free:
            connection = self._free.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        self._number = (self._number + 1) % len(self._requests)
        self.latest = max(self.latest, time.perf_counter() - due)
        status = await connection.ask(self._requests[self._number])
        found.setdefault(status, []).append(time.perf_counter() - due)
        self._free.append(connection)

    async def connect(self, number: int) -> None:
        """Open connections that are used later, beside those that the server has left open."""
        loop = asyncio.get_running_loop()
        self._free = [one for one in self._free if not one.transport.is_closing()]
        for _ in range(number - len(self._free)):
            made = await loop.create_connection(Connection, "127.0.0.1", self._port)
            self._free.append(made[1])

    async def closed(self, seconds: float) -> float:
        """Return answers a second where each connection asks again once it is answered."""
        end, found = time.perf_counter() + seconds, {}

        async def one() -> None:
            while (now := time.perf_counter()) < end:
                await self.ask(now, found)

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
        return len(found[200]) / (time.perf_counter() - began)

    async def opened(self, gaps: Iterator[float], seconds: float) -> Times:
        """Return the times of requests that are sent whatever became of those before."""
        found: Times = {}
        asked = []
        due = time.perf_counter()
        end = due + seconds
        while due < end:
            # a loop that only sleeps sends several at once where the gaps are shorter than a tick,
            # and up to a tick late: a client with a core of its own looks at the clock
            if (left := due - time.perf_counter()) > 2 * TICK:
                await asyncio.sleep(left - 2 * TICK)
            while (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(0 if self._has_core else left)
            asked.append(asyncio.ensure_future(self.ask(due, found)))
            due += next(gaps)
            if len(asked) % 32 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*asked)
        return found


def evenly(rate: float) -> Iterator[float]:
    while True:
        yield 1 / rate


def at_random(rate: float) -> Iterator[float]:
    draw = np.random.default_rng(0)
    while True:
        yield float(draw.exponential(1 / rate))


def quantiles(seconds: list[float]) -> list[float]:
    """Return the median, 99 % and the longest, in ms."""
    return [round(1000 * float(one), 1) for one in np.quantile(seconds, [0.5, 0.99, 1.0])]


def floor_ms(alone_ms: Sequence[float], gaps: Iterator[float]) -> float:
    """Return what 99 % of answers stay below where calls follow one another and cost no more.

    Args:
        alone_ms: Of bare calls, of which each request makes one, drawn anew.
        gaps: Seconds from request to request.
    """
    wait, found = 0.0, []
    for call in np.random.default_rng(1).choice(alone_ms, 20_000):
        found.append(wait + call)
        wait = max(0.0, wait + call - 1000 * next(gaps))
    return float(np.quantile(found, 0.99))


async def measured(client: Client, alone_ms: Sequence[float], seconds: float) -> list[dict]:
    """Return what a client sees at each load."""
    await client.closed(min(2.0, seconds))  # warm
    most = await client.closed(seconds)
    rows = []
    loads: list[tuple[str, float, Callable[[float], Iterator[float]]]] = [
        ("half, evenly", 0.5, evenly),
        ("half, at random", 0.5, at_random),
        *((f"{times} times", float(times), at_random) for times in TIMES),
    ]
    for name, share, gaps in loads:
        if share * most > MOST_SENT:
            continue
        await client.connect(64 if share < 1 else 600)
        client.latest = 0.0
        found = await client.opened(gaps(share * most), seconds)
        await asyncio.sleep(1)
        total = sum(map(len, found.values()))
        floor = floor_ms(alone_ms, gaps(share * most)) if share < 1 else float("nan")
        for status, times in sorted(found.items()):
            middle, late, longest = quantiles(times)
            rows.append(
                {"load": name, "a second": round(share * most, 1), "status": status,
                 "share": len(times) / total, "requests": len(times), "p50": middle, "p99": late,
                 "longest": longest, "sent late": 1000 * client.latest, "floor": floor,
                 "bare": (float(np.mean(alone_ms)), float(np.quantile(alone_ms, 0.99)))}
            )  # fmt: skip
    return rows


def bare_ms(bundle: Path, bodies: list[bytes], kind: str) -> list[float]:
    """Return the wall's ms of reading and computing each sample by itself."""
    from headstart.bundles import open_bundle

    opened = open_bundle(bundle)
    samples = [body if kind.startswith("image") else body.decode() for body in bodies]
    if kind == "application/json":
        samples = [json.loads(one)[0] for one in samples]
    times = []
    for sample in [samples[0], *samples]:
        began = time.perf_counter()
        opened.predict([sample])
        times.append(1000 * (time.perf_counter() - began))
    return times[1:]


def start_seconds(bundle: Path) -> tuple[float, float]:
    """Return seconds from a fresh process until it says that it is ready; processor's.

    It is believed when a client is told the same. Who asks all the time takes the server's time.
    """
    port = free_port()
    command = [sys.executable, "-m", "headstart", "serve", str(bundle), "--port", str(port)]
    began, before = time.perf_counter(), os.times()
    # what pip installs is compiled: images that forbid writing that compile a clone at every start
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [*command, "--grace-seconds", "0"], stderr=subprocess.PIPE, text=True, env=env
    )
    assert process.stderr is not None
    try:
        if not any(line.startswith("Ready: ") for line in process.stderr):
            raise SystemExit(f"{command} does not come up")
        passed = time.perf_counter() - began
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
            pass  # 503 would be an error
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
    after = os.times()
    worked = after.children_user - before.children_user
    return passed, worked + after.children_system - before.children_system


def of_kind(name: str, args: argparse.Namespace) -> dict:
    """Measure one kind of model."""
    with tempfile.TemporaryDirectory() as place:
        bundle, bodies, kind = ALL[name](Path(place), 64)
        # what PyTorch has brought is not looked through while requests are due: half a second each
        gc.collect()
        gc.freeze()
        cores = sorted(os.sched_getaffinity(0))
        former = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, former + args.nice)
        starts = {}
        for num in {len(cores), 1}:  # all of them, and one
            os.sched_setaffinity(0, cores[-num:])
            starts[num] = [start_seconds(bundle) for _ in range(args.starts + 1)][1:]
        rows = []
        for turn in range(args.turns):
            os.sched_setaffinity(0, cores[-1:])  # the server's, so that both have the same core
            alone, port = bare_ms(bundle, bodies, kind), free_port()
            os.sched_setaffinity(0, cores[:-1] or cores)
            command = [sys.executable, "-m", "headstart", "serve", str(bundle)]
            words = [*command, "--port", str(port)]
            with serving(words, port, "/v2/health/ready", core=cores[-1]):
                client = Client(port, bodies, kind, has_core=len(cores) > 1)
                found = asyncio.run(measured(client, alone, args.seconds))
            rows += [{"kind": name, "turn": turn, **one} for one in found]
        os.sched_setaffinity(0, cores)
        os.setpriority(os.PRIO_PROCESS, 0, former)
    return {"starts": starts, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=list(ALL), choices=list(ALL))
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    print(describe_machine(1).sentence())
    print("load average", *(f"{one:.1f}" for one in os.getloadavg()))
    found = {}
    for name in args.kinds:
        found[name] = of_kind(name, args)
        for num, starts in found[name]["starts"].items():
            walls, worked = zip(*starts, strict=True)
            print(
                f"{name}, cores: {num}: ready after {np.median(walls):.2f} s ({min(walls):.2f} to "
                f"{max(walls):.2f}), {np.median(worked):.2f} s of the processor"
            )
        print(markdown_table(
            ["turn", "load", "a second", "status", "share", "p50 ms", "p99 ms", "longest ms",
             "sent late ms", "one call ms", "its p99", "p99 / one call", "floor / one call"],
            [[str(one["turn"] + 1), one["load"], str(one["a second"]), str(one["status"]),
              f"{100 * one['share']:.1f} %", str(one["p50"]), str(one["p99"]), str(one["longest"]),
              f"{one['sent late']:.1f}", f"{one['bare'][0]:.1f}", f"{one['bare'][1]:.1f}",
              f"{one['p99'] / one['bare'][0]:.2f}", f"{one['floor'] / one['bare'][0]:.2f}"]
             for one in found[name]["rows"]],
        ), flush=True)  # fmt: skip
    print("load average", *(f"{one:.1f}" for one in os.getloadavg()))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
