"""Texts longer than an encoder takes as windows that it reads, for networks that know no windows.

The windows are those in which PyTorch's networks read (``starts.texts.windows``), and a word is
told by the same one: that in whose middle its first token stands nearest. A text that fits is one
window: itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.preprocessing.inputs import Tokens
from headstart.types.ragged import Ragged


@dataclass(frozen=True)
class Window:
    """How much is read at once.

    Attributes:
        length: Tokens, special ones included.
        num_before: Special tokens before a text.
        num_behind: Those behind it.
    """

    length: int
    num_before: int
    num_behind: int

    @property
    def room(self) -> int:
        """Tokens of the text itself."""
        return self.length - self.num_before - self.num_behind

    @property
    def stride(self) -> int:
        """Tokens of the text from the beginning of a window to that of the next."""
        return max(1, self.room // 2)


def word_windows(
    tokens: Tokens, firsts: Ragged, places: np.ndarray, window: Window
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return texts as windows, and where the first token of each word stands in them.

    Args:
        tokens: Of all texts, uncut, special ones included.
        firsts: Place of the first token of each word among the ids of its text, int64.
        places: Of the wanted texts, int64, shape (B,).
        window: How much is read at once.

    Returns:
        Ids and mask, int64 (M, T), padded to the longest window; of each of the W words of all
        wanted texts, in order, its window and its place in it, int64 (W,); words of each text,
        int64 (B,).
    """
    lot: list[np.ndarray] = []
    rows: list[np.ndarray] = [np.empty(0, np.int64)]
    at: list[np.ndarray] = [np.empty(0, np.int64)]
    for place in places.tolist():
        whole = tokens.flat[tokens.offsets[place] : tokens.offsets[place + 1]]
        words = firsts[place].astype(np.int64)
        if len(whole) <= window.length:
            rows.append(np.full(len(words), len(lot), np.int64))
            at.append(words)
            lot.append(whole)
            continue
        before, end = window.num_before, len(whole) - window.num_behind
        starts = _starts(end - before, window)
        middle = before + starts + (window.room - 1) / 2
        nearest = np.abs(words[:, None] - middle[None, :]).argmin(axis=1)
        rows.append(len(lot) + nearest)
        at.append(words - starts[nearest])
        lot += [
            np.concatenate((whole[:before], whole[first : first + window.room], whole[end:]))
            for first in (before + starts).tolist()
        ]
    ids = Ragged.of(lot)
    mask = Ragged(np.ones(len(ids.flat), np.int64), ids.offsets)
    wide = ids.padded(tokens.pad_id).astype(np.int64)
    return wide, mask.padded(0), np.concatenate(rows), np.concatenate(at), firsts[places].lengths


def _starts(num_tokens: int, window: Window) -> np.ndarray:
    """Return where the windows of a text begin, rising, int64, shape (W,).

    Args:
        num_tokens: Of the text itself, more than fit one.
        window: How much is read at once.
    """
    last = num_tokens - window.room
    return np.minimum(np.arange(-(-last // window.stride) + 1) * window.stride, last)
