"""The likeliest token each time, or one that is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.decoding.rules import WritingRules
from headstart.decoding.search import Search
from headstart.decoding.steps import Steps
from headstart.types.texts import Telling


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
