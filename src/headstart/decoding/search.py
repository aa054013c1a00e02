"""The likeliest token each time, or one that is drawn; and what every search has in common.

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


class GreedySearch(Search):
    """One text a row: its likeliest token each time, or one that is drawn.

    Args:
        steps: See ``Search``, as all others.
        rules: See there.
        how: With a temperature tokens are drawn.
        prompts: See there.
    """

    def __init__(
        self, steps: Steps, rules: WritingRules, how: Telling, prompts: Sequence[np.ndarray]
    ) -> None:
        super().__init__(steps, rules, how, prompts)
        self._draws = (
            [np.random.default_rng([how.seed, *one.tolist()]) for one in prompts]
            if how.temperature > 0
            else []
        )
        self._origins = self._tokens = np.zeros(0, np.int64)

    def advance(self) -> list[int]:
        """Go on by a token; otherwise as ``Search.advance``."""
        if self._length == 0:
            logits = self._steps.begin()[self._rows]
            self._origins = self._rows  # should some have been dropped before
        else:
            logits = self._steps.advance(self._tokens, self._origins)
            self._origins = np.arange(len(self._rows))
        rows, tokens = self._rows, self._chosen(self._allowed(logits, self._rows))
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            self.written[row].append(token)
        self._length += 1
        self._tokens = tokens
        goes_on = ~np.isin(tokens, self._rules.ends) & (self._most[rows] > self._length)
        self._keep(goes_on)
        return [int(row) for row in rows]

    def drop(self, rows: Sequence[int]) -> None:
        """Stop writing some rows."""
        self._keep(~np.isin(self._rows, rows))

    def _keep(self, places: np.ndarray) -> None:
        self._rows = self._rows[places]
        if self._length:
            self._tokens, self._origins = self._tokens[places], self._origins[places]

    def _chosen(self, scores: np.ndarray) -> np.ndarray:
        """Return a token of each row, int64, shape (N,)."""
        if not self._draws:
            likeliest: np.ndarray = scores.argmax(axis=1)
            return likeliest
        draws = [self._draws[row].random() for row in self._rows.tolist()]
        drawn = zip(scores, draws, strict=True)
        how = self._how
        found = [draw_token(one, how.temperature, how.top_p, chance) for one, chance in drawn]
        return np.array(found, np.int64)


def draw_token(scores: np.ndarray, temperature: float, top_p: float, chance: float) -> int:
    """Return a token that is drawn by its probability.

    Args:
        scores: Logits, float32, shape (V,).
        temperature: Divides them, above 0.
        top_p: Share of the likeliest that are drawn from, which holds one at least.
        chance: In [0, 1), what decides.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration (2020), section 3.1.

    Example:
        >>> draw_token(np.log(np.array([0.2, 0.5, 0.3], np.float32)), 1.0, 0.7, 0.99)
        2
    """
    scaled = scores.astype(np.float64) / temperature
    shares = np.exp(scaled - scaled.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    sums = np.cumsum(shares[order])
    # the last one is that with which the share is reached
    num = int(np.searchsorted(sums, min(top_p, 1.0) - 1e-12)) + 1
    sums = sums[:num]
    place = int(np.searchsorted(sums, chance * sums[-1], side="right"))
    return int(order[min(place, len(sums) - 1)])


def begin_search(
    steps: Steps, rules: WritingRules, how: Telling, prompts: Sequence[np.ndarray]
) -> Search:
    """Return a search that has not begun: by beams where there are several.

    Args:
        steps: See ``Search``, as all others.
        rules: See there.
        how: See there.
        prompts: See there.
    """
    from headstart.decoding.beams import BeamSearch

    kind = BeamSearch if how.num_beams > 1 else GreedySearch
    return kind(steps, rules, how, prompts)


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
