"""Turn step numbers into batches of images on the device.

The whole data set stays uint8: on the device when that is a GPU with room for it, otherwise in
memory or memory-mapped. A batch costs one gather; augmentation runs on the whole batch. There is no
per-sample Python and no worker process, so nothing depends on a number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.training.augment import POLICIES, augment, mix
from headstart.training.order import Order
from headstart.training.recipe import Recipe

_DEVICE_SHARE = 0.3  # of a GPU's free memory that the data may take


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    Attributes:
        inputs: Float images, shape (B, C, H, W), in [0, 1].
        targets: int64, shape (B,).
        partner: Index of the sample each one is mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix.
        ids: int64, shape (B,), the samples' ids.
        part: This micro-batch's share of the optimizer step.
    """

    inputs: Tensor
    targets: Tensor
    partner: Tensor | None
    share: float
    ids: np.ndarray
    part: float


def to_float(pixels: Tensor, *, channels_last: bool = True) -> Tensor:
    """Turn uint8 pixels (B, H, W, C) into float images (B, C, H, W) in [0, 1]."""
    images = pixels.permute(0, 3, 1, 2)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(torch.float32, memory_format=layout).div_(255)


class ImageFeed:
    """Batches of one training set.

    Args:
        images: uint8, shape (N, S, S, C), in memory or memory-mapped.
        targets: int64, shape (N,).
        ids: int64, shape (N,).
        recipe: Batch sizes, augmentation, mixing, imbalance, seed.
        device: Where batches are wanted.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        ids: np.ndarray,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.order = Order(
            targets, batch_size=recipe.batch_size, imbalance=recipe.imbalance, seed=recipe.seed
        )
        self._images = images
        self._ids = ids
        self._recipe = recipe
        self._device = device
        self._policy = POLICIES[recipe.augment]
        self._targets = torch.from_numpy(np.ascontiguousarray(targets)).to(device)
        self._resident: Tensor | None = None
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if images.nbytes < _DEVICE_SHARE * free:
                self._resident = torch.tensor(images, device=device)

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of one optimizer step."""
        indices = self.order.indices(step)
        size = self._recipe.micro_batch_size
        for number, start in enumerate(range(0, len(indices), size)):
            yield self._batch(indices[start : start + size], step, number, len(indices))

    def _batch(self, indices: np.ndarray, step: int, number: int, whole: int) -> Batch:
        places = torch.from_numpy(indices).to(self._device)
        if self._resident is not None:
            pixels = self._resident[places]
        else:
            pixels = torch.from_numpy(self._images[indices]).to(self._device, non_blocking=True)
        inputs = to_float(pixels, channels_last=self._recipe.channels_last)
        ids = self._ids[indices]
        seed = self._recipe.seed
        if self._policy is not None:
            inputs = augment(inputs, ids, self._policy, seed=seed, epoch=self.order.epoch(step))
        # one draw a micro-batch: the pair (step, number) is its counter
        counter = step * 1024 + number
        inputs, partner, share = mix(
            inputs, mixup=self._recipe.mixup, cutmix=self._recipe.cutmix, seed=seed, step=counter
        )
        part = len(indices) / whole
        return Batch(inputs, self._targets[places], partner, share, ids, part)
