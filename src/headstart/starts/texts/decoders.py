"""Decoders: networks that read a text one way and tell its next word; their configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headstart.errors import StartError, did_you_mean, quoted
from headstart.extras import quiet_transformers, require_text_extra

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig

    from headstart.preprocessing.tokens import TextTokenizer

# Decoders that see no further than a mask allows them, at positions that they are told: documents
# that share a row are then read as if each stood alone (a test holds each of them to it).
DECODER_TYPES = ("gpt2", "gpt_neox", "llama", "qwen2")
BUILDER, LANGUAGE_BUILDER = "decoder", "language-model"  # without its head, and with it
NAME = "gpt-tiny"
_WIDTH, _BLOCKS, _HEADS, _POSITIONS = 128, 4, 2, 512
_MOST_PARAMETERS = 3_000_000_000
# Of a configuration what decides the function of a decoder is all but these.
_SILENT = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
_CODE = ("auto_map", "quantization_config", "trust_remote_code")


def tiny_decoder(tokenizer: TextTokenizer, origin: str) -> dict[str, object]:
    """Return the configuration of ``scratch/gpt-tiny`` for a vocabulary: as wide as bert-tiny.

    Args:
        tokenizer: Gives the size, and the token that ends a document.
        origin: Names the start in a refusal.
    """
    record = {
        "model_type": "gpt2",
        "vocab_size": tokenizer.vocab_size,
        "n_positions": _POSITIONS,
        "n_embd": _WIDTH,
        "n_layer": _BLOCKS,
        "n_head": _HEADS,
        "bos_token_id": tokenizer.end_id,
        "eos_token_id": tokenizer.end_id,
        "pad_token_id": tokenizer.pad_id,
        "tie_word_embeddings": True,
    }
    return clean_decoder(record, origin)


def clean_decoder(record: Mapping[str, object], origin: str) -> dict[str, object]:
    """Return a decoder's configuration with all that decides its function, and no more.

    Args:
        record: Content of a ``config.json``, or what this function gave before.
        origin: Names the start in a refusal.

    Raises:
        StartError: If it is no decoder's that headstart trains, or would run code.
    """
    full = json.loads(decoder_config(record, origin).to_json_string(use_diff=False))
    kept = {key: value for key, value in full.items() if key not in _SILENT}
    return {**kept, "model_type": record["model_type"]}


def decoder_config(record: Mapping[str, object], origin: str = "architecture") -> PretrainedConfig:
    """Return transformers' configuration object of a decoder.

    Raises:
        StartError: As ``clean_decoder``.
    """
    code = [key for key in _CODE if record.get(key)]
    kind = str(record.get("model_type"))
    if code or kind not in DECODER_TYPES:
        wrong = f"has {quoted(code)}" if code else f"is of model_type '{kind}'"
        raise StartError(
            f"'{origin}' {wrong}, which is no decoder that headstart trains."
            f"{did_you_mean(kind, DECODER_TYPES)} Expected a plain one of {quoted(DECODER_TYPES)}. "
            f"Choose another start."
        )
    require_text_extra(f"'{origin}'", "transformers", "tokenizers")
    from headstart.starts.texts.configs import transformers_config

    options = {k: v for k, v in record.items() if k not in _SILENT and k != "model_type"}
    return transformers_config(kind, options, origin)


def build_decoder(config: dict[str, object]) -> nn.Module:
    """Build a decoder without a head, with random weights from the current random state.

    Args:
        config: As ``clean_decoder`` gives it.

    Raises:
        StartError: If the configuration is not one that headstart builds.
    """
    import torch

    from headstart.starts.texts.networks import TextNetwork, make_encoder

    read = decoder_config(config)
    from transformers import AutoModel

    try:
        with quiet_transformers(), torch.device("meta"):
            size = sum(p.numel() for p in AutoModel.from_config(read).parameters())
    except (ValueError, RuntimeError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise StartError(
            f"transformers cannot build a decoder from this configuration "
            f"({type(error).__name__}: {error}). Expected a consistent one. Restore the file."
        ) from error
    if size > _MOST_PARAMETERS:
        raise StartError(
            f"The decoder has {size:,} parameters. Expected at most {_MOST_PARAMETERS:,}. Choose "
            f"a smaller start."
        )
    network: Any = make_encoder(read)
    return TextNetwork(network, "mean", int(read.hidden_size))
