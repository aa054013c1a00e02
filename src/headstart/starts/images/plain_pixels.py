"""Small pictures and the edges in them, for a linear head: what an image says without a network.

Nothing in it learns, no library is read for it, and a pass takes next to nothing: the model that
can be used first, on a machine that others keep busy the only one, and what a network must beat.

Left out: waves of a kernel, which tell digits and clothes better and photos worse
(docs/experiments.md, "A linear model of images").

Source: N. Dalal and B. Triggs, 2005, Histograms of Oriented Gradients for Human Detection; without
overlapping blocks, with the square root of the histograms, and an edge that lies between two
directions counts for both by a power of its cosine, which any engine computes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import StartError

MOST_SIDE = 32  # larger images are brought to it
_PICTURE_SIDE, _CELLS = 16, 8  # at the most: sides of the small picture, and of the grid of cells
_DIRECTIONS = 8
_POWER = 6  # of the cosine: an edge half way between two directions counts 0.6 for each
_EPS = 1e-6


class PlainPixels(nn.Module):
    """Means over small windows, and how strong edges of eight directions are in each cell.

    Args:
        channels: Input channels.
        size: Side of the square input, in pixels.
    """

    axes: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        turns = torch.arange(_DIRECTIONS) * (2 * math.pi / _DIRECTIONS)
        axes = torch.stack([torch.cos(turns), torch.sin(turns)])
        self.register_buffer("axes", axes.view(2, _DIRECTIONS, 1, 1), persistent=False)
        self.window, self.cell = math.ceil(size / _PICTURE_SIDE), math.ceil(size / _CELLS)
        picture, cells = math.ceil(size / self.window), math.ceil(size / self.cell)
        self.num_features = channels * picture**2 + _DIRECTIONS * cells**2

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, D) of normalised images (B, C, S, S)."""
        grey = F.pad(images.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        across = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
        down = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
        strength = torch.sqrt(across * across + down * down + _EPS)
        along = F.relu(across * self.axes[0] + down * self.axes[1]) / strength
        edges = _means(strength * along**_POWER, self.cell)
        return torch.cat([_means(images, self.window), torch.sqrt(edges + _EPS)], dim=1)


def _means(maps: Tensor, window: int) -> Tensor:
    """Return the means over windows of maps (B, C, S, S), flat, the last ones as far as they go."""
    pooled = F.avg_pool2d(maps, window, ceil_mode=True, count_include_pad=False)
    return torch.flatten(pooled, 1)


def build_plain_pixels(channels: int, size: int, drop_path: float) -> nn.Module:
    """Build ``PlainPixels``.

    Raises:
        StartError: If stochastic depth is asked for, which it has no blocks for.
    """
    if drop_path:
        raise StartError(
            f"'scratch/pixels' has no stochastic depth (drop_path {drop_path}). Set drop_path 0, "
            f"or choose 'scratch/resnet18'."
        )
    return PlainPixels(channels, size)
