"""In which number format the steps of a pretraining run on a CPU: measured, settled once.

As ``tuning.step_format`` has it for a fine-tuning: bf16 where the processor has units for it and
real steps of this network save a fifth by it. Weights, gradients, optimizer and loss are fp32, and
so are the passes over what is held out. Where steps are expected to take less than ten seconds
nothing is measured, and nothing of a measurement is left. Left out: GPUs, which have a format of
their own, and compiled networks.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import replace

import torch

from headstart.cores import has_bf16_units
from headstart.pretraining.objective import Givens, Learner
from headstart.training.batches.feed import Batch
from headstart.training.batches.order import WHOLE
from headstart.training.options.common_options import Precision
from headstart.training.options.recipe import Recipe
from headstart.tuning.decisions import Decided

_WORTH_SECONDS = 10.0  # of steps that are expected; below it a choice gains nothing to speak of
_GAIN = 0.8  # of the time of fp32, or less: only then bf16 is taken
_ROUNDS = 3  # the first warms up
_SAMPLES, _MORE_SAMPLES = 8, 64
_BRIEF_SECONDS = 0.1  # of so few; a step so short costs what it costs whatever its samples
_PLAIN: tuple[Precision, bool] = ("fp32", False)
_FORMATS: tuple[tuple[Precision, bool], ...] = (_PLAIN, ("bf16", True))


def settle_step_precision(learner: Learner, means: Givens) -> None:
    """Settle the number format of steps; the learner's recipe is brought to it.

    Args:
        learner: Its weights are left as they are.
        means: What the user left open, the device, the time, and what was settled before.
    """
    is_open = means.options.precision == "auto" and not means.options.compile
    if not is_open or means.device.type != "cpu" or not has_bf16_units():
        return
    plain = learner.recipe

    def decide() -> Decided[list[object]]:
        feed = learner.feed(WHOLE)
        places = feed.order.indices(0)
        batch, best = feed.batch_of(places[:_SAMPLES]), dict.fromkeys(_FORMATS, math.inf)
        with learner.as_it_trains(), closing(feed):
            best[_PLAIN] = min(_seconds(learner, batch) for _ in range(2))
            if best[_PLAIN] < _BRIEF_SECONDS:
                batch = feed.batch_of(places[:_MORE_SAMPLES])
                best[_PLAIN] = _seconds(learner, batch)
            wanted, _ = plain.length(learner.num_samples)
            expected = best[_PLAIN] / len(batch.ids) * wanted * plain.batch_size
            if min(expected, max(0.0, means.budget.left)) < _WORTH_SECONDS:
                return Decided([*_PLAIN])
            for _ in range(_ROUNDS):
                for each in _FORMATS:
                    learner.recipe = _with(plain, *each)
                    best[each] = min(best[each], _seconds(learner, batch))
        learner.recipe = plain
        found = min(_FORMATS, key=lambda each: best[each])
        ratio = best[found] / best[_PLAIN]
        if ratio > _GAIN:
            return Decided([*_PLAIN])
        why = f"a step takes {ratio:.2f} of the time that it takes in fp32"
        return Decided([*found], why, found[0])

    name, own = means.decisions.settle("step_precision", decide)
    learner.recipe = _with(plain, "bf16" if name == "bf16" else "fp32", bool(own))


def unstepped(recipe: Recipe) -> Recipe:
    """Return a recipe whose passes run in the format of those without gradients."""
    return replace(recipe, step_precision=None, own_kernels=False)


def _with(recipe: Recipe, precision: Precision, own_kernels: bool) -> Recipe:
    if precision == recipe.precision:
        return unstepped(recipe)
    return replace(recipe, step_precision=precision, own_kernels=own_kernels)


def _seconds(learner: Learner, batch: Batch) -> float:
    """Return what a step takes, forward and back; nothing is learned."""
    # with one thread, what else runs on the machine does not count
    clock = time.process_time if torch.get_num_threads() == 1 else time.monotonic
    began = clock()
    loss = learner.compute_loss(batch)
    loss.backward()  # type: ignore[no-untyped-call]
    float(loss.detach())
    seconds = clock() - began
    learner.module.zero_grad(set_to_none=True)
    return seconds
