"""The gradients of one optimizer step: part by part, or of a loss over the whole of it.

A loss that is a mean over samples is computed micro-batch by micro-batch, and the parts add up. A
contrastive loss is none: every sample counts for every other one. So its step takes two passes. The
first computes embeddings alone, of all micro-batches and of all processes; the loss over all of
them says how each embedding should move. The second computes each micro-batch again, with the same
random numbers, and hands it its part of that. Memory holds the activations of one micro-batch, and
the gradient is that of one large batch up to rounding. Where BatchNorm learns from what it sees, it
still sees one micro-batch at a time, as everywhere.

Source:
    L. Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
    RepL4NLP 2021 (GradCache).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.training.machine.memory import give_back_freed_memory
from headstart.training.randomness import seed_step
from headstart.types.ragged import IGNORED

if TYPE_CHECKING:
    from headstart.training.batches.feed import Batch
    from headstart.training.loop import Loop


@dataclass(frozen=True)
class OverStep:
    """A loss over a whole step.

    Attributes:
        embed: A micro-batch of B samples to embeddings (B + M, P): a row a sample, then M others in
            the order of the samples.
        loss: Embeddings of several, those of all samples first, and their targets, to the loss.
    """

    embed: Callable[[Batch], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _Wanted:
    """How the embeddings of this process should move, and the loss of the whole step."""

    step: int
    samples: Tensor
    others: Tensor
    loss: Tensor


class Accumulation:
    """Accumulates the gradients of a loop's steps.

    Args:
        loop: Its hooks say whether the loss is over the whole step.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._wanted: _Wanted | None = None  # a pass that memory stopped goes on from here
        self._largest = 0  # numbers in the inputs of the largest pass so far

    def __call__(self) -> tuple[Tensor, list[np.ndarray]]:
        """Accumulate the gradients of one step; return its loss, shape (), and its sample ids."""
        loop = self._loop
        seed_step(loop.options.seed, loop.state.step, loop.options.rank)
        over = loop.hooks.over_step
        if over is None:
            return self._by_parts()
        # each is needed twice
        batches = list(loop.hooks.batches(loop.state.step, loop.state.micro_batch_size))
        loop.widest = max(loop.widest, *(len(batch.ids) for batch in batches))
        ids = [batch.ids for batch in batches]
        if len(batches) == 1 and loop.exchange.is_alone:
            loss = over.loss(over.embed(batches[0]), batches[0].targets)
            loop.exchange.expect_gradients(is_last=True)
            torch.autograd.backward(loop.scaler.scale(loss))
            return loss.detach(), ids
        return self._in_two_passes(over, batches), ids

    def _by_parts(self) -> tuple[Tensor, list[np.ndarray]]:
        """Accumulate the gradients of a loss that is a mean over samples."""
        loop = self._loop
        total: Tensor | None = None
        ids: list[np.ndarray] = []
        for batch in loop.hooks.batches(loop.state.step, loop.state.micro_batch_size):
            loop.widest = max(loop.widest, len(batch.ids))
            self._make_room(batch)
            loss = loop.hooks.compute_loss(batch)
            weighed = loss * batch.part if batch.part != 1 else loss
            loop.exchange.expect_gradients(is_last=batch.is_last)
            torch.autograd.backward(loop.scaler.scale(weighed))
            total = weighed.detach() if total is None else total + weighed.detach()
            ids.append(batch.ids)
        assert total is not None
        return total, ids

    def _make_room(self, batch: Batch) -> None:
        """Give back what smaller passes have freed before one that is larger than all of them.

        What they leave are holes that nothing of this one fits into: texts of growing length would
        take the memory of the largest pass and that of the holes. It happens a few times a run.
        """
        size = sum(tensor.numel() for tensor in batch.inputs)
        if size > self._largest:
            self._largest = size
            if self._loop.device.type == "cpu":
                give_back_freed_memory()

    def _in_two_passes(self, over: OverStep, batches: Sequence[Batch]) -> Tensor:
        """Accumulate the gradients of a loss over the whole step; return this process's part."""
        loop = self._loop
        if self._wanted is None or self._wanted.step != loop.state.step:
            self._wanted = self._first_pass(over, batches)
            seed_step(loop.options.seed, loop.state.step, loop.options.rank)
        wanted, sample, other = self._wanted, 0, 0
        for batch in batches:
            rows = over.embed(batch)
            num, num_others = len(batch.ids), len(rows) - len(batch.ids)
            moves = (
                wanted.samples[sample : sample + num],
                wanted.others[other : other + num_others],
            )
            loop.exchange.expect_gradients(is_last=batch.is_last)
            torch.autograd.backward(rows, torch.cat(moves).to(rows.dtype))
            sample, other = sample + num, other + num_others
        self._wanted = None
        # what processes report is added up
        return wanted.loss if loop.options.rank == 0 else torch.zeros_like(wanted.loss)

    @torch.no_grad()
    def _first_pass(self, over: OverStep, batches: Sequence[Batch]) -> _Wanted:
        """Return how each embedding should move."""
        loop = self._loop
        rows = [over.embed(batch).float() for batch in batches]
        loop.statistics.put_back()  # the second pass learns them
        nums = [len(batch.ids) for batch in batches]
        samples = torch.cat([each[:num] for each, num in zip(rows, nums, strict=True)])
        others = torch.cat([each[num:] for each, num in zip(rows, nums, strict=True)])
        exchange = loop.exchange
        width = max(batch.targets.shape[1] for batch in batches)
        widths = exchange.all_gather(torch.tensor([width], device=samples.device))
        width = int(torch.cat(widths).max())
        targets = exchange.all_gather(torch.cat([_widened(b.targets, width) for b in batches]))
        every = exchange.all_gather(samples), exchange.all_gather(others)
        own, others_own = (sum(len(part) for part in parts[: loop.options.rank]) for parts in every)
        whole = torch.cat([*every[0], *every[1]]).requires_grad_()
        with torch.enable_grad():
            loss = over.loss(whole, torch.cat(targets))
        (moves,) = torch.autograd.grad(loop.scaler.scale(loss), whole)
        first = sum(map(len, every[0])) + others_own
        return _Wanted(
            loop.state.step,
            moves[own : own + len(samples)],
            moves[first : first + len(others)],
            loss.detach(),
        )


def _widened(targets: Tensor, width: int) -> Tensor:
    """Return targets (B, C) at a width, filled up with ``IGNORED``."""
    return functional.pad(targets, (0, width - targets.shape[1]), value=IGNORED)
