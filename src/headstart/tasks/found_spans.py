"""Spans of a context by the logits of its tokens: the best one, and how well the right one is told.

A context longer than an encoder takes is read in windows that overlap; rows hold the tokens of all
of them, one window behind the other, each begun by the token that stands for "no answer". A span
lies within one window. Looked at is every span that is allowed, and not the best few beginnings
with the best few ends, so that nothing depends on how many these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headstart.errors import OptionError
from headstart.types import Rows
from headstart.types.questions import FOUND, LOOKED_AT, NOWHERE, GoldAnswers, spoken, tokens_of_span
from headstart.types.ragged import Ragged

MOST_TOKENS = 30  # of an answer, where nobody says another number; as transformers and BERT have it


@dataclass(frozen=True, eq=False)
class LookedAt:
    """What a network says of the tokens of N contexts.

    Attributes:
        rows: float32, N rows of (T, K + 2): K numbers of each token, and its places
            (``types.questions``).
    """

    rows: Ragged

    @classmethod
    def of(cls, rows: Rows) -> LookedAt:
        """Return logits as what they are.

        Raises:
            OptionError: They are of another task.
        """
        if not isinstance(rows, Ragged) or rows.flat.ndim != 2 or rows.flat.shape[1] != LOOKED_AT:
            raise OptionError(
                f"There are rows of {getattr(rows, 'dtype', type(rows).__name__)}, expected two "
                "numbers and two places for each token of a context. Give what this task's model "
                "gives."
            )
        return cls(rows)

    @cached_property
    def is_nothing(self) -> np.ndarray:
        """Which elements stand for "no answer", bool, shape (T,)."""
        found: np.ndarray = self.rows.whole[:, -2] == NOWHERE
        return found

    @cached_property
    def windows(self) -> np.ndarray:
        """Where each window begins, int64, shape (W,)."""
        return np.flatnonzero(self.is_nothing)

    @cached_property
    def window(self) -> np.ndarray:
        """Of which window each element is, int64, shape (T,)."""
        found: np.ndarray = np.cumsum(self.is_nothing) - 1
        return found

    @cached_property
    def row_of_window(self) -> np.ndarray:
        """Of which row each window is, int64, shape (W,)."""
        begins = self.rows.offsets - self.rows.offsets[0]
        found: np.ndarray = np.searchsorted(begins, self.windows, side="right") - 1
        return found

    @cached_property
    def masses(self) -> np.ndarray:
        """The logarithm of the sum of exponentials of each window, float64, shape (W, 2)."""
        numbers = self.rows.whole[:, :2].astype(np.float64)
        highest = np.maximum.reduceat(numbers, self.windows)
        sums = np.add.reduceat(np.exp(numbers - highest[self.window]), self.windows)
        found: np.ndarray = highest + np.log(sums)
        return found

    def gold(self, targets: np.ndarray) -> np.ndarray:
        """Return the first and the last element of the answer in each window, int64, (W, 2).

        A window that does not hold the whole answer is to tell that there is none.

        Args:
            targets: Object array of N ``GoldAnswers``.
        """
        wanted = [one.span or (NOWHERE, NOWHERE) for one in targets.tolist()]
        spans = np.array(wanted, np.int64).reshape(-1, 2)[self.row_of_window]
        whole, ends = self.rows.whole, np.append(self.windows[1:], len(self.rows.whole))
        found = np.stack((self.windows, self.windows), axis=1)
        for place in np.flatnonzero(spans[:, 0] != NOWHERE).tolist():
            begin = int(self.windows[place]) + 1
            tokens = whole[begin : ends[place], -2:]
            held = tokens_of_span(tokens[:, 0], tokens[:, 1], *spans[place].tolist())
            if held is not None:
                found[place] = begin + held[0], begin + held[1]
        return found


def best_spans(rows: Rows, most_tokens: int = MOST_TOKENS) -> np.ndarray:
    """Return the best span of each context, dtype ``FOUND``, shape (N,).

    Args:
        rows: As of ``LookedAt``.
        most_tokens: Of a span.
    """
    looked = LookedAt.of(rows)
    found = np.zeros(len(looked.rows), FOUND)
    found["start"] = found["end"] = NOWHERE
    found["score"] = -np.inf
    if not len(found):
        return found
    numbers = looked.rows.whole[:, :2].astype(np.float64)
    score, last = _best_ends(looked, numbers, most_tokens)
    begins = (looked.rows.offsets[:-1] - looked.rows.offsets[0]).astype(np.int64)
    best = np.maximum.reduceat(score, begins)
    row = np.repeat(np.arange(len(found)), looked.rows.lengths)
    is_best = score == best[row]
    first = np.full(len(found), len(score), np.int64)
    np.minimum.at(first, row[is_best], np.flatnonzero(is_best))
    has_span = np.isfinite(best)
    first = np.where(has_span, first, begins)
    places = looked.rows.whole[:, 2:].astype(np.int64)
    found["score"] = best
    found["start"] = np.where(has_span, places[first, 0], NOWHERE)
    found["end"] = np.where(has_span, places[last[first], 1], NOWHERE)
    window, masses = looked.window[first], looked.masses.sum(axis=1)
    found["probability"] = np.exp(best - masses[window])
    silent = numbers[looked.windows].sum(axis=1)
    order = np.lexsort((silent, looked.row_of_window))
    least = order[np.unique(looked.row_of_window[order], return_index=True)[1]]
    found["nothing"] = silent[least]
    found["probability_nothing"] = np.exp(silent[least] - masses[least])
    return found


def _best_ends(
    looked: LookedAt, numbers: np.ndarray, most_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of the best span from each element on, and its last element."""
    begin, end = numbers[:, 0], numbers[:, 1]
    num = len(begin)
    score, last = np.full(num, -np.inf), np.arange(num)
    is_token = ~looked.is_nothing
    for length in range(min(most_tokens, num)):
        some = slice(0, num - length)
        shifted = slice(length, num)
        fits = is_token[some] & (looked.window[some] == looked.window[shifted])
        summed = np.where(fits, begin[some] + end[shifted], -np.inf)
        is_better = summed > score[some]
        score[some] = np.where(is_better, summed, score[some])
        last[some] = np.where(is_better, np.arange(length, num), last[some])
    return score, last


def span_losses(rows: Rows, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how ill each window tells what it holds, in nats, and of which row it is.

    The mean of both ends' cross-entropies over the tokens that may be told.

    Args:
        rows: As of ``LookedAt``, N of them.
        targets: Object array of N ``GoldAnswers``.
    """
    looked = LookedAt.of(rows)
    gold, numbers = looked.gold(targets), looked.rows.whole[:, :2].astype(np.float64)
    told = numbers[gold[:, 0], 0] + numbers[gold[:, 1], 1]
    return (looked.masses.sum(axis=1) - told) / 2, looked.row_of_window


def texts_of_spans(found: np.ndarray, targets: np.ndarray) -> list[str]:
    """Return the text of each span in the context of its target.

    Args:
        found: dtype ``FOUND``, shape (N,).
        targets: Object array of N ``GoldAnswers`` with their contexts.
    """
    said = []
    for start, end, one in zip(
        found["start"].tolist(), found["end"].tolist(), targets.tolist(), strict=True
    ):
        context = one.context if isinstance(one, GoldAnswers) else ""
        first, last = spoken(context, start, end)
        said.append(context[first:last])
    return said
