"""The norm of the gradient, and the gradient made no longer than allowed.

On a GPU the factor is applied whatever it is: to ask first would make the host wait. On a CPU it is
asked first, because the pass over all gradients that multiplies by one costs as much as any other.
The bits are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


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
