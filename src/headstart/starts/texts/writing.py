"""Writing: token after token, with what was read kept as keys and values.

The likeliest token each time, by beams, or drawn (``decoding``): a draw is a function of the seed
and of what is asked, so that the same question with the same seed is answered in the same words,
whatever is asked beside it. Whoever wants to read while it is written hands in what takes each
token.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from headstart.decoding import Steps, WritingRules, begin_search, written_by
from headstart.decoding.search import OnToken
from headstart.extras import quiet_transformers
from headstart.types.texts import Telling


class WritingNetwork(nn.Module):
    """A network that writes.

    Attributes:
        hands_on_sums: Whether it sums up itself what it tells of each sample.
        hands_on_tokens: Whether each token that is written can be read at once.
    """

    hands_on_sums: ClassVar[bool] = False
    hands_on_tokens: ClassVar[bool] = False

    def tell(
        self, ids: Tensor, mask: Tensor, *, how: Telling, on_token: OnToken | None = None
    ) -> Tensor:
        """Return the ids of what is written, int64, shape (B, L), filled up at the end.

        Args:
            ids: int64, shape (B, T), what it is written to, as ``asked`` of the inputs gives it.
            mask: int64, shape (B, T), 1 where there is a token.
            how: Beams, length, temperature, seed.
            on_token: Takes each token as it is written, of what hands them on.
        """
        raise NotImplementedError


def rules_of_decoder(config: Any) -> WritingRules:
    """Return what a decoder may write.

    Args:
        config: Of transformers, with the token that ends a text.
    """
    limit = getattr(config, "max_position_embeddings", None)
    end = config.eos_token_id
    ends = tuple(end) if isinstance(end, list) else (end,)
    room = limit if isinstance(limit, int) and limit > 0 else None
    return WritingRules(ends=ends, fill=ends[0], room=room)


def write_with(
    steps: Steps,
    rules: WritingRules,
    ids: Tensor,
    mask: Tensor,
    how: Telling,
    *,
    on_token: OnToken | None = None,
) -> Tensor:
    """Return what a network writes.

    Args:
        steps: The network.
        rules: What it may write.
        ids: int64, shape (B, T), what it is written to.
        mask: int64, shape (B, T), 1 where there is a token.
        how: Beams, length, temperature, seed.
        on_token: Takes each token as it is written, of one row without beams.

    Returns:
        int64, shape (B, L), filled up.
    """
    asked = zip(ids.cpu().numpy(), mask.cpu().numpy() > 0, strict=True)
    prompts = [row[has] for row, has in asked]
    with quiet_transformers(), torch.no_grad():
        texts = written_by(begin_search(steps, rules, how, prompts), on_token)
    found = torch.full((len(texts), max(map(len, texts), default=0)), rules.fill)
    for row, text in zip(found, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    return found.to(ids.device)
