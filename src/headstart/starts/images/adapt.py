"""Adapting: the preprocessing a start gets for some data; weights at other sizes and channels.

Grey data into an RGB start needs no new weights: one channel is decoded and repeated in the
network. Where a stem with fewer channels is asked for, its weights are summed over the channels,
which is the same function of a grey image as long as the channels are normalised equally; every
such change is compared with the original on random input before it is used. Position embeddings
and windows are resampled by timm. What cannot be adapted is refused.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.starts.images.timm_starts import resize_input
from headstart.tensors import evaluating
from headstart.types import ImageSpec

SAME_FUNCTION_TOLERANCE = 1e-3


def fit_spec(
    native: ImageSpec,
    *,
    image_size: tuple[int, int] | None,
    image_channels: int | None,
    size: int | None,
    channels: int | None,
) -> ImageSpec:
    """Return the preprocessing for some data.

    Args:
        native: What the weights were trained with.
        image_size: Height and width of the data, in pixels, if known.
        image_channels: 1 for grey data, otherwise 3, if known.
        size: Side of the network input, in pixels; None for the native one.
        channels: Channels of the stem; None for the native ones. Going to one channel averages
            mean and std.

    Returns:
        ``size`` as asked; ``decode_size`` no larger than the data; ``decode_channels`` 1 for grey
        data, otherwise the channels of the network.
    """
    side = size or native.size
    wanted = channels or native.channels
    mean, std = native.mean, native.std
    if wanted < native.channels:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    elif wanted > native.channels:
        mean, std = mean * wanted, std * wanted
    return replace(
        native,
        size=side,
        channels=wanted,
        mean=mean,
        std=std,
        decode_size=side if image_size is None else max(1, min(side, *image_size)),
        decode_channels=1 if image_channels == 1 else wanted,
    )


def carry_over(
    source: nn.Module, network: nn.Module, native: ImageSpec, spec: ImageSpec, address: str
) -> None:
    """Copy the weights of one network into the same network at another size or with other channels.

    Args:
        source: Network with the weights, at its native size; it is changed.
        network: The same network built for ``spec``; receives the weights.
        native: Preprocessing of ``source``.
        spec: Preprocessing of ``network``.
        address: Names the start in a refusal.

    Raises:
        StartError: If a tensor cannot be adapted, or the adapted stem is another function.
    """
    if spec.size != native.size:
        resize_input(source, spec.size, address)
    have, want = source.state_dict(), network.state_dict()
    adapted: dict[str, Tensor] = {}
    for name, tensor in want.items():
        value = have.get(name)
        if value is not None and value.shape != tensor.shape:
            value = change_channels(value, native.channels, spec.channels)
        if value is None or value.shape != tensor.shape:
            found = "none" if name not in have else tuple(have[name].shape)
            raise StartError(
                f"'{address}' works at {native.size} pixels and {native.channels} channels only: "
                f"at {spec.size} pixels and {spec.channels} channels its '{name}' would need shape "
                f"{tuple(tensor.shape)} (it has {found}). Choose size {native.size}."
            )
        adapted[name] = value
    network.load_state_dict(adapted)
    if spec.channels != native.channels:
        _check_same_function(source, network, native.channels, spec, address)


def change_channels(weight: Tensor, channels: int, wanted: int) -> Tensor:
    """Return stem weights for another number of input channels.

    Three to one: summed over the channels, so that a grey image gives what the same image repeated
    three times gave. One to three: repeated and divided by three, so that an RGB image gives what
    the mean of its channels gave. Stems that fold pixels into channels keep the colour as their
    fastest index, as in timm.

    Args:
        weight: Convolution weights, shape (O, I, kernel, kernel).
        channels: Channels of the image that the weights were made for.
        wanted: Channels of the image that they are needed for.
    """
    if weight.ndim != 4 or channels == wanted or weight.shape[1] % channels:
        return weight
    num_out, num_in, height, width = weight.shape
    split = weight.reshape(num_out, num_in // channels, channels, height, width)
    if wanted == 1:
        return split.sum(dim=2)
    if channels == 1:
        repeated = split.expand(-1, -1, wanted, -1, -1) / wanted
        return repeated.reshape(num_out, num_in * wanted, height, width)
    return weight


def _check_same_function(
    source: nn.Module, network: nn.Module, channels: int, spec: ImageSpec, address: str
) -> None:
    """Refuse a changed stem that does not give what the original gives on a grey image."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.randn(1, 1, spec.size, spec.size, generator=generator)
    with evaluating(source), evaluating(network):
        before = source(grey.expand(-1, channels, -1, -1))
        after = network(grey.expand(-1, spec.channels, -1, -1))
    scale = before.abs().max().clamp_min(1e-6)
    if not (before - after).abs().max() <= SAME_FUNCTION_TOLERANCE * scale:
        raise StartError(
            f"The stem of '{address}' cannot be taken from {channels} to {spec.channels} channels: "
            f"the result differs on a grey image. Leave channels at {channels}; grey images are "
            f"repeated to fit."
        )
