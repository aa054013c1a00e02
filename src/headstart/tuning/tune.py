"""Fine-tune one model: probe first where the strategy says so, then the loop."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from headstart.data import Pixels
from headstart.events import emit
from headstart.model import Model, run_batches
from headstart.objectives import classification_loss, l1_penalty
from headstart.training.checkpoint import CheckpointFolder
from headstart.training.feed import Batch, ImageFeed
from headstart.training.loop import Check, Hooks, LoopOptions, LoopResult, train
from headstart.training.memory import keep_freed_memory
from headstart.training.order import class_weights
from headstart.training.probe import Probe
from headstart.training.recipe import Recipe
from headstart.training.schedule import learning_rate_factor
from headstart.training.strategy import (
    build_optimizer,
    freeze,
    parameter_groups,
    set_train_mode,
    trainable_layers,
)
from headstart.tuning.bench import PROBE_SAMPLES, Bench, install, probe

_MIN_CHECK_STEPS = 50
_PROBE_SHARE = 0.4  # of the time left, where the loop comes after the probe


@dataclass(frozen=True)
class Tuned:
    """How a fine-tuning went.

    Attributes:
        fitted: The probe of the first phase; None under ``full``.
        result: How the loop ended; None under ``head``, which needs no loop.
        val_logits: Shape (M, K), of the model as it now stands.
        seconds: Time of both phases.
    """

    fitted: Probe | None
    result: LoopResult | None
    val_logits: np.ndarray
    seconds: float


def tune(
    bench: Bench,
    train_pixels: Pixels,
    val_pixels: Pixels,
    *,
    num_classes: int,
    checkpoints: CheckpointFolder | None,
    deadline: float | None,
    stop_requested: Callable[[], bool],
    seconds_per_image: float | None = None,
    on_usable: Callable[[], None] = lambda: None,
) -> Tuned:
    """Fine-tune a model by its recipe; afterwards it holds the best weights seen.

    Args:
        bench: The model and its recipe.
        train_pixels: Learned from.
        val_pixels: Chosen by.
        num_classes: K.
        checkpoints: Where the state is kept and resumed from; None keeps none.
        deadline: ``time.monotonic()`` value by which training has ended; None for no limit.
        stop_requested: Whether someone asked to stop.
        seconds_per_image: One forward pass; under a deadline it bounds the probe's sample.
        on_usable: Called after the probe, or after the loop's first check: from then on the model
            is worth keeping.
    """
    began = time.monotonic()
    model, recipe = bench.model, bench.recipe
    if model.device.type == "cpu":
        keep_freed_memory()
    fitted = None
    if recipe.strategy != "full":
        emit("stage", text="Linear probe on the frozen encoder")
        fitted = probe(
            bench,
            train_pixels.images,
            train_pixels.targets,
            val_pixels.images,
            val_pixels.targets,
            num_classes=num_classes,
            imbalance=recipe.imbalance,
            limit=_probe_limit(recipe, num_classes, seconds_per_image, deadline),
            deadline=_probe_deadline(recipe, deadline),
        )
        install(model, fitted)
        emit("note", text=f"Probe: val accuracy {fitted.val_accuracy:.4f} ({fitted.seconds:.1f} s)")
        on_usable()
    result = None
    if recipe.strategy != "head":
        emit("stage", text=f"Fine-tuning ({recipe.strategy})")
        result = _run_loop(
            bench,
            train_pixels,
            val_pixels,
            num_classes,
            checkpoints,
            deadline,
            stop_requested,
            check_seconds=len(val_pixels.targets) * (seconds_per_image or 0.0),
            on_usable=on_usable if fitted is None else lambda: None,
        )
    val_logits = run_batches(model, val_pixels.images, model)
    return Tuned(fitted, result, val_logits, time.monotonic() - began)


def better(bench: Bench, tuned: Tuned, rival: Bench, val_pixels: Pixels) -> tuple[Bench, Tuned]:
    """Return the better of a fine-tuned model and a rival, by accuracy on the same images.

    Args:
        bench: The fine-tuned model.
        tuned: How its fine-tuning went.
        rival: What screening left of the same start; it wins only where it is strictly better.
        val_pixels: Decoded for both.
    """
    logits = run_batches(rival.model, val_pixels.images, rival.model)
    targets = val_pixels.targets
    own, other = ((x.argmax(axis=1) == targets).mean() for x in (tuned.val_logits, logits))
    if other <= own:
        return bench, tuned
    why = f"val accuracy {other:.4f}, after the fine-tuning in the time left {own:.4f}"
    emit("choice", name="model", value="as screening left it", why=why)
    return rival, replace(tuned, fitted=None, val_logits=logits)


def _probe_limit(
    recipe: Recipe, num_classes: int, seconds_per_image: float | None, deadline: float | None
) -> int:
    """Return how many samples the probe may take: its features get a share of the time left."""
    limit = PROBE_SAMPLES[recipe.strategy]
    if deadline is None or seconds_per_image is None:
        return limit
    share = 0.8 if recipe.strategy == "head" else 0.25
    affordable = int(share * (deadline - time.monotonic()) / seconds_per_image)
    return max(10 * num_classes, min(limit, affordable))


def _probe_deadline(recipe: Recipe, deadline: float | None) -> float | None:
    """Return until when the probe may take: a loop that follows needs most of the time."""
    if deadline is None or recipe.strategy == "head":
        return deadline
    now = time.monotonic()
    return now + _PROBE_SHARE * (deadline - now)


def _run_loop(
    bench: Bench,
    train_pixels: Pixels,
    val_pixels: Pixels,
    num_classes: int,
    checkpoints: CheckpointFolder | None,
    deadline: float | None,
    stop_requested: Callable[[], bool],
    check_seconds: float,
    on_usable: Callable[[], None],
) -> LoopResult:
    """Wire the model, the feed and the loss into the loop's hooks, and run it."""
    model, recipe = bench.model, bench.recipe
    layers = model.encoder.layers
    freeze(model.encoder, layers, trainable_layers(recipe, len(layers)))
    optimizer = build_optimizer(parameter_groups(model.encoder, model.head, layers, recipe), recipe)
    feed = ImageFeed(
        train_pixels.images, train_pixels.targets, train_pixels.ids, recipe, model.device
    )
    num_steps, _ = recipe.length(len(train_pixels.targets))
    steps_per_epoch = feed.order.steps_per_epoch
    looks = itertools.count()

    def look() -> Check:
        found = check_accuracy(model, val_pixels)
        if next(looks) == 0:
            on_usable()
        return found

    hooks = Hooks(
        batches=feed.batches,
        compute_loss=_loss(model, recipe, train_pixels.targets, num_classes),
        check=look,
        learning_rate_factor=lambda progress: learning_rate_factor(
            recipe.schedule,
            progress,
            warmup_fraction=recipe.warmup_fraction,
            cooldown_fraction=recipe.cooldown_fraction,
        ),
        set_mode=lambda: set_train_mode(model, recipe.batchnorm),
        stop_requested=stop_requested,
    )
    options = LoopOptions(
        num_steps=num_steps,
        # twice an epoch, but not more often than every 50 steps
        steps_per_check=max(_MIN_CHECK_STEPS, steps_per_epoch // 2),
        steps_per_epoch=steps_per_epoch,
        batch_size=feed.order.batch_size,
        clip=recipe.clip,
        ema_half_life=recipe.ema_half_life,
        patience=recipe.patience,
        seed=recipe.seed,
        scale_loss=recipe.precision == "fp16",
        check_seconds=check_seconds,
        # the probe is the first candidate for "best": fine-tuning never ends below it on val
        check_first=recipe.strategy != "full",
    )
    return train(model, optimizer, hooks, options, checkpoints=checkpoints, deadline=deadline)


def _loss(
    model: Model, recipe: Recipe, targets: np.ndarray, num_classes: int
) -> Callable[[Batch], Tensor]:
    """Return the function from a micro-batch to its loss."""
    weights = None
    if recipe.imbalance == "weights":
        weights = torch.from_numpy(class_weights(targets, num_classes)).to(model.device)
    forward = torch.compile(model) if recipe.compile else model
    device_type = model.device.type
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision)

    def compute(batch: Batch) -> Tensor:
        mixed = torch.autocast(device_type, dtype) if dtype else contextlib.nullcontext()
        with mixed:
            logits = forward(batch.inputs)
        loss = classification_loss(
            logits,
            batch.targets,
            partner=batch.partner,
            share=batch.share,
            label_smoothing=recipe.label_smoothing,
            class_weights=weights,
        )
        if recipe.l1_penalty:
            loss = loss + recipe.l1_penalty * l1_penalty(model.parameters())
        return loss

    return compute


def check_accuracy(model: Model, val_pixels: Pixels) -> Check:
    """Return accuracy and log loss on the validation split."""
    logits = run_batches(model, val_pixels.images, model)
    targets = torch.from_numpy(np.ascontiguousarray(val_pixels.targets))
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), targets)
    accuracy = float((logits.argmax(axis=1) == val_pixels.targets).mean())
    error = float(np.sqrt(max(accuracy * (1 - accuracy), 1e-6) / len(val_pixels.targets)))
    return Check(score=accuracy, loss=float(loss), standard_error=error)
