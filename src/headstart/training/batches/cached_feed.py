"""Batches of what crosses a cut, in the order and with the views that a feed of samples would have.

The rows come from stores, one a view; what follows the cut is the same arithmetic as without a
cache. Nothing here decides what is kept: that is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from headstart.tensors import to_device, to_tensors
from headstart.training.batches.feed import Feed, Mixed, Piece
from headstart.training.batches.order import WHOLE, Share
from headstart.training.frozen.activations import ActivationStore
from headstart.training.frozen.cut import Cut
from headstart.training.frozen.views import views_at
from headstart.training.options.recipe import Recipe
from headstart.types import Inputs, Rows


class CachedFeed(Feed):
    """Batches of one training set whose frozen part has been computed.

    Args:
        inputs: The samples; read only where an input itself crosses the cut (a mask).
        targets: As the loss takes them.
        recipe: Batch sizes, imbalance, seed, workers.
        device: Where batches are wanted.
        cut: What crosses.
        stores: What the frozen part gave, one a view.
        share: Which part of every step is wanted.
    """

    def __init__(
        self,
        inputs: Inputs,
        targets: Rows,
        recipe: Recipe,
        device: torch.device,
        cut: Cut,
        stores: Sequence[ActivationStore],
        share: Share = WHOLE,
    ) -> None:
        super().__init__(inputs, targets, recipe, device, share)
        self._cut, self._stores = cut, stores
        self._needs_inputs = any(slot.input is not None for slot in cut.slots)

    def _made(self, piece: Piece) -> Mixed:
        kept = [to_device(tensor, self._device) for tensor in self._kept(piece)]
        given: tuple[Tensor, ...] = ()
        if self._needs_inputs:
            arrays = self._inputs.arrays(piece.places)
            given = to_tensors(arrays, self._device, channels_last=self._recipe.channels_last)
        return Mixed(self._cut.merge(kept, given))

    def _kept(self, piece: Piece) -> tuple[Tensor, ...]:
        """Return what the frozen part gave for some samples in one epoch."""
        places = piece.places
        if len(self._stores) == 1:
            return self._stores[0].tensors(places)
        views = views_at(piece.epoch, piece.ids, len(self._stores), seed=self._recipe.seed)
        slots = self._cut.kept
        joined = [np.empty((len(places), *s.stored_shape), s.stored_dtype) for s in slots]
        for view in np.unique(views):
            chosen = np.flatnonzero(views == view)
            for whole, part in zip(joined, self._stores[view].rows(places[chosen]), strict=True):
                whole[chosen] = part
        return tuple(slot.unpack(rows) for slot, rows in zip(slots, joined, strict=True))
