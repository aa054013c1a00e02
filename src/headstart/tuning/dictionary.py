"""The dictionary as a start: what train says of its entities, and how far that is to be believed.

Nothing is chosen: what the dictionary says of a word is what is decided. What val says of words of
which it says the same tag makes its probabilities, one row of weights a tag, so that a dictionary
that is often wrong about places is unsure of places.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from headstart.errors import StartError
from headstart.model import Model
from headstart.preprocessing import KnownWordPreprocess
from headstart.preprocessing.known_words import KnownWords, learn_known_words
from headstart.tasks import find_task
from headstart.tasks.token_classification import WordTask
from headstart.training.probing.methods import PROBES
from headstart.training.probing.probe import Probe
from headstart.types import Dataset, Inputs, Sentence
from headstart.types.ragged import Ragged

_MARGIN = 1e-3  # by which what is said leads, where val says otherwise


def known_words_of(dataset: Dataset) -> KnownWords:
    """Return the dictionary of the train split of some data.

    Args:
        dataset: Of which something is told of each word.

    Raises:
        StartError: If something else is told.
    """
    task, train = find_task(dataset.schema.task), dataset.train
    samples = train.samples
    sentences = [samples.read(place) for place in range(len(samples))]
    given = [one for one in sentences if isinstance(one, Sentence)]
    if not isinstance(task, WordTask) or len(given) < len(sentences):
        raise StartError(
            "'scratch/dictionary' tells a tag of each word, and in these data something else is "
            "told. Expected tags of words. Choose another, such as scratch/tfidf where whole "
            "texts have classes."
        )
    assert isinstance(train.targets, Ragged)
    return words_known(given, train.targets, task, dataset.schema.classes)


def words_known(
    sentences: Sequence[Sentence], targets: Ragged, task: WordTask, tags_of: Sequence[str]
) -> KnownWords:
    """Return the dictionary of some texts.

    Args:
        sentences: Texts with their words.
        targets: int64, their tags.
        task: Says what the tags mean.
        tags_of: Names of the tags.
    """
    meaning, is_of_entities = task.meaning(len(tags_of)), task.is_of_entities
    return learn_known_words(
        sentences, targets, meaning, tags_of=tags_of, is_of_entities=is_of_entities
    )


def solve_dictionary(model: Model, val: Inputs) -> Probe:
    """Return the weights that make probabilities of what a dictionary says.

    Args:
        model: Of ``scratch/dictionary``.
        val: Texts that tell how often it is right.
    """
    began, task, preprocess = time.monotonic(), model.task, model.encoder.preprocess
    assert isinstance(preprocess, KnownWordPreprocess)
    wanted = val.targets
    assert isinstance(wanted, Ragged)
    said = _said(val)
    weight = np.ascontiguousarray(_evidence(said, wanted.whole, model.num_outputs).T)
    logits = np.ascontiguousarray(weight[:, said].T)
    rows = Ragged(logits, wanted.offsets - wanted.offsets[0])
    score, _ = task.validation_score(rows, wanted)
    loss, _ = PROBES[task.probe].judge(logits, wanted.whole)
    bias = np.zeros(model.num_outputs, np.float32)
    seconds = time.monotonic() - began
    return Probe(weight, bias, rows, score, loss, 1.0, seconds, metric=task.validation_metric)


def _said(inputs: Inputs) -> np.ndarray:
    """Return the tag that the dictionary gives each word of some texts, int64, shape (M,)."""
    lengths = inputs.lengths
    assert lengths is not None
    (padded,) = inputs.arrays(np.arange(len(inputs)))
    is_there = np.arange(padded.shape[1])[None, :] < lengths[:, None]
    found: np.ndarray = padded[is_there][:, 0] - 1
    return found


def _evidence(said: np.ndarray, wanted: np.ndarray, num: int) -> np.ndarray:
    """Return logarithms of how often each tag is right where one is said, float32, (K, K).

    One more word each counts for the tag that is said, and one for all alike. What is said stays
    the likeliest.

    Args:
        said: int64, shape (M,), by the dictionary.
        wanted: int64, shape (M,).
        num: K.
    """
    counts = np.eye(num) + 1 / num
    np.add.at(counts, (said, wanted), 1.0)
    logs = np.log(counts / counts.sum(axis=1, keepdims=True))
    own = np.arange(num)
    others = logs.copy()
    others[own, own] = -np.inf
    logs[own, own] = np.maximum(logs[own, own], others.max(axis=1) + _MARGIN)
    found: np.ndarray = logs.astype(np.float32)
    return found
