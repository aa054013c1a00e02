"""Probabilities of a middling classifier, made on the fly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Draw = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def draw() -> Draw:
    """Return a function that draws (probabilities, targets) for num_items and num_classes."""

    def draw_from(
        num_items: int, num_classes: int, *, seed: int = 0, coarse: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        targets = rng.integers(0, num_classes, num_items)
        logits = rng.normal(size=(num_items, num_classes))
        logits[np.arange(num_items), targets] += 1.5
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        if coarse:  # tenths, so that scores tie
            probabilities = rng.multinomial(10, probabilities) / 10
        return probabilities, targets

    return draw_from
