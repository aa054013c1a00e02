"""What simple taggers say beside a model that tells of words: a dictionary, and a linear tagger.

The dictionary says what the start ``scratch/dictionary`` says, the linear tagger is the start
``scratch/linear-tagger``, of which nothing but the penalty is chosen. Both decide as the model
does: no entity goes on with nothing.
"""

from __future__ import annotations

import numpy as np
import torch

from headstart.events import emit, unheard
from headstart.model import run_batches
from headstart.preprocessing import KnownWordPreprocess, WordFeatures, WordTokens
from headstart.starts import find_start
from headstart.tasks import find_task
from headstart.tasks.token_classification import WordTask
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.dictionary import words_known
from headstart.tuning.setup import TrainingSetup, install, prepare_sample, set_up
from headstart.tuning.slowness import slowness
from headstart.tuning.solving import probe
from headstart.tuning.tagging import MOST_WORDS, STRENGTHS
from headstart.types import Dataset
from headstart.types.ragged import Ragged

_Words = WordTokens | WordFeatures
DICTIONARY, LINEAR = "dictionary of train", "linear tagger on word features"
_START = "scratch/linear-tagger"
_DICTIONARY_SECONDS, _READ_SECONDS = 4e-6, 1e-5  # a word, on one idle core
_LINEAR_SECONDS = 1.5e-6  # a word and a tag, for each penalty that is tried


def _tells_words(dataset: Dataset, setup: TrainingSetup) -> bool:
    return setup.model.task.tells_words


def _is_no_tagger(dataset: Dataset, setup: TrainingSetup) -> bool:
    is_itself = setup.model.encoder.start.address == _START
    return _tells_words(dataset, setup) and not is_itself


def _is_no_dictionary(dataset: Dataset, setup: TrainingSetup) -> bool:
    is_itself = isinstance(setup.preprocess, KnownWordPreprocess)
    return _tells_words(dataset, setup) and not is_itself


def _num_words(dataset: Dataset) -> int:
    """Return how many words train and test have."""
    rows = [split.targets for split in (dataset.train, dataset.test)]
    return sum(len(each.whole) for each in rows if isinstance(each, Ragged))


def _dictionary_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    return (0.2 + _DICTIONARY_SECONDS * _num_words(dataset)) * slowness()


def _linear_seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    num_words = _num_words(dataset)
    each = _LINEAR_SECONDS * len(STRENGTHS) * setup.model.num_outputs
    return (1.0 + each * min(MOST_WORDS, num_words) + _READ_SECONDS * num_words) * slowness()


def _known(items: Items) -> tuple[_Words, _Words, WordTask]:
    """Return train and test, and the task."""
    train, test = items.train, items.test
    task = find_task(items.dataset.schema.task)
    assert isinstance(task, WordTask)
    assert isinstance(train, _Words)
    assert isinstance(test, _Words)
    return train, test, task


# A dictionary -----------------------------------------------------------------------------------


def _run_dictionary(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    if _is_short(DICTIONARY, budget, _dictionary_seconds(items.dataset, setup)):
        return None
    train, test, task = _known(items)
    assert isinstance(train.targets, Ragged)
    tags_of = setup.model.schema.classes
    known = words_known(train.sentences, train.targets, task, tags_of)
    return Rival(DICTIONARY, known.tags(test.sentences))


# A linear tagger --------------------------------------------------------------------------------


def _run_linear(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    if _is_short(LINEAR, budget, _linear_seconds(items.dataset, setup)):
        return None
    emit("task", name=LINEAR, done=0, total=1)
    with unheard():
        logits = _solved_logits(items, setup)
    emit("task", name=LINEAR, done=1, total=1)
    task = setup.model.task
    return Rival(LINEAR, task.decisions(task.outputs(logits, items.dataset.schema)))


def _solved_logits(items: Items, tuned: TrainingSetup) -> Ragged:
    """Solve for the start of that name, and return what it says of test."""
    dataset, seed = items.dataset, tuned.recipe.seed
    texts = tuned.texts.unhurried() if tuned.texts else None
    options = TrainingOptions(strategy=HEAD.name, seed=seed)
    start = find_start(_START)
    setup = set_up(dataset, start, options, device=torch.device("cpu"), texts=texts)
    train, val, test = (
        prepare_sample(dataset, name, setup, None, seed=seed) for name in ("train", "val", "test")
    )
    limit = HEAD.num_probe_samples
    install(setup.model, probe(setup, train, val, imbalance="none", limit=limit, deadline=None))
    logits = run_batches(setup.model, test, setup.model)
    assert isinstance(logits, Ragged)
    # texts that the model's own preparation left out are no items of the comparison
    place_of = {int(number): place for place, number in enumerate(test.ids)}
    return logits[np.array([place_of[int(number)] for number in items.test.ids])]


def _is_short(name: str, budget: Budget, seconds: float) -> bool:
    """Return whether the budget is nearly spent, which is then said."""
    if budget.left >= seconds + 2.0:
        return False
    emit("note", text=f"The baseline ({name}) was left out: the budget is nearly spent.")
    return True


DICTIONARY_BASELINE = Baseline(
    modality="text", says_more=_is_no_dictionary, seconds=_dictionary_seconds, run=_run_dictionary
)
LINEAR_BASELINE = Baseline(
    modality="text",
    says_more=_is_no_tagger,
    seconds=_linear_seconds,
    run=_run_linear,
)
