"""Number format and kernels of training steps: what runs otherwise than PyTorch has it.

Autocast sends every convolution and matrix product to bf16. Two of them are then slower than in
fp32, by far: the backward pass of fused attention, and that of depthwise convolutions, whose
gradients at strides above one have reference code alone. And the gradient of a large depthwise
kernel over few positions is slow in every format. Under ``OwnKernels`` the first runs in fp32, and
depthwise convolutions have a backward pass of their own. Weights, their gradients and the loss are
fp32 whatever the format. The figures: docs/experiments.md, "Number format of training steps".

Left out: GPUs, whose kernels these are not; other operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from headstart.training.options.recipe import Recipe

_FEW_POSITIONS = 64  # of an output map; and as large a kernel, in elements:
_LARGE_KERNEL = 25


@contextmanager
def stepping(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Run forward passes of training steps in the number format, and by the kernels, of a recipe.

    Args:
        recipe: ``stepped_precision`` and ``own_kernels`` say which.
        device: Where the model lies.
    """
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.stepped_precision)
    number_format = torch.autocast(device.type, dtype) if dtype else nullcontext()
    with number_format, OwnKernels() if recipe.own_kernels else nullcontext():
        yield


def has_depthwise(module: nn.Module) -> bool:
    """Return whether a network has convolutions in which each channel has a kernel of its own."""
    return any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in module.modules())


class OwnKernels(TorchFunctionMode):
    """Replaces operations whose backward pass is slow on a CPU, while it is active."""

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
            if func is torch.conv2d and _is_depthwise(*args, **kwargs):
                return _depthwise(*args, **kwargs)
            if func is F.scaled_dot_product_attention and _is_narrow(*args, **kwargs):
                return _wide_attention(*args, **kwargs)
        return func(*args, **kwargs)


def _cast_type() -> torch.dtype | None:
    """Return the type that autocast gives on a CPU now; None where it is off."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


def _is_narrow(query: Tensor, *args: Any, dropout_p: float = 0.0, **kwargs: Any) -> bool:
    """Return whether attention would run in less than fp32, and fused: without dropout."""
    dropout = args[3] if len(args) > 3 else dropout_p
    return dropout == 0.0 and (_cast_type() or query.dtype) != torch.float32


def _wide_attention(*args: Any, **kwargs: Any) -> Tensor:
    """Return attention computed in fp32, in the type that it would have had."""
    narrow = _cast_type() or args[0].dtype
    with torch.autocast("cpu", enabled=False):
        wide = [_wide(value) for value in args]
        found = F.scaled_dot_product_attention(*wide, **{n: _wide(v) for n, v in kwargs.items()})
    return found.to(narrow)


def _wide(value: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.float() if is_float else value


def _is_depthwise(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Return whether a convolution has a kernel for each channel, and is stated in numbers."""
    return (
        images.ndim == 4
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
    """Return a depthwise convolution, in the type that autocast asks for."""
    pair = nn.modules.utils._pair
    dtype = _cast_type()
    if dtype is not None:
        images, weight = images.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    with torch.autocast("cpu", enabled=False):
        found = _Depthwise.apply(images, weight, bias, pair(stride), pair(padding), pair(dilation))
    assert isinstance(found, Tensor)
    return found


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose backward pass takes the quickest way that there is on a CPU."""

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
        stride, padding, dilation = ctx.stated
        few = gradient.shape[2] * gradient.shape[3] <= _FEW_POSITIONS
        is_own = few and weight.shape[2] * weight.shape[3] >= _LARGE_KERNEL
        found: list[Tensor | None] = [None, None, None]
        if of_images:
            # bf16 has quick kernels for this where every position counts, and none otherwise
            wide = stride != (1, 1)
            found[0] = _gradients(gradient, images, weight, ctx.stated, 0, is_wide=wide)
        if of_weight and is_own:
            found[1] = _weight_gradient(images, gradient, weight, stride, padding, dilation)
        elif of_weight:
            found[1] = _gradients(gradient, images, weight, ctx.stated, 1, is_wide=True)
        if of_bias:
            found[2] = gradient.sum((0, 2, 3))
        return (*found, None, None, None)


def _gradients(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    stated: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
    which: int,
    *,
    is_wide: bool,
) -> Tensor:
    """Return PyTorch's own gradient of the images (0) or of the weight (1).

    Args:
        gradient: Of the output.
        images: The input.
        weight: The kernels.
        stated: Stride, padding, dilation.
        which: Of what.
        is_wide: Whether it is computed in fp32.
    """
    given = (gradient, images, weight)
    if is_wide:
        given = tuple(tensor.float() for tensor in given)  # type: ignore[assignment]
    wanted = [which == 0, which == 1, False]
    found = torch.ops.aten.convolution_backward(
        *given, None, *map(list, stated), False, [0, 0], len(weight), wanted
    )[which]
    assert isinstance(found, Tensor)
    return found.to(weight.dtype)


def _weight_gradient(
    images: Tensor,
    gradient: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """Return the gradient of depthwise kernels, one sum of products a place of the kernel."""
    (down, right), (high, wide) = stride, gradient.shape[2:]
    above, beside = padding
    padded = F.pad(images.float(), (beside, beside, above, above)).permute(0, 2, 3, 1)
    given = gradient.float().permute(0, 2, 3, 1)
    found = torch.empty(weight.shape, dtype=torch.float32)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            top, left = row * dilation[0], column * dilation[1]
            seen = padded[:, top : top + high * down : down, left : left + wide * right : right]
            found[:, 0, row, column] = (seen[:, :high, :wide] * given).sum((0, 1, 2))
    return found.to(weight.dtype)
