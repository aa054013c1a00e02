"""Hidden patches of images: what is told of them, and how wrong that was.

Only patches that were hidden count. A target is normalised by the patch's own mean and spread, or
is the pixels themselves. A patch of one colour has no spread: ``LEAST_VARIANCE`` is added to the
variance, so that its target is zero and not noise over nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

# In units of the network's input, in which black and white are 4 apart: two thirds of a grey level.
# MAE adds 1e-6, which makes targets of size one of the noise in an empty patch.
LEAST_VARIANCE = 1e-4
# A patch whose spread is below a hundredth of the input's unit shows nothing.
EMPTY_VARIANCE = 1e-4


def patches_of(images: Tensor, side: int) -> Tensor:
    """Return the patches of images, row by row.

    Args:
        images: Shape (B, C, S, S), S a multiple of ``side``.
        side: Of a patch, in pixels.

    Returns:
        Shape (B, T, C * side * side), channel first: as a convolution's weights lie.
    """
    num, channels, height, width = images.shape
    rows, columns = height // side, width // side
    parted = images.reshape(num, channels, rows, side, columns, side)
    return parted.permute(0, 2, 4, 1, 3, 5).reshape(num, rows * columns, channels * side * side)


def images_of(patches: Tensor, side: int, channels: int) -> Tensor:
    """Return images (B, C, S, S) of their patches, as ``patches_of`` gives them."""
    num, total, _ = patches.shape
    rows = round(total**0.5)
    parted = patches.reshape(num, rows, rows, channels, side, side)
    return parted.permute(0, 3, 1, 4, 2, 5).reshape(num, channels, rows * side, rows * side)


def patch_targets(patches: Tensor, *, is_normalised: bool) -> Tensor:
    """Return what is to be told of patches, shape as theirs.

    Args:
        patches: Shape (B, T, P), as the network sees them.
        is_normalised: Whether each is less its mean, over its spread; else it is told as it is.

    Source:
        He et al., CVPR 2022, section 3, "Reconstruction target"; the least variance is larger.
    """
    if not is_normalised:
        return patches
    mean = patches.mean(dim=-1, keepdim=True)
    variance = patches.var(dim=-1, keepdim=True, unbiased=False)
    return (patches - mean) / (variance + LEAST_VARIANCE).sqrt()


def empty_share(patches: Tensor) -> float:
    """Return the share of patches that show one colour, in [0, 1].

    Args:
        patches: Shape (B, T, P), as the network sees them.
    """
    variance = patches.var(dim=-1, unbiased=False)
    return float((variance < EMPTY_VARIANCE).float().mean())


def chosen(patches: Tensor, places: Tensor) -> Tensor:
    """Return some patches of each image.

    Args:
        patches: Shape (B, T, P).
        places: int64, shape (B, K), which of the T.

    Returns:
        Shape (B, K, P).
    """
    return torch.gather(patches, 1, places[..., None].expand(-1, -1, patches.shape[-1]))


def patch_losses(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of each image, over the numbers of its hidden patches.

    Args:
        predicted: Shape (B, K, P).
        targets: The same shape.

    Returns:
        float32, shape (B,).
    """
    return (predicted.float() - targets.float()).square().mean(dim=(1, 2))
