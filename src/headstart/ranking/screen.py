"""Screen candidate starts on a sample: a quick score each, and what a pass costs.

A pretrained start is scored by a linear probe on its frozen features; a start from scratch has no
features worth probing, so it is scored by a short real training. Scores are validation accuracies
on the same images, with intervals. Deliberately simple: no prior, no successive halving. The seam
to a fuller search is ``screen``: data and starts in, scored candidates out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from headstart.data import Pixels
from headstart.errors import DivergenceError, StartError
from headstart.evaluation import accuracy
from headstart.events import emit, unheard
from headstart.model import run_batches
from headstart.starts import find_start, list_starts
from headstart.training.recipe import StrategyName, Wishes
from headstart.tuning.bench import (
    Bench,
    decode_sample,
    fitting_bench,
    install,
    probe,
    train_limit,
)
from headstart.tuning.clock import Clock
from headstart.tuning.tune import tune
from headstart.types import Dataset, Figure, Start

_MAX_VAL = 1_000
_SCRATCH_WEIGHT = 2.0
_MIN_STEPS = 20


@dataclass(frozen=True)
class Candidate:
    """A start with its quick score.

    Attributes:
        start: The start.
        size: Side of the network input in pixels.
        strategy: How it would be fine-tuned.
        score: Validation accuracy on the sample, or NaN where it was not tried.
        seconds_per_image: One forward pass.
        seconds: What screening it took.
        note: What a reader should know: lower resolution, fewer samples, why it was left out.
    """

    start: Start
    size: int
    strategy: StrategyName
    score: Figure
    seconds_per_image: float
    seconds: float
    note: str


def default_starts(dataset: Dataset, budget_seconds: float | None) -> list[Start]:
    """Return the candidates that need no network, in the order in which they are tried.

    The textbook network for small images; the smallest pretrained start that is on this machine,
    the three smallest from a budget of five minutes on; and a ResNet-18 from scratch.
    """
    local = [s for s in list_starts("image") if s.is_local and s.pretrained_on is not None]
    local.sort(key=lambda s: (s.image.size if s.image else 0, s.num_parameters))
    side = min(dataset.image_size or (224, 224))
    # the quickest first: a usable model exists early
    textbook = [find_start("scratch/simple-cnn")] if side <= 64 else []
    num_local = 1 if budget_seconds is not None and budget_seconds < 300 else 3
    return [*textbook, *local[:num_local], find_start("scratch/resnet18")]


def screen(
    dataset: Dataset,
    starts: list[Start],
    *,
    clock: Clock,
    share: float,
    seed: int,
    device: torch.device,
    on_better: Callable[[Bench, Pixels, np.ndarray], None],
) -> list[Candidate]:
    """Score candidates within a share of the budget, the best first.

    Args:
        dataset: Its test split is never touched.
        starts: The candidates, tried in this order; what does not fit is left out, and says so.
        clock: The budget.
        share: Share of the whole budget that screening may take.
        seed: Seed of the sample and of random weights.
        device: Where to run.
        on_better: Called with a usable model, its validation images and their logits whenever a
            candidate beats those before it: a usable model exists early.

    Raises:
        StartError: If no candidate could be tried.
    """
    whole = clock.budget_seconds or 600.0
    until = clock.spent + whole * share
    candidates: list[Candidate] = []
    best = float("-inf")
    for index, start in enumerate(starts):
        # what is trained needs more time to show what it can than what is only probed
        weights = [1.0 if s.pretrained_on else _SCRATCH_WEIGHT for s in starts[index:]]
        allowance = max(1.0, until - clock.spent) * weights[0] / sum(weights)
        emit("task", name="screening", done=index, total=len(starts), start=start.address)
        if candidates and clock.spent > until - 1.0:
            candidates.append(
                _left_out(start, "left out: screening's share of the budget is spent")
            )
            continue
        try:
            candidate, bench, val, logits = _try(
                dataset, start, clock, allowance, seed=seed, device=device
            )
        except (StartError, DivergenceError, torch.OutOfMemoryError) as error:
            candidates.append(_left_out(start, f"left out: {error}"))
            continue
        candidates.append(candidate)
        if candidate.score.value > best:
            best = candidate.score.value
            on_better(bench, val, logits)
    emit("task", name="screening", done=len(starts), total=len(starts))
    if best == float("-inf"):
        raise StartError(
            f"None of {len(starts)} starts could be tried: {candidates[0].note}. Raise --budget, "
            f"or name one with --starts."
        )
    return sorted(candidates, key=lambda c: -np.nan_to_num(c.score.value, nan=-1.0))


def _left_out(start: Start, why: str) -> Candidate:
    nothing = Figure(float("nan"), float("nan"), float("nan"))
    return Candidate(start, 0, "full", nothing, float("nan"), 0.0, why)


def _try(
    dataset: Dataset,
    start: Start,
    clock: Clock,
    allowance: float,
    *,
    seed: int,
    device: torch.device,
) -> tuple[Candidate, Bench, Pixels, np.ndarray]:
    """Score one start within its allowance of seconds."""
    began = time.monotonic()
    pretrained = start.pretrained_on is not None
    strategy: StrategyName = "lp-ft" if pretrained else "full"
    bench, each, note = fitting_bench(
        dataset, start, strategy, Wishes(), clock, device=device, seed=seed
    )
    if not pretrained:
        _check_pace(bench, each, began + allowance - time.monotonic())
    num_classes = len(dataset.schema.classes)
    wanted = int(np.clip(50 * num_classes, 1_000, 5_000))
    limit: int | None
    if pretrained:
        limit = int(np.clip(0.6 * allowance / each, 10 * num_classes, wanted))
    else:
        limit = train_limit(dataset, bench.spec, each, Clock(allowance))
    val = decode_sample(dataset, "val", bench.spec, min(_MAX_VAL, limit or _MAX_VAL), seed=seed)
    train = decode_sample(dataset, "train", bench.spec, limit, seed=seed)
    if pretrained:
        assert limit is not None
        fitted = probe(
            bench,
            train.images,
            train.targets,
            val.images,
            val.targets,
            num_classes=num_classes,
            imbalance="none",
            limit=limit,
            deadline=began + allowance,
        )
        install(bench.model, fitted)
        note = f"probe on {len(train.targets)} images{note}"
    else:
        with unheard():
            tune(
                bench,
                train,
                val,
                num_classes=num_classes,
                checkpoints=None,
                deadline=began + 0.9 * allowance,
                stop_requested=lambda: False,
            )
        note = f"trained {time.monotonic() - began:.0f} s{note}"
    logits = run_batches(bench.model, val.images, bench.model)
    figure = accuracy(logits.argmax(axis=1), val.targets)
    seconds = time.monotonic() - began
    found = Candidate(start, bench.spec.size, strategy, figure, each, seconds, note)
    return found, bench, val, logits


def _check_pace(bench: Bench, seconds_per_image: float, seconds: float) -> None:
    """Refuse a start that cannot take a few steps in the time it has.

    Raises:
        StartError: Saying how slow it is.
    """
    step_seconds = 3 * seconds_per_image * bench.recipe.batch_size
    if step_seconds * _MIN_STEPS > seconds:
        raise StartError(
            f"a step takes about {step_seconds:.1f} s, too slow for its {seconds:.0f} s here"
        )
