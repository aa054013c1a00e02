"""The encoder: a network that turns prepared inputs into features, and what is known of it.

It knows its start, its preprocessing, how many features it gives, and which parameters lie at
which depth, so that strategies can freeze or slow down the first layers without knowing the
network. It has no head. What turns samples into its inputs travels with it: its preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from headstart.errors import StartError, first_line
from headstart.preprocessing import (
    ImagePreprocess,
    Preprocess,
    QuestionPreprocess,
    WordPreprocess,
)
from headstart.starts.texts.networks import TextNetwork
from headstart.tensors import evaluating, find_blocks
from headstart.types import ImageSpec, Start


@runtime_checkable
class DescribedNetwork(Protocol):
    """A network that tells itself what is asked of it: each of those that read texts."""

    def layer_groups(self) -> list[list[str]]:
        """Return the names of its parameters by depth, what comes first in front."""
        ...

    def blank_inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return one blank sample as ``forward`` takes it."""
        ...


class Encoder(nn.Module):
    """A network from prepared inputs to features.

    Args:
        network: Takes what ``Inputs.arrays`` gives, as tensors (images normalised, as floats
            (B, C, S, S)), and gives (B, D).
        start: Where it comes from; its parameter count is set to the true one.
        preprocess: What turns samples into its inputs.
        architecture: JSON-able; ``rebuild_encoder(architecture)`` gives the same module.
        num_features: D; None measures it by a pass of blank images.

    Attributes:
        start: Where it comes from.
        preprocess: See above.
        num_features: D.
        layers: Names of parameters in forward order, stem first, a group a block; every parameter
            of ``named_parameters()`` once. The final norm belongs to the last group, adapters to
            the layer they adapt. Empty where the network has no parameters.
        architecture: See above.
        blocks: Names of the blocks of layers (of a transformer, of a ConvNet's stages) in forward
            order; empty where there are none. Found once, before adapters come or go.

    Raises:
        StartError: If the network fails on its own input size or gives something else.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        start: Start,
        preprocess: Preprocess,
        architecture: Mapping[str, object],
        num_features: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        num_parameters = sum(parameter.numel() for parameter in network.parameters())
        self.start = replace(start, num_parameters=num_parameters)
        self.preprocess = preprocess
        if isinstance(preprocess, WordPreprocess) and isinstance(network, TextNetwork):
            network.window = preprocess.window
        if num_features is None:
            assert isinstance(preprocess, ImagePreprocess)
            num_features = measure_features(network, preprocess.spec, start.address)
        self.num_features = num_features
        self.layers: list[list[str]] = []
        self.blocks = [f"network.{name}" for name in find_blocks(network)]
        self.find_layers()
        self.architecture = dict(architecture)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return features.

        Args:
            *inputs: Images, float (B, C, S, S), normalised; or token ids and mask, int64 (B, T)
                each; or terms, float (B, D); or numbers (B, F) and codes (B, G).

        Returns:
            Features, shape (B, D).
        """
        features: Tensor = self.network(*inputs)
        return features

    def features(self, *inputs: Tensor) -> Tensor:
        """Return features, shape (B, D), of what ``forward`` takes."""
        features: Tensor = self(*inputs)
        return features

    @property
    def is_grown(self) -> bool:
        """Whether it learns from train at once, and gives logits as its features."""
        return bool(getattr(self.network, "is_grown", False))

    @property
    def learns_patches(self) -> bool:
        """Whether its first layer is learned from images before any step; from a run it comes."""
        return self.start.pretrained_on is None and hasattr(self.network, "learn_patches")

    @property
    def can_mirror(self) -> bool:
        """Whether it can give the mean of an image's features and of its mirror image's."""
        return hasattr(self.network, "mirrors")

    @property
    def mirrors(self) -> bool:
        """Whether it does so, in eval mode."""
        return bool(getattr(self.network, "mirrors", False))

    def set_mirrors(self, mirrors: bool) -> None:
        """Have it do so, or not; its architecture says it, and so does whatever reads that."""
        network: Any = self.network
        network.mirrors = mirrors
        options: Any = self.architecture["options"]
        self.architecture["options"] = {**options, "mirrors": mirrors}

    @property
    def has_tokens(self) -> bool:
        """Whether the network gives features for each token or patch."""
        return hasattr(self.network, "num_prefix_tokens") or hasattr(self.network, "tokens")

    def tokens(self, *inputs: Tensor) -> Tensor:
        """Return features of each token of a text, or each patch of an image, shape (B, T, D).

        Args:
            *inputs: As ``forward`` takes them, and of texts which tokens are wanted. Where a text
                is padded its rows mean nothing.

        Raises:
            StartError: If the network has none.
        """
        network: Any = self.network
        if isinstance(self.preprocess, QuestionPreprocess) and hasattr(network, "typed_tokens"):
            found: Tensor = network.typed_tokens(*inputs)
            return found
        if hasattr(network, "tokens"):
            found = network.tokens(*inputs)
            return found
        if not self.has_tokens:
            raise StartError(
                f"'{self.start.address}' gives one vector a sample, none for its parts; expected a "
                f"text or vision transformer. Choose another start."
            )
        patches: Tensor = network.forward_features(*inputs)
        return patches[:, int(network.num_prefix_tokens) :]

    def find_layers(self) -> None:
        """Set ``layers`` anew, after parameters have come or gone."""
        self.layers = [
            [f"network.{name}" for name in group] for group in group_layers(self.network)
        ]


def measure_features(network: nn.Module, spec: ImageSpec, address: str) -> int:
    """Return how many features a network gives, by one forward pass of a blank image.

    Args:
        network: Runs in eval mode; left as it was.
        spec: Gives the size and channels of the input.
        address: Names the start in a refusal.

    Raises:
        StartError: If the pass fails or its output is not (B, D).
    """
    first = next(network.parameters(), torch.empty(0))
    images = torch.zeros(
        2, spec.channels, spec.size, spec.size, device=first.device, dtype=first.dtype
    )
    try:
        with evaluating(network):
            features = network(images)
    except Exception as error:
        # Networks fail on sizes and channels they cannot take in every way Python knows.
        raise StartError(
            f"'{address}' fails on an input of shape {tuple(images.shape)} "
            f"({first_line(error)}). Expected features of shape "
            f"(2, D). Choose another size (size=…) or channels, or another start."
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2 or features.shape[0] != 2:
        gives = (
            f"a tensor of shape {tuple(features.shape)}"
            if isinstance(features, Tensor)
            else f"a {type(features).__name__}"
        )
        raise StartError(
            f"'{address}' gives {gives} for 2 images. Expected pooled features of shape (2, D). "
            f"Wrap it so that it pools, for example nn.Sequential(module, "
            f"nn.AdaptiveAvgPool2d(1), nn.Flatten())."
        )
    return int(features.shape[1])


def group_layers(network: nn.Module) -> list[list[str]]:
    """Return the names of a network's parameters by depth, stem first.

    A ``DescribedNetwork`` tells its layers itself, timm networks their blocks (``group_matcher``);
    others are taken by their top-level children in the order of registration,
    descending through a lone child.

    Args:
        network: Any module.
    """
    if isinstance(network, DescribedNetwork):
        return network.layer_groups()
    groups = max(_matched_groups(network), _child_groups(network), key=_has_depth)
    shapes = {name: parameter.ndim for name, parameter in network.named_parameters()}
    while len(groups) > 1 and all(shapes[name] <= 1 for name in groups[-1]):
        last = groups.pop()  # a final norm on its own: it belongs to the last block
        groups[-1] += last
    return groups


def _has_depth(groups: list[list[str]]) -> bool:
    """Return whether there is more than one group; some timm releases match all as one."""
    return len(groups) > 1


def _matched_groups(network: nn.Module) -> list[list[str]]:
    """Return timm's groups, empty where a network has none or they leave parameters out."""
    matcher = getattr(network, "group_matcher", None)
    if matcher is None or not type(network).__module__.startswith("timm."):
        return []
    from timm.models import group_parameters

    by_depth = group_parameters(network, matcher(coarse=False))
    groups = [list(by_depth[depth]) for depth in sorted(by_depth)]
    found = [name for group in groups for name in group]
    names = [name for name, _ in network.named_parameters()]
    return [group for group in groups if group] if sorted(found) == sorted(names) else []


def _child_groups(network: nn.Module) -> list[list[str]]:
    """Return parameters by child, in the order of registration; direct ones go to the stem."""
    names = [name for name, _ in network.named_parameters()]
    prefix = ""
    while True:
        groups: dict[str, list[str]] = {}
        for name in names:
            head, dot, _ = name.removeprefix(prefix).partition(".")
            groups.setdefault(head if dot else "", []).append(name)
        if len(groups) == 1 and "" not in groups:
            prefix += f"{next(iter(groups))}."
            continue
        break
    direct = groups.pop("", [])
    found = list(groups.values())
    if direct and found:
        found[0] = direct + found[0]
    return found or ([direct] if direct else [])
