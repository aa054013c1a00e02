"""The blocks of a network: what is put together at one time where its weights are split."""

from __future__ import annotations

from torch import nn

_STAGE_SHARE = 0.8  # of a layer's weights, in a list of layers within it: then those are the layers


def find_blocks(module: nn.Module) -> list[nn.Module]:
    """Return the blocks of layers of a network, in order: what is put together at one time.

    They are the elements of its lists of layers. Where nearly all of an element is again a list, as
    in a network of stages, that one's elements count. A single layer is no block.
    """
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.Sequential) and len(child) > 1:
            for element in child:
                found += _blocks_within(element)
        else:
            found += find_blocks(child)
    return found


def _blocks_within(element: nn.Module) -> list[nn.Module]:
    """Return an element of a list of layers, or the blocks that it consists of."""
    inner = find_blocks(element)
    if len(inner) > 1 and sum(map(_size, inner)) > _STAGE_SHARE * _size(element):
        return inner
    return [element] if _size(element) and any(True for _ in element.children()) else []


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
