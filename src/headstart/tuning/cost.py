"""What one forward pass of a model costs: measured once a start and input size, kept, used again.

A run asks for it several times (to choose a size, to bound samples, to put time by for the end).
Two measurements on a busy machine differ, and what is decided by them would not fit together.
Nothing is read from a table of speeds. Left out: backward passes (a step counts as three passes),
and what a pass costs on another device.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np

from headstart.tensors import evaluating, to_tensors
from headstart.training.randomness import BOOTSTRAP, generator
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup, prepare_sample
from headstart.tuning.slowness import scheduled_seconds, slowness, undisturbed_seconds
from headstart.tuning.solving import solver_of
from headstart.types import Dataset, Inputs

_LEAST_MEASURED, _MOST_MEASURED, _NUM_PASSES = 8, 64, 6
_MOST_TEXTS, _TEXTS_A_PASS = 256, 32  # of which lengths are known; that are passed together
_QUANTILES = (0.0, 0.5, 0.9, 1.0)  # of the lengths that are measured
_ROW_SECONDS = (0.02e-3, 0.6e-3)  # through 100 and through 3,000 trees, on one core
_QUICK_SECONDS, _MEASURE_SECONDS = 0.02, 0.5


def seconds_per_sample(
    setup: TrainingSetup,
    dataset: Dataset,
    budget: Budget,
    *,
    is_brief: bool = False,
    again: bool = False,
) -> float:
    """Return what one forward pass takes, in seconds a sample: as measured before, or now.

    Args:
        setup: The model. What it has learned does not change what a pass costs; adapters do.
        dataset: As ``measure_pass`` takes it.
        budget: Keeps what the run has measured.
        is_brief: As ``measure_pass`` takes it.
        again: Whether to measure once more, before a start is refused by what was measured: with
            two threads beside two busy programs a pass was found 50 times too slow, and as quick
            as ever a second later. The lower of both counts.
    """
    if solver_of(setup).keeps_time:  # so many trees are grown as it allows
        each = budget.measured("grown", partial(_row_seconds, len(dataset.test), budget))
        setup.most_seconds = each
        return each
    words = {"is_brief": True} if is_brief else {}
    return budget.measured(_key(setup), partial(measure_pass, setup, dataset, **words), again=again)


def note_pass(setup: TrainingSetup, budget: Budget, each: float) -> None:
    """Keep what a sample took in a real pass, in seconds, where that is less than was measured."""
    if each > 0:  # less than the clock can tell says nothing
        budget.measured(_key(setup), lambda: each, again=True)


def _key(setup: TrainingSetup) -> tuple[object, ...]:
    """Return what the cost of a pass is kept under."""
    encoder = setup.model.encoder
    strategy = setup.strategy
    how = (strategy.adapters, strategy.is_in_four_bits)
    return (encoder.start.address, setup.size, *how, encoder.mirrors)


def _row_seconds(num_test: int, budget: Budget) -> float:
    """Return what a row may take at the most to go through trees that are not grown yet."""
    least, most = (seconds * slowness() for seconds in _ROW_SECONDS)
    return float(np.clip(budget.may_take("trees") / max(1, num_test), least, most))


def measure_pass(
    setup: TrainingSetup, dataset: Dataset, *, seed: int = 0, is_brief: bool = False
) -> float:
    """Measure one forward pass, in seconds a sample.

    Images are noise of the decoded size; texts and rows are some of train's own. The best of
    several passes counts, without the time in which it waited for a core, since whatever else runs
    on the machine only slows one down: how much, ``Budget.load`` says of the run so far. A quick
    network gets larger batches, or the cost of the call would count and not the samples'.
    Texts take time by their length: passes of a few lengths are measured, and the mean over the
    texts follows from them.

    Args:
        setup: The model.
        dataset: Gives texts and rows.
        seed: Seed of the noise, or of the choice.
        is_brief: Whether one pass after the first is enough: where the samples themselves are
            passed only once, more would cost as much as they do.
    """
    some, most = _some_inputs(setup, dataset, seed), 0.0 if is_brief else _MEASURE_SECONDS
    if some.lengths is None:
        return _best_pass(setup, some, np.arange(len(some)), most)
    order, lengths = np.argsort(some.lengths, kind="stable"), np.sort(some.lengths)
    width = min(len(some), _TEXTS_A_PASS)
    starts = np.unique([int(q * (len(some) - width)) for q in _QUANTILES])
    # like a batch of a pass over many: of one length, that of the longest
    found = [_best_pass(setup, some, order[at : at + width], most / len(starts)) for at in starts]
    tops = lengths[starts + width - 1]
    if len(np.unique(tops)) < 2:
        return float(np.mean(found))
    # between the lengths that were measured a pass grows evenly
    tops, first = np.unique(tops, return_index=True)
    return float(np.interp(lengths, tops, np.asarray(found)[first]).mean())


def _best_pass(setup: TrainingSetup, some: Inputs, places: np.ndarray, seconds: float) -> float:
    """Return the seconds a sample of the quickest of several passes over some samples.

    Args:
        setup: The model.
        some: The samples.
        places: Those to take, in the order in which more and more of them are taken.
        seconds: About what measuring may take.
    """
    model, most = setup.model, len(places)
    best, num_samples, started = float("inf"), min(2, most), time.monotonic()
    with evaluating(model):
        for number in range(1 + _NUM_PASSES):
            began, before = time.monotonic(), scheduled_seconds()
            features = model.features(*to_tensors(some.arrays(places[:num_samples]), model.device))
            float(features.sum())  # waits for the device
            now = time.monotonic()
            if number > 0:  # the first is a warm-up
                best = min(best, undisturbed_seconds(now - began, before) / num_samples)
            is_quick = now - began < _QUICK_SECONDS and number > 0
            num_samples = most if is_quick else min(most, max(num_samples, _LEAST_MEASURED))
            if now - started > seconds and number > 0:
                break
    return best


def _some_inputs(setup: TrainingSetup, dataset: Dataset, seed: int) -> Inputs:
    """Return a few samples to measure with."""
    noise = setup.preprocess.noise(_MOST_MEASURED, generator(BOOTSTRAP, seed))
    if noise:
        return noise
    found = prepare_sample(dataset, "train", setup, _MOST_MEASURED, seed=seed)
    if found.lengths is None:
        return found
    return prepare_sample(dataset, "train", setup, _MOST_TEXTS, seed=seed)
