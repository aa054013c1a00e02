"""What every search has in common: rows of texts under way, a token at a time.

A search goes on a token at a time, and rows can be taken out between two: whoever streams reads
what was written, and whoever serves stops where nobody waits. Rows that have ended are computed no
more. No row depends on those beside it: its length is bounded by its own, and what is drawn is a
function of the seed and of what it is written to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from headstart.decoding.rules import WritingRules
from headstart.decoding.steps import Steps
from headstart.types.texts import Telling

OnToken = Callable[[int], None]


class Search(ABC):
    """Texts under way, a row each.

    Args:
        steps: The network, which has read nothing yet.
        rules: What may be written.
        how: How it is written.
        prompts: Ids that each row is written to, int64; they are read by ``steps`` itself.

    Attributes:
        written: Ids of each row, as far as they are certain.
        scores: Of what was searched for by beams, float32, shape (B,): the mean logarithm of its
            probability, by the power that lengths have; 0 where it was not.
    """

    def __init__(
        self, steps: Steps, rules: WritingRules, how: Telling, prompts: Sequence[np.ndarray]
    ) -> None:
        self._steps, self._rules, self._how = steps, rules, how
        self._most = rules.most_of(how, np.array([len(one) for one in prompts], np.int64))
        self._rows = np.arange(len(prompts))  # those under way, in the order of the network's
        self.written: list[list[int]] = [[] for _ in prompts]
        self.scores = np.zeros(len(prompts), np.float32)
        self._length = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is under way any more."""
        return not len(self._rows)

    @property
    def under_way(self) -> list[int]:
        """The rows that are not written to their ends."""
        return [int(row) for row in self._rows]

    @abstractmethod
    def advance(self) -> list[int]:
        """Go on by a token.

        Returns:
            Rows of which ``written`` has grown, or ends.
        """

    @abstractmethod
    def drop(self, rows: Sequence[int]) -> None:
        """Stop writing some rows: nobody waits for them."""

    def _allowed(self, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return scores (N, V) of rows' next token, -inf where it may not be written.

        Scores of a token that is forced are 0, so that it costs a beam nothing.

        Source: transformers' processors for forced and suppressed tokens.
        """
        scores = scores.astype(np.float32)  # a copy: what the network gave is its own
        forced = np.full(len(rows), -1, np.int64)
        if self._how.first_id is not None and self._length == 0:
            forced[:] = self._how.first_id
        if self._rules.has_last_end:
            forced[self._most[rows] == self._length + 1] = self._rules.ends[0]
        places = np.flatnonzero(forced >= 0)
        scores[places] = -np.inf
        scores[places, forced[places]] = 0.0
        scores[:, list(self._rules.never)] = -np.inf
        return scores


def written_by(search: Search, on_token: OnToken | None = None) -> list[list[int]]:
    """Write to the end.

    Args:
        search: Has not begun.
        on_token: Takes each token of the only row as it is written.

    Returns:
        Ids of each row.
    """
    done = 0
    while not search.is_done:
        search.advance()
        if on_token is not None:
            for token in search.written[0][done:]:
                on_token(token)
            done = len(search.written[0])
    return search.written
