"""A ConvNet that sees some patches of an image and tells the others, from maps of several sides.

The encoder computes where something is seen (``seen_places``); the decoder fills the rest of each
map with a vector that learns, goes from the coarsest map to finer ones, and is thrown away. A patch
is a place of the coarsest map that divides the image into 6 x 6 or more; of small images finer maps
give the patches, and a place of a coarser one is seen where something under it is.

BatchNorm has two sets of running statistics: those of seen places, by which hidden patches are
told, lie beside the encoder; its own are computed anew from whole images at every check
(``renew``), since whole images are what a fine-tuning shows it.

Source: Tian et al., "Designing BERT for Convolutional Networks" (SparK), ICLR 2023. Deviations: the
decoder ends at the map of 4 pixels a place, has one width and GroupNorm, and each map is normalised
over its channels in place of a BatchNorm; patches of small images are finer than the last map.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.model.reconstruction import PatchTeller, no_patches
from headstart.model.seen_places import SeenPlaces, UnevenMaps, is_exact, norms_of, seen_only
from headstart.objectives.masked_pixels import chosen, patches_of
from headstart.preprocessing import ImagePreprocess
from headstart.starts import Encoder
from headstart.tensors import evaluating
from headstart.training.state.norms import recompute_norms

_LEAST_ALONG = 6  # patches along a side, where a map has as many
_LEAST_SIDE = 4  # of a patch, in pixels, and of a place of the finest map that is read
_FINEST = 4  # times as many places along a side as patches, at the most
_SPREAD = 0.02  # of what is drawn


@dataclass(frozen=True)
class Maps:
    """Which feature maps of a network are read, finest first.

    Attributes:
        names: Of the modules that give them; the last is "", the network's own last map.
        channels: Of each.
        sides: Places along a side of each.
        along: Patches along a side of the image.
    """

    names: tuple[str, ...]
    channels: tuple[int, ...]
    sides: tuple[int, ...]
    along: int


class MapDecoder(nn.Module):
    """From feature maps of seen places to the pixels of an image.

    Args:
        maps: What is read.
        width: Channels of its own.
        num_blocks: Convolutions at each map.
        size: Side of the image, in pixels.
        channels: Of the image.
    """

    def __init__(self, maps: Maps, width: int, num_blocks: int, size: int, channels: int) -> None:
        from timm.layers.norm import LayerNorm2d

        super().__init__()
        self.norms = nn.ModuleList(LayerNorm2d(num) for num in maps.channels)
        self.embeds = nn.ModuleList(nn.Conv2d(num, width, 1) for num in maps.channels)
        self.hidden = nn.ParameterList(
            nn.Parameter(torch.randn(1, width, 1, 1) * _SPREAD) for _ in maps.sides
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(num_blocks))) for _ in maps.sides
        )
        self.each = size // maps.sides[0]  # pixels along a place of the finest map
        self.pixels = nn.Conv2d(width, channels * self.each**2, 1)

    def forward(self, maps: Sequence[Tensor], seen: SeenPlaces) -> Tensor:
        """Return an image (B, C, S, S) as it is told; where it was seen nobody asks.

        Args:
            maps: Finest first, shape (B, C', H, H) each.
            seen: Which places of them are.
        """
        x: Tensor | None = None
        for place in reversed(range(len(maps))):
            own = self.embeds[place](self.norms[place](maps[place]))
            side = own.shape[-1]
            own = torch.where(seen.at(side), own, self.hidden[place].to(own.dtype))
            x = own if x is None else own + _enlarged(x, side)
            x = self.blocks[place](x)
        return nn.functional.pixel_shuffle(self.pixels(x), self.each)


class _Block(nn.Module):
    """A convolution beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(1, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + nn.functional.gelu(self.norm(self.conv(x)))
        return found


def _enlarged(x: Tensor, side: int) -> Tensor:
    """Return a map in which each place stands as often as it takes, cut to a side."""
    times = -(-side // x.shape[-1])
    num, channels, height, width = x.shape
    # expanded and not interpolated, whose gradient is not the same twice on a GPU
    large = x[:, :, :, None, :, None].expand(-1, -1, -1, times, -1, times)
    return large.reshape(num, channels, height * times, width * times)[:, :, :side, :side]


class SparseAutoencoder(PatchTeller):
    """A ConvNet and a decoder that learn from hidden patches.

    Args:
        encoder: A ConvNet of timm, or one built of it; its weights are used as they are.
        decoder_width: Width of the decoder.
        decoder_blocks: Convolutions of it at each map.

    Raises:
        StartError: If the encoder gives no maps, or mixes places in a way that lets hidden ones
            through, or an image of its size has fewer than 4 patches.
    """

    passes_of_a_check = 5
    hidden_fraction = 0.6  # SparK, section 4.1

    def __init__(self, encoder: Encoder, *, decoder_width: int, decoder_blocks: int) -> None:
        preprocess = encoder.preprocess
        assert isinstance(preprocess, ImagePreprocess)
        spec = preprocess.spec
        self._maps = maps_of(encoder)
        super().__init__(encoder, spec, spec.size // self._maps.along)
        self.decoder = MapDecoder(
            self._maps, decoder_width, decoder_blocks, spec.size, spec.channels
        )
        norms = norms_of(encoder.network)
        self._norms = list(norms)
        self.least_batch = 2 if norms else 1  # statistics of one place are none
        # of seen places: the encoder's own are of whole images
        self.seen = nn.ModuleList(_statistics_of(norm) for norm in norms.values())
        self._require_exact(spec.size, spec.channels)

    def forward(self, images: Tensor, order: Tensor, num_seen: int) -> Tensor:
        """Return what is told of the hidden patches, shape (B, T - K, P).

        Args:
            images: Normalised, shape (B, C, S, S).
            order: int64, shape (B, T), all patches, the visible ones first.
            num_seen: K.
        """
        seen = SeenPlaces(self._cells(order, num_seen))
        maps = self.visible(images, seen)
        told = patches_of(self.decoder(maps, seen), self.side)
        return chosen(told, order[:, num_seen:])

    def visible(self, images: Tensor, seen: SeenPlaces) -> list[Tensor]:
        """Return the maps that are read, finest first; what they hold at hidden places is nothing.

        Args:
            images: Normalised, shape (B, C, S, S).
            seen: Which places are.
        """
        network: Any = self.encoder.network
        statistics = dict(zip(self._norms, self.seen, strict=True))
        images = images.contiguous(memory_format=torch.channels_last)
        with seen_only(network, statistics, seen), _kept(network, self._maps.names) as found:
            found[""] = network.forward_features(images)
        return [seen.only(found[name]) for name in self._maps.names]

    def renew(self, batches: Iterable[Tensor]) -> None:
        """Compute the encoder's running statistics anew, from whole images."""
        recompute_norms(self.encoder, ((images,) for images in batches))

    def _cells(self, order: Tensor, num_seen: int) -> Tensor:
        """Return which patches are seen, bool, shape (B, 1, G, G)."""
        cells = torch.zeros(order.shape, dtype=torch.bool, device=order.device)
        cells.scatter_(1, order[:, :num_seen], True)
        return cells.view(len(order), 1, self._maps.along, -1)

    def _require_exact(self, size: int, channels: int) -> None:
        """Refuse an encoder that lets something of hidden patches through."""
        draws = torch.Generator().manual_seed(0)
        images = torch.randn(2, channels, size, size, generator=draws)
        order = torch.stack([torch.randperm(self.num_patches, generator=draws) for _ in range(2)])
        cells = self._cells(order, self.num_patches // 2)
        try:
            with evaluating(self), _speaking(self.encoder.network, draws):
                if is_exact(self.visible, images, cells):
                    return
        except UnevenMaps as error:
            raise _uneven(self.encoder, size, str(error)) from error
        raise no_patches(self.encoder, "a layer of it that is no convolution mixes places")


def _statistics_of(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Return what keeps running statistics as a BatchNorm does, beginning with its own."""
    kept = nn.BatchNorm2d(norm.num_features, affine=False)
    if norm.running_mean is not None and norm.running_var is not None:
        kept.load_state_dict(
            {"running_mean": norm.running_mean, "running_var": norm.running_var}, strict=False
        )
    return kept


def maps_of(encoder: Encoder) -> Maps:
    """Return which maps of a ConvNet are read, and what is a patch.

    Raises:
        StartError: If it gives no maps, or an image of its size has fewer than 4 patches.
    """
    network: Any = encoder.network
    preprocess = encoder.preprocess
    assert isinstance(preprocess, ImagePreprocess)
    size = preprocess.spec.size
    named = getattr(network, "feature_info", None)
    if encoder.start.family != "convnet" or not named:
        raise no_patches(encoder, "it gives no feature maps by name")
    names = [str(one["module"]) for one in named]
    images = torch.zeros(2, preprocess.spec.channels, size, size)
    with evaluating(network), _kept(network, names) as found:
        found[""] = network.forward_features(images)
    of_side = {each.shape[-1]: name for name, each in found.items() if each.ndim == 4}
    whole = sorted(s for s in of_side if size % s == 0 and size // s >= _LEAST_SIDE)
    if found[""].ndim != 4 or not whole or whole[-1] < 2:
        least = f"{_LEAST_SIDE} x {_LEAST_SIDE} pixels or more"
        raise _uneven(encoder, size, f"no feature map divides that into 4 patches of {least}")
    along = next((side for side in whole if side >= _LEAST_ALONG), whole[-1])
    finest = max(s for s in whole if s % along == 0 and s <= _FINEST * along)
    sides = sorted((s for s in of_side if s <= finest), reverse=True)
    channels = tuple(found[of_side[side]].shape[1] for side in sides)
    return Maps(tuple(of_side[side] for side in sides), channels, tuple(sides), along)


def _uneven(encoder: Encoder, size: int, why: str) -> StartError:
    """Return the refusal of a size that patches do not lie in, map by map."""
    return StartError(
        f"'{encoder.start.address}' takes {size} x {size} pixels, and {why}; expected maps that "
        f"halve one another and the image, for objective mae. Say another --input-size, a "
        f"multiple of 32 if in doubt, or choose scratch/vit-tiny."
    )


@contextmanager
def _speaking(network: nn.Module, draws: torch.Generator) -> Iterator[None]:
    """Let no part of a network be silent inside the block, as scales that begin at zero are."""
    vectors = [p for p in network.parameters() if p.numel() == max(p.shape, default=0)]
    before = [vector.detach().clone() for vector in vectors]
    try:
        for vector in vectors:
            vector.copy_(0.5 + torch.rand(vector.shape, generator=draws))
        yield
    finally:
        for vector, value in zip(vectors, before, strict=True):
            vector.copy_(value)


@contextmanager
def _kept(network: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Keep what modules of a network give, by name, inside the block."""
    found: dict[str, Tensor] = {}

    def keep(name: str, out: Tensor) -> None:
        found[name] = out

    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _given, out, name=name: keep(name, out)
        )
        for name in names
        if name
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
