"""The classification loss: cross-entropy with smoothing, class weights, mixing and an L1 penalty.

Weight decay is not here: it belongs to the optimizer (decoupled), where biases and norms escape it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional


def classification_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    partner: Tensor | None = None,
    share: float = 1.0,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy of a batch.

    Args:
        logits: Shape (B, K).
        targets: int64, shape (B,).
        partner: Index of the sample each one was mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix; its partner's target has the rest.
        label_smoothing: Share of each target that is spread evenly over all classes.
        class_weights: Shape (K,). The weighted losses are divided by B, not by the sum of weights,
            so that micro-batches of one step add up to the loss of the whole.

    Source:
        Szegedy et al., CVPR 2016 (smoothing); Zhang et al., ICLR 2018 (mixed targets).
    """

    def entropy(to: Tensor) -> Tensor:
        each = functional.cross_entropy(
            logits.float(),
            to,
            weight=class_weights,
            label_smoothing=label_smoothing,
            reduction="none",
        )
        return each.mean()

    if partner is None:
        return entropy(targets)
    return share * entropy(targets) + (1 - share) * entropy(targets[partner])


def l1_penalty(parameters: Iterable[Tensor]) -> Tensor:
    """Return the sum of absolute values of all weights with two or more dimensions."""
    weights = [p.abs().sum() for p in parameters if p.ndim >= 2 and p.requires_grad]
    return torch.stack(weights).sum() if weights else torch.zeros(())
