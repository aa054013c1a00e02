"""Turn step numbers into batches on the device.

The whole data set stays as it was prepared (uint8 pixels, token ids, cells): on the device when
that is a GPU with room for it, otherwise in memory or memory-mapped. A batch costs one gather;
augmentation runs on the whole batch. There is no per-sample Python and no worker process, so
nothing depends on a number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from headstart.tensors import to_float, to_tensors
from headstart.training.augment import POLICIES, augment, mix
from headstart.training.order import WHOLE, Order, Share
from headstart.training.recipe import Recipe
from headstart.training.views import views_at, views_seed
from headstart.types import Inputs

_COUNTERS = 1024  # micro-batches of one step, over all processes
_DEVICE_SHARE = 0.3  # of a GPU's free memory that the data may take


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    Attributes:
        inputs: What a model's forward takes; images are floats (B, C, H, W) in [0, 1].
        targets: As the loss takes them, B rows.
        partner: Index of the sample each one is mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix.
        ids: int64, shape (B,), the samples' ids.
        part: This micro-batch's share of the optimizer step.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    partner: Tensor | None
    share: float
    ids: np.ndarray
    part: float


class Feed:
    """Batches of one training set.

    Args:
        inputs: The samples, in memory or memory-mapped.
        targets: As the loss takes them: int64 (N,), uint8 (N, K) or float32 (N,).
        recipe: Batch sizes, augmentation, mixing, imbalance, seed.
        device: Where batches are wanted.
        share: Which part of every step is wanted.
    """

    def __init__(
        self,
        inputs: Inputs,
        targets: np.ndarray,
        recipe: Recipe,
        device: torch.device,
        share: Share = WHOLE,
    ) -> None:
        self.order = Order(
            targets,
            batch_size=recipe.batch_size,
            imbalance=recipe.imbalance,
            seed=recipe.seed,
            lengths=inputs.lengths,
        )
        self._inputs = inputs
        self._ids = inputs.ids
        self._recipe = recipe
        self._device = device
        self._share = share
        self._policy = POLICIES[recipe.augment]
        self._targets = torch.from_numpy(np.ascontiguousarray(targets)).to(device)
        self._views_seed = views_seed(ids_digest(inputs)) if recipe.views else 0
        self._resident = _resident(inputs, device) if device.type == "cuda" else None

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
        ids: np.ndarray = self._ids[self.order.indices(step)]
        return ids

    def _batches(self, share: Share, step: int, micro_batch_size: int | None) -> Iterator[Batch]:
        indices = self.order.indices(step)
        own = share.of(indices)
        size = micro_batch_size or self._recipe.micro_batch_size
        # of the counters of one step each process has its own
        first = share.rank * (_COUNTERS // share.num)
        for number, start in enumerate(range(0, len(own), size)):
            yield self._batch(own[start : start + size], step, first + number, len(indices))

    def _batch(self, indices: np.ndarray, step: int, number: int, whole: int) -> Batch:
        recipe, seed = self._recipe, self._recipe.seed
        places = torch.from_numpy(indices).to(self._device)
        if self._resident is not None:
            gathered = (tensor[places] for tensor in self._resident)
            inputs = tuple(
                to_float(t, channels_last=recipe.channels_last) if t.dtype == torch.uint8 else t
                for t in gathered
            )
        else:
            arrays = self._inputs.arrays(indices)
            inputs = to_tensors(arrays, self._device, channels_last=recipe.channels_last)
        ids = self._ids[indices]
        if self._policy is not None:
            inputs = (self._augmented(inputs[0], ids, self.order.epoch(step)),)
        partner, share = None, 1.0
        if recipe.mixup or recipe.cutmix:
            # one draw a micro-batch: the pair (step, number) is its counter
            mixed, partner, share = mix(
                inputs[0],
                mixup=recipe.mixup,
                cutmix=recipe.cutmix,
                seed=seed,
                step=step * _COUNTERS + number,
            )
            inputs = (mixed,)
        part = len(indices) / whole
        return Batch(inputs, self._targets[places], partner, share, ids, part)

    def _augmented(self, images: Tensor, ids: np.ndarray, epoch: int) -> Tensor:
        """Return images augmented anew, or in one of their fixed views."""
        assert self._policy is not None
        seed, num_views = self._recipe.seed, self._recipe.views
        if not num_views:
            return augment(images, ids, self._policy, seed=seed, epoch=epoch)
        views = views_at(epoch, ids, num_views, seed=seed)
        changed = torch.empty_like(images)
        for view in np.unique(views):
            chosen = np.flatnonzero(views == view)
            part = torch.from_numpy(chosen).to(images.device)
            changed[part] = augment(
                images[part], ids[chosen], self._policy, seed=self._views_seed, epoch=int(view)
            )
        return changed


def ids_digest(inputs: Inputs) -> str:
    """Return a digest of the samples: an id is a digest of a sample's content and name."""
    return blake2b(np.ascontiguousarray(inputs.ids).tobytes(), digest_size=16).hexdigest()


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
