"""Wire a setup into what the loop is handed; the same in the main process and in a worker.

The validation is not here: only the main process has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import OptionError
from headstart.model import Model
from headstart.objectives import Wanted, find_loss, l1_penalty
from headstart.starts import PairNetwork
from headstart.tensors import to_tensors
from headstart.training.batches.feed import Batch
from headstart.training.batches.order import Order, Share
from headstart.training.batches.sample_feed import SampleFeed
from headstart.training.company import ALONE, Company, Placement
from headstart.training.loop import Check, Hooks, LoopOptions
from headstart.training.machine.kernels import stepping
from headstart.training.options.recipe import Recipe
from headstart.training.options.schedule import learning_rate_factor
from headstart.training.options.strategies import find_strategy
from headstart.training.options.strategy import (
    build_optimizer,
    freeze,
    parameter_groups,
    phases_of,
    set_train_mode,
)
from headstart.training.state.checkpoint import CheckpointFolder
from headstart.training.whole_step import OverStep
from headstart.tuning.phases import Opened, Phases
from headstart.tuning.setup import TrainingSetup
from headstart.types import Inputs, Rows, TaskName

_MIN_CHECK_STEPS = 50


def share_of(company: Company, recipe: Recipe) -> Share:
    """Return which part of every step is this process's.

    Processes that compute each block together see the same samples.
    """
    size = recipe.tensor_parallel_size
    return Share(company.rank // size, max(1, company.size // size), is_level=recipe.is_split)


def unfreeze(setup: TrainingSetup, placed: Placement | None = None) -> torch.optim.Optimizer:
    """Let learn what learns in the end; return its optimizer, as ``optimizer_of`` does."""
    let_learn(setup)
    return optimizer_of(setup, placed)


def let_learn(setup: TrainingSetup) -> None:
    """Let learn what learns in the end."""
    model, recipe = setup.model, setup.recipe
    layers = model.encoder.layers
    learns = phases_of(recipe, len(layers))[-1].learns
    freeze(model.encoder, layers, learns, only=setup.only)


def optimizer_of(setup: TrainingSetup, placed: Placement | None = None) -> torch.optim.Optimizer:
    """Return the optimizer of what learns.

    Args:
        setup: The model and its recipe.
        placed: How the model lies on the processes; None for one that lies here as a whole.
    """
    model, recipe = setup.model, setup.recipe
    groups = parameter_groups(model.encoder, model.head, model.encoder.layers, recipe)
    if placed is not None:
        placed.localize(groups)
    return build_optimizer(groups, recipe)


def place_setup(
    setup: TrainingSetup, company: Company, checkpoints: CheckpointFolder | None, train: Inputs
) -> Placement:
    """Lay a setup's model on the processes, all of which call this at the same time.

    Args:
        setup: What learns requires gradients; the recipe says whether the weights are split.
        company: The processes.
        checkpoints: Where the loop's state is kept; None keeps none.
        train: Some of it shows that a model in pieces computes what the whole does.

    Raises:
        StartError: If the model is to be split and cannot be.
    """

    def example() -> tuple[Tensor, ...]:
        return to_tensors(train.arrays(np.arange(min(2, len(train)))), company.device)

    return company.place(
        setup.model,
        setup.recipe,
        checkpoints=checkpoints,
        example=example,
        name=setup.model.encoder.start.address,
    )


def placed_setup(setup: TrainingSetup, placed: Placement) -> TrainingSetup:
    """Return a setup with its model as it lies on the processes."""
    model = placed.module
    assert isinstance(model, Model)
    return replace(setup, model=model)


def uncut(setup: TrainingSetup, train: Inputs, share: Share, views: int) -> Opened:
    """Return a phase in which the network runs as a whole."""
    model, recipe = setup.model, replace(setup.recipe, views=views)
    feed = SampleFeed(train, model.learned_targets(train), recipe, model.device, share)
    return Opened(feed, model, is_cut=False, views=views)


def wire(
    setup: TrainingSetup,
    train: Inputs,
    phases: Phases,
    placed: Placement,
    *,
    validate: Callable[[], Check],
    stop_requested: Callable[[], bool],
) -> Hooks:
    """Return what the loop is handed.

    Args:
        setup: The model and its recipe.
        train: Its targets give the weights of classes.
        phases: Batches, and what they pass through.
        placed: How the model lies on the processes.
        validate: Validates.
        stop_requested: Whether someone asked to stop.

    Raises:
        OptionError: If a step has fewer samples than there are processes, or is to be taken in
            parts whose losses do not add up.
    """
    model, recipe = setup.model, setup.recipe
    num = share_of(placed.company, recipe).num
    in_parts = num > 1 or recipe.micro_batch_size < phases.order.batch_size
    refuse_parts(model.schema.task, in_parts=in_parts)
    if phases.order.batch_size < num:
        raise OptionError(
            f"batch_size is {phases.order.batch_size} and {num} processes share it; "
            f"expected a sample for each. Raise --batch-size, or start fewer processes."
        )
    return Hooks(
        batches=phases.batches,
        compute_loss=step_loss(model, recipe, train.targets, phases.forward),
        check=validate,
        learning_rate_factor=lambda progress: learning_rate_factor(
            recipe.schedule,
            progress,
            warmup_fraction=recipe.warmup_fraction,
            cooldown_fraction=recipe.cooldown_fraction,
        ),
        set_mode=partial(_set_mode, model, recipe),
        stop_requested=stop_requested,
        enter=phases.enter,
        join=placed.join,
        step_ids=phases.step_ids,
        whole=phases.whole,
        is_sample_mean=find_loss(model.schema.task).is_sample_mean,
        over_step=over_step(model, recipe, phases.forward),
    )


def refuse_parts(task: TaskName, *, in_parts: bool) -> None:
    """Refuse to take a step in parts where the losses of the parts do not add up to the whole's.

    Args:
        task: Its loss says whether they do.
        in_parts: Whether a step is taken in micro-batches, or by several processes.

    Raises:
        OptionError: If so.
    """
    if in_parts and not find_loss(task).is_sample_mean:
        raise OptionError(
            f"A step is to be taken in parts, and the loss of {task} is no mean over samples, so "
            "that the parts do not add up to the whole; expected one part. Leave out "
            "--micro-batch-size, and train in one process."
        )


def over_step(model: Model, recipe: Recipe, network: Callable[..., Tensor]) -> OverStep | None:
    """Return the loss of a task whose samples all count for one another; None for other tasks.

    Args:
        model: Gives the task and the device.
        recipe: Precision.
        network: The model, or what follows its frozen part.

    Raises:
        OptionError: If the weights are split over processes, which meet within their passes.
    """
    loss = find_loss(model.schema.task)
    if not loss.is_over_step:
        return None
    if recipe.is_split:
        raise OptionError(
            f"The weights are to be split over processes, and the loss of {model.schema.task} "
            "needs the embeddings of all samples of a step at once; expected whole weights in each "
            "process. Leave out --fsdp and --tensor-parallel-size."
        )
    forward = torch.compile(model) if recipe.compile else network

    def embed(batch: Batch) -> Tensor:
        with stepping(recipe, model.device):
            rows: Tensor = forward(*batch.inputs)
        return rows

    whole = model.encoder.network
    judges_pairs = isinstance(whole, PairNetwork) and whole.judges_pairs

    def of_step(rows: Tensor, targets: Tensor) -> Tensor:
        return loss.of_batch(rows, Wanted(targets, judges_pairs=judges_pairs))

    return OverStep(embed, of_step)


def loop_options(
    recipe: Recipe,
    order: Order,
    *,
    check_seconds: float,
    company: Company = ALONE,
    micro_batch_size: int | None = None,
) -> LoopOptions:
    """Return the numbers of the loop.

    Args:
        recipe: Every training option.
        order: Which samples each step sees.
        check_seconds: What a validation is expected to cost.
        company: The processes that train together.
        micro_batch_size: Where memory has no room for the recipe's.
    """
    num_steps, _ = recipe.length(order.num_samples)
    keeps_average = company.is_main or recipe.is_split
    return LoopOptions(
        num_steps=num_steps,
        # twice an epoch, but not more often than every 50 steps
        steps_per_check=max(_MIN_CHECK_STEPS, order.steps_per_epoch // 2),
        steps_per_epoch=order.steps_per_epoch,
        batch_size=order.batch_size,
        clip=recipe.clip,
        ema_half_life=recipe.ema_half_life if keeps_average else 0.0,
        patience=recipe.patience,
        seed=recipe.seed,
        scale_loss=recipe.stepped_precision == "fp16",
        check_seconds=check_seconds,
        # the probe is the first candidate for "best": fine-tuning never ends below it on val
        check_first=find_strategy(recipe.strategy).probes,
        rank=share_of(company, recipe).rank,
        micro_batch_size=micro_batch_size,
    )


def step_loss(
    model: Model, recipe: Recipe, targets: Rows, network: Callable[..., Tensor]
) -> Callable[[Batch], Tensor]:
    """Return the function from a micro-batch to its loss.

    Args:
        model: Gives the task and the device.
        recipe: Weights of classes, smoothing, precision.
        targets: Train's, for the weights of classes.
        network: The model, or what follows its frozen part; what is compiled is never cut.
    """
    weights, loss_of = None, find_loss(model.schema.task).of_batch
    if recipe.imbalance == "weights":
        balanced = model.task.class_weights(targets, model.num_outputs)
        weights = None if balanced is None else torch.from_numpy(balanced).to(model.device)
    of_parts = model.task.part_weights(targets, recipe.loss_weights)
    parts = None if of_parts is None else torch.from_numpy(of_parts).to(model.device)
    forward = torch.compile(model) if recipe.compile else network

    def compute(batch: Batch) -> Tensor:
        with stepping(recipe, model.device):
            logits = forward(*batch.inputs)
        mix = (batch.partner, batch.share)
        wanted = Wanted(batch.targets, *mix, recipe.label_smoothing, weights, parts)
        loss = loss_of(logits, wanted)
        if recipe.l1_penalty:
            loss = loss + recipe.l1_penalty * l1_penalty(model.parameters())
        return loss

    return compute


def _set_mode(model: Model, recipe: Recipe) -> None:
    """Set the mode of training; refuse statistics of a batch that is one sample.

    Raises:
        OptionError: A BatchNorm would normalise each sample by itself alone.
    """
    set_train_mode(model, recipe.batchnorm)
    if recipe.checkpoint_blocks:
        network: Any = model.encoder.network
        network.save_memory()
    if recipe.micro_batch_size > 1:
        return
    norm = torch.nn.modules.batchnorm._BatchNorm
    if any(isinstance(m, norm) and m.training for m in model.modules()):
        more = (
            f"--micro-batch-size {recipe.batch_size}" if recipe.batch_size > 1 else "--batch-size 8"
        )
        raise OptionError(
            "micro_batch_size is 1, and the network has BatchNorm layers that learn from the "
            "samples of a pass, of which one says nothing; expected at least 2. Say "
            f"{more}, or --batchnorm frozen where the weights are pretrained."
        )
