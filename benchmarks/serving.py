"""Answers a second of ``headstart serve``, of naive FastAPI and of MLServer, with wrk as the load.

One tiny MLP on 32 numbers, asked one row at a time by JSON in the Open Inference Protocol, at 1, 16
and 64 connections. All sides compute the same ``model.onnx`` on one thread of one core, in turns.
The processor's time a request is told beside: on a machine that others use it is what can be
believed.
wrk is Debian's (``apt-get install wrk``). Pictures and texts: ``serving_models.py``.

    python benchmarks/serving.py [--seconds 5] [--turns 3] [--fastapi FOLDER] [--mlserver PYTHON]
        [--connections 1 16 64] [--json FILE]

``--fastapi``: where ``pip install --target FOLDER fastapi`` has put it; ``--mlserver``: the Python
of an environment that holds mlserver and onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
from timing import describe_machine, markdown_table

WIDTH, ROWS = 32, 600

FASTAPI = """
import sys
import numpy as np, onnxruntime, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
app = FastAPI()

class Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]

class Request(BaseModel):
    inputs: list[Tensor]

@app.post("/v2/models/rows/infer")
def infer(request: Request):
    one = request.inputs[0]
    logits = session.run(None, {one.name: np.array(one.data, np.float32).reshape(one.shape)})[0]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    output = {"name": "probabilities", "datatype": "FP32", "shape": list(shares.shape)}
    return {"model_name": "rows", "outputs": [{**output, "data": shares.ravel().tolist()}]}

uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
"""

MLSERVER = """
import numpy as np, onnxruntime
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

class Rows(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        one = payload.inputs[0]
        array = np.array(one.data, np.float32).reshape(one.shape)
        logits = self.session.run(None, {one.name: array})[0]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        output = ResponseOutput(
            name="probabilities", datatype="FP32", shape=list(shares.shape),
            data=shares.ravel().tolist(),
        )
        return InferenceResponse(model_name=self.name, outputs=[output])
"""


def make_bundle(folder: Path) -> Path:
    """Return the bundle of a small MLP on 32 numbers."""
    import headstart as hs

    draw = np.random.default_rng(0)
    X = draw.normal(0, 1, (ROWS, WIDTH)).astype(np.float32)
    y = (X[:, :10] + draw.normal(0, 0.5, (ROWS, 10))).argmax(axis=1)
    data = hs.load((X, y), task="classification")
    run = hs.finetune(
        data, start="scratch/mlp", num_steps=30, out=str(folder / "run"), device="cpu"
    )
    return hs.export(str(run.path), to="onnx", out=str(folder / "rows"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def serving(
    command: list[str],
    port: int,
    ready: str,
    libraries: str = "",
    *,
    is_free: bool = False,
    core: int | None = None,
):
    """Run a server in a process of its own while the block runs; gives the process.

    On one core, but where it ``is_free`` to choose: on that which is named, else on the last one
    of this process. Whoever asks it from other cores names it: a child begins with its parent's.
    """
    if core is None:
        core = max(os.sched_getaffinity(0))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if libraries:
        env["PYTHONPATH"] = os.pathsep.join([env.get("PYTHONPATH", ""), libraries])
    to_core = None if is_free else partial(os.sched_setaffinity, 0, {core})
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, preexec_fn=to_core,
    )  # fmt: skip
    try:
        assert is_free or os.sched_getaffinity(process.pid) == {core}
        end = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command} does not come up") from None
                time.sleep(0.1)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def processor_seconds(group: int) -> float:
    """Return what all processes of a group have worked, in seconds."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rows_computed(url: str) -> float:
    """Return how many rows a server of headstart has computed, by its own metrics."""
    place = url.split("/", 3)
    with urllib.request.urlopen(f"{place[0]}//{place[2]}/metrics", timeout=60) as told:
        return sum(
            float(line.split()[-1])
            for line in told.read().decode().splitlines()
            if line.startswith("headstart_batch_size_sum")
        )


def load(
    url: str, script: Path, connections: int, seconds: int, group: int, *, by_rows: bool = False
) -> dict[str, float]:
    """Return answers a second, milliseconds of the median and of 99 %, processor ms a request.

    With ``by_rows`` these are the requests that the server says it has computed: of slow ones wrk
    leaves a good share behind when its time is over.
    """
    before = rows_computed(url) if by_rows else 0.0
    began = processor_seconds(group)
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if by_rows:
        time.sleep(2)  # what wrk has left behind is computed
    worked = processor_seconds(group) - began
    if wrong := re.search(r"Non-2xx.*", told):
        raise SystemExit(f"{url}: {wrong[0]}")
    number = float(re.search(r"(\d+) requests in", told)[1])
    if by_rows:
        number = rows_computed(url) - before
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}

    def latency(share: str) -> float:
        value, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", told).groups()
        return float(value) * units[unit]

    return {
        "a second": float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]),
        "p50 ms": latency("50"),
        "p99 ms": latency("99"),
        "processor ms": 1000 * worked / number if number else float("inf"),
    }


def lua(path: Path, bodies: list[bytes], kind: str) -> Path:
    """Write what wrk sends: one body after the other, and from the first again."""
    names = []
    for number, body in enumerate(bodies):
        names.append(path.with_suffix(f".{number}"))
        names[-1].write_bytes(body)
    listed = ", ".join(f'"{name}"' for name in names)
    path.write_text(
        f"local bodies, number = {{}}, 0\n"
        f"for place, name in ipairs({{ {listed} }}) do\n"
        f'  local f = io.open(name, "rb")\n  bodies[place] = f:read("*a")\n  f:close()\nend\n'
        f'local headers = {{ ["Content-Type"] = "{kind}" }}\n'
        "request = function()\n  number = number % #bodies + 1\n"
        '  return wrk.format("POST", nil, headers, bodies[number])\nend\n'
    )
    return path


def sides_of(args: argparse.Namespace, bundle: Path, folder: Path) -> dict[str, tuple]:
    """Return for each side its command, where it says that it is ready, and its libraries."""
    headstart = [sys.executable, "-m", "headstart", "serve", str(bundle), "--port", "{port}"]
    sides = {"headstart": (headstart, "/v2/health/ready", "")}
    if args.fastapi:
        (folder / "naive.py").write_text(FASTAPI)
        command = [sys.executable, str(folder / "naive.py"), str(bundle / "model.onnx"), "{port}"]
        sides["naive FastAPI"] = (command, "/docs", args.fastapi)
    if args.mlserver:
        place = folder / "mlserver"
        place.mkdir()
        (place / "rows_model.py").write_text(MLSERVER)
        record = {
            "name": "rows", "implementation": "rows_model.Rows", "max_batch_size": 32,
            "max_batch_time": 0.001, "parameters": {"uri": str(bundle / "model.onnx")},
        }  # fmt: skip
        (place / "model-settings.json").write_text(json.dumps(record))
        settings = {
            "http_port": "{port}", "grpc_port": "{grpc}", "metrics_port": "{metrics}",
            "parallel_workers": 0, "debug": False,
        }  # fmt: skip
        (place / "settings.template").write_text(json.dumps(settings))
        start = (
            "import os, sys; os.chdir(sys.argv[1]); sys.path.insert(0, '.');"
            "from mlserver.cli import main; sys.argv = ['mlserver', 'start', '.']; main()"
        )
        command = [args.mlserver, "-c", start, str(place)]
        sides["MLServer"] = (command, "/v2/health/ready", "")
    return sides


def measure(
    name: str, side: tuple, script: Path, path: str, args, connections, *, by_rows: bool = False
) -> list[dict]:
    command, ready, libraries = side
    port = free_port()
    if name == "MLServer":
        place = Path(command[-1])
        text = (place / "settings.template").read_text()
        for word, number in (("port", port), ("grpc", free_port()), ("metrics", free_port())):
            text = text.replace(f'"{{{word}}}"', str(number))
        (place / "settings.json").write_text(text)
    found = []
    words = [one.replace("{port}", str(port)) for one in command]
    with serving(words, port, ready, libraries) as process:
        url = f"http://127.0.0.1:{port}{path}"
        load(url, script, 8, 1, process.pid)  # warm
        for number in connections:
            told = load(url, script, number, args.seconds, process.pid, by_rows=by_rows)
            found.append({"side": name, "connections": number, **told})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    for name in ("--fastapi", "--mlserver", "--json"):
        parser.add_argument(name, default="")
    args = parser.parse_args()
    print(describe_machine(1).sentence())
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = make_bundle(folder)
        data = np.random.default_rng(1).normal(0, 1, WIDTH).round(4).tolist()
        tensor = {"name": "numbers", "datatype": "FP32", "shape": [1, WIDTH], "data": data}
        body = json.dumps({"inputs": [tensor]}).encode()
        script = lua(folder / "rows.lua", [body], "application/json")
        sides = sides_of(args, bundle, folder)
        for _ in range(args.turns):
            for side, what in sides.items():
                rows += measure(side, what, script, "/v2/models/rows/infer", args, args.connections)
        shown = summary(rows, sides)
        print(
            markdown_table(
                [
                    "side",
                    "connections",
                    "a second",
                    "p50 ms",
                    "p99 ms",
                    "processor ms",
                    "headstart does",
                ],
                shown,
            )
        )
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


def summary(rows: list[dict], sides: dict) -> list[list[str]]:
    """Return a line a side and number of connections: medians of the turns, and the ratio."""
    shown = []
    for number in sorted({one["connections"] for one in rows}):
        base = 0.0
        for side in sides:
            own = [one for one in rows if (one["side"], one["connections"]) == (side, number)]
            told = {k: statistics.median(o[k] for o in own) for k in own[0] if k != "side"}
            base = base or told["processor ms"]
            ratio = f"{told['processor ms'] / base:.1f} x"
            cells = [f"{told[k]:.0f}" if k == "a second" else f"{told[k]:.2f}"
                     for k in ("a second", "p50 ms", "p99 ms", "processor ms")]  # fmt: skip
            shown.append([side, str(number), *cells, ratio])
    return shown


if __name__ == "__main__":
    main()
