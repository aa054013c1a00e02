"""Two networks, one for images and one for texts, that embed both in one space.

The likeness of an image and a text is the dot product of their embeddings; a learned temperature is
in the image's, so that whoever compares needs to know nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import StartError, did_you_mean, quoted
from headstart.starts.builder_options import check_builder_options, options_of
from headstart.starts.encoder import group_layers
from headstart.starts.images.builders import NETWORKS
from headstart.starts.texts.networks import build_transformers

FIRST_SCALE, MOST_SCALE = 1 / 0.07, 100.0  # CLIP's
_IMAGES, _TEXTS = "image.", "text."


class PairNetwork(nn.Module):
    """What embeds images and texts.

    Attributes:
        num_features: P.
        logit_scale: Logarithm of what likenesses are multiplied by, shape ().
        judges_pairs: Whether it learns of each pair by itself whether both belong together (a
            sigmoid), and not which of many does.

    Source:
        A. Radford et al., ICML 2021 (CLIP), section 2.4 and figure 3.
    """

    num_features: int
    logit_scale: Tensor
    judges_pairs: ClassVar[bool] = False

    def embed_images(self, images: Tensor) -> Tensor:
        """Return embeddings of length 1, shape (B, P), of normalised images (B, C, S, S)."""
        raise NotImplementedError

    def embed_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings of length 1, shape (M, P), of token ids and mask, int64 (M, T)."""
        raise NotImplementedError

    def scale(self) -> Tensor:
        """Return what likenesses are multiplied by, at most 100, shape ()."""
        return self.logit_scale.clamp(max=math.log(MOST_SCALE)).exp()

    def forward(self, images: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings of B images, the temperature in them, then of M texts, (B + M, P).

        Args:
            images: Normalised, float (B, C, S, S).
            ids: int64, shape (M, T), padded at the end; M may be 0.
            mask: int64, shape (M, T), 1 where there is a token.
        """
        of_images = self.image_rows(images)
        if not len(ids):
            return of_images
        return torch.cat([of_images, self.text_rows(ids, mask).to(of_images.dtype)])

    def image_rows(self, images: Tensor) -> Tensor:
        """Return rows (B, P) whose products with those of texts are likenesses.

        Args:
            images: As for ``forward``.
        """
        return self.embed_images(images) * self.scale()

    def text_rows(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return rows (M, P) of texts, as ``image_rows``."""
        return self.embed_texts(ids, mask)

    def joint_names(self) -> list[str]:
        """Return the parameters of neither network, which bring both into one space."""
        raise NotImplementedError

    def blank_inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return one blank text; images are as large as the preprocessing says."""
        blank = torch.ones(1, 4, dtype=torch.int64, device=device)
        return blank, blank


class DualNetwork(PairNetwork):
    """A network of images and one of texts, each with a projection.

    Args:
        image: From images to features (B, D).
        text: From ids and mask to features (M, E).
        widths: D and E.
        num_features: P, of both projections.
    """

    def __init__(
        self, image: nn.Module, text: nn.Module, widths: tuple[int, int], num_features: int
    ) -> None:
        super().__init__()
        self.image, self.text = image, text
        self.image_projection = nn.Linear(widths[0], num_features, bias=False)
        self.text_projection = nn.Linear(widths[1], num_features, bias=False)
        for projection, width in (
            (self.image_projection, widths[0]),
            (self.text_projection, widths[1]),
        ):
            nn.init.normal_(projection.weight, std=width**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.num_features = num_features

    def embed_images(self, images: Tensor) -> Tensor:
        """Return embeddings of length 1, shape (B, P)."""
        return functional.normalize(self.image_projection(self.image(images)), dim=-1)

    def embed_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings of length 1, shape (M, P)."""
        return functional.normalize(self.text_projection(self.text(ids, mask)), dim=-1)

    def layer_groups(self) -> list[list[str]]:
        """Return names of parameters by depth: both networks end together, projections last."""
        images, texts = (
            [[f"{prefix}{name}" for name in group] for group in group_layers(network)]
            for prefix, network in ((_IMAGES, self.image), (_TEXTS, self.text))
        )
        return [*join_groups(images, texts), self.joint_names()]

    def joint_names(self) -> list[str]:
        """Return the projections and the temperature."""
        return [n for n, _ in self.named_parameters() if not n.startswith((_IMAGES, _TEXTS))]


def join_groups(first: list[list[str]], second: list[list[str]]) -> list[list[str]]:
    """Return the layers of two networks side by side, the last of both together."""
    depth = max(len(first), len(second))
    nothing: list[str] = []
    one, other = ([nothing] * (depth - len(each)) + each for each in (first, second))
    return [[*a, *b] for a, b in zip(one, other, strict=True)]


def build_dual(image: dict[str, object], text: dict[str, object], width: int) -> nn.Module:
    """Build a pair of networks with random weights from the current random state.

    Args:
        image: ``builder``, ``options`` and ``num_features`` of the network of images.
        text: The same of texts.
        width: P.

    Raises:
        StartError: If a record is not one that headstart writes.
    """
    image_network = _tower(image, dict(NETWORKS), "image")
    text_network = _tower(text, {"transformers": build_transformers}, "text")
    widths = _width(image), _width(text)
    return DualNetwork(image_network, text_network, widths, width)


def _tower(
    record: dict[str, object], known: dict[str, Callable[..., nn.Module]], what: str
) -> nn.Module:
    """Build one of the two networks."""
    builder, options = record.get("builder"), record.get("options")
    if builder not in known or not isinstance(options, dict):
        raise StartError(
            f"The network of {what}s has builder {builder!r}."
            f"{did_you_mean(str(builder), known)} Known: {quoted(list(known))}. The file is "
            "damaged."
        )
    build = known[str(builder)]
    check_builder_options(options, options_of(build), f"builder '{builder}'")
    return build(**options)


def _width(record: dict[str, object]) -> int:
    """Return how many features one of the two networks gives."""
    width: Any = record.get("num_features")
    if not isinstance(width, int) or not 0 < width <= 65_536:
        raise StartError(
            f"num_features of a network is {width!r}, expected 1 to 65536. The file is damaged."
        )
    return width
