"""Networks that see some patches of an image and tell the others; here the vision transformer.

The encoder runs on the visible patches alone: with three quarters hidden its blocks cost a quarter
of a full pass. Attention does not ask in which order tokens come, only where they stand, which
their positions say; so visible and hidden tokens stay in the order of the mask, and nothing is
shuffled back. The decoder is small, and thrown away.

Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022; positions of the
decoder of its own: Tan, "Pre-training of lightweight vision transformers on small datasets with
minimally scaled images", 2024. Deviations: positions begin as sines and learn.

ConvNets: ``map_reconstruction``. Left out: networks that are neither, such as transformers with
windows or with positions inside their attention.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.model.network import Normalise
from headstart.objectives.masked_pixels import chosen, patches_of
from headstart.preprocessing import ImagePreprocess
from headstart.starts import Encoder
from headstart.types import ImageSpec

_HEAD_WIDTH = 32  # of the decoder's attention
_SPREAD = 0.02  # of what is drawn


class PatchTeller(nn.Module):
    """An encoder that sees some patches of an image, and what tells the others.

    Args:
        encoder: Its weights are used as they are.
        spec: What it takes.
        side: Of a patch, in pixels; it divides the image.

    Attributes:
        encoder: As given.
        side: As given.
        num_patches: T.
        passes_of_a_check: What a check costs for each image, in passes over whole images.
        hidden_fraction: Share of the patches that is hidden where nobody says; None for the
            objective's own.
        least_batch: Images of a pass that learns, at the least.
    """

    passes_of_a_check = 3  # train and val of the probe, and the loss
    hidden_fraction: float | None = None
    least_batch = 1

    def __init__(self, encoder: Encoder, spec: ImageSpec, side: int) -> None:
        super().__init__()
        self.side, self.num_patches = side, (spec.size // side) ** 2
        self.encoder = encoder
        self.normaliser = Normalise(spec)

    def normalised(self, images: Tensor) -> Tensor:
        """Return images as the encoder sees them.

        Args:
            images: Floats (B, C, H, W) in [0, 1].
        """
        found: Tensor = self.normaliser(images)
        return found

    @abstractmethod
    def forward(self, images: Tensor, order: Tensor, num_seen: int) -> Tensor:
        """Return what is told of the hidden patches, shape (B, T - K, P).

        Args:
            images: Normalised, shape (B, C, S, S).
            order: int64, shape (B, T), all patches, the visible ones first.
            num_seen: K.
        """

    def renew(self, batches: Iterable[Tensor]) -> None:
        """Bring what the encoder keeps of the images it saw to whole ones; most keep nothing.

        Args:
            batches: Of train, not augmented, normalised; read only where something is kept.
        """
        del batches


class PixelDecoder(nn.Module):
    """From visible tokens to the pixels of hidden patches.

    Args:
        num_features: Width of the encoder's tokens.
        width: Of its own; a multiple of 32.
        num_blocks: Transformer blocks.
        side: Patches along a side of the image.
        num_outputs: Numbers of a patch.
    """

    def __init__(
        self, num_features: int, width: int, num_blocks: int, side: int, num_outputs: int
    ) -> None:
        from timm.models.vision_transformer import Block

        super().__init__()
        self.embed = nn.Linear(num_features, width)
        self.hidden = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(sine_positions(side, width))
        heads = max(1, width // _HEAD_WIDTH)
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio=4.0, qkv_bias=True) for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.pixels = nn.Linear(width, num_outputs)
        nn.init.trunc_normal_(self.hidden, std=_SPREAD)

    def forward(self, tokens: Tensor, order: Tensor) -> Tensor:
        """Return what is told of the hidden patches, shape (B, T - K, P).

        Args:
            tokens: Of the visible patches, shape (B, K, D).
            order: int64, shape (B, T), all patches, the visible ones first.
        """
        num, seen = tokens.shape[:2]
        hidden = self.hidden.expand(num, order.shape[1] - seen, -1)
        x = torch.cat([self.embed(tokens), hidden.to(tokens.dtype)], dim=1)
        x = x + chosen(self.pos_embed.expand(num, -1, -1), order)
        *earlier, last = self.blocks
        for block in earlier:
            x = block(x)
        told: Tensor = self.pixels(self.norm(_last_rows(last, x, seen)))
        return told


def _last_rows(block: Any, x: Tensor, first: int) -> Tensor:
    """Return the rows of a block's output from ``first`` on; what stands before is only read.

    Args:
        block: A transformer block of timm, without dropout, scales and norms within its attention.
        x: Its input, shape (B, T, D).
        first: Rows that nobody asks for.

    Returns:
        Shape (B, T - first, D), the rows that ``block(x)`` has there.
    """
    attention, width = block.attn, x.shape[-1]
    given, wanted = block.norm1(x), x[:, first:]
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query = nn.functional.linear(given[:, first:], weight[:width], bias[:width])
    key, value = nn.functional.linear(given, weight[width:], bias[width:]).chunk(2, dim=-1)

    def by_head(rows: Tensor) -> Tensor:
        return rows.reshape(*rows.shape[:2], attention.num_heads, -1).transpose(1, 2)

    mixed = nn.functional.scaled_dot_product_attention(by_head(query), by_head(key), by_head(value))
    wanted = wanted + attention.proj(mixed.transpose(1, 2).flatten(2))
    told: Tensor = wanted + block.mlp(block.norm2(wanted))
    return told


class MaskedAutoencoder(PatchTeller):
    """A vision transformer and a decoder that learn from hidden patches.

    Args:
        encoder: A plain vision transformer; its weights are used as they are.
        decoder_width: Width of the decoder.
        decoder_blocks: Its blocks.

    Raises:
        StartError: If the encoder is no plain vision transformer.
    """

    def __init__(self, encoder: Encoder, *, decoder_width: int, decoder_blocks: int) -> None:
        preprocess = encoder.preprocess
        assert isinstance(preprocess, ImagePreprocess)
        spec = preprocess.spec
        super().__init__(encoder, spec, require_plain(encoder))
        self.decoder = PixelDecoder(
            encoder.num_features,
            decoder_width,
            decoder_blocks,
            spec.size // self.side,
            spec.channels * self.side**2,
        )

    def forward(self, images: Tensor, order: Tensor, num_seen: int) -> Tensor:
        """Return what is told of the hidden patches; see ``PatchTeller``."""
        told: Tensor = self.decoder(self.visible(images, order[:, :num_seen]), order)
        return told

    def visible(self, images: Tensor, places: Tensor) -> Tensor:
        """Return tokens of the visible patches, as the encoder gives them where it sees no others.

        Args:
            images: Normalised, shape (B, C, S, S).
            places: int64, shape (B, K).

        Returns:
            Shape (B, K, D), after the network's last norm.
        """
        network: Any = self.encoder.network
        num, num_prefix = len(images), int(network.num_prefix_tokens)
        stem = network.patch_embed
        # the stem is a matrix on patches: those that are hidden are not even embedded
        seen = chosen(patches_of(images, self.side), places)
        x = nn.functional.linear(seen, stem.proj.weight.flatten(1), stem.proj.bias)
        x = stem.norm(x)
        blank = x.new_zeros(1, self.num_patches, x.shape[-1])
        if network.dynamic_img_size:
            blank = blank.unflatten(1, tuple(stem.grid_size))
        positions = network._pos_embed(blank)  # of all places, with the tokens that stand before
        prefix, positions = positions[:, :num_prefix], positions[:, num_prefix:]
        x = x + chosen(positions.expand(num, -1, -1), places)
        if num_prefix:
            x = torch.cat([prefix.expand(num, -1, -1), x], dim=1)
        x = network.norm(network.blocks(network.norm_pre(x)))
        found: Tensor = network.fc_norm(x)[:, num_prefix:]
        return found


def is_plain(encoder: Encoder) -> bool:
    """Return whether an encoder is a plain vision transformer: it takes any of its patches."""
    from timm.layers.patch_embed import PatchEmbed
    from timm.models.vision_transformer import VisionTransformer

    network: Any = encoder.network
    is_one = type(network) is VisionTransformer and type(network.patch_embed) is PatchEmbed
    return is_one and network.attn_pool is None


def require_plain(encoder: Encoder) -> int:
    """Return the side of a patch of a plain vision transformer.

    Raises:
        StartError: If the encoder is none.
    """
    if not is_plain(encoder):
        raise no_patches(encoder, "it is no plain vision transformer")
    network: Any = encoder.network
    return int(network.patch_embed.patch_size[0])


def no_patches(encoder: Encoder, why: str) -> StartError:
    """Return the refusal of an encoder that cannot leave patches out.

    Args:
        encoder: Any.
        why: A clause, such as ``it is no plain vision transformer``.
    """
    return StartError(
        f"'{encoder.start.address}' is a {type(encoder.network).__name__}, which cannot leave "
        f"patches out: {why}; expected a plain vision transformer, or a ConvNet whose "
        f"convolutions alone look at neighbours, for objective mae. Choose scratch/vit-tiny, "
        f"scratch/resnet18, or scratch/ or timm/ with a name that begins with vit_ or resnet."
    )


def begin_with_sines(encoder: Encoder) -> None:
    """Let the positions of a network with random weights begin as sines of two directions."""
    network: Any = encoder.network
    positions = network.pos_embed
    if positions is None:
        return
    along = int(network.patch_embed.grid_size[0])
    with torch.no_grad():
        positions[:, -along * along :].copy_(sine_positions(along, positions.shape[-1]))


def sine_positions(side: int, width: int) -> Tensor:
    """Return positions of a square of patches, float32, shape (1, side², width).

    A half of the numbers says the row, the other the column, each as sines and cosines of falling
    frequencies; where the width is no multiple of 4 the last numbers are zero.

    Args:
        side: Patches along a side.
        width: Numbers a position.

    Source:
        Vaswani et al., 2017, section 3.5, in two directions as MAE has it.
    """
    quarter = width // 4
    rates = 10_000.0 ** -(torch.arange(quarter, dtype=torch.float64) / max(1, quarter))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * rates
    one = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    rows = one[:, None].expand(side, side, -1)
    columns = one[None].expand(side, side, -1)
    found = torch.zeros(side * side, width)
    found[:, : 4 * quarter] = torch.cat([rows, columns], dim=-1).flatten(0, 1).float()
    return found[None]
