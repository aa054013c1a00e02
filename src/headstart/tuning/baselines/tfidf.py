"""The baseline of every text run: TF-IDF and a linear model, on the same texts.

It learns from all of them, on the CPU, and is not tuned beyond the strength of its penalty.
"""

from __future__ import annotations

import numpy as np
import torch

from headstart.events import emit, unheard
from headstart.model import model_outputs, run_batches
from headstart.preprocessing import without_rows
from headstart.preprocessing.terms import PIECED_CHARACTERS, writes_without_blanks
from headstart.starts import find_start
from headstart.training.options.strategies import HEAD
from headstart.training.options.training_options import TrainingOptions
from headstart.training.probing.folds import cost_of_choosing
from headstart.tuning.baselines.baseline import Baseline, Items, Rival
from headstart.tuning.budget import Budget
from headstart.tuning.setup import TrainingSetup, install, prepare_sample, set_up
from headstart.tuning.slowness import slowness
from headstart.tuning.solving import probe
from headstart.types import Dataset

TFIDF = "TF-IDF + linear"
_START = "scratch/tfidf"
# on one idle core, a character learned from or read; and the solver, a term of a text and an output
_LEARN_SECONDS, _READ_SECONDS, _SOLVER_SECONDS = 0.8e-6, 0.6e-6, 1.7e-6
_TERMS_A_CHARACTER = {False: 0.2, True: 1.8}  # by whether the script puts no blanks
_PIECES_A_CHARACTER = 0.8  # there are 2.7, and each takes a solver less


def _says_more(dataset: Dataset, setup: TrainingSetup) -> bool:
    is_itself = setup.model.encoder.start.address == _START and not dataset.schema.beside
    return not is_itself and setup.model.task.head == "linear"


def _seconds(dataset: Dataset, setup: TrainingSetup) -> float:
    samples = dataset.train.samples
    places = np.unique(np.linspace(0, len(samples) - 1, 100).astype(int))
    texts = [samples.read(int(place)) for place in places]
    num_characters = len(samples) * sum(map(len, texts)) / len(texts)
    share_read = (len(samples) + len(dataset.val) + len(dataset.test)) / len(samples)
    is_unspaced = writes_without_blanks(texts)
    terms = num_characters * _TERMS_A_CHARACTER[is_unspaced]
    if not is_unspaced and num_characters <= PIECED_CHARACTERS:
        terms += num_characters * _PIECES_A_CHARACTER
    reading = num_characters * (_LEARN_SECONDS + _READ_SECONDS * share_read)
    choosing = cost_of_choosing(min(len(samples), HEAD.num_probe_samples), len(dataset.val))
    seconds = 1.0 + reading + choosing * terms * setup.model.num_outputs * _SOLVER_SECONDS
    return seconds * slowness()


def _run(items: Items, setup: TrainingSetup, budget: Budget) -> Rival | None:
    if budget.left < _seconds(items.dataset, setup) + 2.0:
        emit("note", text=f"The baseline ({TFIDF}) was left out: the budget is nearly spent.")
        return None
    return _fit(items, setup)


def _fit(items: Items, tuned: TrainingSetup) -> Rival:
    """Fit TF-IDF and a linear model, and decide for the same test items as were prepared.

    What screening has learned is taken as it is; what is learned here is learned from all texts.
    """
    device, seed = torch.device("cpu"), tuned.recipe.seed
    texts = tuned.texts.unhurried() if tuned.texts else None
    emit("task", name=TFIDF, done=0, total=1)
    with unheard():
        options = TrainingOptions(strategy=HEAD.name, seed=seed)
        start = find_start(_START)
        dataset = without_rows(items.dataset)
        setup = set_up(dataset, start, options, device=device, texts=texts)
        train, val, test = (
            prepare_sample(dataset, n, setup, None, seed=seed) for n in ("train", "val", "test")
        )
        limit = HEAD.num_probe_samples
        fitted = probe(setup, train, val, imbalance="none", limit=limit, deadline=None)
        install(setup.model, fitted)
        logits = run_batches(setup.model, test, setup.model)
    emit("task", name=TFIDF, done=1, total=1)
    # rows that the model's own preparation left out are no items of the comparison
    place_of = {int(i): place for place, i in enumerate(test.ids)}
    logits = logits[[place_of[int(i)] for i in items.test.ids]]
    return Rival(TFIDF, setup.model.task.decisions(model_outputs(setup.model, logits)))


TFIDF_BASELINE = Baseline(
    modality="text", says_more=_says_more, seconds=_seconds, run=_run, library=None
)
