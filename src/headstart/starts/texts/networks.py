"""Transformers encoders as networks from token ids to features, and their layers in forward order.

``native`` features are what the architecture's own classification head feeds its very last linear
layer: the network is transformers' sequence classifier with an identity in that layer's place, so
that our head can be put back there and the export is exact. ``mean`` features average the last
hidden states over the text, as sentence encoders do; transformers has no class for them.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from headstart.errors import StartError, did_you_mean
from headstart.extras import quiet_transformers
from headstart.preprocessing.word_windows import Window
from headstart.starts.texts.configs import (
    MAX_NUMBER,
    Pooling,
    attention_of,
    classifier_name,
    model_class_of,
    read_config,
    without_pooler,
)
from headstart.starts.texts.last_rows import last_rows, rows_of
from headstart.starts.texts.windows import windowed_states

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


class TextNetwork(nn.Module):
    """A transformers encoder that gives features.

    Args:
        model: The sequence classifier without its last layer, or for ``mean`` the bare encoder.
        pooling: How features come about.
        num_features: D.

    Attributes:
        model: See above; its ``config`` is transformers' own.
        pooling: See above.
        num_features: See above.
        window: How much of a text ``tokens`` reads at once; None reads whatever it is given.
    """

    def __init__(self, model: PreTrainedModel, pooling: Pooling, num_features: int) -> None:
        super().__init__()
        self.model = model
        self.pooling: Pooling = pooling
        self.num_features = num_features
        self.window: Window | None = None

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return features.

        Args:
            input_ids: int64, shape (B, T), padded at the end.
            attention_mask: int64, shape (B, T), 1 where there is a token.
            token_type_ids: int64, shape (B, T), 1 where a token is of the second of two texts.

        Returns:
            Shape (B, D).
        """
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **given)
        if self.pooling == "native":
            features: Tensor = output.logits  # the last layer is an identity
            return features
        hidden: Tensor = output.last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp_min(1.0)

    def tokens(
        self, input_ids: Tensor, attention_mask: Tensor, first_tokens: Tensor | None = None
    ) -> Tensor:
        """Return the last hidden states of what ``forward`` takes, long texts read in windows.

        Args:
            input_ids: See ``forward``.
            attention_mask: See ``forward``.
            first_tokens: int64, shape (B, W), which tokens are wanted; all when not given.

        Returns:
            Shape (B, T, D), or (B, W, D) of those that are wanted.
        """
        window = self.window
        if window is not None and input_ids.shape[1] > window.length:
            hidden = windowed_states(self._states, input_ids, attention_mask, window)
        else:
            hidden = self._states(input_ids, attention_mask)
        if first_tokens is None:
            return hidden
        index = first_tokens.unsqueeze(-1).expand(-1, -1, hidden.shape[2])
        return hidden.gather(1, index)

    def tokens_at(self, input_ids: Tensor, attention_mask: Tensor, where: Tensor) -> Tensor:
        """Return the last hidden states of some tokens, shape (M, D).

        Args:
            input_ids: See ``forward``.
            attention_mask: See ``forward``.
            where: int64, shape (M,), places in ``input_ids``, flattened.
        """
        if self.window is not None:
            return rows_of(self.tokens(input_ids, attention_mask), where)
        _, blocks = largest_list(self)
        return last_rows(
            lambda: self._states(input_ids, attention_mask), self.model, blocks[-1], where
        )

    def typed_tokens(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return the last hidden states (B, T, D) of what ``forward`` takes, each row at once."""
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return self._states(input_ids, attention_mask, **given)

    def _states(self, input_ids: Tensor, attention_mask: Tensor, **given: Tensor) -> Tensor:
        base = self.model if self.pooling == "mean" else self.model.base_model
        output = base(input_ids=input_ids, attention_mask=attention_mask, **given)
        hidden: Tensor = output.last_hidden_state
        return hidden

    @property
    def takes_types(self) -> bool:
        """Whether it can be told which tokens are of which of two texts."""
        num_types = getattr(self.model.config, "type_vocab_size", None)
        is_told = "token_type_ids" in inspect.signature(self.model.forward).parameters
        return is_told and isinstance(num_types, int) and num_types > 1

    def blank_inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return one blank sample as ``forward`` takes it."""
        blank = torch.ones(1, 4, dtype=torch.int64, device=device)
        return blank, blank

    def layer_groups(self) -> list[list[str]]:
        """Return parameter names by depth: embeddings, each block, what follows with the last."""
        prefix, blocks = largest_list(self)
        names = [name for name, _ in self.named_parameters()]
        groups: list[list[str]] = [[] for _ in range(len(blocks) + 1)]
        container = prefix.rpartition(".")[0]
        # DeBERTa's relative positions, their norm and a convolution lie beside its blocks, but
        # every block depends on them.
        is_relative = hasattr(self.get_submodule(container), "rel_embeddings")
        # what stands outside the encoder is its classification head, wherever it was registered
        base = "model." if self.pooling == "mean" else f"model.{self.model.base_model_prefix}."
        has_begun = False
        for name in names:
            if name.startswith(f"{prefix}."):
                place = int(name.removeprefix(f"{prefix}.").partition(".")[0]) + 1
                has_begun = True
            elif not name.startswith(base):
                place = len(blocks)
            elif (
                not has_begun
                or "embed" in name
                or "relative" in name
                or (is_relative and name.startswith(f"{container}."))
            ):
                place = 0
            else:
                place = len(blocks)
            groups[place].append(name)
        return [group for group in groups if group]

    def max_positions(self) -> int:
        """Return how many tokens the positions reach; a very large number where nothing says."""
        config = self.model.config
        limit = getattr(config, "max_position_embeddings", None)
        if not isinstance(limit, int) or limit <= 0:
            return MAX_NUMBER
        for name, module in self.named_modules():
            # RoBERTa and its kin count positions from behind the padding id.
            if isinstance(module, nn.Embedding) and "position" in name.rpartition(".")[2]:
                padding = module.padding_idx
                if padding is not None and module.num_embeddings == limit:
                    return limit - padding - 1
        return limit


def largest_list(network: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the name of the list of transformer blocks, and the list.

    It is the list that holds the most parameters, the outermost of equals.

    Raises:
        StartError: If there is none.
    """
    best, most = None, 0
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList):
            size = sum(parameter.numel() for parameter in module.parameters())
            if size > most:
                best, most = (name, module), size
    if best is None:
        raise StartError(
            f"A {type(network).__name__} has no list of blocks. Expected a transformer. Choose "
            f"another start."
        )
    return best


def build_transformers(config: dict[str, object], pooling: str) -> nn.Module:
    """Build a text network with random weights from the current random state.

    Args:
        config: As ``clean_config`` gives it.
        pooling: ``native`` or ``mean``.

    Raises:
        StartError: If the configuration is not one that headstart builds.
    """
    if pooling not in ("native", "mean"):
        raise StartError(
            f"The pooling is {pooling!r}.{did_you_mean(str(pooling), ('native', 'mean'))} Expected "
            f"'native' or 'mean'. The file is damaged."
        )
    read = read_config(config)
    if pooling == "mean":
        return mean_network(make_encoder(read))
    return native_network(make_classifier(read))


def make_classifier(config: PretrainedConfig) -> PreTrainedModel:
    """Return transformers' sequence classifier of a configuration, with random weights."""
    from transformers import AutoModelForSequenceClassification

    model_class = model_class_of(config, "native")
    with quiet_transformers():
        return AutoModelForSequenceClassification.from_config(
            config, dtype=torch.float32, attn_implementation=attention_of(model_class)
        )


def make_encoder(config: PretrainedConfig) -> PreTrainedModel:
    """Return transformers' bare encoder of a configuration, without a pooler where it allows."""
    from transformers import AutoModel

    model_class = model_class_of(config, "mean")
    with quiet_transformers():
        return AutoModel.from_config(
            config,
            dtype=torch.float32,
            attn_implementation=attention_of(model_class),
            **without_pooler(model_class),
        )


def native_network(model: PreTrainedModel) -> TextNetwork:
    """Return a network of a sequence classifier, whose last layer becomes an identity."""
    name = classifier_name(model.config)
    classifier = model.get_submodule(name)
    assert isinstance(classifier, nn.Linear)
    model.set_submodule(name, nn.Identity())
    return TextNetwork(model, "native", classifier.in_features)


def mean_network(model: PreTrainedModel) -> TextNetwork:
    """Return a network that averages the hidden states of a bare encoder."""
    return TextNetwork(model, "mean", int(model.config.hidden_size))
