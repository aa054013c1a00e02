"""Heads over a vocabulary: what a language model of transformers puts behind its encoder.

A head is the whole language model with its encoder taken out: it is handed hidden states, as many
rows as are asked for and no more, and transformers' own code makes logits of them, whatever the
architecture. So logits as wide as a vocabulary exist only where a word is hidden. Its last matrix
is the encoder's own table of embeddings, unless an architecture has two.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from headstart.errors import StartError
from headstart.extras import quiet_transformers
from headstart.starts.texts.configs import attention_of
from headstart.starts.texts.weights import read_weights

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

Kind = Literal["masked", "causal"]
_SAID = {"masked": "hidden words", "causal": "the next word"}


class GivenStates(nn.Module):
    """Stand in an encoder's place and hand on hidden states that are there already.

    Args:
        encoder: Whose place it is; some heads read its embeddings.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "_encoder", encoder)  # no child of its own: no parameter twice
        self.states: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        """Return what the encoder has."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_encoder"], name)

    def forward(self, *inputs: object, **options: object) -> Any:
        """Return the states, whatever else is asked."""
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

        assert self.states is not None
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=self.states)


class WordHead(nn.Module):
    """Hidden states to logits over a vocabulary.

    Args:
        whole: A language model of transformers; its encoder is taken out of it.
        encoder: The encoder whose states it will be handed, of the same configuration.

    Attributes:
        whole: What is left of the model.
    """

    def __init__(self, whole: PreTrainedModel, encoder: PreTrainedModel) -> None:
        super().__init__()
        self._place = whole.base_model_prefix
        setattr(whole, self._place, GivenStates(encoder))
        output: Any = whole.get_output_embeddings()
        embeddings: Any = encoder.get_input_embeddings()
        if output.weight.shape == embeddings.weight.shape and whole.config.tie_word_embeddings:
            output.weight = embeddings.weight
        self.whole = whole
        self._tied = {n for n, p in whole.named_parameters() if p is embeddings.weight}
        self.register_state_dict_post_hook(_without_tied)  # type: ignore[no-untyped-call]

    def forward(self, states: Tensor) -> Tensor:
        """Return logits (M, V) of hidden states (M, D)."""
        given: Any = getattr(self.whole, self._place)
        given.states = states[None]
        try:
            blank = torch.zeros(1, 1, dtype=torch.int64, device=states.device)
            logits: Tensor = self.whole(input_ids=blank).logits
        finally:
            given.states = None
        return logits[0]

    @property
    def tied_names(self) -> set[str]:
        """Names of the parameters, inside ``whole``, that are the encoder's embeddings."""
        return set(self._tied)


def _without_tied(module: Any, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    """Leave out of a state dict what the encoder's has already."""
    del metadata
    for name in module.tied_names:
        state.pop(f"{prefix}whole.{name}", None)


def build_head(encoder: PreTrainedModel, kind: Kind, origin: str) -> WordHead:
    """Return a head with random weights, drawn from the current random state.

    Args:
        encoder: transformers' encoder or decoder, without a head.
        kind: Whether it tells hidden words or the next one.
        origin: Names the start in a refusal.

    Raises:
        StartError: If transformers has no such language model of that architecture.
    """
    return WordHead(language_model(encoder.config, kind, origin), encoder)


def load_head(
    encoder: PreTrainedModel, folder: Path, kind: Kind, origin: str
) -> list[str] | WordHead:
    """Return the head of a transformers folder; where it has none, what is missing.

    Args:
        encoder: As for ``build_head``, with the weights of the folder.
        folder: Holds ``config.json`` and safetensors.
        kind: See ``build_head``.
        origin: Names the start in a refusal.

    Raises:
        StartError: If it cannot be read.
    """
    model_class = _class_of(encoder.config, kind, origin)
    config = encoder.config
    # what of it is the encoder's own was read, and checked, before
    whole, missing = read_weights(
        model_class, folder, config, origin, may_lack=lambda _: True, may_differ=lambda _: True
    )
    base = f"{whole.base_model_prefix}."
    output = whole.get_output_embeddings()
    own = [
        n for n, p in whole.named_parameters() if not n.startswith(base) and p is not output.weight
    ]
    lacking = [name for name in own if name in missing]
    return lacking or WordHead(whole, encoder)


def language_model(config: PretrainedConfig, kind: Kind, origin: str) -> PreTrainedModel:
    """Return transformers' language model of a configuration, with random weights.

    Raises:
        StartError: If there is none of that architecture.
    """
    model_class = _class_of(config, kind, origin)
    with quiet_transformers():
        return model_class._from_config(
            config, dtype=torch.float32, attn_implementation=attention_of(model_class)
        )


def _class_of(config: PretrainedConfig, kind: Kind, origin: str) -> type[PreTrainedModel]:
    """Return the class of transformers that tells words by a configuration."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    auto = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    with quiet_transformers():
        try:
            found: type[PreTrainedModel] = auto._model_mapping[type(config)]
        except KeyError:
            found = None  # type: ignore[assignment]
    if found is None:
        raise StartError(
            f"transformers has no model of {_SAID[kind]} for '{origin}' ({config.model_type}). "
            f"Expected an architecture that has one. Begin with another start."
        )
    return found
