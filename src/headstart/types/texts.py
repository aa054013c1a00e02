"""Texts as targets and as answers: what tasks hold whose models write.

Both are arrays of N rows, so that they are taken by places as any targets and outputs are. Targets
hold a str each; what a model told of a sample is a row of ``TOLD``: what it wrote, and how well it
told the text that it should have written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# ``text``: what was written, or None where nothing was asked for. The sum of the losses of the
# target's tokens, each told from those before it, in nats; how many they are, and how many of them
# were the likeliest; and of how many bytes they are, where somebody counts them. Without a target
# ``num_tokens`` is 0.
TOLD = np.dtype(
    [
        ("text", object),
        ("loss", np.float64),
        ("num_tokens", np.int64),
        ("num_right", np.int64),
        ("num_bytes", np.int64),
    ]
)

_FEW = 8  # tokens beside what a ratio allows


@dataclass(frozen=True)
class Telling:
    """How a model writes.

    Attributes:
        num_beams: Beginnings that are followed at once; 1 takes the likeliest token each time.
        max_tokens: Tokens of an answer at the most.
        tokens_a_token: Tokens of an answer at the most for each that is read, and a few: whoever
            has learned little may not know when to end; None for no such bound.
        length_penalty: Power of its length that the logarithm of a beam's probability is divided
            by.
        temperature: Divides logits before a token is drawn; 0 draws none.
        top_p: Of the likeliest tokens those are drawn from that have this share together.
        seed: Of the draws.
        first_id: The token that every answer begins with, such as a language; None for none.
    """

    num_beams: int = 1
    max_tokens: int = 128
    tokens_a_token: float | None = None
    length_penalty: float = 1.0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    first_id: int | None = None

    def most_of(self, num_read: int) -> int:
        """Return how many tokens are written at most of so many that are read."""
        if self.tokens_a_token is None:
            return self.max_tokens
        return max(1, min(self.max_tokens, math.ceil(self.tokens_a_token * num_read) + _FEW))


def text_array(texts: Iterable[str | None]) -> np.ndarray:
    """Return texts as an array of objects, shape (N,).

    Example:
        >>> text_array(["a", "b"])[[1]].tolist()
        ['b']
    """
    listed = list(texts)
    found = np.empty(len(listed), object)
    found[:] = listed
    return found


def told_rows(
    texts: Sequence[str | None],
    losses: np.ndarray | None = None,
    num_tokens: np.ndarray | None = None,
    num_right: np.ndarray | None = None,
) -> np.ndarray:
    """Return what was told of N samples, dtype ``TOLD``; counts that are not given are 0."""
    found = np.zeros(len(texts), TOLD)
    found["text"] = text_array(texts)
    for name, values in (("loss", losses), ("num_tokens", num_tokens), ("num_right", num_right)):
        if values is not None:
            found[name] = values
    return found
