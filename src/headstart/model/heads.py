"""Heads: what turns an encoder's features into logits; a model names its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from headstart.errors import StartError, did_you_mean, quoted


@dataclass(frozen=True)
class Head:
    """A kind of head.

    Attributes:
        build: From D features and K outputs to the module; it keeps leading dimensions.
        reads_tokens: Whether it reads each token's features, (B, T, D), or a sample's, (B, D).
    """

    build: Callable[[int, int], Any]
    reads_tokens: bool = False


def _own(num_features: int, num_outputs: int) -> nn.Identity:
    """Return nothing to learn: the network tells of its vocabulary, or embeds, itself."""
    del num_features, num_outputs
    return nn.Identity()


HEADS: dict[str, Head] = {
    "linear": Head(nn.Linear),
    "token": Head(nn.Linear, reads_tokens=True),
    "own": Head(_own, reads_tokens=True),
    "pair": Head(_own),
}


def find_head(name: str) -> Head:
    """Return the kind of head of that name.

    Raises:
        StartError: With the nearest match.
    """
    if name not in HEADS:
        raise StartError(
            f"Unknown head '{name}'.{did_you_mean(name, HEADS)} Expected {quoted(list(HEADS))}. "
            f"The file is from another version of headstart, or damaged."
        )
    return HEADS[name]
