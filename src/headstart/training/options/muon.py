"""Muon: kernels of convolutions move by an orthogonalised step, everything else by AdamW.

A step of momentum is brought to singular values near one before it is taken, so that directions
which few samples ask for move as far as the others: fewer samples are needed (measured:
docs/experiments.md, "MNIST in half an epoch"). ``torch.optim.Muon`` takes matrices alone;
here a kernel (O, I, h, w) counts as the matrix (O, I h w), and the biases, norms, dense layers and
kernels of few inputs beside it stay with AdamW in the same optimizer. Left out: matrices of dense
layers, where the orthogonalisation costs more than it saves on a processor, and weights that are
split over processes, of which no process has the whole matrix.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LEAST_INPUTS = 16  # channels that a kernel reads, from which it is orthogonalised: no stem
RATE = 10.0  # an orthogonalised step, as a multiple of the learning rate of AdamW beside it
_ROUNDS = 4
_QUINTIC = (3.4445, -4.7750, 2.0315)  # brings singular values to 0.7 … 1.2 in few rounds


def is_kernel(parameter: Tensor) -> bool:
    """Return whether a parameter (O, I, h, w) is a kernel that reads 16 channels or more."""
    return parameter.ndim == 4 and parameter.shape[1] >= LEAST_INPUTS


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors and singular values near one.

    Args:
        matrix: Float32, shape (R, C).

    Returns:
        Float32, shape (R, C); zeros stay zeros.

    Source: Jordan et al. 2024, the quintic Newton–Schulz iteration.
    """
    a, b, c = _QUINTIC
    is_tall = matrix.shape[0] > matrix.shape[1]
    found: Tensor = matrix.T if is_tall else matrix
    found = found / (found.norm() + 1e-7)
    for _ in range(_ROUNDS):
        square = found @ found.T
        found = a * found + (b * square + c * square @ square) @ found
    return found.T if is_tall else found


class Muon(torch.optim.AdamW):
    """AdamW, but for groups marked ``is_orthogonal``.

    Args:
        groups: As ``parameter_groups`` gives them.
        lr: Learning rate of groups that state none.
        betas: Of AdamW.
        momentum: Of the orthogonalised steps, with Nesterov's look ahead.
    """

    def __init__(
        self,
        groups: list[dict[str, object]],
        lr: float,
        betas: tuple[float, float],
        momentum: float,
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, fused=True)
        self._momentum = momentum
        # the flag by which fused kernels stand still is none for the kernels here: the host decides
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; kernels come first, and AdamW finds no gradient of theirs."""
        assert closure is None, "the loop computes gradients itself"
        kept: list[tuple[Tensor, Tensor]] = []
        for group in self.param_groups:
            if not group.get("is_orthogonal"):
                continue
            for kernel in group["params"]:
                if kernel.grad is not None:
                    self._move(kernel, float(group["lr"]), float(group["weight_decay"]))
                    kept.append((kernel, kernel.grad))
                    kernel.grad = None
        super().step()
        for kernel, gradient in kept:
            kernel.grad = gradient
        return None

    def _move(self, kernel: Tensor, rate: float, decay: float) -> None:
        """Move one kernel by its orthogonalised momentum, with Nesterov's look ahead."""
        assert kernel.grad is not None
        state = self.state[kernel]
        if "momentum_buffer" not in state:
            state["step"] = torch.zeros(())  # Adam asks for it wherever there is a state
            state["momentum_buffer"] = torch.zeros_like(kernel)
        state["step"] += 1
        buffer = state["momentum_buffer"].mul_(self._momentum).add_(kernel.grad)
        wanted = kernel.grad.add(buffer, alpha=self._momentum).reshape(len(kernel), -1).float()
        step = orthogonalised(wanted).reshape(kernel.shape)
        shape = max(1.0, wanted.shape[0] / wanted.shape[1]) ** 0.5
        kernel.mul_(1 - rate * decay).add_(step, alpha=-RATE * rate * shape)
