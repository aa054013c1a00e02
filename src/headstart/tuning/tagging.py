"""A linear tagger that is solved for: logistic regression of each tag on the features of words.

By averaged stochastic gradient descent of scikit-learn, a second where a multinomial model by
L-BFGS takes twenty and finds as much (docs/experiments.md). What is solved for goes into the
encoder, whose features are the logits (``setup.install``). The penalty is the one with which val's
score is best: nearly all words of a text stand outside of every entity, so that the loss of a word,
by which other probes are chosen, says little of these.
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
from headstart.training.probing.methods import PROBES, Sparse
from headstart.training.probing.probe import Probe
from headstart.types import Inputs, elements_of
from headstart.types.ragged import Ragged

STRENGTHS = (1e5, 1e6, 1e7)  # inverse L2, by the mean loss of a word
MOST_WORDS = 200_000  # that are learned from
_AT_ONCE = 512  # texts
_EPOCHS, _UNSEEN = 8, -100.0


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
        weight, bias = solve_with(features, wanted.whole, 1 / strength, model.num_outputs)
        logits = np.asarray(val_features @ weight.T + bias, np.float32)
        rows = Ragged(logits, offsets)
        score, _ = task.validation_score(rows, val_wanted)
        if best is None or score > best.val_score:
            loss, _ = PROBES[task.probe].judge(logits, val_wanted.whole)
            best = Probe(weight, bias, rows, score, loss, strength, 0.0)
        if deadline is not None and time.monotonic() > deadline:
            break
    emit("task", name="linear tagger", done=len(strengths), total=len(strengths))
    assert best is not None
    return replace(best, metric=task.validation_metric, seconds=time.monotonic() - began)


def solve_with(
    features: Sparse, targets: np.ndarray, penalty: float, num_outputs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (K, D) and bias (K,); a tag that no word of train has never wins.

    Args:
        features: Of M words, CSR, shape (M, D).
        targets: Their tags, int64, shape (M,).
        penalty: L2, by the mean loss of a word.
        num_outputs: K.
    """
    from sklearn.linear_model import SGDClassifier

    weight = np.zeros((num_outputs, features.shape[1]), np.float32)
    bias = np.full(num_outputs, _UNSEEN, np.float32)
    there = np.unique(targets)
    if len(there) < 2:
        bias[there] = 0.0
        return weight, bias
    learner = SGDClassifier(
        loss="log_loss", alpha=penalty, average=True, max_iter=_EPOCHS, tol=None, random_state=0
    )
    learner.fit(features, targets)
    found, own = learner.coef_, learner.intercept_
    if len(there) == 2:  # of two it gives what tells the second from the first
        found, own = np.concatenate([-found, found]), np.concatenate([-own, own])
    weight[there], bias[there] = found, own
    return weight, bias


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
