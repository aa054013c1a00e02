"""Number format and kernels of training steps: what runs otherwise than PyTorch has it.

Autocast sends every convolution and matrix product to bf16. The way back of two of them is then
far slower than in fp32: that of fused attention, and that of depthwise convolutions, for which
there is reference code alone where they have a stride. Under ``OwnKernels`` the first runs in fp32,
and of the second what is slow. Attention that drops some of its weights is not fused, and PyTorch
computes it in fp32 from copies that it keeps: it runs in bf16, as the plain products that
transformers writes it as do. In fp32 run convolutions of which some weight meets no pixel, as on a
map of one place: oneDNN leaves the gradient of such weights unwritten in bf16, and whatever lay in
memory learns (seen with PyTorch 2.14 on AVX-512). Weights, their gradients and the loss are fp32
whatever the format.
The figures: docs/experiments.md, "Number format of training steps".

Left out: GPUs, whose kernels these are not; other operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from headstart.training.options.recipe import Recipe

_LEAST = torch.finfo(torch.bfloat16).min


@contextmanager
def stepping(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Run forward passes of training steps in the number format, and by the kernels, of a recipe.

    Args:
        recipe: ``stepped_precision`` and ``own_kernels`` say which. Where a user says bf16 on a CPU
            the kernels are replaced, too, but for a compiled network, which has its own.
        device: Where the model lies.
    """
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.stepped_precision)
    number_format = torch.autocast(device.type, dtype) if dtype else nullcontext()
    is_said = dtype is torch.bfloat16 and device.type == "cpu" and not recipe.compile
    with number_format, OwnKernels() if recipe.own_kernels or is_said else nullcontext():
        yield


class OwnKernels(TorchFunctionMode):
    """Replaces operations in bf16 whose backward pass is slow on a CPU, while it is active."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation, or what takes its place."""
        kwargs = kwargs or {}
        # a network that runs in part has stand-ins for what is absent, which are no plain tensors
        if torch.is_grad_enabled() and args and type(args[0]) is Tensor:
            if func is torch.conv2d and _is_narrow_depthwise(*args, **kwargs):
                return _depthwise(*args, **kwargs)
            if func is torch.conv2d and _has_idle_weights(*args, **kwargs):
                return _in_fp32(func, *args, **kwargs)
            if func is F.scaled_dot_product_attention and _is_narrow_attention(*args, **kwargs):
                return _in_fp32(func, *args, **kwargs)
            if func is F.scaled_dot_product_attention and _is_dropped_attention(*args, **kwargs):
                return _dropped_attention(*args, **kwargs)
        return func(*args, **kwargs)


def _cast_type() -> torch.dtype | None:
    """Return the type that autocast gives on a CPU now; None where it is off."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


def _is_narrow_attention(query: Tensor, *args: Any, dropout_p: float = 0.0, **kwargs: Any) -> bool:
    """Return whether attention would run in less than fp32, and fused: without dropout."""
    dropout = args[3] if len(args) > 3 else dropout_p
    return dropout == 0.0 and (_cast_type() or query.dtype) == torch.bfloat16


def _in_fp32(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """Return what an operation computes in fp32, in bf16."""
    with torch.autocast("cpu", enabled=False):
        found = func(*map(_wide, args), **{n: _wide(v) for n, v in kwargs.items()})
    return found.to(torch.bfloat16)


def _is_dropped_attention(query: Tensor, *args: Any, dropout_p: float = 0.0, **kwargs: Any) -> bool:
    """Return whether attention drops weights, would run in bf16, and is stated in plain terms."""
    dropout = args[3] if len(args) > 3 else dropout_p
    is_narrow = (_cast_type() or query.dtype) == torch.bfloat16 and query.device.type == "cpu"
    is_plain = len(args) < 5 and not kwargs.get("is_causal") and not kwargs.get("enable_gqa")
    return dropout > 0 and is_narrow and is_plain


def _dropped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    *,
    scale: float | None = None,
    **_: Any,
) -> Tensor:
    """Return attention of which some weights are dropped, in bf16; each sum is taken in fp32.

    A token that may look at none has nothing, as of PyTorch.
    """
    factor, least = query.shape[-1] ** -0.5 if scale is None else scale, _LEAST
    is_blind: Tensor | None = None
    with torch.autocast("cpu", enabled=False):
        query, key, value = (part.to(torch.bfloat16) for part in (query, key, value))
        scores = (query * factor) @ key.transpose(-1, -2)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, least)
            is_blind = ~attn_mask.any(-1, keepdim=True)
        elif attn_mask is not None:
            # the least number of fp32 is -inf in bf16, and rows of it alone would be none
            scores = scores + attn_mask.clamp(min=least).to(torch.bfloat16)
            is_blind = (attn_mask == -torch.inf).all(-1, keepdim=True)
        found = F.dropout(torch.softmax(scores, dim=-1), dropout_p) @ value
        if is_blind is not None and is_blind.any():
            found = found.masked_fill(is_blind, 0.0)
        return found


def _pair(value: Any) -> tuple[int, int]:
    """Return what is said of both sides of a map: one number, a list of one, or of two."""
    first, *others = (value,) if isinstance(value, int) else tuple(value)
    return first, others[0] if others else first


def _wide(value: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.float() if is_float else value


def _has_idle_weights(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Return whether a convolution in bf16 has weights that meet no pixel, wherever they stand."""
    del bias, groups
    narrow = (_cast_type() or images.dtype) == torch.bfloat16
    if not narrow or images.ndim != 4 or images.device.type != "cpu":
        return False
    sides, kernels = images.shape[2:], weight.shape[2:]
    if isinstance(padding, str):
        reach = [d * (k - 1) for d, k in zip(_pair(dilation), kernels, strict=True)]
        padding = tuple(r // 2 if padding == "same" else 0 for r in reach)
    given = zip(sides, kernels, _pair(stride), _pair(padding), _pair(dilation), strict=True)
    return any(_is_idle(*one) for one in given)


@lru_cache(maxsize=1024)
def _is_idle(side: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Return whether some of a kernel's places along a side meet padding alone."""
    num = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    stands = range(-padding, num * stride - padding, stride)
    return not all(
        any(0 <= stand + dilation * place < side for stand in stands) for place in range(kernel)
    )


def _is_narrow_depthwise(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Return whether a convolution in bf16 has a kernel for each channel; stated in numbers."""
    return (
        (_cast_type() or images.dtype) == torch.bfloat16
        and images.ndim == 4
        and 1 < groups == images.shape[1] == weight.shape[0]
        and not isinstance(padding, str)
        and images.device.type == "cpu"
    )


def _depthwise(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Return a depthwise convolution in bf16."""
    images, weight = images.to(torch.bfloat16), weight.to(torch.bfloat16)
    bias = None if bias is None else bias.to(torch.bfloat16)
    with torch.autocast("cpu", enabled=False):
        found = _Depthwise.apply(images, weight, bias, *map(_pair, (stride, padding, dilation)))
    assert isinstance(found, Tensor)
    return found


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution in bf16, its gradients computed in fp32 where that is quicker."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> Tensor:
        """Return the output, shape (B, C, H', W')."""
        ctx.save_for_backward(images, weight)
        ctx.stated = (stride, padding, dilation)
        return torch.conv2d(images, weight, bias, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of images, weight and bias."""
        images, weight = ctx.saved_tensors
        of_images, of_weight, of_bias = ctx.needs_input_grad[:3]
        is_strided = ctx.stated[0] != (1, 1)
        found: list[Tensor | None] = [None, None, None]
        if of_images:
            # there are quick kernels in bf16 for this without a stride alone
            found[0] = _gradient(gradient, images, weight, ctx.stated, 0, is_wide=is_strided)
        if of_weight:
            found[1] = _gradient(gradient, images, weight, ctx.stated, 1, is_wide=True)
        if of_bias:
            found[2] = gradient.sum((0, 2, 3))
        return (*found, None, None, None)


def _gradient(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    stated: tuple[tuple[int, int], ...],
    which: int,
    *,
    is_wide: bool,
) -> Tensor:
    """Return PyTorch's own gradient of the images (0) or of the weight (1), in bf16.

    Args:
        gradient: Of the output.
        images: The input.
        weight: The kernels.
        stated: Stride, padding, dilation.
        which: Of what.
        is_wide: Whether it is computed in fp32.
    """
    given = [gradient, images, weight]
    if is_wide:
        given = [tensor.float() for tensor in given]
    wanted = [which == 0, which == 1, False]
    found = torch.ops.aten.convolution_backward(
        *given, None, *map(list, stated), False, [0, 0], len(weight), wanted
    )[which]
    assert isinstance(found, Tensor)
    return found.to(torch.bfloat16)
