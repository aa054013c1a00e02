"""Controls: what a simple, quick method reaches on the same items, beside every text and table run.

A text run shows TF-IDF with a linear model, a table run gradient-boosted trees. Neither is tuned,
and neither is claimed to lose: the report says which won.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headstart.evaluation import predictions_of
from headstart.events import emit, unheard
from headstart.model import model_outputs, run_batches
from headstart.starts import find_start
from headstart.starts.texts.terms import writes_without_blanks
from headstart.training.options.recipe import Wishes
from headstart.tuning.baselines.boosting import boosting_control
from headstart.tuning.budget import Budget, slowness
from headstart.tuning.setup import PROBE_SAMPLES, Bench, install, prepare_sample, probe, set_up
from headstart.types import Dataset, Inputs

TFIDF = "TF-IDF + linear"
_TFIDF = "scratch/tfidf"
# on one idle core, a character learned from or read; and the solver, a term of a text and an output
_LEARN_SECONDS, _READ_SECONDS, _SOLVER_SECONDS = 0.8e-6, 0.3e-6, 1.7e-6
_TERMS_A_CHARACTER = {False: 0.2, True: 1.8}  # by whether the script puts no blanks


@dataclass(frozen=True)
class Rival:
    """What another method predicts for the test items, under its name."""

    name: str
    predictions: np.ndarray


def controls_seconds(dataset: Dataset, bench: Bench) -> float:
    """Return about what the controls of a data set take, in seconds.

    Args:
        dataset: The data.
        bench: The fine-tuned model; where it is the control itself there is none.
    """
    if dataset.schema.modality == "table":
        return 3.0 * slowness()
    if dataset.schema.modality != "text" or bench.model.encoder.start.address == _TFIDF:
        return 0.0
    samples = dataset.train.samples
    places = np.unique(np.linspace(0, len(samples) - 1, 100).astype(int))
    texts = [samples.read(int(place)) for place in places]
    num_characters = len(samples) * sum(map(len, texts)) / len(texts)
    share_read = (len(samples) + len(dataset.val) + len(dataset.test)) / len(samples)
    terms = num_characters * _TERMS_A_CHARACTER[writes_without_blanks(texts)]
    reading = num_characters * (_LEARN_SECONDS + _READ_SECONDS * share_read)
    seconds = 1.0 + reading + terms * dataset.schema.num_outputs * _SOLVER_SECONDS
    return seconds * slowness()


def run_controls(
    dataset: Dataset, bench: Bench, train: Inputs, val: Inputs, test: Inputs, budget: Budget
) -> list[Rival]:
    """Train the controls of a modality and return what they predict for the test items.

    Args:
        dataset: The data.
        bench: The fine-tuned model: its cells are what the trees see; its start is no control of
            itself.
        train: Prepared for ``bench``.
        val: Prepared for ``bench``.
        test: Prepared for ``bench``.
        budget: A control that does not fit what is left is not run, and that is said.
    """
    if dataset.schema.modality == "text":
        if bench.model.encoder.start.address == _TFIDF:
            return []
        if budget.left < controls_seconds(dataset, bench) + 2.0:
            emit("note", text=f"The control ({TFIDF}) was left out: the budget is nearly spent.")
            return []
        return [_tfidf(dataset, bench, test)]
    if dataset.schema.modality == "table":
        seconds = None if budget.limit_seconds is None else budget.may_take("boosting")
        found = boosting_control(
            train, val, test, dataset.schema, seed=bench.recipe.seed, seconds=seconds
        )
        if found is None:
            return []
        return [Rival(found.name, predictions_of(dataset.schema, found.outputs))]
    return []


def _tfidf(dataset: Dataset, tuned: Bench, test: Inputs) -> Rival:
    """Fit TF-IDF and a linear model, and predict the same test items as ``test`` holds.

    What screening has learned is taken as it is; what is learned here is learned from all texts.
    """
    device, seed = torch.device("cpu"), tuned.recipe.seed
    texts = tuned.texts.unhurried() if tuned.texts else None
    emit("task", name=TFIDF, done=0, total=1)
    with unheard():
        bench = set_up(
            dataset,
            find_start(_TFIDF),
            "head",
            Wishes(),
            size=None,
            device=device,
            seed=seed,
            texts=texts,
        )
        train, val = (prepare_sample(dataset, n, bench, None, seed=seed) for n in ("train", "val"))
        fitted = probe(
            bench, train, val, imbalance="none", limit=PROBE_SAMPLES["head"], deadline=None
        )
        install(bench.model, fitted)
        own_test = prepare_sample(dataset, "test", bench, None, seed=seed)
        logits = run_batches(bench.model, own_test, bench.model)
    emit("task", name=TFIDF, done=1, total=1)
    # rows that the model's own preparation left out are no items of the comparison
    place_of = {int(i): place for place, i in enumerate(own_test.ids)}
    logits = logits[[place_of[int(i)] for i in test.ids]]
    outputs = model_outputs(bench.model, logits)
    return Rival(TFIDF, predictions_of(dataset.schema, outputs))
