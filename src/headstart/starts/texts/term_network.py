"""The networks without layers: TF-IDF hands terms on, and a linear tagger adds up weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def build_tfidf(num_terms: int) -> nn.Module:
    """Build the network of a TF-IDF start: it hands the terms on and has no parameters."""
    return TermFeatures(num_terms)


class TermFeatures(nn.Module):
    """Features that are the dense term weights themselves.

    Args:
        num_terms: D.

    Attributes:
        num_features: D.
    """

    def __init__(self, num_terms: int) -> None:
        super().__init__()
        self.num_features = num_terms

    def forward(self, terms: Tensor) -> Tensor:
        """Return the features (B, D) of term weights (B, D)."""
        return terms


def build_tagger(num_features: int, num_outputs: int) -> nn.Module:
    """Build the network of a linear tagger, which knows nothing before it is solved for."""
    return TaggerWeights(num_features, num_outputs)


class TaggerWeights(nn.Module):
    """A linear model of the features of single words: what it gives are logits.

    Args:
        num_features: D; features are numbered from 1 on, and 0 is none.
        num_outputs: K.

    Attributes:
        is_grown: True: it is solved for at once, and its features are its logits.
        num_features: K.
    """

    is_grown = True

    def __init__(self, num_features: int, num_outputs: int) -> None:
        super().__init__()
        self.num_features = num_outputs
        self.weight = nn.Parameter(torch.zeros(num_features + 1, num_outputs))

    def tokens(self, features: Tensor) -> Tensor:
        """Return logits of words.

        Args:
            features: int64, shape (…, F), numbers of the features of each word.

        Returns:
            Shape (…, K).
        """
        is_there = (features > 0).unsqueeze(-1)
        found: Tensor = (nn.functional.embedding(features, self.weight) * is_there).sum(dim=-2)
        return found

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean of the logits of the words of each text, (B, W, F) to (B, K)."""
        return self.tokens(features).mean(dim=1)

    def take_weights(self, weight: Tensor) -> None:
        """Put what was solved for, shape (K, D), in the place of its weights."""
        with torch.no_grad():
            self.weight[1:] = weight.T

    def layer_groups(self) -> list[list[str]]:
        """Return its one layer."""
        return [["weight"]]

    def blank_inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return one text of a word without features."""
        return (torch.zeros(1, 1, 1, dtype=torch.int64, device=device),)
