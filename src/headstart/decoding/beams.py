"""Several beginnings a row, followed at once: beam search as transformers does it.

Each step keeps twice as many continuations as beams, so that beams are left where some end; those
that end among the best become texts, judged by their logarithm of probability over a power of
their length.

Source: transformers 5.24, ``GenerationMixin._beam_search``, whose texts these are (tested). Its
rows wait for one another; here each ends for itself, which changes none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.decoding.rules import WritingRules
from headstart.decoding.search import Search
from headstart.decoding.steps import Steps
from headstart.types.texts import Telling

_NEVER = np.float32(-1e9)  # the score of what is no text yet


class BeamSearch(Search):
    """The best text a row among several beginnings; it is told when it is certain.

    Args:
        steps: See ``Search``, as all others.
        rules: See there.
        how: See there.
        prompts: See there.
    """

    def __init__(
        self, steps: Steps, rules: WritingRules, how: Telling, prompts: Sequence[np.ndarray]
    ) -> None:
        super().__init__(steps, rules, how, prompts)
        num, beams = len(prompts), how.num_beams
        most = int(self._most.max(initial=1))
        self._running = np.full((num, beams, most), rules.fill, np.int64)
        self._running_scores = np.zeros((num, beams), np.float32)
        self._running_scores[:, 1:] = _NEVER  # so that the first step has one beginning alone
        self._texts = self._running.copy()
        self._text_scores = np.full((num, beams), _NEVER, np.float32)
        self._is_text = np.zeros((num, beams), bool)
        self._can_be_better = np.ones(num, bool)
        self._origins = self._tokens = np.zeros((num, 0), np.int64)  # of the rows under way

    def advance(self) -> list[int]:
        """Go on by a token; otherwise as ``Search.advance``: rows grow when they end."""
        rows, beams = self._rows, self._how.num_beams
        if self._length == 0:
            logits = np.repeat(self._steps.begin()[rows], beams, axis=0)
        else:
            logits = self._steps.advance(self._tokens.ravel(), self._origins.ravel())
        scores = self._allowed(_log_softmax(logits), np.repeat(rows, beams))
        scores = scores.reshape(len(rows), beams, -1) + self._running_scores[rows, :, None]
        keep = max(2, 1 + len(self._rules.ends)) * beams
        best, places = _top(scores.reshape(len(rows), -1), keep)
        froms, tokens = np.divmod(places, scores.shape[2])
        texts = np.take_along_axis(self._running[rows], froms[:, :, None], axis=1)
        texts[:, :, self._length] = tokens
        ends = np.isin(tokens, self._rules.ends) | (self._most[rows, None] <= self._length + 1)
        self._go_on(rows, best, texts, froms, ends)
        self._collect(rows, best, texts, ends)
        self._length += 1
        return self._close(rows, ends)

    def drop(self, rows: Sequence[int]) -> None:
        """Stop writing some rows."""
        self._keep(~np.isin(self._rows, rows))

    def _go_on(
        self,
        rows: np.ndarray,
        best: np.ndarray,
        texts: np.ndarray,
        froms: np.ndarray,
        ends: np.ndarray,
    ) -> None:
        """Choose the beams of the next step among those that have not ended."""
        running, places = _top(best + ends * _NEVER, self._how.num_beams)
        self._running[rows] = np.take_along_axis(texts, places[:, :, None], axis=1)
        self._running_scores[rows] = running
        self._tokens = self._running[rows][:, :, self._length]
        chosen = np.take_along_axis(froms, places, axis=1)
        if self._length == 0:  # every beam goes on from the only row of its text
            self._origins = np.repeat(rows[:, None], self._how.num_beams, axis=1)
        else:
            self._origins = np.arange(len(rows))[:, None] * self._how.num_beams + chosen

    def _collect(
        self, rows: np.ndarray, best: np.ndarray, texts: np.ndarray, ends: np.ndarray
    ) -> None:
        """Take what has ended among the best beams to the texts, where it is better."""
        beams = self._how.num_beams
        is_new = ends.copy()
        is_new[:, beams:] = False
        scores = best / np.float32((self._length + 1) ** self._how.length_penalty)
        is_full = self._is_text[rows].all(axis=1) & self._rules.stops_full
        scores = scores + (is_full | ~self._can_be_better[rows])[:, None] * _NEVER
        scores = scores + ~is_new * _NEVER
        every = np.concatenate([self._text_scores[rows], scores], axis=1)
        found, places = _top(every, beams)
        whole = np.concatenate([self._texts[rows], texts], axis=1)
        self._texts[rows] = np.take_along_axis(whole, places[:, :, None], axis=1)
        self._text_scores[rows] = found
        both = np.concatenate([self._is_text[rows], is_new], axis=1)
        self._is_text[rows] = np.take_along_axis(both, places, axis=1)

    def _close(self, rows: np.ndarray, ends: np.ndarray) -> list[int]:
        """Take out what no beam can better, or has no beam left; return these rows."""
        possible = self._running_scores[rows, 0] / np.float32(
            self._length**self._how.length_penalty
        )
        worst = np.where(
            self._is_text[rows], self._text_scores[rows].min(axis=1, keepdims=True), _NEVER
        )
        self._can_be_better[rows] &= (possible[:, None] > worst).any(axis=1)
        is_full = self._is_text[rows].all(axis=1) & self._rules.stops_full
        goes_on = self._can_be_better[rows] & ~is_full & ~ends.all(axis=1)
        closed = [int(row) for row in rows[~goes_on]]
        for row in closed:
            self.scores[row] = self._text_scores[row, 0]
            self.written[row] = self._cut(self._texts[row, 0])
        self._keep(goes_on)
        return closed

    def _cut(self, ids: np.ndarray) -> list[int]:
        """Return ids up to the first that ends them."""
        ends = np.flatnonzero(np.isin(ids, self._rules.ends))
        return [int(i) for i in (ids[: int(ends[0]) + 1] if len(ends) else ids)]

    def _keep(self, places: np.ndarray) -> None:
        self._rows = self._rows[places]
        if self._length:
            self._tokens, self._origins = self._tokens[places], self._origins[places]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return logarithms of probabilities, float32, of logits (N, V)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def _top(scores: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest of each row and their places, the greatest first, (N, num) each."""
    width = scores.shape[1]
    if num < width:
        some = np.argpartition(scores, width - num, axis=1)[:, width - num :]
        some.sort(axis=1)  # so that of equals the first comes first
    else:
        some = np.broadcast_to(np.arange(width), scores.shape)
    values = np.take_along_axis(scores, some, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(some, order, axis=1)
