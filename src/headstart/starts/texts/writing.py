"""Writing: token after token, by transformers' own loop, with a cache of keys and values.

Greedy, by beams, or drawn: a draw is a function of the seed alone, so that the same question with
the same seed is answered in the same words. Whoever wants to read while it is written hands in what
takes each token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from headstart.extras import quiet_transformers
from headstart.tensors import seeded
from headstart.types.texts import Telling

OnToken = Callable[[int], None]


class _Streamer:
    """What transformers hands the tokens to, those of the question first."""

    def __init__(self, on_token: OnToken) -> None:
        self._on_token, self._is_first = on_token, True

    def put(self, value: Tensor) -> None:
        """Take the question, then each token."""
        if self._is_first:
            self._is_first = False
            return
        for token in value.flatten().tolist():
            self._on_token(int(token))

    def end(self) -> None:
        """Nothing is left to take."""


def write(
    model: Any,
    ids: Tensor,
    mask: Tensor,
    how: Telling,
    *,
    on_token: OnToken | None = None,
    use_cache: bool = True,
) -> Tensor:
    """Return what a language model of transformers writes.

    Args:
        model: Has a configuration with the token that ends a text.
        ids: int64, shape (B, T), what it is written to, padded before it.
        mask: int64, shape (B, T), 1 where there is a token.
        how: Beams, length, temperature, seed.
        on_token: Takes each token as it is written, of one question without beams.
        use_cache: Whether keys and values of what was read are kept; the same is written without.

    Returns:
        int64, shape (B, L), filled up with the token that ends a text.
    """
    from transformers import GenerationConfig

    config = model.config
    limit = getattr(config, "max_position_embeddings", None)
    room = limit - ids.shape[1] if isinstance(limit, int) and limit > 0 else how.max_tokens
    end = config.eos_token_id
    ends = end if isinstance(end, list) else [end]
    is_drawn = how.temperature > 0
    drawing = {"temperature": how.temperature, "top_p": how.top_p, "top_k": 0} if is_drawn else {}
    beams = {"num_beams": how.num_beams, "length_penalty": how.length_penalty}
    wanted = GenerationConfig(
        max_new_tokens=max(1, min(how.max_tokens, room)),
        do_sample=is_drawn,
        eos_token_id=ends,
        pad_token_id=ends[0],
        use_cache=use_cache,
        **(beams if how.num_beams > 1 else {}),
        **drawing,
    )
    streamer = None if on_token is None else _Streamer(on_token)
    with quiet_transformers(), torch.no_grad(), seeded(how.seed, ids.device):
        found: Tensor = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=wanted,
            streamer=streamer,
        )
    return found[:, ids.shape[1] :]
