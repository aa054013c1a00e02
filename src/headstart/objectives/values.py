"""The regression loss: squared error on standardised targets.

Standardised, so that one learning rate fits prices and probabilities alike; the model keeps mean
and scale. Deliberately left out: absolute and Huber errors, which aim at the median and so lose in
the squared error that RMSE and R² measure.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def regression_loss(
    logits: Tensor, targets: Tensor, *, partner: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """Return the mean squared error of a batch.

    Args:
        logits: Shape (B, 1), in the units of the targets.
        targets: Standardised numbers, shape (B,).
        partner: Index of the sample each one was mixed with, shape (B,), or None.
        share: Share of the sample itself in the mix; its partner's target has the rest.

    Source:
        Zhang et al., ICLR 2018 (mixed samples have mixed targets).
    """
    wanted = targets.float()
    if partner is not None:
        wanted = share * wanted + (1 - share) * wanted[partner]
    return functional.mse_loss(logits[:, 0].float(), wanted)
