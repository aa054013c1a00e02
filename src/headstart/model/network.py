"""A model: an encoder, a head, what it predicts, and its calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.model.heads import find_head
from headstart.preprocessing import ImagePreprocess
from headstart.starts import Encoder
from headstart.tasks import find_task
from headstart.types import Deciding, ImageSpec, Inputs, Rows, Schema
from headstart.types.texts import Telling


class Model(nn.Module):
    """An encoder with a head.

    Args:
        encoder: What ``Inputs.arrays`` gives, as tensors (images normalised), to features (B, D).
        schema: What is predicted.
        dropout: Dropped share of the features while training.
        head: Kind of the head, a name in ``HEADS``.

    Attributes:
        head_name: See above.
        task: What is predicted, as the task itself, which decides as was settled on val.
        temperature: Divides logits before they become probabilities; fitted on validation data.
        target_mean: Where numbers are predicted, the mean of train's targets.
        target_scale: Their standard deviation: logits are in these units.
        telling: Where texts are told, how they are written.
    """

    def __init__(
        self, encoder: Encoder, schema: Schema, *, dropout: float = 0.0, head: str = "linear"
    ) -> None:
        super().__init__()
        self.encoder = encoder
        kind = find_head(head)
        self.task = find_task(schema.task)
        self.head = kind.build(encoder.num_features, self.task.num_outputs(schema))
        self.head_name, self._reads_tokens = head, kind.reads_tokens
        self.schema = schema
        self.temperature: float = 1.0
        self.target_mean: float = 0.0
        self.target_scale: float = 1.0
        self.telling: Telling = getattr(encoder.preprocess, "telling", Telling())
        self._dropout = dropout
        own = encoder.preprocess.main
        self._normalise = Normalise(own.spec) if isinstance(own, ImagePreprocess) else None
        self._lent: Callable[..., Tensor] | None = None

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits.

        Args:
            inputs: By modality. Images: floats (B, C, H, W) in [0, 1], C 1 or 3, of any size.
                Texts: token ids and mask, int64 (B, T), or term weights (B, V). Tables: numbers
                (B, F) and codes, int64 (B, G); where columns stand beside texts or images, after
                these.

        Returns:
            Shape (B, K), K being the task's number of outputs.
        """
        features = self.features(*inputs)
        if self._dropout and self.training:
            features = functional.dropout(features, self._dropout)
        logits: Tensor = self.head(features)
        return logits

    def features(self, *inputs: Tensor) -> Tensor:
        """Return features of what ``forward`` takes: (B, D), or (B, T, D) of tokens."""
        return self.own_features(*inputs) if self._lent is None else self._lent(*inputs)

    @contextmanager
    def lent(self, features: Callable[..., Tensor]) -> Iterator[None]:
        """Let something else compute the features inside the block, as it has been proven to."""
        former, self._lent = self._lent, features
        try:
            yield
        finally:
            self._lent = former

    def own_features(self, *inputs: Tensor) -> Tensor:
        """Return features as ``features`` does, by the modules themselves."""
        if self._normalise is not None:
            inputs = (self.normalised(inputs[0]), *inputs[1:])
        features: Tensor = (
            self.encoder.tokens(*inputs) if self._reads_tokens else self.encoder(*inputs)
        )
        return features

    def normalised(self, images: Tensor) -> Tensor:
        """Return images as the network takes them, of floats (B, C, H, W) in [0, 1]."""
        assert self._normalise is not None
        found: Tensor = self._normalise(images)
        return found

    def learn_patches(self, images: Tensor) -> None:
        """Learn the first layer of an encoder that ``learns_patches``.

        Args:
            images: Some of train's, floats (N, C, H, W) in [0, 1].
        """
        network: Any = self.encoder.network
        network.learn_patches(self.normalised(images))

    def decide_by(self, deciding: Deciding) -> None:
        """Take what was settled on val of how answers are made; ``task`` then follows it."""
        self.task = self.task.deciding_by(deciding)

    def standard_targets(self, targets: Rows) -> Rows:
        """Return targets as the loss takes them: numbers float32 in standard units."""
        return self.task.standard(targets, self.target_mean, self.target_scale)

    def learned_targets(self, inputs: Inputs) -> Rows:
        """Return what the loss takes of some samples: of texts the ids of their tokens."""
        found = inputs.told
        return self.standard_targets(inputs.targets) if found is None else found

    @property
    def reads_tokens(self) -> bool:
        """Whether its head reads the features of each token, and not those of a whole sample."""
        return self._reads_tokens

    @property
    def num_outputs(self) -> int:
        """How many numbers the head gives for a sample."""
        return self.task.num_outputs(self.schema)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device


class Normalise(nn.Module):
    """Bring float images (B, C, H, W) in [0, 1] to the channels, size and scale of a spec."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised images (B, C, S, S)."""
        spec = self.spec
        if images.shape[1] == 1 and spec.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        if images.shape[-1] != spec.size or images.shape[-2] != spec.size:
            images = functional.interpolate(
                images, size=(spec.size, spec.size), mode=spec.interpolation, align_corners=False
            )
        normalised: Tensor = (images - self.mean) / self.std
        return normalised
