"""Tensors, in the ways that every room needs: from arrays, from a seed, and without gradients.

Pixels (uint8) become floats in [0, 1]; everything else keeps its type. Nothing is normalised here:
that belongs to the model, because it travels with its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of this machine's memory on a device; the host does not wait for a GPU.

    From memory that is not page-locked the copy would wait for all that the GPU has yet to do.

    Args:
        tensor: On the CPU; its strides are kept.
        device: Where it is wanted.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_float(pixels: Tensor, *, channels_last: bool = True) -> Tensor:
    """Turn uint8 pixels (B, H, W, C) into float images (B, C, H, W) in [0, 1]."""
    images = pixels.permute(0, 3, 1, 2)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(torch.float32, memory_format=layout).div_(255)


def to_tensors(
    arrays: Iterable[np.ndarray], device: torch.device, *, channels_last: bool = True
) -> tuple[Tensor, ...]:
    """Return the arrays of one batch as what a model's forward takes.

    Args:
        arrays: As ``Inputs.arrays`` gives them; uint8 ones are pixels (B, H, W, C).
        device: Where they are wanted.
        channels_last: Whether images lie in memory pixel by pixel.
    """
    tensors = []
    for array in arrays:
        tensor = to_device(torch.from_numpy(np.ascontiguousarray(array)), device)
        is_pixels = tensor.dtype == torch.uint8
        tensors.append(to_float(tensor, channels_last=channels_last) if is_pixels else tensor)
    return tuple(tensors)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Draw random numbers on the CPU from a seed; the caller's random state comes back after.

    Args:
        seed: The seed.
        device: A GPU whose numbers are drawn from it, too.
    """
    gpus = [device] if device is not None and device.type == "cuda" else []
    # default_generator, not torch.manual_seed: that one would seed every GPU too.
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode without gradients inside the block; modes are restored after.

    So is the random state of the CPU. Not ``inference_mode``: what a network keeps of a pass (a
    table of positions, say) could take no part in the training that follows.
    """
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for child, mode in modes.items():
            child.training = mode


_STAGE_SHARE = 0.8  # of an element's parameters, in a list within it: then those are the blocks


def find_blocks(module: nn.Module, *, whole_stages: bool = False) -> list[str]:
    """Return the names of a network's blocks of layers, in forward order.

    They are the elements of its lists of layers. Where nearly all of an element is again a list, as
    in a network of stages, that one's elements count. A single layer is no block.

    Args:
        module: Any network whose lists are registered in the order in which they run.
        whole_stages: Whether an element counts as a whole, whatever it consists of.
    """
    found: list[str] = []
    for name, child in module.named_children():
        # a network may run one layer again and again: a list of one is a stage, but no blocks
        is_stage = whole_stages and isinstance(child, nn.ModuleList) and len(child) > 0
        if is_stage or (isinstance(child, nn.ModuleList | nn.Sequential) and len(child) > 1):
            for place, element in child.named_children():
                inner = [] if whole_stages else find_blocks(element)
                found += [f"{name}.{place}{rest}" for rest in _parts(element, inner)]
        else:
            found += [f"{name}.{rest}" for rest in find_blocks(child, whole_stages=whole_stages)]
    return found


def _parts(element: nn.Module, inner: Sequence[str]) -> list[str]:
    """Return what of an element of a list are blocks: its own, itself ("") or nothing."""
    sizes = [_num_parameters(element.get_submodule(name)) for name in inner]
    if len(inner) > 1 and sum(sizes) > _STAGE_SHARE * _num_parameters(element):
        return [f".{name}" for name in inner]
    is_block = _num_parameters(element) and any(True for _ in element.children())
    return [""] if is_block else []


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
