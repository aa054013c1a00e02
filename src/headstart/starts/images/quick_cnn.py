"""A small convolutional network that learns quickly from nothing.

Its first layer is learned from some of train's images before the first step and stays as it is:
filters that whiten small patches, each with its negative, so that what follows sees directions of
equal size, and none that the others hold already. Three stages halve the image; what is left is
pooled by the maximum.

Left out, of the source: convolutions that begin as the identity, which learned more slowly under
this optimizer, as shortcuts did (docs/experiments.md), and scaled logits, whose place head and
biases with a rate of their own take.

Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498), and
Page 2019, "How to train your ResNet", for the whitening.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import StartError

# channels of the first stage; the first was chosen on two CPU cores (docs/experiments.md)
WIDTHS = {"quick-cnn-small": 16, "quick-cnn": 32, "quick-cnn-wide": 64}
_EPS = 5e-4  # added to a direction's variance, in squared units of normalised images
_MOST_DIRECTIONS = 12  # of a patch; of larger patches the strongest
_FEW_PIXELS, _SOME_PIXELS = 40, 80  # sides up to which patches are 1 and 2 pixels apart
_STATISTICS = 0.4  # share of a batch in the running mean and variance


class QuickCNN(nn.Module):
    """Whitened patches, three stages of two convolutions, the maximum over what is left.

    Args:
        channels: Input channels.
        width: Channels of the first stage; the others have 4 and 8 times as many.
        kernel_size: Side of the patches that are whitened, in pixels.
        stride: From patch to patch, in pixels.
        num_directions: Directions of the patches that are kept; each gives two filters.
        mirrors: Whether in eval mode the features are the mean of an image's and of its mirror
            image's; a linear head on them gives the mean of both logits.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        kernel_size: int,
        stride: int,
        num_directions: int,
        mirrors: bool = False,
    ) -> None:
        super().__init__()
        self.mirrors = mirrors
        self.stem = Whitening(channels, kernel_size, stride, num_directions)
        self.stage1 = QuickStage(2 * num_directions, width)
        self.stage2 = QuickStage(width, 4 * width)
        self.stage3 = QuickStage(4 * width, 8 * width)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 8 * width) of normalised images (B, C, S, S)."""
        if self.training or not self.mirrors:
            return self._look(images)
        # one after the other: joined, a trace for another engine would freeze the batch
        return (self._look(images) + self._look(images.flip(3))) / 2

    def _look(self, images: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(self.stem(images))))
        features: Tensor = x.amax(dim=(2, 3))
        return features

    def learn_patches(self, images: Tensor) -> None:
        """Learn the first layer: the one part of the network that no step changes.

        Args:
            images: Some of train's, normalised, shape (N, C, S, S).
        """
        self.stem.learn(images)


class Whitening(nn.Module):
    """Filters that whiten patches, each with its negative; then a bias that learns, and GELU.

    Until ``learn`` was called they are random directions at right angles.

    Args:
        channels: Input channels.
        kernel_size: Side of a patch, in pixels.
        stride: From patch to patch, in pixels.
        num_directions: Directions that are kept, at most the numbers of a patch.
    """

    filters: Tensor

    def __init__(self, channels: int, kernel_size: int, stride: int, num_directions: int) -> None:
        super().__init__()
        shape = (num_directions, channels, kernel_size, kernel_size)
        random = nn.init.orthogonal_(torch.empty(num_directions, shape[1] * kernel_size**2))
        # a buffer: saved with the weights, and nothing that any strategy lets learn
        self.register_buffer("filters", _with_negatives(random.view(shape)))
        self.bias = nn.Parameter(torch.zeros(2 * num_directions))
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (B, 2 * num_directions, S', S') of images (B, C, S, S)."""
        return F.gelu(F.conv2d(images, self.filters, self.bias, self.stride))

    @torch.no_grad()
    def learn(self, images: Tensor) -> None:
        """Set the filters to the strongest directions of the patches of some images.

        Args:
            images: Normalised, shape (N, C, S, S). Directions in which they never vary get
                filters as long as a variance of ``_EPS`` would give.
        """
        patches = F.unfold(images, self.kernel_size, stride=self.stride)
        rows = patches.transpose(1, 2).reshape(-1, patches.shape[1]).double()
        variances, directions = torch.linalg.eigh(rows.T @ rows / len(rows))
        scaled = directions / torch.sqrt(variances.clamp_min(0) + _EPS)
        strongest = scaled.T.flip(0)[: len(self.filters) // 2]
        self.filters.copy_(_with_negatives(strongest.float().reshape(-1, *self.filters.shape[1:])))


class QuickStage(nn.Module):
    """Convolution, half the side, convolution; each followed by BatchNorm and GELU.

    Args:
        num_in: Channels that come in.
        num_out: Channels that go out.
    """

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_out, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(num_out, momentum=_STATISTICS)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(num_out, momentum=_STATISTICS)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of half the side; one pixel stays one."""
        x = self.conv1(x)
        if x.shape[-1] > 1:
            x = F.max_pool2d(x, 2)
        x = F.gelu(self.norm1(x))
        return F.gelu(self.norm2(self.conv2(x)))


def _with_negatives(filters: Tensor) -> Tensor:
    return torch.cat([filters, -filters])


def build_quick_cnn(
    channels: int,
    size: int,
    drop_path: float,
    width: int,
    kernel_size: int,
    stride: int,
    num_directions: int,
    mirrors: bool,
) -> nn.Module:
    """Build a ``QuickCNN``.

    Args:
        channels: Input channels.
        size: Side of the square input, in pixels; the network itself takes any.
        drop_path: Must be 0.
        width: Channels of the first stage.
        kernel_size: Side of the patches that are whitened, in pixels.
        stride: From patch to patch, in pixels.
        num_directions: Directions of the patches that are kept.
        mirrors: Whether mirror images count in eval mode.

    Raises:
        StartError: If stochastic depth is asked for, which it has no shortcuts for.
    """
    del size
    if drop_path:
        raise StartError(
            f"'scratch/quick-cnn' has no stochastic depth (drop_path {drop_path}). Set drop_path "
            f"0, or choose 'scratch/resnet18'."
        )
    return QuickCNN(channels, width, kernel_size, stride, num_directions, mirrors)


def quick_cnn_options(name: str, size: int, channels: int) -> dict[str, int | float | str | bool]:
    """Return the builder's own options for some images.

    Small colour images have patches of 2 x 2 pixels as in the source, grey ones of 3 x 3, which
    hold about as many numbers. Patches of larger images lie 2 or 4 pixels apart and overlap by
    half, so that what follows works on about 30 x 30 places.

    Args:
        name: In ``WIDTHS``.
        size: Side of the square input, in pixels.
        channels: Input channels.
    """
    stride = 1 if size <= _FEW_PIXELS else 2 if size <= _SOME_PIXELS else 4
    kernel_size = 2 * stride if stride > 1 else 2 if channels > 1 else 3
    num_directions = min(_MOST_DIRECTIONS, channels * kernel_size**2)
    return {
        "width": WIDTHS[name],
        "kernel_size": kernel_size,
        "stride": stride,
        "num_directions": num_directions,
        "mirrors": False,  # settled with the training (tuning/mirrored.py)
    }
