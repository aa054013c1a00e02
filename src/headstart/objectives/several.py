"""The loss of several targets: of each what its own task minimises, over the samples that have it.

A sample's losses are weighed (``Task.part_weights``) and added; what it lacks adds nothing. The
loss of a batch is a mean over its samples, so that the parts of a step add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.tasks import array_of
from headstart.types import Rows

if TYPE_CHECKING:
    from headstart.objectives.supervised import Wanted
    from headstart.tasks.part import TargetPart


def several_losses(
    parts: Sequence[TargetPart], logits: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Return the loss of each sample and target, shape (B, T); 0 where the target is lacking.

    Args:
        parts: T parts.
        logits: Shape (B, K), of all parts side by side.
        targets: Float, shape (B, T): places of classes, standardised numbers, NaN for none.
        label_smoothing: Of the parts that have classes.
    """
    found, begin = [], 0
    for place, part in enumerate(parts):
        own, target = logits[:, begin : begin + part.width].float(), targets[:, place]
        begin += part.width
        has = torch.isfinite(target)
        known = torch.where(has, target, torch.zeros_like(target))
        if part.num_classes:
            each = functional.cross_entropy(
                own, known.long(), label_smoothing=label_smoothing, reduction="none"
            )
        else:
            each = (own[:, 0] - known) ** 2
        found.append(torch.where(has, each, torch.zeros_like(each)))
    return torch.stack(found, dim=1)


def batch_loss(parts: Sequence[TargetPart], logits: Tensor, wanted: Wanted) -> Tensor:
    """Return the mean over the samples of a batch of their weighed losses.

    Args:
        parts: T parts.
        logits: Shape (B, K).
        wanted: Targets as ``several_losses`` takes them; of mixed samples each counts its share.
    """
    weights = wanted.part_weights
    if weights is None:
        weights = torch.full((len(parts),), 1.0 / len(parts), device=logits.device)

    def mean(targets: Tensor) -> Tensor:
        each = several_losses(parts, logits, targets, wanted.label_smoothing)
        return (each * weights).sum(dim=1).mean()

    if wanted.partner is None:
        return mean(wanted.targets)
    other = mean(wanted.targets[wanted.partner])
    return wanted.share * mean(wanted.targets) + (1 - wanted.share) * other


def tempered(parts: Sequence[TargetPart], logits: Rows, temperature: float) -> np.ndarray:
    """Return logits of which those of classes are divided by a temperature; numbers have none.

    Args:
        parts: T parts.
        logits: float32, shape (N, K).
        temperature: Above 0.
    """
    divisors = [temperature if part.num_classes else 1.0 for part in parts]
    columns = np.repeat(divisors, [part.width for part in parts]).astype(np.float32)
    found: np.ndarray = array_of(logits) / columns
    return found


def item_means(parts: Sequence[TargetPart], logits: Rows, targets: Rows) -> np.ndarray:
    """Return the mean loss of each item over the targets that it has, float64, shape (N,)."""
    rows, wanted = (
        torch.from_numpy(np.ascontiguousarray(array_of(each))) for each in (logits, targets)
    )
    each = several_losses(parts, rows, wanted).double().numpy()
    num = np.isfinite(array_of(targets)).sum(axis=1)
    found: np.ndarray = each.sum(axis=1) / np.maximum(num, 1)
    return found


def split_mean(parts: Sequence[TargetPart], logits: Rows, targets: Rows) -> float:
    """Return the mean over the targets of the mean loss of the items that have each."""
    rows, wanted = (
        torch.from_numpy(np.ascontiguousarray(array_of(each))) for each in (logits, targets)
    )
    each = several_losses(parts, rows, wanted).double().numpy()
    num = np.isfinite(array_of(targets)).sum(axis=0)
    return float((each.sum(axis=0) / np.maximum(num, 1))[num > 0].mean())
