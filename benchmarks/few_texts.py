"""MiniLM fine-tuned on 700 texts by this build and another: what a rule for texts changes.

    HEADSTART_DATA=… python benchmarks/few_texts.py --sides . ../before --seeds 0 1   # ~40 s a run

SST-2 and TREC-6 with their own test splits; 700 texts of train, drawn by the seed, and 400 of val,
the same for both sides; two epochs with every default. Each run is a process of its own with an
empty cache. Printed are accuracy and log loss on test, and seconds of the processor.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import markdown_table

DATA = Path(os.environ.get("HEADSTART_DATA", ".")) / "text"
Rows = list[tuple[str, str]]


def read_sst2() -> tuple[Rows, Rows, Rows]:
    """Return the sentences of SST-2: train, val, test."""
    found = []
    for name in ("train", "dev", "test"):
        lines = (DATA / "sst2" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        found.append([(line.split("\t")[0], line.split("\t")[1]) for line in lines])
    return found[0], found[1], found[2]


def read_trec() -> tuple[Rows, Rows, Rows]:
    """Return the questions of TREC-6, the last 1,000 of train as val."""
    found = []
    for name in ("train", "test"):
        with (DATA / "trec-qc" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found.append([(row["text"], row["coarse"]) for row in csv.DictReader(file)])
    return found[0][:-1000], found[0][-1000:], found[1]


READERS = {"sst2": read_sst2, "trec": read_trec}


def run_one(name: str, strategy: str, seed: int) -> dict[str, float]:
    """Fine-tune with the build on the path; return figures and seconds."""
    import headstart as hs

    train, val, test = READERS[name]()
    draw = random.Random(seed)
    parts = {"train": draw.sample(train, 700), "val": draw.sample(val, 400), "test": test}
    pairs = {n: ([t for t, _ in part], [y for _, y in part]) for n, part in parts.items()}
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = hs.finetune(
            pairs,
            start="pip/all-minilm-l6-v2",
            strategy=strategy,
            num_epochs=2,
            seed=seed,
            out=f"{folder}/run",
            device="cpu",
            quiet=True,
        )
    figures = run.metrics["test"]["figures"]
    told = {name: figures[name]["value"] for name in ("accuracy", "log_loss")}
    return {**told, "seconds": time.process_time() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description="MiniLM on few texts, two builds in turn.")
    parser.add_argument("--sides", type=Path, nargs="+", default=[Path(".")])
    parser.add_argument("--sets", nargs="+", choices=list(READERS), default=list(READERS))
    parser.add_argument("--strategies", nargs="+", default=["lp-ft", "full"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.one:
        print(json.dumps(run_one(said.one[0], said.one[1], int(said.one[2]))))
        return
    table = []
    for name in said.sets:
        for strategy in said.strategies:
            for seed in said.seeds:
                for side in said.sides:
                    with tempfile.TemporaryDirectory() as cache:
                        paths = {"PYTHONPATH": str(side.resolve() / "src")}
                        environment = os.environ | paths | {"HEADSTART_CACHE": cache}
                        command = [sys.executable, __file__, "--one", name, strategy, str(seed)]
                        done = subprocess.run(
                            command, env=environment, capture_output=True, text=True, check=True
                        )
                    told = json.loads(done.stdout.splitlines()[-1])
                    row = [f"{told[k]:.3f}" for k in ("accuracy", "log_loss")]
                    table.append([name, strategy, str(seed), str(side), *row])
                    table[-1].append(f"{told['seconds']:.0f}")
                    print(" ".join(table[-1]), file=sys.stderr, flush=True)
    columns = ["set", "strategy", "seed", "build", "accuracy", "log loss", "processor s"]
    print(markdown_table(columns, table))


if __name__ == "__main__":
    main()
