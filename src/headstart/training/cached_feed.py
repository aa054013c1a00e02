"""Batches of what crosses a cut, in the order and with the views that a feed of samples would have.

The rows come from stores, one a view; what follows the cut is the same arithmetic as without a
cache. Nothing here decides what is kept: that is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from headstart.tensors import to_tensors
from headstart.training.activations import ActivationStore
from headstart.training.cut import Cut
from headstart.training.feed import Batch
from headstart.training.order import WHOLE, Order, Share
from headstart.training.recipe import Recipe
from headstart.training.views import views_at
from headstart.types import Inputs


class CachedFeed:
    """Batches of one training set whose frozen part has been computed.

    Args:
        inputs: The samples; read only where an input itself crosses the cut (a mask).
        targets: As the loss takes them.
        recipe: Batch sizes, imbalance, seed.
        device: Where batches are wanted.
        cut: What crosses.
        stores: What the frozen part gave, one a view.
        share: Which part of every step is wanted.
    """

    def __init__(
        self,
        inputs: Inputs,
        targets: np.ndarray,
        recipe: Recipe,
        device: torch.device,
        cut: Cut,
        stores: Sequence[ActivationStore],
        share: Share = WHOLE,
    ) -> None:
        self.order = Order(
            targets,
            batch_size=recipe.batch_size,
            imbalance=recipe.imbalance,
            seed=recipe.seed,
            lengths=inputs.lengths,
        )
        self._inputs, self._recipe, self._device = inputs, recipe, device
        self._cut, self._stores, self._share = cut, stores, share
        self._needs_inputs = any(slot.input is not None for slot in cut.slots)
        self._targets = torch.from_numpy(np.ascontiguousarray(targets)).to(device)

    def batches(self, step: int, micro_batch_size: int | None = None, /) -> Iterator[Batch]:
        """Yield the micro-batches of one optimizer step.

        Args:
            step: Its number.
            micro_batch_size: Samples a pass, where memory allows fewer than the recipe's.
        """
        yield from self._batches(self._share, step, micro_batch_size)

    def whole(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of one optimizer step, of all processes."""
        yield from self._batches(WHOLE, step, None)

    def step_ids(self, step: int) -> np.ndarray:
        """Return the ids of all samples of one optimizer step, int64, shape (B,)."""
        ids: np.ndarray = self._inputs.ids[self.order.indices(step)]
        return ids

    def _batches(self, share: Share, step: int, micro_batch_size: int | None) -> Iterator[Batch]:
        indices = self.order.indices(step)
        own = share.of(indices)
        size = micro_batch_size or self._recipe.micro_batch_size
        for start in range(0, len(own), size):
            some = own[start : start + size]
            kept = [tensor.to(self._device) for tensor in self._kept(some, self.order.epoch(step))]
            given: tuple[Tensor, ...] = ()
            if self._needs_inputs:
                given = to_tensors(
                    self._inputs.arrays(some),
                    self._device,
                    channels_last=self._recipe.channels_last,
                )
            places = torch.from_numpy(some).to(self._device)
            yield Batch(
                self._cut.merge(kept, given),
                self._targets[places],
                None,
                1.0,
                self._inputs.ids[some],
                len(some) / len(indices),
            )

    def _kept(self, places: np.ndarray, epoch: int) -> tuple[Tensor, ...]:
        """Return what the frozen part gave for some samples in one epoch."""
        if len(self._stores) == 1:
            return self._stores[0].tensors(places)
        ids = self._inputs.ids[places]
        views = views_at(epoch, ids, len(self._stores), seed=self._recipe.seed)
        slots = self._cut.kept
        joined = [np.empty((len(places), *s.stored_shape), s.stored_dtype) for s in slots]
        for view in np.unique(views):
            chosen = np.flatnonzero(views == view)
            for whole, part in zip(joined, self._stores[view].rows(places[chosen]), strict=True):
                whole[chosen] = part
        return tuple(slot.unpack(rows) for slot, rows in zip(slots, joined, strict=True))
