"""Whether the grid of learning rates pays: the table of docs/experiments.md.

    HEADSTART_DATA=… python benchmarks/learning_rates.py trec sst2 flowers5 --seeds 0 1 2

For each data set and seed, from the same probe: the family's own rate, and the rate that short
trials choose, for the same number of steps. Where the trials stay with the family's own the two are
the same training, bit for bit, and it runs once. ``--longer`` adds what the trials cost to the
family's own rate as more steps; ``--all`` trains every rate of the grid in full, so that one sees
what the best choice would have been. Val chooses; the test split is read after each training, by
this table alone.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import markdown_table

import headstart as hs
from headstart.model import model_outputs, run_batches
from headstart.searching.learning_rates import rates_of, settle_learning_rate
from headstart.starts import find_start
from headstart.training.options.defaults import DEFAULTS
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.arm import Arm
from headstart.tuning.conditions import Conditions
from headstart.tuning.cost import measure_pass
from headstart.tuning.setup import TrainingSetup, prepare_sample, set_up
from headstart.types import Dataset, SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Job:
    """One data set, start and length."""

    start: str
    num_steps: int
    load: dict[str, Any]
    size: int | None = None
    strategy: str = "lp-ft"


def jobs(root: Path) -> dict[str, Job]:
    """Return the jobs by name."""
    text = root / "text"
    trec = {"source": str(text / "trec-qc"), "label": "coarse", "text": "text"}
    sst2 = {"source": str(text / "sst2"), "header": ["text", "label"], "label": "label"}
    minilm, lite = "pip/all-minilm-l6-v2", "pip/efficientnet-lite0"
    return {
        "trec": Job(minilm, 120, trec),
        "sst2": Job(minilm, 120, sst2),
        "flowers5": Job(lite, 60, {"source": "flowers5"}, size=64),
    }


@dataclass(frozen=True)
class Measured:
    """One training."""

    learning_rate: float
    val: float
    test: float
    seconds: float
    rows: list[dict[str, Any]]


def measure(
    job: Job, data: Dataset, seed: int, *, num_steps: int, rate: float | None, is_grid: bool
) -> Measured:
    """Fine-tune once, without run folder, and read the test split.

    Args:
        job: The start.
        data: The data.
        seed: Seed of everything.
        num_steps: Optimizer steps of the training.
        rate: The learning rate; None is the family's own.
        is_grid: Whether short trials choose the rate first.
    """
    setup = setup_of(job, data, seed, num_steps, rate)
    train, val, test = (prepare_sample(data, n, setup, None, seed=seed) for n in SPLITS)
    began = time.perf_counter()
    arm = Arm(setup, train, val, Conditions(seconds_per_sample=measure_pass(setup, data)))
    arm.start()
    chosen = settle_learning_rate(arm) if is_grid else []
    arm.advance()
    tuned = arm.finish()
    seconds = time.perf_counter() - began
    scores = [
        float((setup.model.task.decisions(model_outputs(setup.model, x)) == s.targets).mean())
        for x, s in ((tuned.val_logits, val), (run_batches(setup.model, test, setup.model), test))
    ]
    return Measured(setup.recipe.learning_rate, *scores, seconds, chosen)


def setup_of(
    job: Job, data: Dataset, seed: int, num_steps: int, rate: float | None
) -> TrainingSetup:
    """Set the start up."""
    return set_up(
        data,
        find_start(job.start),
        TrainingOptions(
            strategy=job.strategy,
            input_size=job.size,
            num_steps=num_steps,
            learning_rate=rate,
            seed=seed,
        ),
        device=torch.device("cpu"),
    )


def compare(name: str, job: Job, seed: int, *, is_all: bool, is_longer: bool) -> dict[str, Any]:
    """Measure one data set and seed; return what was found."""
    load = dict(job.load)
    data = hs.load(load.pop("source"), seed=seed, **load)
    steps = job.num_steps
    grid = measure(job, data, seed, num_steps=steps, rate=None, is_grid=True)
    setup = setup_of(job, data, seed, steps, None)
    own, rates = setup.recipe.learning_rate, rates_of(setup)
    full = {grid.learning_rate: grid}
    for rate in rates if is_all else [own]:
        if rate not in full:
            full[rate] = measure(job, data, seed, num_steps=steps, rate=rate, is_grid=False)
    longer = None
    if is_longer:
        more = steps + sum(int(row["num_steps"]) for row in grid.rows)
        longer = measure(job, data, seed, num_steps=more, rate=own, is_grid=False)
    found = {
        "data": name,
        "seed": seed,
        "trials": {f"{row['learning_rate']:g}": round(row["score"], 4) for row in grid.rows},
        "notes": {f"{row['learning_rate']:g}": row["note"] for row in grid.rows},
        "full_val": {f"{rate:g}": round(m.val, 4) for rate, m in sorted(full.items())},
        "full_test": {f"{rate:g}": round(m.test, 4) for rate, m in sorted(full.items())},
        "own": full[own].test,
        "chosen_rate": grid.learning_rate,
        "chosen": grid.test,
        "longer": longer.test if longer else float("nan"),
        "seconds": [round(grid.seconds), round(sum(row["seconds"] for row in grid.rows))],
    }
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Measure what the command line names and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="trec, sst2, flowers5; all when not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--factors", type=float, nargs="+", help="a grid in place of the table's")
    parser.add_argument("--steps", type=int, help="in place of the job's own")
    parser.add_argument("--longer", action="store_true", help="the own rate, for the trials' steps")
    parser.add_argument("--all", action="store_true", help="train every rate in full")
    arguments = parser.parse_args()
    known = jobs(Path(os.environ["HEADSTART_DATA"]))
    if arguments.steps:
        known = {name: replace(job, num_steps=arguments.steps) for name, job in known.items()}
    if arguments.factors:
        for key, row in DEFAULTS.items():
            DEFAULTS[key] = replace(row, grid=tuple(arguments.factors))
    rows = []
    for name in arguments.names or known:
        found = [
            compare(name, known[name], s, is_all=arguments.all, is_longer=arguments.longer)
            for s in arguments.seeds
        ]
        means = [float(np.mean([f[key] for f in found])) for key in ("own", "chosen", "longer")]
        rates = " ".join(f"{f['chosen_rate']:g}" for f in found)
        steps = str(known[name].num_steps)
        rows.append([name, known[name].start, steps, rates, *(f"{mean:.4f}" for mean in means)])
    head = ["data", "start", "steps", "chosen", "own rate", "chosen rate", "own rate, longer"]
    print(markdown_table(head, rows))


if __name__ == "__main__":
    main()
