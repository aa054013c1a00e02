"""Encoder–decoders of transformers as networks that write: checked, built, and run.

A network takes a text and the tokens that stand before each that is to be told, and gives logits
of the whole vocabulary; it writes by our own search (``decoding``), with what was read kept, so
that a token costs one step. A configuration may come from a stranger's file: its type is looked up
in the list below, and nothing of it is imported or run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headstart.decoding import Steps, WritingRules
from headstart.decoding.search import OnToken
from headstart.errors import StartError
from headstart.extras import quiet_transformers
from headstart.starts.texts.configs import attention_of
from headstart.starts.texts.stepping import SequenceSteps
from headstart.starts.texts.writer_configs import SEQUENCE_TYPES, Writers
from headstart.starts.texts.writing import WritingNetwork, write_with

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel

    from headstart.preprocessing.tokens import TextTokenizer
    from headstart.types.texts import Telling

BUILDER = "sequences"
_WIDTH, _BLOCKS, _HEADS, _INNER, _POSITIONS = 256, 3, 4, 1024, 1024
_DROPOUT = 0.1
_SHORT = 128  # tokens
_MOST_PARAMETERS = 3_000_000_000
SEQUENCES = Writers("encoder–decoder", SEQUENCE_TYPES)


class SequenceNetwork(WritingNetwork):
    """An encoder–decoder that tells texts.

    Args:
        model: Of transformers, with its language-model head.

    Attributes:
        num_features: Tokens of its vocabulary: what it gives of each place.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model: Any = model
        self.num_features = int(self.model.get_output_embeddings().weight.shape[0])
        self._fused = attention_of(type(model))
        _fix_computed(model)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, decoder_ids: Tensor) -> Tensor:
        """Return logits of each place of what is told, shape (B, L, V).

        Args:
            input_ids: int64, shape (B, T), padded at the end.
            attention_mask: int64, shape (B, T), 1 where there is a token.
            decoder_ids: int64, shape (B, L), the token before each that is told, padded at the end.
        """
        self._attend(max(input_ids.shape[1], decoder_ids.shape[1]))
        found = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_ids,
            use_cache=False,
        )
        logits: Tensor = found.logits
        return logits

    def tokens(self, *inputs: Tensor) -> Tensor:
        """Return what ``forward`` does: a state of each token is its logits."""
        found: Tensor = self(*inputs)
        return found

    def tell(
        self, ids: Tensor, mask: Tensor, *, how: Telling, on_token: OnToken | None = None
    ) -> Tensor:
        """Return the ids of what is written of each text, int64, shape (B, L).

        Args:
            ids: ``input_ids`` of ``forward``.
            mask: ``attention_mask`` of ``forward``.
            how: Beams and length.
            on_token: Takes none: beams are searched to their end.
        """
        del on_token
        self._attend(max(ids.shape[1], how.most_of(ids.shape[1])))
        return write_with(self.steps(ids, mask), self.rules, ids, mask, how)

    def steps(self, input_ids: Tensor, attention_mask: Tensor) -> Steps:
        """Return the network with texts that it has not read yet, to be asked token by token.

        Args:
            input_ids: See ``forward``.
            attention_mask: See ``forward``.
        """
        return SequenceSteps(self.model, begin_of(self.model.config), input_ids, attention_mask)

    @property
    def rules(self) -> WritingRules:
        """What it may write."""
        return rules_of_sequences(self.model.config)

    def _attend(self, length: int) -> None:
        """Choose how attention is computed: fused kernels pay from some length on.

        Of sentences a step on a CPU takes longer with them (benchmarks/translation.py --attention).
        """
        wanted = "eager" if length <= _SHORT else self._fused
        if self.model.config._attn_implementation != wanted:
            self.model.set_attn_implementation(wanted)

    def blank_inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """Return one blank sample as ``forward`` takes it."""
        blank = torch.ones(1, 4, dtype=torch.int64, device=device)
        return blank, blank, blank

    def layer_groups(self) -> list[list[str]]:
        """Return parameter names by depth: embeddings, the encoder's blocks, the decoder's."""
        groups: dict[tuple[int, int], list[str]] = {}
        for name, _ in self.named_parameters():
            side, _, rest = name.removeprefix("model.").removeprefix("model.").partition(".")
            words = rest.split(".")
            block = next((int(w) for w in words if w.isdecimal()), None)
            if side not in ("encoder", "decoder"):
                place = (0, 0)  # embeddings, which both sides and the head share
            elif block is None:
                # positions come first; the norm behind the last block is that one's
                place = (0, 0) if "embed" in rest else (1 + (side == "decoder"), 1 << 20)
            else:
                place = (1 + (side == "decoder"), block)
            groups.setdefault(place, []).append(name)
        found: list[list[str]] = []
        for place in sorted(groups):
            if place[1] == 1 << 20 and found:
                found[-1] += groups[place]
            else:
                found.append(groups[place])
        return found


def _fix_computed(model: Any) -> None:
    """Keep parameters from learning that transformers does not save, but computes on loading.

    Marian's sine positions are such: what is learned of them would be lost with the next reading.
    """
    for name in getattr(model, "_keys_to_ignore_on_save", None) or ():
        place, _, leaf = name.rpartition(".")
        owner = model.get_submodule(place) if place else model
        if (found := owner._parameters.pop(leaf, None)) is not None:
            owner.register_buffer(leaf, found.detach(), persistent=False)


def rules_of_sequences(config: Any) -> WritingRules:
    """Return what an encoder–decoder may write.

    Args:
        config: Of the network.
    """
    pad, end = config.pad_token_id, config.eos_token_id
    # the last token that there is room for ends what is written, where a start wants that
    return WritingRules(
        ends=(end,),
        fill=pad,
        never=() if pad == end else (pad,),
        has_last_end=True,
        stops_full=True,
    )


def search_of(config: Any, how: Telling) -> GenerationConfig:
    """Return how transformers itself searches for what ``tell`` writes.

    Args:
        config: Of the network.
        how: Beams and length.
    """
    from transformers import GenerationConfig

    rules = rules_of_sequences(config)
    beams = {"length_penalty": how.length_penalty, "early_stopping": rules.stops_full}
    return GenerationConfig(
        num_beams=how.num_beams,
        max_new_tokens=how.max_tokens,
        do_sample=False,
        decoder_start_token_id=begin_of(config),
        forced_bos_token_id=how.first_id,
        forced_eos_token_id=rules.ends[0],
        bos_token_id=config.bos_token_id,
        eos_token_id=rules.ends[0],
        pad_token_id=rules.fill,
        suppress_tokens=list(rules.never) or None,
        **(beams if how.num_beams > 1 else {}),
    )


def begin_of(config: Any) -> int:
    """Return the id that what is written begins with."""
    begin = getattr(config, "decoder_start_token_id", None)
    return int(config.pad_token_id if begin is None else begin)


def tiny_sequences(tokenizer: TextTokenizer, origin: str) -> dict[str, object]:
    """Return the configuration of ``scratch/seq2seq-tiny`` for a vocabulary of both sides.

    Three blocks of width 256 on each side, normalised before them, sinusoidal positions, one table
    of embeddings for reading, writing and the head.
    """
    record = {
        "model_type": "m2m_100",
        "vocab_size": tokenizer.vocab_size,
        "d_model": _WIDTH,
        "encoder_layers": _BLOCKS,
        "decoder_layers": _BLOCKS,
        "encoder_attention_heads": _HEADS,
        "decoder_attention_heads": _HEADS,
        "encoder_ffn_dim": _INNER,
        "decoder_ffn_dim": _INNER,
        "activation_function": "relu",
        "scale_embedding": True,
        "dropout": _DROPOUT,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "max_position_embeddings": _POSITIONS,
        "pad_token_id": tokenizer.pad_id,
        "bos_token_id": tokenizer.end_id,
        "eos_token_id": tokenizer.end_id,
        "decoder_start_token_id": tokenizer.end_id,
        "tie_word_embeddings": True,
    }
    return SEQUENCES.clean(record, origin)


def sequence_class(config: PretrainedConfig) -> type[PreTrainedModel]:
    """Return the class of transformers that builds a configuration."""
    from transformers import AutoModelForSeq2SeqLM

    with quiet_transformers():  # it imports the module of the class
        found: type[PreTrainedModel] = AutoModelForSeq2SeqLM._model_mapping[type(config)]
    return found


def build_sequences(config: dict[str, object]) -> nn.Module:
    """Build an encoder–decoder with random weights from the current random state.

    Args:
        config: As ``SEQUENCES.clean`` gives it.

    Raises:
        StartError: If the configuration is not one that headstart builds.
    """
    read = SEQUENCES.config(config)
    kind: Any = sequence_class(read)
    try:
        with quiet_transformers(), torch.device("meta"):
            size = sum(p.numel() for p in kind(read).parameters())
    except (ValueError, RuntimeError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise StartError(
            f"transformers cannot build an encoder–decoder from this configuration "
            f"({type(error).__name__}: {error}). Expected a consistent one. Restore the file."
        ) from error
    if size > _MOST_PARAMETERS:
        raise StartError(
            f"The encoder–decoder has {size:,} parameters. Expected at most {_MOST_PARAMETERS:,}. "
            "Choose a smaller start."
        )
    with quiet_transformers():
        model = kind._from_config(read, attn_implementation=attention_of(kind), dtype=torch.float32)
    return SequenceNetwork(model)
