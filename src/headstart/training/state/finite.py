"""Steps whose loss or gradient is not finite: skipped, told, after three in a row fatal.

A skipped step leaves no trace: weights, optimizer state and running statistics (which a forward
pass has already changed) stay as they were. On the CPU that is decided at once. On a GPU asking
would make the host wait for the device at every step, so the decision stays there: the fused
optimizers take a flag and then leave everything as it is, running statistics are chosen by the same
flag, and the host reads the flags whenever it waits anyway. Both give the same weights; only the
average counts the weights before a skipped step once more on a GPU.

The norm of the gradient is taken here too, and the gradient made no longer than allowed. On a GPU
the factor is applied whatever it is: to ask first would make the host wait. On a CPU it is asked
first, because the pass over all gradients that multiplies by one costs as much as any other. The
bits are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import DivergenceError
from headstart.events import emit
from headstart.training.batches.feed import Batch

_MAX_SKIPPED = 3
_MOST_PENDING = 256


class RunningStatistics:
    """The buffers that a forward pass in training mode may change, and a copy of them.

    Args:
        module: In the mode in which it trains.
    """

    def __init__(self, module: nn.Module) -> None:
        buffers = [b for m in module.modules() if m.training for b in m.buffers(recurse=False)]
        alike = groupby(sorted(buffers, key=_type), key=_type)
        self._kept = [_KeptBuffers(list(same)) for _, same in alike]

    @property
    def buffers(self) -> list[Tensor]:
        """The buffers themselves."""
        return [buffer for kept in self._kept for buffer in kept.buffers]

    def keep(self) -> None:
        """Remember the buffers as they are."""
        for kept in self._kept:
            torch._foreach_copy_(kept.copies, kept.buffers)

    def put_back(self) -> None:
        """Set the buffers to what was remembered."""
        for kept in self._kept:
            torch._foreach_copy_(kept.buffers, kept.copies)

    def put_back_where(self, is_bad: Tensor) -> None:
        """Set the buffers to what was remembered, if a flag on their device says so.

        Args:
            is_bad: bool, shape ().
        """
        for kept in self._kept:
            torch.cat([buffer.reshape(-1) for buffer in kept.buffers], out=kept.now)
            torch.where(is_bad, kept.flat, kept.now, out=kept.flat)
            torch._foreach_copy_(kept.buffers, kept.copies)


class _KeptBuffers:
    """Buffers of one type and device, and memory for them, in one piece."""

    def __init__(self, buffers: list[Tensor]) -> None:
        self.buffers = buffers
        self.flat = torch.cat([buffer.reshape(-1) for buffer in buffers])
        self.now = torch.empty_like(self.flat)
        sizes = [buffer.numel() for buffer in buffers]
        parts = zip(torch.split(self.flat, sizes), buffers, strict=True)
        self.copies = [part.view(buffer.shape) for part, buffer in parts]


class FiniteGuard:
    """Lets a step pass or not.

    Args:
        optimizer: Told to stand still on a bad step, where it understands that.
        device: Where the training runs.
        find_odd: Step number to the ids of its samples whose inputs are not finite; for the report.
        is_deferred: Whether the decision stays on the device; None lets device and optimizer say.

    Attributes:
        skipped: Steps in a row that were skipped just before; part of the loop's state.
        is_deferred: Whether the decision stays on the device: the host reads nothing in a step.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        find_odd: Callable[[int], list[int]],
        *,
        is_deferred: bool | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.skipped = 0
        self._find_odd = find_odd
        understands = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        on_device = device.type == "cuda" and understands
        self.is_deferred = on_device if is_deferred is None else is_deferred
        self._has_passed = False
        self._pending: list[tuple[int, Sequence[np.ndarray], Tensor]] = []
        self._row: list[dict[str, object]] = []

    def passes(
        self,
        step: int,
        figures: tuple[Tensor, ...],
        ids: Sequence[np.ndarray],
        statistics: RunningStatistics,
    ) -> bool:
        """Return whether the optimizer is to take its step.

        Args:
            step: Number of the step.
            figures: Its loss and the norm of its gradient, shape () each; the loss alone where a
                loss scaler looks after the gradient.
            ids: The ids of its samples, one array a micro-batch.
            statistics: They remember how they were before the step.

        Raises:
            DivergenceError: If three steps in a row were not finite.
        """
        both = torch.stack(figures)
        # the first step is looked at in any case: an optimizer makes its state there
        if not self.is_deferred or not self._has_passed:
            is_finite = self._count(step, both.tolist(), ids)
            if not is_finite:
                statistics.put_back()
            self._has_passed = self._has_passed or is_finite
            return is_finite
        is_bad = ~torch.isfinite(both).all()
        self.optimizer.found_inf = is_bad.float()  # type: ignore[attr-defined]
        statistics.put_back_where(is_bad)
        self._pending.append((step, ids, both))
        if len(self._pending) >= _MOST_PENDING:
            self.look()
        return True

    def look(self) -> None:
        """Read what the device has decided since the last validation; waits for it.

        Raises:
            DivergenceError: If three steps in a row were not finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        rows = torch.stack([figures for _, _, figures in pending]).tolist()
        for (step, ids, _), found in zip(pending, rows, strict=True):
            self._count(step, found, ids)

    def _count(self, step: int, found: list[float], ids: Sequence[np.ndarray]) -> bool:
        """Count a step that is skipped; a good one ends the row. Return whether it is good."""
        if all(map(math.isfinite, found)):
            self.skipped = 0
            self._row = []
            return True
        self.skipped += 1
        emit("note", text=f"Step {step} gave a loss that is not finite; skipped.")
        all_ids = np.concatenate(ids)
        figures = dict(zip(("loss", "gradient_norm"), map(str, found), strict=False))
        self._row.append({"step": step, **figures, "sample_ids": all_ids.tolist()})
        if self.skipped < _MAX_SKIPPED:
            return False
        odd = self._find_odd(step)
        emit("diverged", step=step, not_finite_inputs=odd, steps=self._row)
        what = "whose inputs are not finite" if odd else "of that step"
        raise DivergenceError(
            f"The loss was not finite at {_MAX_SKIPPED} steps in a row, the last is step "
            f"{step}; expected a number. Lower --learning-rate, or look at the samples {what}, "
            f"with ids {(odd or all_ids.tolist())[:8]}."
        )


def clip_gradients(parameters: Sequence[nn.Parameter], most: float, *, may_read: bool) -> Tensor:
    """Scale all gradients so that their common norm is at most so large; return it as it was.

    Args:
        parameters: Whose gradients; what has none is passed over.
        most: Largest norm allowed; 0 allows any.
        may_read: Whether the host may read the norm to save the pass.

    Returns:
        The norm, shape ().
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients, foreach=True)
    if most and not (may_read and float(norm) <= most):
        nn.utils.clip_grads_with_norm_(parameters, most, norm, foreach=True)
    return norm


def odd_ids(batches: Iterable[Batch]) -> list[int]:
    """Return the ids of the samples whose inputs are not finite numbers, sorted."""
    odd: set[int] = set()
    for batch in batches:
        for values in batch.inputs:
            if values.is_floating_point():
                is_odd = ~torch.isfinite(values).reshape(len(values), -1).all(dim=1)
                odd.update(batch.ids[is_odd.cpu().numpy()].tolist())
    return sorted(odd)


def _type(buffer: Tensor) -> tuple[str, str]:
    return str(buffer.dtype), str(buffer.device)
