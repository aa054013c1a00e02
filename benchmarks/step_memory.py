"""What a step was estimated to take of the memory, and what the process took.

    python benchmarks/step_memory.py        # about five minutes on one core

Each case runs in a process of its own: random images, or texts of random words as long as the
network takes them; three steps of headstart's loop, without checkpoints. Just before the loop, when
its need is settled, freed memory is given back, the resident size is read, and Linux is told to
forget the most that it was (what fills the cache of a frozen part takes more); the most it then
becomes (``ru_maxrss``) minus that is what the loop took. A frozen part is computed before and kept
on disk, but where "uncached" stands.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from timing import describe_machine, markdown_table

from headstart.data import load
from headstart.preprocessing import Pixels
from headstart.starts import find_start
from headstart.training.machine.memory import give_back_freed_memory
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.conditions import Conditions
from headstart.tuning.decisions import Decisions
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.tuning.tune import tune
from headstart.types import Inputs

# start, tokens or pixels, batch
NETWORKS = (
    ("pip/all-minilm-l6-v2", 256, 32),
    ("pip/efficientnet-lite0", 224, 32),
    ("scratch/vit-tiny", 64, 32),
    ("scratch/resnet18", 96, 32),
    ("scratch/simple-cnn", 28, 128),
)
STRATEGIES = ("full", "last-n", "last-n, uncached")
NUM_STEPS = 3
WORDS = ("cat", "dog", "house", "tree", "river", "stone", "light")
SPLITS = (("train", None), ("val", 8))


def make(
    address: str, strategy: str, size: int, batch_size: int
) -> tuple[TrainingSetup, Inputs, Inputs]:
    """Return a model, and samples to learn from and to look at."""
    start, num = find_start(address), 3 * batch_size
    draws = np.random.default_rng(0)
    name, _, word = strategy.partition(", ")
    views = None if name == "full" else int(word != "uncached")
    options = TrainingOptions(
        strategy=name, batch_size=batch_size, num_steps=NUM_STEPS, views=views
    )
    cpu = torch.device("cpu")
    if start.modality == "text":
        texts = [" ".join(draws.choice(WORDS, 2 * size)) for _ in range(2 * num)]
        data = load(pd.DataFrame({"text": texts, "label": ["a", "b"] * num}), label="label")
        setup = set_up(data, start, options, device=cpu)
        train, val = (prepare_sample(data, part, setup, most, seed=0) for part, most in SPLITS)
        return setup, train, val
    options = replace(options, input_size=size)
    setup = set_up(load("digits-8x8"), start, options, device=cpu)
    shape = (num + 8, size, size, setup.preprocess.spec.decode_channels)
    pixels = draws.integers(0, 256, shape, dtype=np.uint8)
    targets, ids = draws.integers(0, 10, len(pixels)), np.arange(len(pixels))
    parts = (slice(0, num), slice(num, None))
    train, val = (Pixels(pixels[p], targets[p], ids[p], [""] * len(ids[p])) for p in parts)
    return setup, train, val


def run(address: str, strategy: str, size: int, batch_size: int) -> None:
    """Train in this process; print what was estimated and what was taken, in bytes."""
    seen: list[int] = []

    decisions = Decisions(keep=lambda: note(decisions.records))

    def note(settled: dict[str, Any]) -> None:
        """Note the memory in use when the step has been measured, before it is taken."""
        if "micro_batch_size" not in settled or seen:
            return
        give_back_freed_memory()
        Path("/proc/self/clear_refs").write_text("5")  # the kernel's word for: from here on
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        estimated = settled["micro_batch_size"]["value"]["step_bytes"]
        seen.extend([estimated, pages * resource.getpagesize()])

    setup, train, val = make(address, strategy, size, batch_size)
    tune(setup, train, val, Conditions(decisions=decisions, is_micro_batch_said=True))
    estimated, before = seen
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(estimated, most - before)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Memory of a step: estimated and taken.")
    parser.add_argument("--side", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.side:
        address, strategy, size, batch_size = arguments.side
        return run(address, strategy, int(size), int(batch_size))
    print(describe_machine(torch.get_num_threads()).sentence() + "\n")
    rows: list[list[object]] = []
    for address, size, batch_size in NETWORKS:
        for strategy in STRATEGIES:
            with tempfile.TemporaryDirectory() as cache:
                side = [address, strategy, str(size), str(batch_size)]
                command = [sys.executable, __file__, "--side", *side]
                kept = {**os.environ, "HEADSTART_CACHE": cache}
                done = subprocess.run(command, env=kept, check=True, stdout=subprocess.PIPE)
            estimated, taken = (int(word) for word in done.stdout.split()[-2:])
            what = f"`{address}`, {size}, batch {batch_size}, {strategy}"
            figures = f"{estimated / 1e6:,.0f}", f"{taken / 1e6:,.0f}", f"{estimated / taken:.2f}"
            rows.append([what, *figures])
            print(rows[-1], flush=True)
    columns = ["network, pixels or tokens", "estimated MB", "taken MB", "estimated / taken"]
    print("\n" + markdown_table(columns, rows))


if __name__ == "__main__":
    main(sys.argv[1:])
