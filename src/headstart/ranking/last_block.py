"""The last block of a start, trained for a moment with the head: what features alone do not show.

Networks that were pretrained to reconstruct (MAE, MLM) gain more from fine-tuning than their frozen
features say (He et al. 2022: a linear probe 67.8 %, fine-tuned 83.7 %). What lies before the block
is computed once and kept, so that a step costs little.
"""

from __future__ import annotations

import math
import time

import numpy as np

from headstart.events import unheard
from headstart.ranking.control import as_scored
from headstart.ranking.scored import FAILURES, RankingJob, Scored, shares_of
from headstart.tasks import array_of
from headstart.training.contract import StopRequested
from headstart.training.options.strategies import LAST_N
from headstart.training.options.training_options import TrainingOptions
from headstart.training.randomness import BOOTSTRAP, generator
from headstart.tuning.conditions import Conditions
from headstart.tuning.part import Part
from headstart.tuning.setup import prepare_sample, set_up
from headstart.tuning.tune import tune

NUM_STEPS, _BATCH, _MOST = 250, 32, 2_000
_HELD = 0.2
_LEAST_STEPS = 20
MOST_PROBED = 6


def block_seconds(one: Scored, num: int) -> float:
    """Return what the probe of a start is expected to take at the most, in seconds.

    The pass over what is kept, twice for its proof; steps of a block are a small part of a pass.
    """
    samples = min(num, _MOST)
    return one.each * (2 * samples + 0.3 * NUM_STEPS * _BATCH)


def probe_last_block(job: RankingJob, one: Scored, num: int, seconds: float) -> None:
    """Train the last block and a head on most of the sample, and score them on the rest.

    What fails is said, and leaves the start with the scores that it has.

    Args:
        job: What is ranked for.
        one: A start that has been scored by its features.
        num: Samples that were read.
        seconds: What it may take.
    """
    until = None if math.isinf(seconds) else time.monotonic() + seconds
    options = TrainingOptions(
        strategy=LAST_N.name,
        num_last_layers=1,
        num_steps=NUM_STEPS,
        batch_size=_BATCH,
        views=1,
        input_size=one.size,
        framing=job.asked.framing,
        value_range=job.asked.value_range,
        seed=job.asked.seed,
    )
    try:
        with unheard(), job.in_time():
            setup = set_up(job.dataset, one.start, options, device=job.device, texts=job.texts)
            setup.splits = (job.dataset.train, job.dataset.train)  # both parts are of train
            inputs = prepare_sample(
                job.dataset, "train", setup, min(num, _MOST), seed=job.asked.seed
            )
            groups = job.dataset.train.groups_of(inputs.ids)
            rest, held = _divided(len(inputs), groups, job.asked.seed)
            conditions = Conditions(
                deadline=until, seconds_per_sample=one.each, stop_requested=job.stop_requested
            )
            tuned = tune(setup, Part(inputs, rest), Part(inputs, held), conditions)
    except StopRequested:
        raise
    except FAILURES as error:
        one.why = f"{one.why}; its last block could not be trained: {error}".lstrip("; ")
        return
    if tuned.result is None or tuned.result.state.step < _LEAST_STEPS:
        return
    targets = as_scored(array_of(setup.model.standard_targets(inputs.targets[held])))
    one.block = float(shares_of(array_of(tuned.val_logits), targets).mean())


def _divided(num: int, groups: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places to learn from and those held out; groups stay whole."""
    of = np.arange(num) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = generator(BOOTSTRAP, seed).permutation(int(of.max()) + 1)
    held = np.isin(of, order[: max(1, int(_HELD * len(order)))])
    return np.flatnonzero(~held), np.flatnonzero(held)
