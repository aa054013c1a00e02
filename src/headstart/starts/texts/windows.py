"""Texts longer than an encoder takes: read in windows that overlap, the states put together again.

Every window has the special tokens that the whole text has before and behind it, and as many tokens
of the text as fit between them; a token takes its state from the window in whose middle it stands
nearest. So each has at least a quarter of a window around it on both sides, but at the ends of the
text. A text that fits is one window: itself.
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
    batch, total = ids.shape
    before, behind = window.num_before, window.num_behind
    own = mask.sum(dim=1) - before - behind  # tokens of each text itself
    starts = _starts(own, window)
    num = starts.shape[1]
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
    found = states(lot.flatten(0, 1), reads.flatten(0, 1).to(mask.dtype))
    tokens = torch.arange(total, device=ids.device)
    chosen = _nearest(tokens - before, starts, window.room)
    at = tokens[None, :] - starts.gather(1, chosen)
    at = torch.where(tokens[None, :] < before, tokens[None, :], at).clamp(0, window.length - 1)
    flat = found.reshape(batch, num * window.length, -1)
    index = (chosen * window.length + at)[:, :, None].expand(-1, -1, flat.shape[2])
    return torch.gather(flat, 1, index)


def _starts(num_tokens: Tensor, window: Window) -> Tensor:
    """Return where the windows of texts begin, by the length of each alone.

    Args:
        num_tokens: Of each text itself, int64, shape (B,).
        window: How much is read at once.

    Returns:
        int64, shape (B, W), rising; a text of fewer windows than others repeats its last.
    """
    last = (num_tokens - window.room).clamp_min(0)
    num = -(-int(last.max()) // window.stride) + 1
    steps = torch.arange(num, device=num_tokens.device) * window.stride
    return torch.minimum(steps[None, :], last[:, None])


def _nearest(tokens: Tensor, starts: Tensor, room: int) -> Tensor:
    """Return for each token of each text the window in whose middle it stands nearest, (B, T)."""
    middle = starts + (room - 1) / 2
    nearest: Tensor = (tokens[None, :, None] - middle[:, None, :]).abs().argmin(dim=2)
    return nearest
