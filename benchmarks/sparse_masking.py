"""Whether a ConvNet can leave hidden patches out exactly, as a vision transformer does.

    python benchmarks/sparse_masking.py                 # seconds

A dense convolution over an image with holes sees the holes. SparK (Tian et al., ICLR 2023) computes
where something is seen and nowhere else; with dense kernels that is: after each layer, what lies at
hidden places is set to zero, and BatchNorm takes its statistics from seen places alone. Three
figures for each network, random weights, 60 % of the cells of the last feature map hidden:

- **leaks**: how much the outputs at seen cells change when only hidden pixels change (largest
  change over the outputs' spread), plain and with zeros after each layer;
- **statistics**: how far BatchNorm over all places is from BatchNorm over seen places, at the
  outputs (mean change over their spread), zeros after each layer in both;
- **whole cells**: whether the feature map divides the image, so that a cell is hidden or seen as a
  whole at every depth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timing import markdown_table
from torch import Tensor, nn

from headstart.starts import BuildRequest, build_encoder, find_start

CASES = (
    ("scratch/simple-cnn", 28),
    ("scratch/resnet18", 28),
    ("scratch/resnet18", 32),
    ("scratch/efficientnet_lite0", 64),
)
BATCH, HIDDEN = 64, 0.6
MAPS = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d)


def feature_maps(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the outputs of all layers that give maps, in the order in which they run."""
    found: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda _m, _i, out: found.append(out))
        for m in network.modules()
        if isinstance(m, MAPS)
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return [each for each in found if each.ndim == 4]


def at_size(mask: Tensor, side: int) -> Tensor:
    """Return a mask of cells, shape (B, 1, G, G), for maps of another side."""
    return nn.functional.interpolate(mask, size=(side, side), mode="nearest")


@contextmanager
def zeros_after_layers(network: nn.Module, mask: Tensor, *, seen_only: bool) -> Iterator[None]:
    """Set what lies at hidden places to zero after each layer; BatchNorm of all or of seen."""

    def clean(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        here = at_size(mask, out.shape[-1])
        if seen_only and isinstance(module, nn.BatchNorm2d):
            values, num = given[0], here.sum()
            mean = (values * here).sum(dim=(0, 2, 3), keepdim=True) / num
            variance = ((values - mean).square() * here).sum(dim=(0, 2, 3), keepdim=True) / num
            out = (values - mean) / (variance + module.eps).sqrt()
            out = out * module.weight[None, :, None, None] + module.bias[None, :, None, None]
        return out * here

    hooks = [m.register_forward_hook(clean) for m in network.modules() if isinstance(m, MAPS)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def measure(address: str, size: int) -> list[str]:
    """Return a row of the table."""
    torch.manual_seed(0)
    request = BuildRequest(image_size=(size, size), image_channels=3)
    network = build_encoder(find_start(address), request).network.train()
    images = torch.randn(BATCH, 3, size, size)
    with torch.no_grad():
        side = feature_maps(network, images)[-1].shape[-1]
        mask = (torch.rand(BATCH, 1, side, side) > HIDDEN).float()
        other = torch.where(at_size(mask, size) > 0, images, torch.randn_like(images))

        def last(pixels: Tensor) -> Tensor:
            return feature_maps(network, pixels * at_size(mask, size))[-1]

        def change(a: Tensor, b: Tensor) -> Tensor:
            return (a - b).abs() * at_size(mask, side) / b[:, :, :, :].std()

        plain = float(
            change(feature_maps(network, images)[-1], feature_maps(network, other)[-1]).max()
        )
        with zeros_after_layers(network, mask, seen_only=True):
            seen = last(images)
            sparse = float(change(seen, last(other)).max())
        with zeros_after_layers(network, mask, seen_only=False):
            everywhere = last(images)
        gap = float(change(everywhere, seen).sum() / at_size(mask, side).sum() / seen.shape[1])
    is_whole = size % side == 0
    return [
        f"{address}, {size} px",
        f"{side} x {side}",
        "yes" if is_whole else f"no ({size / side:.2f} pixels a cell)",
        f"{plain:.2f}",
        f"{sparse:.2g}",
        f"{gap:.2f}",
    ]


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    head = ["network", "last map", "whole cells", "leak, plain", "leak, zeros", "BatchNorm of all"]
    print(markdown_table(head, [measure(*case) for case in CASES]))


if __name__ == "__main__":
    main()
