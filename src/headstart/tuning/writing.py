"""Models that write: whether a start can, what writing costs, and what a start wrote untrained."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from headstart.model import Model, tell_texts
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup, prepare_sample
from headstart.types import Dataset, Inputs, Ragged, learned_targets
from headstart.types.texts import Telling

_TIMED, _WARMED = 24, 2  # samples


def expected_writing(model: Model, inputs: Inputs, *, num_beams: int | None = None) -> Telling:
    """Return how a model writes where it may not go on much longer than it should.

    What has not learned yet writes as much as it may; a look at val, or at the clock, waits for no
    more than the longest of the texts that are wanted, and a little.

    Args:
        model: Says how it is served.
        inputs: With targets.
        num_beams: As in ``Telling``; None as it is served.
    """
    wanted = learned_targets(inputs)
    longest = int(wanted.lengths.max(initial=1)) if isinstance(wanted, Ragged) else 1
    how = model.telling
    most = min(how.max_tokens, longest + 8)
    return replace(how, num_beams=num_beams or how.num_beams, max_tokens=most)


def writing_seconds(setup: TrainingSetup, dataset: Dataset, budget: Budget) -> float:
    """Return what the text of one sample takes as the model is served, in seconds.

    Args:
        setup: The model, which may not have learned anything yet: it is let write as much as the
            texts of train are long.
        dataset: Gives some of train.
        budget: Keeps what the run has measured; 0 where no text is told.
    """
    if not setup.model.task.tells_texts:
        return 0.0

    def measure() -> float:
        some = prepare_sample(dataset, "train", setup, _TIMED, seed=0)
        wanted = learned_targets(some)
        assert isinstance(wanted, Ragged)
        usual = max(1, int(np.ceil(wanted.lengths.mean())))
        how = replace(setup.model.telling, max_tokens=usual)
        tell_texts(setup.model, some, how=how, places=np.arange(min(_WARMED, len(some))))
        began = time.monotonic()
        tell_texts(setup.model, some, how=how)
        return (time.monotonic() - began) / len(some)

    key = ("writing", setup.model.encoder.start.address, setup.strategy.adapters)
    return budget.measured(key, measure)
