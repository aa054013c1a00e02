"""What turns texts into an encoder's inputs, read from the folder that the encoder was saved in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import StartError
from headstart.starts.architecture import Architecture
from headstart.starts.texts.terms import TermVectorizer, read_vectorizer
from headstart.starts.texts.tokens import TextTokenizer, read_tokenizer
from headstart.types import TextSpec


def read_own_tokenizer(parts: Architecture, folder: Path | None) -> TextTokenizer:
    """Read the tokenizer of an encoder.

    Args:
        parts: The architecture of a transformers encoder.
        folder: Where ``Encoder.files`` was written.

    Raises:
        StartError: If there is no folder, or a file is missing or damaged.
    """
    address, where = parts.start.address, _demand(folder, parts.start.address)
    assert isinstance(parts.spec, TextSpec)
    tokenizer = read_tokenizer(where, parts.spec.max_length, address)
    config = parts.options["config"]
    assert isinstance(config, dict)
    check_vocabulary(tokenizer, config, address)
    return tokenizer


def read_own_vectorizer(parts: Architecture, folder: Path | None) -> TermVectorizer:
    """Read the terms of an encoder.

    Args:
        parts: The architecture of a TF-IDF encoder.
        folder: Where ``Encoder.files`` was written.

    Raises:
        StartError: If there is no folder, or a file is missing or damaged.
    """
    address, where = parts.start.address, _demand(folder, parts.start.address)
    return read_vectorizer(where, int(str(parts.options["num_terms"])), address)


def _demand(folder: Path | None, address: str) -> Path:
    if folder is None:
        raise StartError(
            f"The text encoder '{address}' cannot be rebuilt from its architecture alone. Expected "
            f"the folder that holds its tokenizer or terms. Give it: folder=…"
        )
    return folder


def check_vocabulary(tokenizer: TextTokenizer, config: Mapping[str, Any], origin: str) -> None:
    """Refuse a tokenizer with ids that the network has no embedding for."""
    size = config.get("vocab_size")
    if isinstance(size, int) and tokenizer.vocab_size > size:
        raise StartError(
            f"The tokenizer of '{origin}' has {tokenizer.vocab_size:,} tokens, its network only "
            f"{size:,}. Expected the tokenizer that the network was trained with. Restore the "
            f"files, or choose another start."
        )
