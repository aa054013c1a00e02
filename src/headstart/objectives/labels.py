"""The multi-label loss: one binary cross-entropy a label, with smoothing, weights and mixing."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def multi_label_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    partner: Tensor | None = None,
    share: float = 1.0,
    label_smoothing: float = 0.0,
    positive_weights: Tensor | None = None,
) -> Tensor:
    """Return the mean binary cross-entropy of a batch, over samples and labels.

    Args:
        logits: Shape (B, K).
        targets: 0 or 1, shape (B, K).
        partner: Index of the sample each one was mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix; its partner's targets have the rest.
        label_smoothing: How far each target moves towards 0.5: 0.1 makes 0.05 and 0.95 of 0 and 1.
        positive_weights: Shape (K,), how much more an item counts that has the label.

    Source:
        Szegedy et al., CVPR 2016 (smoothing), for the two classes "has it" and "lacks it"; Zhang et
        al., ICLR 2018 (mixed targets; the loss is linear in the targets, so they are mixed).
    """
    wanted = targets.float()
    if partner is not None:
        wanted = share * wanted + (1 - share) * wanted[partner]
    if label_smoothing:
        wanted = wanted * (1 - label_smoothing) + 0.5 * label_smoothing
    return functional.binary_cross_entropy_with_logits(
        logits.float(), wanted, pos_weight=positive_weights
    )
