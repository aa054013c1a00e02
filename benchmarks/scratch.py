"""What the starts from scratch reach in the same seconds: a fine-tuning each, in turn.

    HEADSTART_DATA=… python benchmarks/scratch.py cifar10 --budgets 60 240     # ~25 min on one core
    HEADSTART_DATA=… python benchmarks/scratch.py mnist fashion-mnist digits flowers5 --budgets 60

Each is ``headstart finetune DATA --start START --budget SECONDS`` in a process of its own with an
empty cache: imports, reading, test and report are in it. ``--clock work`` counts the seconds that
the process has worked in place of those on the wall, so that the other jobs of a machine take none
of them (they still slow each second down: sides stand next to one another). Rows go to a CSV, and
what stands there is not run again.

The last columns are the floor: a step's convolutions and matrix products, three times a forward
pass, and how many of them were done in each second of the training, beside what a plain product of
matrices of this machine does in fp32 and bf16.

Left out: GPUs (``gpu.py``), pretrained starts.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import describe_machine, markdown_table

_RUN = """
import json, sys, time
if {clock!r} == "work":
    slept = 0.0
    def now():
        return time.process_time() + slept
    def sleep(seconds):
        global slept
        slept += seconds
    time.monotonic, time.sleep = now, sleep
import headstart as hs
from headstart.events import listen
spent = {{}}
def hear(kind, fields):
    if kind == "spent":
        spent[fields["stage"]] = fields["seconds"]
with listen(hear):
    run = hs.finetune({data!r}, start={start!r}, budget="{budget}s", seed={seed}, out={out!r})
from torch.utils.flop_counter import FlopCounterMode
import torch
network, spec = run.model.encoder, run.model.encoder.preprocess.spec
network.network.mirrors = False
counter = FlopCounterMode(display=False)
with counter, torch.no_grad():
    network(torch.zeros(2, spec.channels, spec.size, spec.size))
flops = counter.get_total_flops() / 2
print(json.dumps([spent.get("training"), flops]), file=open({result!r}, "w"))
"""
_FIELDS = ("data", "budget", "start", "seed", "threads", "accuracy", "low", "high", "epochs", "s",
           "mflop", "gflops", "format", "load")  # fmt: skip


def run_once(
    data: str, budget: int, start: str, seed: int, threads: int, clock: str
) -> dict[str, object]:
    """Fine-tune in a process of its own; return what a row says of it."""
    with tempfile.TemporaryDirectory() as folder:
        out, result = Path(folder) / "run", Path(folder) / "result.json"
        code = _RUN.format(
            clock=clock,
            data=data,
            start=start,
            budget=budget,
            seed=seed,
            out=str(out),
            result=str(result),
        )
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "HEADSTART_CACHE": str(Path(folder) / "cache"),
        }
        load = os.getloadavg()[0]
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            return {"accuracy": "", "epochs": "", "s": "", "load": round(load, 1)}
        seconds, flops = json.loads(result.read_text())
        metrics = json.loads((out / "metrics.json").read_text())
        options = json.loads((out / "options.json").read_text())
        counts = json.loads((out / "data.json").read_text())["counts"]
    recipe, steps = options["recipe"], options["training"]["step"]
    images = steps * recipe["batch_size"]
    figure = metrics["test"]["figures"]["accuracy"]
    layout = "last" if recipe["step_channels_last"] is not False else "first"
    return {
        "accuracy": round(figure["value"], 4),
        "low": round(figure["low"], 4),
        "high": round(figure["high"], 4),
        "epochs": round(images / counts["train"], 2),
        "s": round(metrics["seconds"]["total"], 1),
        "mflop": round(flops / 1e6, 1),
        "gflops": round(3 * flops * images / seconds / 1e9) if seconds else "",
        "format": f"{recipe['step_precision'] or recipe['precision']}, {layout}",
        "load": round(load, 1),
    }


def measure_products(threads: int) -> str:
    """Return what plain products of matrices reach here, in fp32 and bf16."""
    import torch

    torch.set_num_threads(threads)
    told = []
    for dtype in (torch.float32, torch.bfloat16):
        one = torch.randn(1024, 1024).to(dtype)
        best = 0.0
        for _ in range(10):
            began = time.process_time()
            one @ one
            best = max(best, threads * 2 * 1024**3 / (time.process_time() - began) / 1e9)
        told.append(f"{str(dtype).removeprefix('torch.')} {best:.0f}")
    return f"products of matrices, GFLOP/s: {', '.join(told)}"


def table(rows: list[dict[str, str]]) -> str:
    """Return the rows as Markdown."""
    columns = ("data", "budget", "start", "seed", "test accuracy [95 %]", "epochs", "run, s",
               "Mflop an image", "GFLOP/s of the training", "steps", "load")  # fmt: skip
    shown = [
        (
            row["data"],
            f"{row['budget']} s",
            f"`{row['start']}`",
            row["seed"],
            f"{row['accuracy']} [{row['low']}, {row['high']}]" if row["accuracy"] else "refused",
            row["epochs"],
            row["s"],
            row["mflop"],
            row["gflops"],
            row["format"],
            row["load"],
        )
        for row in rows
    ]
    return markdown_table(columns, shown)


def main() -> None:
    """Run what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--budgets", type=int, nargs="+", default=[60])
    names = ("quick-cnn", "simple-cnn", "resnet18")
    parser.add_argument("--starts", nargs="+", default=[f"scratch/{name}" for name in names])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "work"), default="wall")
    parser.add_argument("--out", type=Path, default=Path("scratch.csv"))
    asked = parser.parse_args()
    print(describe_machine(asked.threads).sentence())
    print(f"{measure_products(asked.threads)}; clock: {asked.clock}", flush=True)
    rows = list(csv.DictReader(asked.out.open())) if asked.out.exists() else []
    done = {tuple(row[name] for name in _FIELDS[:5]) for row in rows}
    with asked.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, _FIELDS)
        if not rows:
            writer.writeheader()
        for data in asked.data:
            for budget in asked.budgets:
                for seed in asked.seeds:
                    for start in asked.starts:  # next to one another, as close in time as can be
                        key = (data, str(budget), start, str(seed), str(asked.threads))
                        if key in done:
                            continue
                        found = run_once(data, budget, start, seed, asked.threads, asked.clock)
                        row = dict(zip(_FIELDS[:5], key, strict=True)) | found
                        writer.writerow(row)
                        file.flush()
                        rows.append({n: str(row.get(n, "")) for n in _FIELDS})
                        print(row, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
