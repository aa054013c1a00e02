"""Language models as headstart trains them: an encoder or decoder, and a head over its vocabulary.

Neither drops anything out while it learns (science.md E.3): ``train`` leaves both in the mode in
which they answer, so that the configuration keeps its dropout for the fine-tuning that follows.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from headstart.starts import Encoder
from headstart.starts.texts.last_rows import rows_of
from headstart.starts.texts.networks import TextNetwork
from headstart.starts.texts.word_heads import WordHead


class LanguageModel(nn.Module):
    """An encoder, or a decoder, with a head that tells words.

    Args:
        encoder: What is handed over; its network gives a state for each token.
        head: States to logits.
    """

    def __init__(self, encoder: Encoder, head: WordHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        assert isinstance(encoder.network, TextNetwork)

    def train(self, mode: bool = True) -> Self:
        """Stay in the mode of answering: nothing is dropped out, and no layer has statistics."""
        del mode
        return super().train(False)


class MaskedWords(LanguageModel):
    """Tells hidden words of texts that it reads both ways."""

    def forward(self, ids: Tensor, mask: Tensor, where: Tensor) -> Tensor:
        """Return logits (M, V) of the words at some places.

        Args:
            ids: int64, shape (B, T), padded at the end.
            mask: int64, shape (B, T), 1 where there is a token.
            where: int64, shape (M,), places in ids, flattened.
        """
        network: Any = self.encoder.network
        found: Tensor = self.head(network.tokens_at(ids, mask, where))
        return found


class NextWords(LanguageModel):
    """Tells the next word of texts that it reads from their beginning; texts may share a row."""

    def forward(self, ids: Tensor, positions: Tensor, segments: Tensor, where: Tensor) -> Tensor:
        """Return logits (M, V) of the words that follow some places.

        Args:
            ids: int64, shape (B, T).
            positions: int64, shape (B, T), counted from the beginning of each segment.
            segments: int64, shape (B, T): tokens see those before them of the same segment.
            where: int64, shape (M,), places in ids, flattened.
        """
        length = ids.shape[1]
        before = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        seen = (segments[:, :, None] == segments[:, None, :]) & before
        network: Any = self.encoder.network
        output = network.model(
            input_ids=ids, attention_mask=seen[:, None], position_ids=positions, use_cache=False
        )
        found: Tensor = self.head(rows_of(output.last_hidden_state, where))
        return found
