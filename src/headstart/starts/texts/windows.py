"""Texts longer than an encoder takes: read in windows that overlap, the states put together again.

Every window has the special tokens that the whole text has before and behind it, and as many tokens
of the text as fit between them; a token takes its state from the window in whose middle it stands
nearest. So each has at least a quarter of a window around it on both sides, but at the ends of the
text. A text that fits is one window: itself. Of a batch the windows of each text alone are read: a
long one costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from headstart.preprocessing.word_windows import Window

States = Callable[[Tensor, Tensor], Tensor]


def windowed_states(states: States, ids: Tensor, mask: Tensor, window: Window) -> Tensor:
    """Return the states of texts, each token's from a window around it.

    Args:
        states: Ids and mask, int64 (M, L), to states (M, L, D), L at most ``window.length``.
        ids: int64, shape (B, T), padded at the end, T more than ``window.length``.
        mask: int64, shape (B, T), 1 where there is a token.
        window: How much is read at once.

    Returns:
        Shape (B, T, D); where a text is padded, and of its special tokens but the first ones, they
        mean nothing.
    """
    total = ids.shape[1]
    before, behind = window.num_before, window.num_behind
    own = mask.sum(dim=1) - before - behind  # tokens of each text itself
    starts, counts = _starts(own, window)
    is_read = torch.arange(starts.shape[1], device=ids.device)[None, :] < counts[:, None]
    inside = (own[:, None] - starts).clamp(0, window.room)
    place = torch.arange(window.length, device=ids.device)[None, None, :]
    within = place - before
    of_text = before + starts[:, :, None] + within
    of_end = before + own[:, None, None] + within - inside[:, :, None]
    source = torch.where(within < inside[:, :, None], of_text, of_end)
    source = torch.where(within < 0, place, source).clamp(0, total - 1)
    reads = place < (before + inside + behind)[:, :, None]
    lot = torch.gather(ids, 1, source.flatten(1)).reshape(source.shape)
    lot = torch.where(reads, lot, ids[:, :1, None])
    found = states(lot[is_read], reads[is_read].to(mask.dtype))
    tokens = torch.arange(total, device=ids.device)
    chosen = torch.minimum(_nearest(tokens - before, starts, window.room), counts[:, None] - 1)
    at = tokens[None, :] - starts.gather(1, chosen)
    at = torch.where(tokens[None, :] < before, tokens[None, :], at).clamp(0, window.length - 1)
    rows = (counts.cumsum(0) - counts)[:, None] + chosen
    index = (rows * window.length + at).flatten()
    return found.flatten(0, 1).index_select(0, index).reshape(*ids.shape, -1)


def _starts(num_tokens: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Return where the windows of texts begin, by the length of each alone, and how many each has.

    Args:
        num_tokens: Of each text itself, int64, shape (B,).
        window: How much is read at once.

    Returns:
        int64, shape (B, W), rising; a text of fewer windows than others repeats its last. And
        int64, shape (B,).
    """
    last = (num_tokens - window.room).clamp_min(0)
    counts = (last + window.stride - 1) // window.stride + 1
    steps = torch.arange(int(counts.max()), device=num_tokens.device) * window.stride
    return torch.minimum(steps[None, :], last[:, None]), counts


def _nearest(tokens: Tensor, starts: Tensor, room: int) -> Tensor:
    """Return for each token of each text the window in whose middle it stands nearest, (B, T)."""
    middle = starts + (room - 1) / 2
    nearest: Tensor = (tokens[None, :, None] - middle[:, None, :]).abs().argmin(dim=2)
    return nearest
