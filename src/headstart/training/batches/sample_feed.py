"""Batches of samples: gathered, brought to the device, augmented and mixed there.

The whole data set stays as it was prepared (uint8 pixels, token ids, cells): on the device when
that is a GPU with room for it, otherwise in memory or memory-mapped. A batch costs one gather;
augmentation runs on the whole batch. There is no per-sample Python.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from headstart.tensors import to_device, to_float, to_tensors
from headstart.training.batches.augment import POLICIES, augment, mix
from headstart.training.batches.feed import Feed, Mixed, Piece, ids_digest
from headstart.training.batches.order import WHOLE, Share
from headstart.training.frozen.views import views_at, views_seed
from headstart.training.options.recipe import Recipe
from headstart.types import Inputs, Rows

_DEVICE_SHARE = 0.3  # of a GPU's free memory that the data may take


class SampleFeed(Feed):
    """Batches of the samples of one training set.

    Args:
        inputs: The samples, in memory or memory-mapped.
        targets: As the loss takes them.
        recipe: Batch sizes, augmentation, mixing, imbalance, seed, workers.
        device: Where batches are wanted.
        share: Which part of every step is wanted.
    """

    def __init__(
        self,
        inputs: Inputs,
        targets: Rows,
        recipe: Recipe,
        device: torch.device,
        share: Share = WHOLE,
    ) -> None:
        self._resident = _resident(inputs, device) if device.type == "cuda" else None
        is_resident = self._resident is not None
        super().__init__(inputs, targets, recipe, device, share, is_resident=is_resident)
        self._policy = POLICIES[recipe.augment]
        self._views_seed = views_seed(ids_digest(inputs)) if recipe.views else 0

    def _made(self, piece: Piece) -> Mixed:
        recipe = self._recipe
        inputs = self._gathered(piece.places)
        if self._policy is not None:
            inputs = (self._augmented(inputs[0], piece.ids, piece.epoch), *inputs[1:])
        if not (recipe.mixup or recipe.cutmix):
            return Mixed(inputs)
        # one draw a micro-batch
        mixed, partner, share = mix(
            inputs[0],
            mixup=recipe.mixup,
            cutmix=recipe.cutmix,
            seed=recipe.seed,
            step=piece.counter,
        )
        return Mixed((mixed, *inputs[1:]), partner, share)

    def _gathered(self, places: np.ndarray) -> tuple[Tensor, ...]:
        """Return samples as the model takes them."""
        channels_last = self._recipe.is_stepped_channels_last
        if self._resident is None:
            arrays = self._inputs.arrays(places)
            return to_tensors(arrays, self._device, channels_last=channels_last)
        at = to_device(torch.from_numpy(places), self._device)
        gathered = (tensor[at] for tensor in self._resident)
        return tuple(
            to_float(t, channels_last=channels_last) if t.dtype == torch.uint8 else t
            for t in gathered
        )

    def _augmented(self, images: Tensor, ids: np.ndarray, epoch: int) -> Tensor:
        """Return images augmented anew, or in one of their fixed views."""
        assert self._policy is not None
        seed, num_views = self._recipe.seed, self._recipe.views
        if not num_views:
            return augment(images, ids, self._policy, seed=seed, epoch=epoch)
        views = views_at(epoch, ids, num_views, seed=seed)
        changed = images.clone()
        for view in np.unique(views[views > 0]):  # the first is the sample as it is
            chosen = np.flatnonzero(views == view)
            part = to_device(torch.from_numpy(chosen), images.device)
            changed[part] = augment(
                images[part], ids[chosen], self._policy, seed=self._views_seed, epoch=int(view)
            )
        return changed


def _resident(inputs: Inputs, device: torch.device) -> tuple[Tensor, ...] | None:
    """Return the whole data set on the GPU where it has one shape and there is room for it."""
    if inputs.lengths is not None:
        return None
    first = inputs.arrays(np.arange(min(1, len(inputs))))
    num_bytes = sum(array.nbytes for array in first) * len(inputs)
    free, _ = torch.cuda.mem_get_info(device)
    if num_bytes >= _DEVICE_SHARE * free:
        return None
    arrays = inputs.arrays(np.arange(len(inputs)))
    return tuple(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)
