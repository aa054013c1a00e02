"""What two processes with one thread each gain over one, at the same samples a step.

    python benchmarks/several_processes.py               # about ten minutes on two cores

Sides, each in processes of its own, over gloo on one machine: headstart's loop alone; the same with
two processes that share every step; the same with the weights split over them (FSDP2); a plain loop
of forward, loss, backward, clipping and AdamW alone; and the same network in a plain loop in
``DistributedDataParallel`` with two. All train from the same random weights on the same random
images. The speed-up is the quotient of the median seconds a step, one process over two, of sides
that ran one after the other in one round: the median over rounds with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from timing import (
    answer_side,
    describe_machine,
    markdown_table,
    number,
    pair_ratio,
    run_side,
    save_records,
)
from torch import Tensor, nn

from headstart.data import load
from headstart.objectives import Wanted, task_loss
from headstart.preprocessing import Pixels
from headstart.recipes.processes import company_of
from headstart.starts import find_start
from headstart.training.company import Company
from headstart.training.loop import Check, Hooks, LoopOptions, train
from headstart.training.machine.memory import keep_freed_memory
from headstart.training.options.strategy import set_train_mode
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.hooks import (
    let_learn,
    optimizer_of,
    place_setup,
    placed_setup,
    share_of,
    uncut,
)
from headstart.tuning.setup import TrainingSetup, set_up
from headstart.types import Inputs

CASES = (("scratch/resnet18", 32), ("scratch/vit-tiny", 32))
ALONE = ("headstart", "plain")
SIDES = (*ALONE, "headstart, two", "headstart, split", "DDP, two")
COMPARED = {
    "headstart, two": "headstart",
    "headstart, split": "headstart",
    "DDP, two": "plain",
}


def make(address: str, size: int, batch_size: int) -> tuple[TrainingSetup, Inputs]:
    """Return a model and random images of the size that it takes."""
    options = TrainingOptions(
        strategy="full",
        input_size=size,
        batch_size=batch_size,
        num_steps=10,
        ema=False,
        optimizer="adamw",
    )
    setup = set_up(load("digits-8x8"), find_start(address), options, device=torch.device("cpu"))
    draws = np.random.default_rng(0)
    shape = (16 * batch_size, size, size, setup.model.encoder.preprocess.spec.decode_channels)
    targets = draws.integers(0, 10, shape[0])
    images = draws.integers(0, 256, shape, dtype=np.uint8)
    return setup, Pixels(images, targets, np.arange(shape[0]), [""] * shape[0])


def loop_seconds(setup: TrainingSetup, inputs: Inputs, num_steps: int, side: str) -> float:
    """Return the median seconds of a step of headstart's loop."""
    from dataclasses import replace

    setup.recipe = replace(setup.recipe, fsdp=side == "headstart, split")
    let_learn(setup)
    with company_of("cpu") as company:
        return _seconds_in(company, setup, inputs, num_steps)


def _seconds_in(company: Company, setup: TrainingSetup, inputs: Inputs, num_steps: int) -> float:
    """Return the median seconds of a step of headstart's loop, among so many processes."""
    feed = uncut(setup, inputs, share_of(company, setup.recipe), 0).feed
    placed = place_setup(setup, company, None, inputs)
    model = placed.module
    ends: list[float] = []

    def compute_loss(batch: object) -> Tensor:
        ends.append(time.perf_counter())
        return task_loss("classification", model(*batch.inputs), Wanted(batch.targets))  # type: ignore[attr-defined]

    hooks = Hooks(
        batches=feed.batches,
        compute_loss=compute_loss,
        check=lambda: Check(0.0, 1.0, 0.1),
        learning_rate_factor=lambda progress: 1e-6,
        set_mode=lambda: set_train_mode(model, setup.recipe.batchnorm),
        stop_requested=lambda: False,
        join=placed.join,
        step_ids=feed.step_ids,
        whole=feed.whole,
    )
    options = LoopOptions(
        num_steps=num_steps,
        steps_per_check=num_steps,
        steps_per_epoch=feed.order.steps_per_epoch,
        batch_size=feed.order.batch_size,
        clip=1.0,
        ema_half_life=0.0,
        patience=0,
        seed=0,
    )
    optimizer = optimizer_of(placed_setup(setup, placed), placed)
    if company.is_main:
        train(model, optimizer, hooks, options)
    else:
        placed.take_part(optimizer, hooks, options)  # type: ignore[attr-defined]
    placed.finish(optimizer)
    return float(np.median(np.diff(ends)[2:]))


def plain_seconds(setup: TrainingSetup, inputs: Inputs, num_steps: int, side: str) -> float:
    """Return the median seconds of a step of a plain loop, in DDP where there are two."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    rank, num = (int(os.environ.get(name, at)) for name, at in (("RANK", "0"), ("WORLD_SIZE", "1")))
    model: nn.Module = setup.model
    if side == "DDP, two":
        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
    set_train_mode(setup.model, setup.recipe.batchnorm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-9, fused=True)
    size = setup.recipe.batch_size
    each = size // num
    ends = []
    for step in range(num_steps):
        first = step % 16 * size + rank * each
        places = np.arange(first, first + each)
        images = torch.from_numpy(inputs.arrays(places)[0]).permute(0, 3, 1, 2)
        images = images.contiguous(memory_format=torch.channels_last).float() / 255
        targets = torch.from_numpy(inputs.targets[places])
        ends.append(time.perf_counter())
        loss = task_loss("classification", model(images), Wanted(targets))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        float(loss.detach())
    if num > 1:
        dist.destroy_process_group()
    return float(np.median(np.diff(ends)[2:]))


def run_as_side(arguments: argparse.Namespace) -> None:
    """Measure one side; where it has two processes, start the second one too."""
    options = json.loads(Path(arguments.options).read_text())
    second = None
    if arguments.side not in ALONE and "RANK" not in os.environ:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        second = subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "RANK": "1"})
        os.environ["RANK"] = "0"
    torch.set_num_threads(1)
    keep_freed_memory()
    setup, inputs = make(options["start"], options["size"], options["batch_size"])
    measure = plain_seconds if arguments.side in ("plain", "DDP, two") else loop_seconds
    seconds = measure(setup, inputs, options["steps"], arguments.side)
    if os.environ.get("RANK", "0") == "0":
        answer_side(arguments.result, {"seconds": seconds})
    if second is not None and second.wait(60):
        raise SystemExit(f"the second process ended with {second.returncode}")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Two processes against one.")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--save", help="file for the raw measurements")
    for name in ("side", "options", "result"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.side:
        run_as_side(arguments)
        return
    machine = describe_machine(1)
    print(machine.sentence() + "\n")
    rows: list[list[object]] = []
    records: list[object] = []
    for address, size in CASES:
        options = {"start": address, "size": size}
        options |= {"batch_size": arguments.batch_size, "steps": arguments.steps}
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(arguments.rounds):
            for side in SIDES:
                found = run_side(Path(__file__), side, options, num_threads=1)
                seconds[side].append(number(found, "seconds"))
        records.append({"start": address, "seconds": seconds})
        for side, base in COMPARED.items():
            medians = [1000 * statistics.median(seconds[name]) for name in (base, side)]
            ratio = pair_ratio(seconds[base], seconds[side])
            rows.append([f"{address}, {side}", *(f"{each:.0f}" for each in medians), str(ratio)])
    columns = ["network, side", "one, ms a step", "two, ms a step", "speed-up (min–max)"]
    print(markdown_table(columns, rows))
    save_records(arguments.save, machine, records)


if __name__ == "__main__":
    main(sys.argv[1:])
