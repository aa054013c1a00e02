"""The network of TF-IDF: it hands the terms on, for a linear head to weigh."""

from __future__ import annotations

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
