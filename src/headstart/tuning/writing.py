"""Models that write: whether a start can, what writing costs, and what a start wrote untrained."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from headstart.model import Model, tell_texts
from headstart.tuning.budget import Budget
from headstart.tuning.closer_look import Looked
from headstart.tuning.setup import TrainingSetup, prepare_sample
from headstart.types import Dataset, Inputs, Ragged, Rows
from headstart.types.texts import TOLD, Telling

_TIMED, _WARMED = 24, 2  # samples
_NUM_SHOWN, _MOST_CHARACTERS = 6, 1_000  # of what stands side by side


def expected_writing(model: Model, inputs: Inputs, *, num_beams: int | None = None) -> Telling:
    """Return how a model writes where it may not go on much longer than it should.

    What has not learned yet writes as much as it may; a look at val, or at the clock, waits for no
    more than the longest of the texts that are wanted, and a little.

    Args:
        model: Says how it is served.
        inputs: With targets.
        num_beams: As in ``Telling``; None as it is served.
    """
    wanted = inputs.told
    longest = int(wanted.lengths.max(initial=1)) if isinstance(wanted, Ragged) else 1
    how = model.telling
    most = min(how.max_tokens, longest + 8)
    return replace(how, num_beams=num_beams or how.num_beams, max_tokens=most)


def side_by_side(looked: Looked, dataset: Dataset, before: Rows | None) -> dict[str, object]:
    """Return ``written``: what a start wrote of a few test samples before, and the model after.

    Args:
        looked: The test samples, with what the model wrote.
        dataset: Gives the texts themselves.
        before: What the start decided of each, texts or rows of ``TOLD``; None where nobody asked.

    Returns:
        For samples spread over test ``name``, ``text``, ``target``, ``after``, and where it was
        asked ``before``; empty where nothing was written.
    """
    if not looked.task.tells_texts:
        return {}
    after = np.asarray(looked.outputs)["text"]
    asked = np.flatnonzero([text is not None for text in after])
    if not len(asked):
        return {}
    former = None if before is None else np.asarray(before)
    if former is not None and former.dtype == TOLD:
        former = former["text"]
    place_of = {int(i): place for place, i in enumerate(dataset.test.ids)}
    rows = []
    few = np.unique(np.linspace(0, len(asked) - 1, _NUM_SHOWN).astype(np.int64))
    for place in asked[few].tolist():
        text = dataset.test.samples.read(place_of[int(looked.inputs.ids[place])])
        told = {"text": str(text), "target": str(np.asarray(looked.targets)[place])}
        if former is not None and former[place] is not None:
            told["before"] = str(former[place])
        told["after"] = str(after[place])
        shown = {name: words[:_MOST_CHARACTERS] for name, words in told.items()}
        rows.append({"name": looked.inputs.names[place], **shown})
    return {"written": rows}


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
        wanted = some.told
        assert isinstance(wanted, Ragged)
        usual = max(1, int(np.ceil(wanted.lengths.mean())))
        how = replace(setup.model.telling, max_tokens=usual)
        tell_texts(setup.model, some, how=how, places=np.arange(min(_WARMED, len(some))))
        began = time.monotonic()
        tell_texts(setup.model, some, how=how)
        return (time.monotonic() - began) / len(some)

    strategy = setup.strategy
    how = (strategy.adapters, strategy.is_in_four_bits)
    key = ("writing", setup.model.encoder.start.address, *how)
    return budget.measured(key, measure)
