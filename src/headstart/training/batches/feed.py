"""Turn step numbers into batches on the device; what a batch is made of is for others to say.

The place in the data is the step number: which samples a step sees is ``Order``'s, which of them
this process takes is ``Share``'s, and what a micro-batch holds is a function of its samples, epoch
and counter. So a batch may be made at any time, by any thread, and asked for again:
``num_workers`` threads make those of coming steps while the present one runs (``prefetch``), and
no number of them changes a result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from headstart.events import emit
from headstart.tensors import to_device
from headstart.training.batches.order import WHOLE, Share, order_of
from headstart.training.batches.prefetch import Prefetch
from headstart.training.options.recipe import Recipe
from headstart.types import Inputs, Ragged, Rows
from headstart.types.ragged import IGNORED

_COUNTERS = 1024  # micro-batches of one step, over all processes
_DEVICE_WORKERS = 2  # one may wait for the disk while the other copies


@dataclass(frozen=True)
class Batch:
    """One micro-batch.

    Attributes:
        inputs: What a model's forward takes; images are floats (B, C, H, W) in [0, 1].
        targets: As the loss takes them, B rows; ragged ones filled up with ``IGNORED``.
        partner: Index of the sample each one is mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix.
        ids: int64, shape (B,), the samples' ids.
        part: This micro-batch's share of the optimizer step.
        is_last: Whether it is the last of the step in this process.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    partner: Tensor | None
    share: float
    ids: np.ndarray
    part: float
    is_last: bool

    @property
    def tensors(self) -> list[Tensor]:
        """All that lies on the device."""
        return [*self.inputs, self.targets, *([] if self.partner is None else [self.partner])]


@dataclass(frozen=True)
class Piece:
    """Which micro-batch is wanted.

    Attributes:
        places: int64, shape (B,), positions of its samples.
        ids: int64, shape (B,), their ids.
        epoch: The epoch it lies in.
        counter: Its own among all micro-batches of all steps and processes.
        part: Its share of the optimizer step.
        step: The optimizer step.
    """

    places: np.ndarray
    ids: np.ndarray
    epoch: int
    counter: int
    part: float
    step: int = 0


@dataclass(frozen=True)
class Mixed:
    """The inputs of a micro-batch, and how its samples were mixed; see ``Batch``."""

    inputs: tuple[Tensor, ...]
    partner: Tensor | None = None
    share: float = 1.0


class Feed(ABC):
    """Batches of one training set.

    Args:
        inputs: The samples.
        targets: As the loss takes them: int64 (N,), uint8 (N, K) or float32 (N,); ragged ones are
            padded a batch.
        recipe: Batch sizes, imbalance, seed, workers.
        device: Where batches are wanted.
        share: Which part of every step is wanted.
        is_resident: Whether the samples lie on the device already.

    Attributes:
        order: Which samples each step sees.
        num_workers: Threads that make batches ahead.
    """

    def __init__(
        self,
        inputs: Inputs,
        targets: Rows,
        recipe: Recipe,
        device: torch.device,
        share: Share,
        *,
        is_resident: bool = False,
    ) -> None:
        self.order = order_of(targets, inputs.batch_order, recipe)
        self.num_workers = _settled(recipe.num_workers, device, is_resident=is_resident)
        self._inputs, self._ids = inputs, inputs.ids
        self._recipe, self._device, self._share = recipe, device, share
        self._targets = (
            targets
            if isinstance(targets, Ragged)
            else torch.from_numpy(np.ascontiguousarray(targets)).to(device)
        )
        # of texts the tokens that are told; what is only read is filled up with IGNORED
        self._counts = _num_told(targets) if isinstance(targets, Ragged) else None
        self._prefetch: Prefetch[Batch] | None = None

    @property
    def lengths(self) -> np.ndarray | None:
        """Lengths of the samples, int64, shape (N,); None where all have one shape."""
        return self._inputs.lengths

    @abstractmethod
    def _made(self, piece: Piece) -> Mixed:
        """Return the inputs of a micro-batch; may be called by several threads at once."""

    def weights(self, step: int, places: np.ndarray) -> np.ndarray | None:
        """Return how much each sample of a step counts in its loss; None where all count alike.

        The share of a micro-batch is by these: where the loss of one is a mean over what samples
        have different numbers of (hidden words, say), these numbers make the loss of a step the
        mean over all of it, for any micro-batch and any number of processes.

        Args:
            step: Its number.
            places: int64, shape (B,), positions of samples of that step.

        Returns:
            Shape (B,), not negative; of ragged targets their elements that are told.
        """
        del step
        return None if self._counts is None else self._counts[places]

    def batches(self, step: int, micro_batch_size: int | None = None, /) -> Iterator[Batch]:
        """Yield the micro-batches of one optimizer step.

        Args:
            step: Its number.
            micro_batch_size: Samples a pass, where memory allows fewer than the recipe's.
        """
        size = micro_batch_size or self._recipe.micro_batch_size
        if not self.num_workers:
            return (make() for make in self._makers(self._share, step, size))
        if self._prefetch is None:
            makers = partial(self._makers, self._share)
            workers = self.num_workers
            self._prefetch = Prefetch(makers, lambda batch: batch.tensors, self._device, workers)
        return self._prefetch.batches(step, size)

    def whole(self, step: int) -> Iterator[Batch]:
        """Yield the micro-batches of one optimizer step, of all processes."""
        return (make() for make in self._makers(WHOLE, step, self._recipe.micro_batch_size))

    def batch_of(self, places: np.ndarray) -> Batch:
        """Return a micro-batch of chosen samples as the first epoch has them; may repeat some.

        Args:
            places: int64, shape (B,), positions of the samples.
        """
        return self._batch(Piece(places, self._ids[places], 0, 0, 1.0), is_last=True)

    def step_ids(self, step: int) -> np.ndarray:
        """Return the ids of all samples of one optimizer step, int64, shape (B,)."""
        ids: np.ndarray = self._ids[self.order.indices(step)]
        return ids

    def close(self) -> None:
        """End the workers and drop what they have made; batches may be asked for all the same."""
        if self._prefetch is not None:
            self._prefetch.close()
            self._prefetch = None

    def _makers(self, share: Share, step: int, size: int) -> list[Callable[[], Batch]]:
        """Return one function for each micro-batch of a step; the order is drawn here."""
        places, epoch = self.order.indices(step), self.order.epoch(step)
        own = share.of(places)
        # of the counters of one step each process has its own
        first = step * _COUNTERS + share.rank * (_COUNTERS // share.num)
        weights = self.weights(step, places)
        total = len(places) if weights is None else float(weights.sum())
        pieces: list[Piece] = []
        for start in range(0, len(own), size):
            for some in self._lots(own[start : start + size], size):
                counted = self.weights(step, some)
                part = (len(some) if counted is None else float(counted.sum())) / (total or 1.0)
                pieces.append(Piece(some, self._ids[some], epoch, first + len(pieces), part, step))
        for _ in range(share.missing(places, size)):
            # the others meet this process within each of their passes: one more, of no weight
            some = own[-size:]
            pieces.append(Piece(some, self._ids[some], epoch, first, 0.0, step))
        is_last = [False] * (len(pieces) - 1) + [True]
        return [partial(self._batch, *each) for each in zip(pieces, is_last, strict=True)]

    def _lots(self, places: np.ndarray, size: int) -> Iterator[np.ndarray]:
        """Yield the samples of a micro-batch; of several windows each no more than fit one pass.

        What is read in windows may be many times as much as samples of one window, which is what a
        micro-batch has room for. Their weights make the loss of a step the same.
        """
        window = self._inputs.window_length
        if window is None or self._share.is_level or self._inputs.lengths is None:
            yield places
            return
        ends = np.cumsum(self._inputs.lengths[places])
        begin, before = 0, 0
        while begin < len(places):
            most = int(np.searchsorted(ends, before + size * window, side="right"))
            end = max(begin + 1, most)
            yield places[begin:end]
            begin, before = end, int(ends[end - 1])

    def _batch(self, piece: Piece, is_last: bool) -> Batch:
        made = self._made(piece)
        mixed = (made.inputs, self._targets_of(piece.places), made.partner, made.share)
        return Batch(*mixed, piece.ids, piece.part, is_last)

    def _targets_of(self, places: np.ndarray) -> Tensor:
        """Return the targets of some samples, on the device."""
        if isinstance(self._targets, Ragged):
            padded = self._targets[places].padded(IGNORED)
            return to_device(torch.from_numpy(padded), self._device)
        return self._targets[to_device(torch.from_numpy(places), self._device)]


def _num_told(targets: Ragged) -> np.ndarray:
    """Return how many elements of each row are told, float64, shape (N,)."""
    rows = np.repeat(np.arange(len(targets)), targets.lengths)
    return np.bincount(rows, targets.whole != IGNORED, len(targets)).astype(np.float64)


def ids_digest(inputs: Inputs) -> str:
    """Return a digest of the samples: an id is a digest of a sample's content and name."""
    return blake2b(np.ascontiguousarray(inputs.ids).tobytes(), digest_size=16).hexdigest()


def _settled(wanted: int | None, device: torch.device, *, is_resident: bool) -> int:
    """Return the number of workers: what was asked for, else what gains on this device.

    On a CPU a worker takes its time from the step's own threads; where the data lies on the GPU
    there is nothing to copy.
    """
    if wanted is not None:
        return wanted
    if device.type != "cuda" or is_resident:
        return 0
    why = "the data does not lie on the GPU: batches are copied while the step before runs"
    emit("choice", name="num_workers", value=_DEVICE_WORKERS, why=why)
    return _DEVICE_WORKERS
