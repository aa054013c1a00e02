"""Batches of images of which patches are hidden: which ones is a function of counters.

The patches of a sample at a step are put into an order drawn from (seed, step, sample); the first
of them are seen. So the mask of a sample is the same in any micro-batch, process and attempt.
"""

from __future__ import annotations

import numpy as np
import torch

from headstart.tensors import to_device
from headstart.training.batches.feed import Mixed, Piece
from headstart.training.batches.order import WHOLE, Share
from headstart.training.batches.sample_feed import SampleFeed
from headstart.training.options.recipe import Recipe
from headstart.training.randomness import MASK, hash_counters, uniform
from headstart.types import Inputs

HELD_OUT = -1  # the step of the masks by which a training is judged


def mask_order(seed: int, step: int, ids: np.ndarray, num_patches: int) -> np.ndarray:
    """Return the patches of each sample in a random order, of which the first are seen.

    Args:
        seed: The run's seed.
        step: The optimizer step, or ``HELD_OUT``.
        ids: int64, shape (B,), the samples' ids.
        num_patches: T.

    Returns:
        int64, shape (B, T).
    """
    draws = uniform(hash_counters(MASK, seed), step, ids, num_patches)
    order: np.ndarray = np.argsort(draws, axis=1, kind="stable")
    return order


class MaskedFeed(SampleFeed):
    """Batches of images, each with the order of its patches.

    ``Batch.inputs`` is (images, order): floats (B, C, H, W) in [0, 1], and int64 (B, T).

    Args:
        inputs: The images.
        recipe: Batch sizes, augmentation, seed, workers.
        device: Where batches are wanted.
        num_patches: T.
        share: Which part of every step is wanted.
    """

    def __init__(
        self,
        inputs: Inputs,
        recipe: Recipe,
        device: torch.device,
        num_patches: int,
        share: Share = WHOLE,
    ) -> None:
        nothing = np.zeros(len(inputs), np.int64)  # labels are not looked at
        super().__init__(inputs, nothing, recipe, device, share)
        self._num_patches = num_patches

    def _made(self, piece: Piece) -> Mixed:
        made = super()._made(piece)
        order = mask_order(self._recipe.seed, piece.step, piece.ids, self._num_patches)
        return Mixed((*made.inputs, to_device(torch.from_numpy(order), self._device)))
