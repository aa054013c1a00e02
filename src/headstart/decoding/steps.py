"""A network, asked for one token after the other: all that a search knows of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Steps(Protocol):
    """A network that is asked for the next token of some rows, and remembers what it has read."""

    def begin(self) -> np.ndarray:
        """Read what is written to, and return logits of the first token, float32, shape (B, V)."""
        ...

    def advance(self, tokens: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """Return logits of the next token of each row, float32, shape (N, V).

        Args:
            tokens: int64, shape (N,), the token that each row goes on with.
            origins: int64, shape (N,), which row of the call before each row goes on from; rows
                that none goes on from are forgotten.
        """
        ...


def are_others(origins: np.ndarray, num: int) -> bool:
    """Return whether rows go on from others than themselves.

    Args:
        origins: See ``Steps.advance``.
        num: Rows of the call before.
    """
    return len(origins) != num or bool((origins != np.arange(num)).any())
