"""Starts that nothing was learned for: ConvNets, transformers, and pixels without a network.

They take their input size from the data, because nothing was trained at another one: images of at
most 64 pixels keep their size; larger ones are brought to at most 128. Normalisation is the fixed
(x - 0.5) / 0.25, so that no figure of the data has to travel with the weights. Any timm
architecture can be had at random too (``scratch/<name>``); ``timm_starts.py`` builds those.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.starts.images.plain_pixels import MOST_SIDE
from headstart.starts.images.quick_cnn import WIDTHS, quick_cnn_options
from headstart.types import Family, ImageSpec, Start

SMALL_SIDE = 64  # at most this many pixels: images keep their size, ResNet gets the CIFAR stem
LARGE_SIDE = 128  # larger images are brought to at most this
LEAST_SIDE = 8
POOLED_SIDE = 7
MEAN, STD = 0.5, 0.25
MINI_BLOCKS = 6

PIXELS = "pixels"
NAMED: dict[str, Family] = {
    PIXELS: "linear",
    "simple-cnn": "convnet",
    **dict.fromkeys(WIDTHS, "convnet"),
    "resnet18": "convnet",
    "vit-tiny": "vit",
    "vit-mini": "vit",
}
# Width and heads of the vision transformers, in timm's words.
VIT_SHAPES: dict[str, dict[str, Any]] = {
    "vit-tiny": {"embed_dim": 192, "num_heads": 3},
    "vit-mini": {"embed_dim": 96, "num_heads": 3},
}


class SimpleCNN(nn.Module):
    """The textbook two-convolution MNIST network without its last layer.

    conv 32 3x3 → ReLU → max-pool 2 → conv 64 3x3 → ReLU → max-pool 2 → flatten → dense 128 → ReLU;
    the dense layer to K classes is the head. At 28 x 28 it is exactly that network (5 x 5 x 64 =
    1600 → 128). Deviations elsewhere: below 12 pixels the convolutions pad by 1, so that something
    is left to pool; where more than 7 x 7 would be flattened, an average pool brings it to at most
    7 x 7, so that the dense layer stays bounded.

    Args:
        channels: Input channels.
        size: Side of the square input, in pixels.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        padding = 1 if size < 12 else 0
        loss = 2 - 2 * padding
        side = ((size - loss) // 2 - loss) // 2
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=padding)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=padding)
        self.window = max(1, math.ceil(side / POOLED_SIDE))
        self.dense = nn.Linear(64 * math.ceil(side / self.window) ** 2, 128)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 128) of normalised images (B, C, S, S)."""
        # pooling first is the same function, with a quarter of the work for the activation
        x = F.relu(F.max_pool2d(self.conv1(images), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        if self.window > 1:
            # Plain windows rather than adaptive ones: their gradient is deterministic on a GPU.
            x = F.avg_pool2d(x, self.window, ceil_mode=True, count_include_pad=False)
        return F.relu(self.dense(torch.flatten(x, 1)))


def build_simple_cnn(channels: int, size: int, drop_path: float) -> nn.Module:
    """Build ``SimpleCNN``.

    Raises:
        StartError: If stochastic depth is asked for, which it has no blocks for.
    """
    if drop_path:
        raise StartError(
            f"'scratch/simple-cnn' has no stochastic depth (drop_path {drop_path}). Set drop_path "
            f"0, or choose 'scratch/resnet18'."
        )
    return SimpleCNN(channels, size)


def build_resnet18(channels: int, size: int, drop_path: float, small_stem: bool) -> nn.Module:
    """Build a ResNet-18, with the CIFAR stem for small images.

    Args:
        channels: Input channels.
        size: Side of the square input, in pixels; the network itself takes any.
        drop_path: Rate of stochastic depth, in [0, 1).
        small_stem: 3x3 convolution with stride 1 and no max-pool, instead of 7x7 with stride 2.

    Source: He et al. 2015 (arXiv 1512.03385), §4.2 for the small stem.
    """
    from timm.models.resnet import resnet18

    del size
    network = resnet18(num_classes=0, in_chans=channels, drop_path_rate=drop_path)
    if small_stem:
        stem = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        network.conv1, network.maxpool = stem, nn.Identity()
    assert isinstance(network, nn.Module)
    return network


def build_vit_tiny(
    channels: int, size: int, drop_path: float, patch_size: int, num_blocks: int
) -> nn.Module:
    """Build a vision transformer of width 192 with 3 heads and average pooling.

    Args:
        channels: Input channels.
        size: Side of the square input, in pixels, a multiple of ``patch_size``.
        drop_path: Rate of stochastic depth, in [0, 1).
        patch_size: Side of a patch, in pixels.
        num_blocks: Number of transformer blocks.

    Raises:
        StartError: If the size is no multiple of the patch.
    """
    return _vit("vit-tiny", channels, size, drop_path, patch_size, num_blocks)


def build_vit_mini(
    channels: int, size: int, drop_path: float, patch_size: int, num_blocks: int
) -> nn.Module:
    """Build one of width 96, whose steps a CPU takes in a fifth of the time; see ``vit-tiny``.

    Raises:
        StartError: If the size is no multiple of the patch.
    """
    return _vit("vit-mini", channels, size, drop_path, patch_size, num_blocks)


def _vit(
    name: str, channels: int, size: int, drop_path: float, patch_size: int, num_blocks: int
) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    from headstart.starts.images.timm_starts import check_patches

    network = VisionTransformer(
        img_size=size,
        patch_size=patch_size,
        in_chans=channels,
        num_classes=0,
        depth=num_blocks,
        class_token=False,
        global_pool="avg",
        drop_path_rate=drop_path,
        **VIT_SHAPES[name],
    )
    check_patches(network, size, f"scratch/{name}")
    assert isinstance(network, nn.Module)
    return network


def vit_patch_size(size: int) -> int:
    """Return the patch for an image size: 4 up to 36 pixels, 8 up to 72, 16 above."""
    return 4 if size <= 36 else 8 if size <= 72 else 16


def vit_num_blocks(size: int) -> int:
    """Return the number of blocks: 12, or 6 where 16 pixels or fewer give at most 16 patches."""
    return 6 if size <= 16 else 12


def size_of_data(image_size: tuple[int, int] | None, address: str) -> int:
    """Return the input size that the data asks for.

    Args:
        image_size: Height and width of the data, in pixels.
        address: Names the start in a refusal.

    Returns:
        The shorter side up to 64 pixels (at least 8); above, a multiple of 16 of at most 128.

    Raises:
        StartError: If the size of the data is not known.
    """
    if image_size is None:
        raise StartError(
            f"'{address}' takes its input size from the data, and the image size is not known. "
            f"Give the size in pixels, for example size=32."
        )
    side = min(image_size)
    return max(LEAST_SIDE, side) if side <= SMALL_SIDE else min(LARGE_SIDE, side // 16 * 16)


def scratch_options(
    name: str,
    address: str,
    image_size: tuple[int, int] | None,
    size: int | None,
    channels: int,
) -> tuple[str, dict[str, int | float | str | bool], int]:
    """Return builder, options that depend on the images, and the size, of ``scratch/<name>``.

    Args:
        name: One of ``NAMED`` or a timm architecture.
        address: Names the start in a refusal.
        image_size: Height and width of the data, in pixels.
        size: The size asked for, or None to take it from the data.
        channels: Of the network's input.

    Raises:
        StartError: If neither size is known.
    """
    side = size_of_data(image_size, address) if size is None else size
    if name == "simple-cnn":
        return name, {}, side
    if name == PIXELS:
        return name, {}, min(MOST_SIDE, side) if size is None else side
    if name in WIDTHS:
        return "quick-cnn", quick_cnn_options(name, side, channels), side
    if name == "resnet18":
        return name, {"small_stem": side <= SMALL_SIDE}, side
    if name in VIT_SHAPES:
        patch = vit_patch_size(side)
        side = _multiple(side, patch) if size is None else side
        num_blocks = vit_num_blocks(side) if name == "vit-tiny" else MINI_BLOCKS
        return name, {"patch_size": patch, "num_blocks": num_blocks}, side
    return "timm", {"name": name}, _timm_size(name, side) if size is None else side


def _multiple(size: int, unit: int) -> int:
    """Return the nearest multiple that is not smaller."""
    return math.ceil(size / unit) * unit


def _timm_size(name: str, side: int) -> int:
    """Return the size for a timm architecture with random weights, near the size of the data.

    At least 32 pixels, since most of them halve the image five times. Transformers get a multiple
    of their patch (of 32 where the name tells none).
    """
    from headstart.starts.images.timm_catalog import family_of

    side = max(32, side)
    if family_of(name) == "convnet":
        return side
    patch = re.search(r"patch(\d+)", name) or re.search(r"_p(\d+)_", name)
    unit = int(patch.group(1)) if patch and "swin" not in name else 32
    return _multiple(side, unit)


def scratch_spec(size: int, channels: int) -> ImageSpec:
    """Return the preprocessing of random weights: (x - 0.5) / 0.25, bilinear resizing."""
    means, stds = (MEAN,) * channels, (STD,) * channels
    return ImageSpec(size, channels, means, stds, "bilinear", size, channels)


def describe_scratch(name: str, family: Family) -> Start:
    """Return the start ``scratch/<name>``; its preprocessing follows from the data later."""
    return Start(
        address=f"scratch/{name}",
        family=family,
        modality="image",
        num_parameters=0,
        licence="none (learned from the data)" if name == PIXELS else "none (random weights)",
        pretrained_on=None,
        objective=None,
        image=None,
        is_local=True,
    )
