"""Decoders: networks that read a text one way and tell its next word; their configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headstart.errors import StartError
from headstart.extras import quiet_transformers
from headstart.starts.texts.writer_configs import Writers

if TYPE_CHECKING:
    from torch import nn

    from headstart.preprocessing.tokens import TextTokenizer

# Decoders that see no further than a mask allows them, at positions that they are told: documents
# that share a row are then read as if each stood alone (a test holds each of them to it).
DECODER_TYPES = ("gpt2", "gpt_neox", "llama", "qwen2")
BUILDER, LANGUAGE_BUILDER = "decoder", "language-model"  # without its head, and with it
NAME = "gpt-tiny"
_WIDTH, _BLOCKS, _HEADS, _POSITIONS = 128, 4, 2, 512
_MOST_PARAMETERS = 3_000_000_000
DECODERS = Writers("decoder", DECODER_TYPES)


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
    return DECODERS.clean(record, origin)


def build_decoder(config: dict[str, object]) -> nn.Module:
    """Build a decoder without a head, with random weights from the current random state.

    Args:
        config: As ``DECODERS.clean`` gives it.

    Raises:
        StartError: If the configuration is not one that headstart builds.
    """
    import torch

    from headstart.starts.texts.networks import TextNetwork, make_encoder

    read = DECODERS.config(config)
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
