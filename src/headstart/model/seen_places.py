"""A ConvNet that computes where an image is seen, and nowhere else.

With dense kernels that is: before a layer looks at neighbours, what lies at hidden places is set to
nothing (zero; of a maximum, less than anything), and BatchNorm takes its statistics from seen
places. Layers that treat each place by itself need no care. A place of a map that is coarser than
the patches is seen where something under it is. It is the submanifold sparse convolution, at the
price of a dense pass.

Whether a network is computed so exactly is tried, not guessed: noise is put at every hidden place
that a layer gives, and must reach no seen one (``is_exact``). What mixes places in another way
(squeeze-and-excitation, attention, norms over a whole map) is found by that.

Source: Tian et al., "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked
Modeling" (SparK), ICLR 2023, section 3.1; Graham et al., "3D Semantic Segmentation with Submanifold
Sparse Convolutional Networks", CVPR 2018. Deviation: a maximum and a mean
leave hidden places out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

Forward = Callable[[Tensor], Tensor]
_ROUNDING = 1e-4  # of the largest number of a map
_NOISE = 1e3  # larger than what networks give: whatever mixes places shows it


class UnevenMaps(Exception):
    """Patches are no whole places of a map, nor its places whole patches; says of which."""


class SeenPlaces:
    """Which places of feature maps are seen, for maps of any side.

    Args:
        cells: Which patches are seen, bool, shape (B, 1, G, G).
        noise: What is drawn for hidden places, for a trial; None: they hold whatever layers give.

    Raises:
        UnevenMaps: By ``at``, if the patches do not lie in a map of that side.
    """

    def __init__(self, cells: Tensor, noise: torch.Generator | None = None) -> None:
        self.cells, self._noise = cells, noise
        self._at: dict[int, Tensor] = {cells.shape[-1]: cells}

    def at(self, side: int) -> Tensor:
        """Return which places of a map are seen, bool, shape (B, 1, side, side)."""
        if side not in self._at:
            self._at[side] = self._of(side)
        return self._at[side]

    def _of(self, side: int) -> Tensor:
        cells = self.cells
        times, rest = divmod(side, cells.shape[-1])
        if rest == 0:
            return cells.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)
        while side < cells.shape[-1]:  # as convolutions of stride 2 halve a map
            halved = nn.functional.max_pool2d(cells.float(), 2, ceil_mode=True)
            cells = halved > 0
            if cells.shape[-1] == side:
                return cells
        num = self.cells.shape[-1]
        raise UnevenMaps(f"{num} x {num} patches do not lie in its map of {side} x {side} places")

    def only(self, x: Tensor, nothing: float = 0.0) -> Tensor:
        """Return a map (B, C, H, H) with a value for nothing at hidden places."""
        return x.masked_fill(~self.at(x.shape[-1]), nothing)

    def given(self, x: Tensor) -> Tensor:
        """Return what a layer gives; in a trial with noise at hidden places."""
        if self._noise is None:
            return x
        noise = torch.randn(x.shape, generator=self._noise) * _NOISE
        return torch.where(self.at(x.shape[-1]), x, noise)


@contextmanager
def seen_only(
    network: nn.Module, statistics: Mapping[str, nn.Module], seen: SeenPlaces
) -> Iterator[None]:
    """Have a network compute where something is seen, inside the block.

    Args:
        network: Takes images (B, C, S, S); outside the block it is what it was.
        statistics: For the name of each BatchNorm what keeps the running statistics of seen places;
            its own are those of whole images, and stay.
        seen: Which places are.
    """
    patched = [
        (module, forward)
        for name, module in network.named_modules()
        if (forward := _forward_of(module, statistics.get(name), seen)) is not None
    ]
    try:
        for module, forward in patched:
            vars(module)["forward"] = forward  # of this object alone: its class is timm's
        yield
    finally:
        for module, _ in patched:
            del vars(module)["forward"]


def norms_of(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Return the layers of a network that normalise by statistics of a batch, by name."""
    found = network.named_modules()
    return {name: module for name, module in found if isinstance(module, nn.BatchNorm2d)}


def _forward_of(
    module: nn.Module, statistics: nn.Module | None, seen: SeenPlaces
) -> Forward | None:
    """Return how a layer is computed where something is seen; None for as it is."""
    if isinstance(module, nn.BatchNorm2d):
        return partial(_normalised, module, statistics, seen)
    if isinstance(module, nn.Conv2d):
        looks_around = max(*_pair(module.kernel_size), *_pair(module.stride)) > 1
        return partial(_filled, module, seen, 0.0) if looks_around else None
    if isinstance(module, nn.AvgPool2d):
        return partial(_averaged, module, seen)
    if isinstance(module, nn.MaxPool2d):
        return partial(_filled, module, seen, float("-inf"))
    return None


def _filled(module: nn.Module, seen: SeenPlaces, nothing: float, x: Tensor) -> Tensor:
    """Return what a layer gives that sees nothing of hidden places."""
    out: Tensor = type(module).forward(module, seen.only(x, nothing))
    return seen.given(seen.only(out) if nothing else out)


def _averaged(module: nn.AvgPool2d, seen: SeenPlaces, x: Tensor) -> Tensor:
    """Return means over the seen places of each window; zero where there is none."""
    pool = type(module).forward
    places = seen.at(x.shape[-1]).to(x.dtype)
    # as the layer counts what lies beyond the edge; a whole window stays as it is, to the bit
    counted, found = pool(module, torch.ones_like(places)), pool(module, places)
    out: Tensor = pool(module, seen.only(x)) * torch.where(found > 0, counted / found, 0)
    return seen.given(out)


def _normalised(module: nn.BatchNorm2d, statistics: Any, seen: SeenPlaces, x: Tensor) -> Tensor:
    """Return what BatchNorm gives, by statistics of seen places; zero at hidden ones."""
    places = seen.at(x.shape[-1])[:, 0]
    by_place = x.permute(0, 2, 3, 1)
    rows = nn.functional.batch_norm(
        by_place[places],
        statistics.running_mean,
        statistics.running_var,
        module.weight,
        module.bias,
        training=module.training,
        momentum=module.momentum or 0.0,
        eps=module.eps,
    )
    filled = rows.new_zeros(by_place.shape)
    filled[places] = rows
    found = filled.permute(0, 3, 1, 2)
    for name in ("drop", "act"):  # of timm's, which activates, too
        after: Any = getattr(module, name, None)
        found = found if after is None else after(found)
    return seen.given(found)


def is_exact(
    maps_of: Callable[[Tensor, SeenPlaces], Sequence[Tensor]], images: Tensor, cells: Tensor
) -> bool:
    """Return whether nothing of what lies at hidden places reaches a seen one.

    Args:
        maps_of: Images and seen places to feature maps, computed within ``seen_only``.
        images: Shape (B, C, S, S).
        cells: Which patches are seen, bool, shape (B, 1, G, G).
    """
    found = []
    for noise in (None, torch.Generator().manual_seed(0)):
        seen = SeenPlaces(cells, noise)
        found.append([seen.only(each) for each in maps_of(seen.given(images), seen)])
    return all(
        bool((one - other).abs().max() <= _ROUNDING * one.abs().max())
        for one, other in zip(*found, strict=True)
    )
