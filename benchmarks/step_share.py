"""How much of a training step is not the model's own forward and backward pass.

    python benchmarks/step_share.py                      # about three minutes on two cores
    python benchmarks/step_share.py --num-workers 0 1 2  # the same with batches made ahead

For each network headstart's own loop trains for some steps on random images (batches gathered and
augmented, gradients clipped, AdamW, averages, finite check, reading the loss, no checkpoints and no
looks at validation data inside the window). Then the same model does nothing but forward, loss and
backward on one of these batches, as often, and then its optimizer nothing but its update. The share
outside is what the loop adds to forward and backward: one minus the quotient of the two medians.
The update counts as outside; beside it stands the share outside of all three, which is what a
plain loop of these passes would save. Each figure is the median over rounds that alternate.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import product

import numpy as np
import torch
from timing import count_cores, describe_machine, markdown_table

from headstart.data import load
from headstart.model import Model
from headstart.objectives import Wanted, task_loss
from headstart.preprocessing import Pixels
from headstart.starts import find_start
from headstart.training.batches.sample_feed import SampleFeed
from headstart.training.loop import Check, Hooks, LoopOptions, train
from headstart.training.machine.memory import keep_freed_memory
from headstart.training.options.strategy import build_optimizer, parameter_groups, set_train_mode
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.setup import TrainingSetup, set_up

CASES = (
    ("scratch/simple-cnn", 28, 128),
    ("scratch/resnet18", 32, 64),
    ("pip/efficientnet-lite0", 96, 32),
    ("scratch/vit-tiny", 32, 64),
)


def make(
    address: str, size: int, batch_size: int, num_workers: int
) -> tuple[TrainingSetup, SampleFeed]:
    """Return a model and a feed of random images of the size that it takes."""
    data = load("digits-8x8")
    options = TrainingOptions(
        strategy="full",
        input_size=size,
        batch_size=batch_size,
        num_steps=10,
        augment="light",
        num_workers=num_workers,
    )
    setup = set_up(data, find_start(address), options, device=torch.device("cpu"))
    spec = setup.preprocess.spec
    draws = np.random.default_rng(0)
    shape = (16 * batch_size, size, size, spec.decode_channels)
    targets = draws.integers(0, 10, len_ := shape[0])
    images = draws.integers(0, 256, shape, dtype=np.uint8)
    inputs = Pixels(images, targets, np.arange(len_), [""] * len_)
    return setup, SampleFeed(inputs, targets, setup.recipe, setup.model.device)


def loop_seconds(setup: TrainingSetup, feed: SampleFeed, num_steps: int) -> float:
    """Return the seconds of one step of headstart's loop."""
    model, recipe = setup.model, setup.recipe
    ends: list[float] = []

    def stop() -> bool:
        ends.append(time.perf_counter())
        return False

    hooks = Hooks(
        batches=feed.batches,
        compute_loss=lambda batch: loss_of(model, batch.inputs, batch.targets),
        check=lambda: Check(0.0, 1.0, 0.1),
        learning_rate_factor=lambda progress: 1e-6,
        set_mode=lambda: set_train_mode(model, recipe.batchnorm),
        stop_requested=stop,
    )
    options = LoopOptions(
        num_steps=num_steps + 2,
        steps_per_check=num_steps + 2,
        steps_per_epoch=feed.order.steps_per_epoch,
        batch_size=feed.order.batch_size,
        clip=1.0,
        ema_half_life=recipe.ema_half_life,
        patience=0,
        seed=0,
    )
    with closing(feed):
        train(model, optimizer_of(setup), hooks, options)
    steps = np.diff(ends[1 : num_steps + 1])
    return float(np.median(steps))


def model_seconds(setup: TrainingSetup, feed: SampleFeed, num_steps: int) -> float:
    """Return the seconds of one forward and backward pass of the model."""
    model = setup.model
    set_train_mode(model, setup.recipe.batchnorm)
    (batch,) = feed.batches(0)
    seconds = []
    for _ in range(num_steps):
        began = time.perf_counter()
        loss_of(model, batch.inputs, batch.targets).backward()
        seconds.append(time.perf_counter() - began)
        model.zero_grad(set_to_none=True)
    return statistics.median(seconds[1:])


def update_seconds(setup: TrainingSetup, num_steps: int) -> float:
    """Return the seconds of one update of the optimizer."""
    optimizer = optimizer_of(setup)
    for group in optimizer.param_groups:
        group["lr"] = 1e-9
        for parameter in group["params"]:
            parameter.grad = torch.full_like(parameter, 1e-6)
    seconds = []
    for _ in range(num_steps):
        began = time.perf_counter()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    optimizer.zero_grad(set_to_none=True)
    return statistics.median(seconds[1:])


def optimizer_of(setup: TrainingSetup) -> torch.optim.Optimizer:
    """Return the optimizer of a model, as a training builds it."""
    model, recipe = setup.model, setup.recipe
    groups = parameter_groups(model.encoder, model.head, model.encoder.layers, recipe)
    return build_optimizer(groups, recipe)


def loss_of(model: Model, inputs: tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of a batch."""
    return task_loss("classification", model(*inputs), Wanted(targets))


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Share of a step outside the model.")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--num-workers", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=min(2, count_cores()))
    arguments = parser.parse_args(argv)
    if "--side" not in argv:
        print(describe_machine(arguments.threads).sentence() + "\n")
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    rows: list[list[object]] = []
    for (address, size, batch_size), workers in product(CASES, arguments.num_workers):
        setup, feed = make(address, size, batch_size, workers)
        whole, own, update = [], [], []
        for _ in range(arguments.rounds):
            whole.append(loop_seconds(setup, feed, arguments.steps))
            own.append(model_seconds(setup, feed, arguments.steps))
            update.append(update_seconds(setup, arguments.steps))
        rows.append(
            [
                f"`{address}`, {size} px, batch {batch_size}",
                workers,
                f"{statistics.median(whole) * 1000:.1f}",
                f"{statistics.median(own) * 1000:.1f}",
                share_of(own, whole),
                f"{statistics.median(update) * 1000:.1f}",
                share_of([sum(both) for both in zip(own, update, strict=True)], whole),
            ]
        )
        print(rows[-1], flush=True)
    columns = ["network", "workers", "step ms", "its forward and backward ms", "share outside"]
    columns += ["its update ms", "share outside of all three"]
    print("\n" + markdown_table(columns, rows))


def share_of(parts: Sequence[float], whole: Sequence[float]) -> str:
    """Return the share of a whole that its part is not: median, smallest and largest round."""
    shares = [1 - part / step for part, step in zip(parts, whole, strict=True)]
    return f"{statistics.median(shares):.1%} ({min(shares):.1%}–{max(shares):.1%})"


if __name__ == "__main__":
    main(sys.argv[1:])
