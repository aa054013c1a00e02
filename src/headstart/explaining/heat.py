"""Where a network looked in an image: Grad-CAM, or gradient times attention for transformers.

Both give a coarse grid: that of the last feature map that is at least four places wide, or that of
the patches. Left out: networks whose last layers have neither (their images are not explained).

Sources:
    R. Selvaraju et al., ICCV 2017, Grad-CAM, equations 1 and 2.
    H. Chefer, S. Gur and L. Wolf, ICCV 2021, Generic Attention-model Explainability, equations 5
    and 6 (self-attention): R is updated by R + A R with A the mean over heads of the positive part
    of gradient times attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.model import Model
from headstart.tensors import evaluating, to_tensors
from headstart.types import Inputs

GRAD_CAM, ATTENTION = "Grad-CAM", "Gradient times attention"
_LEAST_SIDE = 4  # places of a feature map, where there is one
_AT_ONCE = 16  # images


def heat_method(model: Model, inputs: Inputs) -> str:
    """Return how a network's images can be explained; empty where they cannot.

    Args:
        model: Of images.
        inputs: A sample at least.
    """
    network = model.encoder.network
    images = to_tensors(inputs.arrays(np.arange(1)), model.device)
    with _looking_once(network), evaluating(model):
        if _attention_layers(network):
            return ATTENTION if _patch_side(network, images, model) else ""
        return GRAD_CAM if _last_map(network, images, model) else ""


def heat_of(model: Model, inputs: Inputs, chosen: np.ndarray) -> np.ndarray:
    """Return how much each region of images speaks for an output.

    Args:
        model: A network that ``heat_method`` knows a method for.
        inputs: N images.
        chosen: Which output is explained, int64, shape (N,).

    Returns:
        float32, shape (N, g, g), 0 or more; the largest of each image is 1, unless all are 0.
    """
    network = model.encoder.network
    explain: Callable[[Model, tuple[Tensor, ...], Tensor], Tensor]
    explain = _attention if _attention_layers(network) else _grad_cam
    found = []
    with _looking_once(network), evaluating(model):
        for start in range(0, len(inputs), _AT_ONCE):
            places = np.arange(start, min(start + _AT_ONCE, len(inputs)))
            images = to_tensors(inputs.arrays(places), model.device)
            wanted = torch.from_numpy(chosen[places]).to(model.device)
            with torch.enable_grad():
                found.append(explain(model, images, wanted).detach().float().cpu().numpy())
    heat = np.concatenate(found)
    largest = heat.max(axis=(1, 2), keepdims=True)
    scaled: np.ndarray = np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0)
    return scaled


def score_of(model: Model, logits: Tensor, chosen: Tensor) -> Tensor:
    """Return what is explained: an output, of exclusive classes beside the mean of all.

    Args:
        model: Gives the task.
        logits: Shape (N, K).
        chosen: int64, shape (N,).

    Returns:
        Shape (N,).
    """
    picked = logits.gather(1, chosen[:, None])[:, 0]
    return picked - logits.mean(dim=1) if model.task.is_exclusive else picked


def _grad_cam(model: Model, images: tuple[Tensor, ...], chosen: Tensor) -> Tensor:
    """Return Grad-CAM, shape (N, h, w)."""
    network = model.encoder.network
    kept: list[Tensor] = []
    is_last = (getattr(network, "output_fmt", None) or "NCHW") != "NCHW"

    def cut(module: nn.Module, args: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_(True))
        return kept[-1].clone()  # what follows may work in place

    with torch.no_grad():
        layer = _last_map(network, images, model)
    with _hooked([network.get_submodule(layer)], cut):
        score = score_of(model, model(*images), chosen).sum()
        (gradient,) = torch.autograd.grad(score, kept[-1])
    features = kept[-1].permute(0, 3, 1, 2) if is_last else kept[-1]
    gradient = gradient.permute(0, 3, 1, 2) if is_last else gradient
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * features).sum(dim=1))


def _attention(model: Model, images: tuple[Tensor, ...], chosen: Tensor) -> Tensor:
    """Return gradient times attention, rolled out over the layers, shape (N, g, g)."""
    network: Any = model.encoder.network
    layers = _attention_layers(network)
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: Tensor) -> None:
        kept.append(output)

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_unfused(layer))
        stack.enter_context(_hooked([layer.attn_drop for layer in layers], keep))  # type: ignore[misc]
        inputs = tuple(image.detach().requires_grad_(True) for image in images)
        score = score_of(model, model(*inputs), chosen).sum()
        gradients = torch.autograd.grad(score, kept)
    num_tokens = kept[0].shape[-1]
    relevance = torch.eye(num_tokens, device=kept[0].device).expand(len(chosen), -1, -1)
    for attention, gradient in zip(kept, gradients, strict=True):
        mean = (attention * gradient).clamp(min=0).mean(dim=1)
        relevance = relevance + mean @ relevance
    prefix = int(network.num_prefix_tokens)
    reads_token = getattr(network, "global_pool", "token") == "token" and prefix
    rows = relevance[:, 0] if reads_token else relevance[:, prefix:].mean(dim=1)
    patches = rows[:, prefix:]
    side = math.isqrt(patches.shape[1])
    return patches.reshape(-1, side, side)


def _attention_layers(network: nn.Module) -> list[nn.Module]:
    """Return the attention of each block, where it can be looked at: timm's, over all tokens."""
    if not hasattr(network, "num_prefix_tokens"):
        return []
    return [
        module
        for module in network.modules()
        if hasattr(module, "fused_attn")
        and isinstance(getattr(module, "attn_drop", None), nn.Module)
    ]


def _patch_side(network: nn.Module, images: tuple[Tensor, ...], model: Model) -> int:
    """Return the side of the grid of patches; 0 where attention is not over a square of them."""
    shapes: list[tuple[int, ...]] = []

    def note(module: nn.Module, args: object, output: Tensor) -> None:
        shapes.append(tuple(output.shape))

    layers = _attention_layers(network)
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_unfused(layer))
        stack.enter_context(_hooked([layer.attn_drop for layer in layers], note))  # type: ignore[misc]
        model(*images)
    num_patches = shapes[0][-1] - int(getattr(network, "num_prefix_tokens", 0)) if shapes else 0
    side = math.isqrt(max(0, num_patches))
    is_whole = len(shapes) == len(layers) and len({shape[1:] for shape in shapes}) == 1
    return side if is_whole and side > 1 and side * side == num_patches else 0


def _last_map(network: nn.Module, images: tuple[Tensor, ...], model: Model) -> str:
    """Return the name of the module that gives the last feature map; empty where there is none."""
    names = {module: name for name, module in network.named_modules() if name}
    seen: list[tuple[str, int]] = []
    is_last = (getattr(network, "output_fmt", None) or "NCHW") != "NCHW"

    def note(module: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            height, width = output.shape[1:3] if is_last else output.shape[2:]
            if min(height, width) > 1:
                seen.append((names[module], min(height, width)))

    with _hooked(list(names), note):
        model(*images)
    wide = [name for name, side in seen if side >= _LEAST_SIDE]
    if wide:
        return wide[-1]
    return max(seen, key=lambda one: one[1])[0] if seen else ""


@contextmanager
def _hooked(modules: list[nn.Module], hook: Callable[..., Tensor | None]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _unfused(layer: Any) -> Iterator[None]:
    """Have an attention layer compute its weights as a tensor of their own."""
    former, layer.fused_attn = layer.fused_attn, False
    try:
        yield
    finally:
        layer.fused_attn = former


@contextmanager
def _looking_once(network: Any) -> Iterator[None]:
    """Have a network look at images alone, not at their mirror images, too."""
    former = getattr(network, "mirrors", False)
    if former:
        network.mirrors = False
    try:
        yield
    finally:
        if former:
            network.mirrors = former
