"""What a network gives of tokens that are known: for comparing two computations of one network.

Logits of a whole vocabulary are many; kept of each token are those of the likeliest few, and the
greatest of all others, so that neither a value nor another likeliest token goes unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from headstart.decoding.steps import Steps

NUM_LIKELIEST = 8


def follow(steps: Steps, told: Sequence[Sequence[int]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what a network gives of each token of some rows, from those before it.

    Args:
        steps: The network, which has read nothing yet.
        told: Ids of each row, at least one each.

    Yields:
        Rows that have a token there, int64, shape (N,), and logits of it, float32, shape (N, V).
    """
    lengths = np.array([len(ids) for ids in told])
    rows = np.arange(len(told))
    logits = steps.begin()
    for place in range(int(lengths.max(initial=0))):
        yield rows, logits
        goes_on = lengths[rows] > place + 1
        origins, rows = np.flatnonzero(goes_on), rows[goes_on]
        if len(rows):
            tokens = np.array([told[row][place] for row in rows.tolist()], np.int64)
            logits = steps.advance(tokens, origins)


def likeliest(logits: np.ndarray) -> np.ndarray:
    """Return the ids of the likeliest few tokens, int64, shape (N, 8), the likeliest first."""
    num = min(NUM_LIKELIEST, logits.shape[1] - 1)
    found: np.ndarray = np.argsort(-logits, axis=1, kind="stable")[:, :num]
    return found


def brief(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return logits of some tokens, and the greatest of all others behind them.

    Args:
        logits: float32, shape (N, V).
        ids: int64, shape (N, K), of ``likeliest``.

    Returns:
        float32, shape (N, K + 1).
    """
    others = logits.copy()
    np.put_along_axis(others, ids, -np.inf, axis=1)
    some = np.take_along_axis(logits, ids, axis=1)
    return np.concatenate([some, others.max(axis=1, keepdims=True)], axis=1)
