"""The loss of telling words: cross-entropy over a vocabulary, at the places that are told."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def word_losses(logits: Tensor, told: Tensor) -> Tensor:
    """Return the loss of each word, in nats.

    Args:
        logits: Shape (M, V); computed in float32 whatever their own type.
        told: int64, shape (M,), the words that stand there.

    Returns:
        float32, shape (M,).

    Source: -log softmax(logits)[told]; its mean's exponential is the perplexity.
    """
    return functional.cross_entropy(logits.float(), told, reduction="none")


def word_loss(logits: Tensor, told: Tensor) -> Tensor:
    """Return the mean of ``word_losses``, shape ()."""
    return functional.cross_entropy(logits.float(), told)
