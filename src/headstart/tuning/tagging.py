"""A linear tagger that is solved for: multinomial logistic regression on the features of words.

What is solved for goes into the encoder, whose features are the logits (``setup.install``). The
penalty is the one with which val's score is best: nearly all words of a text stand outside of every
entity, so that the loss of a word, by which other probes are chosen, says little of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from headstart.events import emit
from headstart.model import Model
from headstart.preprocessing import WordFeaturePreprocess
from headstart.training.contract import StopRequested
from headstart.training.probing.methods import Sparse
from headstart.training.probing.probe import Probe, fit_probe
from headstart.types import Inputs, elements_of
from headstart.types.ragged import Ragged

STRENGTHS = (1.0, 10.0)  # inverse L2; with less of it entities are found more often
MOST_WORDS = 200_000  # that are learned from
_AT_ONCE = 512  # texts


def solve_tagger(
    model: Model,
    train: Inputs,
    val: Inputs,
    *,
    deadline: float | None,
    stop_requested: Callable[[], bool],
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Solve for the weights of a tagger.

    Args:
        model: Of ``scratch/linear-tagger``.
        train: Texts to learn from.
        val: Texts that the penalty is chosen by.
        deadline: ``time.monotonic()`` value after which no further penalty is tried; None never.
        stop_requested: Whether someone asked to stop.
        strengths: Inverse L2 strengths to try, ascending.

    Returns:
        The weights, shape (K, D), and what val says of them.

    Raises:
        StopRequested: If someone asked to stop.
    """
    began, task, preprocess = time.monotonic(), model.task, model.encoder.preprocess
    wanted, val_wanted = train.targets, val.targets
    assert isinstance(wanted, Ragged)
    assert isinstance(val_wanted, Ragged)
    assert isinstance(preprocess, WordFeaturePreprocess)
    features, val_features = (word_matrix(one, preprocess.num_features) for one in (train, val))
    offsets = val_wanted.offsets - val_wanted.offsets[0]
    best: Probe | None = None
    for place, strength in enumerate(strengths):
        if stop_requested():
            raise StopRequested
        emit("task", name="linear tagger", done=place, total=len(strengths))
        found = fit_probe(
            features,
            wanted.whole,
            val_features,
            val_wanted.whole,
            task=task.name,
            num_outputs=model.num_outputs,
            strengths=(strength,),
            deadline=deadline,
        )
        logits = Ragged(np.asarray(found.val_logits), offsets)
        score, _ = task.validation_score(logits, val_wanted)
        if best is None or score > best.val_score:
            best = replace(found, val_logits=logits, val_score=score, strength=strength)
        if deadline is not None and time.monotonic() > deadline:
            break
    emit("task", name="linear tagger", done=len(strengths), total=len(strengths))
    assert best is not None
    return replace(best, seconds=time.monotonic() - began)


def word_matrix(inputs: Inputs, num_features: int) -> Sparse:
    """Return which features each word of some texts has, SciPy CSR, float32, shape (M, D).

    Args:
        inputs: Texts as features of their words.
        num_features: D.
    """
    from scipy.sparse import csr_matrix

    lengths, rows = elements_of(inputs), []
    assert lengths is not None
    for start in range(0, len(inputs), _AT_ONCE):
        places = np.arange(start, min(len(inputs), start + _AT_ONCE))
        (padded,) = inputs.arrays(places)
        rows.append(padded[np.arange(padded.shape[1])[None, :] < lengths[places][:, None]])
    numbers = np.concatenate(rows)
    is_there = numbers > 0
    ends = np.concatenate(([0], np.cumsum(is_there.sum(axis=1))))
    columns = (numbers[is_there] - 1).astype(np.int32)
    ones = np.ones(len(columns), np.float32)
    return csr_matrix((ones, columns, ends), shape=(len(numbers), num_features))
