"""Randomness: weights are drawn from their own seed, whatever else draws numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers on the CPU from a seed; the caller's random state comes back after."""
    # default_generator, not torch.manual_seed: that one would seed every GPU too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
