"""Further image starts for the zoo of ``zoo.py``: networks whose weights lie in a folder of files.

``install()`` puts one row into the table of providers for the time of a benchmark: the addresses
``zoo/…`` are then starts like any other. The files are those of ``HEADSTART_DATA/weights-image``
(its README tells their layouts and sources); the batch norms of the MobileNets and of SqueezeNet
are folded into their convolutions. Left out: saving and opening runs of these starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.preprocessing import ImagePreprocess
from headstart.starts import BuildRequest, Encoder
from headstart.starts.addresses import Address
from headstart.starts.architecture import write_architecture
from headstart.starts.images.adapt import fit_spec
from headstart.starts.provider import FormerRun, Provider, matches
from headstart.starts.providers import PROVIDERS
from headstart.types import ImageSpec, Start

V1_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
V2_ROWS = ((1, 1, 1), (2, 6, 2), (3, 6, 2), (4, 6, 2), (3, 6, 1), (3, 6, 2), (1, 6, 1))
HALF, IMAGENET = ((0.5,) * 3, (0.5,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = ((123 / 255, 117 / 255, 104 / 255), (1 / 255,) * 3)
Norm = tuple[tuple[float, ...], tuple[float, ...]]


class Same(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, which is uneven where the stride is 2."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the convolution of images (B, C, H, W)."""
        (side, _), (step, _) = self.kernel_size, self.stride
        pads = [max((-(-n // step) - 1) * step + side - n, 0) for n in images.shape[:1:-1]]
        padded = F.pad(images, [p for n in pads for p in (n // 2, n - n // 2)])
        return super().forward(padded)


class Separable(nn.Module):
    """Depthwise, then pointwise, each with ReLU6."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.dw = Same(before, before, 3, stride, groups=before)
        self.pw = Same(before, after, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, after, H / stride, W / stride)."""
        return F.relu6(self.pw(F.relu6(self.dw(images))))


class Inverted(nn.Module):
    """A block of MobileNet V2: wide inside, the last convolution without an activation."""

    def __init__(self, before: int, after: int, stride: int, widening: int) -> None:
        super().__init__()
        inner = before * widening
        self.expand = Same(before, inner, 1) if widening > 1 else None
        self.dw = Same(inner, inner, 3, stride, groups=inner)
        self.project = Same(inner, after, 1)
        self.is_residual = stride == 1 and before == after

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, after, H / stride, W / stride)."""
        x = images if self.expand is None else F.relu6(self.expand(images))
        x = self.project(F.relu6(self.dw(x)))
        return images + x if self.is_residual else x


class Pooled(nn.Module):
    """A stem, blocks and perhaps a last convolution; features are the mean over places.

    All of them stand in one list, so that each is a layer of its own to whoever freezes some.
    """

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], head: nn.Module | None) -> None:
        super().__init__()
        self.body = nn.ModuleList([stem, *blocks, *([] if head is None else [head])])
        self.num_blocks = len(blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, D) of normalised images (B, 3, S, S)."""
        x = images
        for place, layer in enumerate(self.body):
            x = layer(x)
            if not 0 < place <= self.num_blocks:
                x = self.activate(x)
        return x.mean(dim=(2, 3))

    def activate(self, x: Tensor) -> Tensor:
        """Return what follows the first and the last convolution."""
        return F.relu6(x)


class Fire(nn.Module):
    """Squeeze, then 1x1 and 3x3 side by side; a max-pool before where SqueezeNet has one."""

    def __init__(self, before: int, squeezed: int, each: int, is_pooled: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, each, 1)
        self.expand3x3 = nn.Conv2d(squeezed, each, 3, padding=1)
        self.is_pooled = is_pooled

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 2 each, H, W)."""
        x = F.max_pool2d(images, 3, 2, ceil_mode=True) if self.is_pooled else images
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], dim=1)


class Squeeze(Pooled):
    """SqueezeNet 1.1 without its classifier."""

    def activate(self, x: Tensor) -> Tensor:
        """Return a ReLU."""
        return F.relu(x)


class Basic(nn.Module):
    """A block of a CIFAR ResNet; a shortcut that changes shape skips places and adds zeros."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.added = stride, after - before

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, after, H / stride, W / stride)."""
        x = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images)))))
        kept = images[:, :, :: self.stride, :: self.stride]
        half = self.added // 2
        return F.relu(x + F.pad(kept, (0, 0, 0, 0, half, self.added - half)))


class CifarStem(nn.Sequential):
    """Convolution and batch norm."""


class CifarResNet(Pooled):
    """He et al. 2015, §4.2, option A."""

    def activate(self, x: Tensor) -> Tensor:
        """Return a ReLU."""
        return F.relu(x)


def mobilenet_v1(tensors: dict[str, Tensor]) -> nn.Module:
    """Build MobileNet V1 at the widths of its weights."""
    widths = [int(tensors[f"pw.{i}.weight"].shape[0]) for i in range(13)]
    first = int(tensors["stem.weight"].shape[0])
    befores = [first, *widths[:-1]]
    blocks: list[nn.Module] = [
        Separable(b, a, s) for b, a, s in zip(befores, widths, V1_STRIDES, strict=True)
    ]
    network = Pooled(Same(3, first, 3, 2), blocks, None)

    def renamed(name: str) -> str:
        kind, _, rest = name.partition(".")
        if kind == "stem":
            return name
        place, _, what = rest.partition(".")
        return f"blocks.{place}.{kind}.{what}"

    return _filled(network, {renamed(n): t for n, t in tensors.items() if n[:2] != "fc"})


def mobilenet_v2(tensors: dict[str, Tensor]) -> nn.Module:
    """Build MobileNet V2 1.0."""
    strides = [s if i == 0 else 1 for n, _, s in V2_ROWS for i in range(n)]
    widenings = [t for n, t, _ in V2_ROWS for _ in range(n)]
    afters = [int(tensors[f"blocks.{i}.project.weight"].shape[0]) for i in range(17)]
    befores = [int(tensors["stem.weight"].shape[0]), *afters[:-1]]
    rows = zip(befores, afters, strides, widenings, strict=True)
    head = Same(afters[-1], int(tensors["head.weight"].shape[0]), 1)
    network = Pooled(Same(3, befores[0], 3, 2), [Inverted(*row) for row in rows], head)
    return _filled(network, {n: t for n, t in tensors.items() if n[:2] != "fc"})


def squeezenet(tensors: dict[str, Tensor]) -> nn.Module:
    """Build SqueezeNet 1.1; its weights read blue first, ours red."""
    blocks: list[nn.Module] = []
    renamed = {}
    for place in range(2, 10):
        squeeze = tensors[f"fire{place}.squeeze.weight"]
        each = int(tensors[f"fire{place}.expand1x1.weight"].shape[0])
        pooled = place in (2, 4, 6)  # after conv1, fire3 and fire5
        blocks.append(Fire(int(squeeze.shape[1]), int(squeeze.shape[0]), each, pooled))
        for part in ("squeeze", "expand1x1", "expand3x3"):
            for what in ("weight", "bias"):
                name = f"fire{place}.{part}.{what}"
                renamed[f"blocks.{place - 2}.{part}.{what}"] = tensors[name]
    network = Squeeze(nn.Conv2d(3, 64, 3, 2), blocks, None)
    renamed["stem.weight"] = tensors["conv1.weight"].flip(1)
    renamed["stem.bias"] = tensors["conv1.bias"]
    return _filled(network, renamed)


def cifar_resnet(tensors: dict[str, Tensor]) -> nn.Module:
    """Build a CIFAR ResNet as deep as its weights."""
    depth = len({n.split(".")[1] for n in tensors if n.startswith("layer1.")})
    blocks: list[nn.Module] = []
    for stage, width in enumerate((16, 32, 64)):
        for place in range(depth):
            is_first = place == 0 and stage > 0
            blocks.append(Basic(width // 2 if is_first else width, width, 2 if is_first else 1))
    stem = CifarStem(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16))
    renamed = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if first.startswith("layer"):
            place, _, what = rest.partition(".")
            at = (int(first[5:]) - 1) * depth + int(place)
            renamed[f"blocks.{at}.{what}"] = tensor
        elif first in ("conv1", "bn1"):
            renamed[f"stem.{0 if first == 'conv1' else 1}.{rest}"] = tensor
    return _filled(CifarResNet(stem, blocks, None), renamed)


def _filled(network: Pooled, tensors: dict[str, Tensor]) -> nn.Module:
    """Load tensors that are named ``stem``, ``blocks.<i>`` and ``head``."""
    renamed = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        place, what = 0 if part == "stem" else network.num_blocks + 1, rest
        if part == "blocks":
            number, _, what = rest.partition(".")
            place = int(number) + 1
        renamed[f"body.{place}.{what}"] = tensor.float()
    network.load_state_dict(renamed)
    return network


@dataclass(frozen=True)
class ZooModel:
    """One file.

    Attributes:
        file: Its name, without the suffix.
        build: Its tensors to a network.
        norm: Mean and standard deviation of the input.
        size: Side of the input it was trained at.
        licence: As its metadata says.
        pretrained_on: Name of the data.
    """

    file: str
    build: Callable[[dict[str, Tensor]], nn.Module]
    norm: Norm
    size: int
    licence: str
    pretrained_on: str


_APACHE, _BSD, _NET, _CIFAR = "apache-2.0", "bsd-2-clause", "ImageNet-1k", "CIFAR-10"
ZOO = {
    "mobilenet-v1-025": ZooModel("mobilenet_v1_025_128", mobilenet_v1, HALF, 128, _APACHE, _NET),
    "mobilenet-v1-050": ZooModel("mobilenet_v1_050_160", mobilenet_v1, HALF, 160, _APACHE, _NET),
    "mobilenet-v1-075": ZooModel("mobilenet_v1_075_192", mobilenet_v1, HALF, 192, _APACHE, _NET),
    "mobilenet-v1-100": ZooModel(
        "mobilenet_v1_100_224_features", mobilenet_v1, HALF, 224, _APACHE, _NET
    ),
    "mobilenet-v2": ZooModel("mobilenet_v2_100_224", mobilenet_v2, HALF, 224, _APACHE, _NET),
    "squeezenet-1.1": ZooModel("squeezenet_v1_1_227", squeezenet, CAFFE, 227, _BSD, _NET),
    "cifar-resnet20": ZooModel("resnet20_cifar10", cifar_resnet, IMAGENET, 32, _BSD, _CIFAR),
    "cifar-resnet32": ZooModel("resnet32_cifar10", cifar_resnet, IMAGENET, 32, _BSD, _CIFAR),
    "cifar-resnet44": ZooModel("resnet44_cifar10", cifar_resnet, IMAGENET, 32, _BSD, _CIFAR),
    "cifar-resnet56": ZooModel("resnet56_cifar10", cifar_resnet, IMAGENET, 32, _BSD, _CIFAR),
}


class ZooProvider(Provider):
    """``zoo/<name>``: the files of a folder."""

    modality: ClassVar[str] = "image"
    prefixes: ClassVar[tuple[str, ...]] = ("zoo/",)

    def owns(self, address: Address) -> bool:
        """Return whether it names one of the files."""
        return address.text.removeprefix("zoo/") in ZOO

    def addresses(self, text: str) -> Sequence[str]:
        """Return all of them."""
        return [f"zoo/{name}" for name in ZOO]

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield those that fit."""
        for name in ZOO:
            if matches(f"zoo/{name}", like):
                yield _described(name)

    def find(self, address: Address) -> Start:
        """Return the start of that name."""
        return _described(address.text.removeprefix("zoo/"))

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the network with the weights of its file."""
        assert start.image is not None
        network = ZOO[start.address.removeprefix("zoo/")].build(_tensors(start.address))
        spec = fit_spec(
            start.image,
            image_size=request.image_size,
            image_channels=request.image_channels,
            size=request.size,
            channels=None,
        )
        preprocess = ImagePreprocess(spec, request.column)
        architecture = write_architecture("zoo", {}, start, preprocess.to_json())
        return Encoder(network, start=start, preprocess=preprocess, architecture=architecture)


def install() -> None:
    """Make the zoo's addresses starts like any other, in this process."""
    PROVIDERS["zoo"] = ZooProvider()


def _folder() -> Path:
    return Path(os.environ["HEADSTART_DATA"]) / "weights-image"


def _tensors(address: str) -> dict[str, Tensor]:
    return dict(load_file(_folder() / f"{ZOO[address.removeprefix('zoo/')].file}.safetensors"))


def _described(name: str) -> Start:
    model = ZOO[name]
    mean, std = model.norm
    tensors = _tensors(f"zoo/{name}")
    heads = ("fc", "linear", "conv10")
    num = sum(
        t.numel()
        for n, t in tensors.items()
        if not n.startswith(heads) and "running" not in n and "num_batches" not in n
    )
    return Start(
        address=f"zoo/{name}",
        family="convnet",
        modality="image",
        num_parameters=num,
        licence=model.licence,
        pretrained_on=model.pretrained_on,
        objective="supervised",
        image=ImageSpec(model.size, 3, mean, std, "bilinear", model.size, 3),
        is_local=True,
    )
