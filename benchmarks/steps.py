"""Training steps of two builds of headstart, in turns: what a step takes, and of which peak.

    python benchmarks/steps.py --before ../before --after .            # about eight minutes
    python benchmarks/steps.py --before ../before --after . --without-bf16

Each is a checkout with ``src/``. Every network trains in both, in a process each, by headstart's
own loop (``Arm``): batches, forward, backward, clipping, optimizer, averages. The processes are
stopped after every block of steps, so that one block of the one follows one of the other on the
same machine; the smallest median of a block counts, and the ratio is of these. With one thread the
clock is that of the process, which neighbours on a busy machine lengthen little; with more it is
the wall's. What the later build measures to choose its format is done before its first step and is
told apart. ``--without-bf16`` forbids oneDNN the units for bf16, for both; ``--all-families`` opens
bf16 to families whose accuracy under it was not measured.

The share of the peak is floating point operations of convolutions and linear layers, of which the
way back has twice as many, a second, over what a large matrix product reaches in the format that
the steps run in.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from timing import markdown_table

HERE = Path(__file__).parent
BATCH = 32
NUM_SAMPLES = 640
BLOCK_SECONDS = 1.5
BUDGET_SECONDS = 36_000  # of which the choice of a format may take a hundredth
WITHOUT_BF16 = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}


@dataclass(frozen=True)
class Network:
    """What is trained: a start on a data set, at a size."""

    title: str
    start: str
    data: str
    options: Mapping[str, Any]


NETWORKS = {
    "resnet18": Network(
        "ResNet-18, 128 px", "scratch/resnet18", "flowers5", {"input_size": 128, "strategy": "full"}
    ),
    "vit-tiny": Network(
        "ViT-tiny, 96 px", "scratch/vit-tiny", "flowers5", {"input_size": 96, "strategy": "full"}
    ),
    "minilm": Network(
        "MiniLM, 40 tokens",
        "pip/all-minilm-l6-v2",
        "text/imdb-10k/train.parquet",
        {"max_length": 40, "strategy": "full"},
    ),
    "lite0": Network(
        "EfficientNet-Lite0, 128 px",
        "pip/efficientnet-lite0",
        "flowers5",
        {"input_size": 128, "strategy": "full"},
    ),
}


# One side: a process that trains, and stops after each block --------------------------------------


class Steps:
    """Times each step of the loop, and hands over after each block of them."""

    def __init__(self, num_threads: int) -> None:
        self.clock = time.process_time if num_threads == 1 else time.perf_counter
        self.times: list[float] = []
        self.block = 0

    def install(self) -> None:
        """Put a clock around the loop's own step."""
        from headstart.training.loop import Loop

        own = Loop._step

        def step(loop: Any) -> Any:
            if not self.times and not self.block:
                say({"ready": True, "format": told_format()})
                self.block = wait()
            began = self.clock()
            loss = own(loop)
            self.times.append(self.clock() - began)
            if len(self.times) == self.block:
                say({"times": self.times})
                self.times = []
                self.block = wait()
            return loss

        Loop._step = step  # type: ignore[method-assign]


def say(record: Mapping[str, Any]) -> None:
    print("STEPS " + json.dumps(record), flush=True)


def wait() -> int:
    """Return how many steps come next; the end of the input is the end."""
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    return int(line)


CHOICES: dict[str, Any] = {}


def told_format() -> str:
    return str(CHOICES.get("step_format", "as the recipe has it"))


def run_side(name: str, num_threads: int, *, all_families: bool) -> None:
    import numpy as np
    import torch

    from headstart.data import load
    from headstart.events import listen
    from headstart.starts import find_start
    from headstart.training.options.training_options import TrainingOptions
    from headstart.tuning.arm import Arm
    from headstart.tuning.conditions import Conditions
    from headstart.tuning.setup import prepare_sample, set_up

    torch.set_num_threads(num_threads)
    network = NETWORKS[name]
    source = network.data
    if "/" in source:
        source = str(Path(os.environ["HEADSTART_DATA"]) / source)
    data = load(source)
    options = TrainingOptions(
        batch_size=BATCH, micro_batch_size=BATCH, num_steps=100_000, augment="none",
        **network.options,
    )  # fmt: skip
    setup = set_up(data, find_start(network.start), options, device=torch.device("cpu"))
    train, val = (prepare_sample(data, s, setup, NUM_SAMPLES, seed=0) for s in ("train", "val"))
    known = {f.name for f in fields(Conditions)}
    deadline = time.monotonic() + BUDGET_SECONDS
    given: dict[str, Any] = {"is_micro_batch_said": True, "deadline": deadline}
    if "open_options" in known:
        given["open_options"] = frozenset({"precision", "channels_last"})

    def hear(kind: str, told: dict[str, Any]) -> None:
        if kind == "choice":
            CHOICES[told["name"]] = f"{told['value']} ({told['why']})"

    if "open_options" in known:
        from headstart.tuning import step_format

        # on a machine that others keep busy a choice takes longer, and it is not what is measured
        step_format._ENOUGH_SECONDS = BUDGET_SECONDS
        if all_families:
            row_of = step_format.defaults_for
            step_format.defaults_for = lambda start: replace(row_of(start), bf16_steps=True)
    with listen(hear):
        arm = Arm(setup, train, val, Conditions(**given))
        steps = Steps(num_threads)
        steps.install()
        arm.start()
        say({"gflop": count_gflop(arm, np)})
        arm.advance()


def count_gflop(arm: Any, np: Any) -> float:
    """Return 1e9 operations of convolutions and linear layers in one step, forward and back."""
    import torch
    from torch import nn

    phases, model = arm._phases, arm.setup.model
    phases.prepare(0.0)
    batch = phases.present.feed.batch_of(np.arange(2))
    found: list[float] = []

    def count(module: Any, given: Any, output: Any) -> None:
        weight = module.weight
        per_output = weight[0].numel()  # products for each element of the output
        found.append(2 * per_output * output.numel())

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    state = torch.get_rng_state()
    model.eval()
    with torch.no_grad():
        model(*batch.inputs)
    torch.set_rng_state(state)
    for hook in hooks:
        hook.remove()
    return 3 * sum(found) / 1e9 / 2 * BATCH


# Both, in turns -----------------------------------------------------------------------------------


class Side:
    """A process that trains one network with one build."""

    def __init__(
        self,
        checkout: Path,
        name: str,
        threads: int,
        environment: Mapping[str, str],
        more: Sequence[str],
    ) -> None:
        variables = {
            **os.environ, **environment, "PYTHONPATH": str(checkout.resolve() / "src"),
            "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HEADSTART_QUIET": "1",
        }  # fmt: skip
        command = [sys.executable, str(HERE / "steps.py"), "--side", name]
        command += ["--threads", str(threads), *more]
        self.process = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said: dict[str, Any] = {}
        while "ready" not in self.said:
            self.said |= self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("STEPS "):
                found: dict[str, Any] = json.loads(line.removeprefix("STEPS "))
                return found
        raise SystemExit(f"A side ended with status {self.process.wait()}; see what it printed.")

    def steps(self, number: int) -> list[float]:
        """Take so many steps; return the seconds of each."""
        assert self.process.stdin
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        times: list[float] = self._read()["times"]
        return times

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(name: str, threads: int, options: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Return what a step takes in both builds: the best median of a block."""
    environment = WITHOUT_BF16 if options.without_bf16 else {}
    environment = {**environment, "HEADSTART_CACHE": str(cache)}
    more = ["--all-families"] if options.all_families else []
    checkouts = (options.before, options.after)
    sides = [Side(each, name, threads, environment, more) for each in checkouts]
    blocks: list[list[float]] = [[], []]
    for side in sides:
        side.steps(1)  # kernels are made, memory is taken
    block = max(2, math.ceil(BLOCK_SECONDS / statistics.median(sides[0].steps(1))))
    sides[1].steps(1)
    for turn in range(options.turns):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            blocks[which].append(statistics.median(sides[which].steps(block)))
    said = sides[1].said
    for side in sides:
        side.close()
    before, after = (min(times) for times in blocks)
    pairs = [a / b for a, b in zip(*blocks, strict=True)]
    found = {"name": name, "threads": threads, "before": before, "after": after}
    found |= {"ratio": before / after, "low": min(pairs), "high": max(pairs)}
    return found | {"gflop": said["gflop"], "format": said["format"]}


def measure_peak(threads: int, dtype_name: str) -> float:
    """Return 1e9 operations a second of a large matrix product; of ``copy`` 1e9 bytes."""
    code = (
        "import sys, time, torch\n"
        f"torch.set_num_threads({threads})\n"
        "size = 2048 if sys.argv[1] != 'copy' else 8192\n"
        "kind = torch.bfloat16 if sys.argv[1] == 'bf16' else torch.float32\n"
        "a, b = torch.randn(size, size).to(kind), torch.randn(size, size).to(kind)\n"
        "out = torch.empty(size, size, dtype=kind)\n"
        f"clock = time.{'process_time' if threads == 1 else 'perf_counter'}\n"
        "best, end = 1e9, time.perf_counter() + 5\n"
        "while time.perf_counter() < end:\n"
        "    began = clock()\n"
        "    out.copy_(a) if sys.argv[1] == 'copy' else torch.mm(a, b, out=out)\n"
        "    best = min(best, clock() - began)\n"
        "print((2 * 4 * size ** 2 if sys.argv[1] == 'copy' else 2 * size ** 3) / best / 1e9)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", code, dtype_name]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


def report(rows: Sequence[Mapping[str, Any]], peaks: Mapping[int, Mapping[str, float]]) -> str:
    cells = []
    for row in rows:
        kind = "bf16" if row["format"].startswith("bf16") else "fp32"
        rate = row["gflop"] / row["after"]
        cells.append(
            [
                NETWORKS[row["name"]].title,
                row["threads"],
                f"{1e3 * row['before']:.0f}",
                f"{1e3 * row['after']:.0f}",
                f"{row['ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f})",
                row["format"].split(" (")[0],
                f"{rate:.0f}, {rate / peaks[row['threads']][kind]:.0%}",
            ]
        )
    columns = ["network", "threads", "before, ms a step", "after", "ratio", "format"]
    table = markdown_table([*columns, "GFLOP/s, of the peak"], cells)
    mean = math.exp(statistics.mean(math.log(row["ratio"]) for row in rows))
    least = min(row["ratio"] for row in rows)
    lines = [table, "", f"Geometric mean {mean:.2f}, the least {least:.2f}."]
    for threads, peak in peaks.items():
        lines.append(
            f"Peak with {threads} threads: {peak['fp32']:.0f} GFLOP/s in fp32, {peak['bf16']:.0f} "
            f"in bf16, {peak['copy']:.0f} GB/s of a copy."
        )
    return "\n".join(lines)


def main() -> None:
    options = _read_options()
    if options.side:
        run_side(options.side, options.threads[0], all_families=options.all_families)
        return
    rows: list[dict[str, Any]] = []
    peaks = {
        threads: {kind: measure_peak(threads, kind) for kind in ("fp32", "bf16", "copy")}
        for threads in options.threads
    }
    with tempfile.TemporaryDirectory(prefix="steps-") as cache:
        for threads in options.threads:
            for name in options.networks:
                row = compare(name, threads, options, Path(cache))
                rows.append(row)
                ratio = f"{row['ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f})"
                print(name, threads, ratio, row["format"], flush=True)
    print(report(rows, peaks))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "peaks": peaks}, indent=1) + "\n")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", type=Path, default=HERE.parent, help="checkout, older build")
    parser.add_argument("--after", type=Path, default=HERE.parent, help="checkout, newer build")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=5, help="blocks of steps of each build")
    parser.add_argument("--without-bf16", action="store_true", help="forbid the units for bf16")
    parser.add_argument("--all-families", action="store_true", help="let any start step in bf16")
    parser.add_argument("--json", type=Path, help="file for what was measured")
    parser.add_argument("--side", choices=list(NETWORKS), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
