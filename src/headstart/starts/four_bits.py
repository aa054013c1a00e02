"""QLoRA: the frozen layers beside adapters held in four bits, by bitsandbytes, on a CPU or a GPU.

A weight is the nearest of 16 numbers (NF4) times the largest of its block of 64. A pass makes it
into floats and forgets them again, backwards once more, so that nothing of full size is kept. What
is saved, exported and loaded is those floats: a run of it is one of LoRA whose base was rounded,
and needs no bitsandbytes to be used. Rounding what is rounded already changes no bit.

The scales of blocks stay floats, 4.5 bits a weight in all; the paper rounds them, too (4.1), after
which a layer that is saved and read again would be another one. Left out: paged optimizers, and
bitsandbytes' own products of four bits, which on some CPUs come from a hub.

Source: Dettmers et al. 2023 (arXiv 2305.14314).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.extras import require_extra

_BLOCK, _KIND = 64, "nf4"


def require_four_bits() -> None:
    """Refuse QLoRA without bitsandbytes.

    Raises:
        PackageMissing: If it is not installed.
    """
    require_extra("qlora", "Strategy 'qlora'", "bitsandbytes")
    _functions()


def _functions() -> ModuleType:
    """Return bitsandbytes' functions, whose import may not ask a hub.

    On CPUs with units for bf16 it loads a product of four bits by the package kernels, from a hub,
    or warns that it could not. No such product is used here.
    """
    if "bitsandbytes" not in sys.modules:
        log = logging.getLogger("bitsandbytes")
        kernels, level = sys.modules.get("kernels"), log.level
        sys.modules["kernels"] = None  # type: ignore[assignment]  # an import of it is refused
        log.setLevel(logging.ERROR)
        try:
            import bitsandbytes.functional
        finally:
            log.setLevel(level)
            del sys.modules["kernels"]
            if kernels is not None:
                sys.modules["kernels"] = kernels
    import bitsandbytes.functional

    found: ModuleType = bitsandbytes.functional
    return found


class FourBitLinear(nn.Module):
    """A frozen linear layer in four bits; its state is that of the layer in floats.

    Args:
        linear: Taken over, and not changed.
    """

    packed: Tensor
    scales: Tensor
    levels: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        for name in ("packed", "scales", "levels"):
            self.register_buffer(name, None, persistent=False)
        bias = None if linear.bias is None else linear.bias.detach().clone()
        self.register_buffer("bias", bias, persistent=False)
        self._dtype = linear.weight.dtype
        self._take(linear.weight.detach())
        self.training = linear.training

    def _take(self, weight: Tensor) -> None:
        # flat: on a CPU rows that do not fill their blocks are read back wrongly
        self.packed, state = _functions().quantize_4bit(
            weight.reshape(-1), blocksize=_BLOCK, compress_statistics=False, quant_type=_KIND
        )
        self.scales, self.levels = state.absmax, state.code

    def weight_of(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return the weight in floats, shape (out_features, in_features)."""
        bits = _functions()
        state = bits.QuantState(
            self.scales,
            shape=torch.Size((self.out_features * self.in_features,)),
            code=self.levels,
            blocksize=_BLOCK,
            quant_type=_KIND,
            dtype=self._dtype,
        )
        found: Tensor = bits.dequantize_4bit(self.packed, state)
        found = found.reshape(self.out_features, self.in_features)
        return found if dtype is None else found.to(dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's outputs, shape (…, out_features)."""
        found: Tensor = _Product.apply(inputs, self)
        return found

    def restored(self) -> nn.Linear:
        """Return the layer in floats that it stands for."""
        has_bias, device = self.bias is not None, self.packed.device
        sizes = (self.in_features, self.out_features)
        made = nn.Linear(*sizes, has_bias, dtype=self._dtype, device=device)
        with torch.no_grad():
            made.weight.copy_(self.weight_of())
            if self.bias is not None:
                made.bias.copy_(self.bias)
        made.requires_grad_(False)
        return made.train(self.training)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = self.weight_of()
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias if keep_vars else self.bias.detach()

    def _load_from_state_dict(
        self, state: Any, prefix: str, _: Any, strict: Any, missing: list[str], *others: Any
    ) -> None:
        weight, bias = state.get(f"{prefix}weight"), state.get(f"{prefix}bias")
        if weight is None:
            missing.append(f"{prefix}weight")
        else:
            self._take(weight.to(self.packed.device, self._dtype))
        if self.bias is not None and bias is not None:
            self.bias.copy_(bias)


class _Product(torch.autograd.Function):
    """A product with a frozen weight that is made into floats for it, and again on the way back."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, layer: FourBitLinear) -> Tensor:
        context.layer, context.dtype = layer, inputs.dtype
        return functional.linear(inputs, layer.weight_of(), layer.bias)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        weight = context.layer.weight_of(gradient.dtype)
        return (gradient @ weight).to(context.dtype), None


def quantise(layers: Iterable[Any]) -> int:
    """Put four bits in the place of what adapters stand beside; return how many layers that was.

    Args:
        layers: Layers of peft that hold a linear one, in place.
    """
    num = 0
    for module in layers:
        base = module.get_base_layer()
        if type(base) is nn.Linear:
            module.base_layer = FourBitLinear(base)
            num += 1
    return num


def restore(layers: Iterable[Any]) -> None:
    """Put floats back in the place of four bits, in layers of peft."""
    for module in layers:
        base = module.get_base_layer()
        if isinstance(base, FourBitLinear):
            module.base_layer = base.restored()
