"""Texts as targets and as answers: what tasks hold whose models write.

Both are arrays of N rows, so that they are taken by places as any targets and outputs are. Targets
hold a str each; what a model told of a sample is a row of ``TOLD``: what it wrote, and how well it
told the text that it should have written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# ``text``: what was written, or None where nothing was asked for. The sum of the losses of the
# target's tokens, each told from those before it, in nats; how many they are, and how many of them
# were the likeliest. Without a target ``num_tokens`` is 0.
TOLD = np.dtype(
    [("text", object), ("loss", np.float64), ("num_tokens", np.int64), ("num_right", np.int64)]
)


@dataclass(frozen=True)
class Telling:
    """How a model writes.

    Attributes:
        num_beams: Beginnings that are followed at once; 1 takes the likeliest token each time.
        max_tokens: Tokens of an answer at the most.
        length_penalty: Power of its length that the logarithm of a beam's probability is divided
            by.
    """

    num_beams: int = 1
    max_tokens: int = 128
    length_penalty: float = 1.0


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
