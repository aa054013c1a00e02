"""The files that a fast tokenizer is: ``tokenizer.json`` and what transformers wants beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headstart.errors import StartError

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_NAME, CONFIG_NAME = "tokenizer.json", "tokenizer_config.json"
# What transformers may write beside the two; nothing else of a tokenizer's folder travels.
TEMPLATE_NAME = "chat_template.jinja"
_BESIDE = ("special_tokens_map.json", "added_tokens.json", TEMPLATE_NAME)
FILE_NAMES = (TOKENIZER_NAME, CONFIG_NAME, *_BESIDE)


def read_backend(files: Mapping[str, bytes], origin: str) -> tokenizers.Tokenizer:
    """Return the tokenizer of its files, that neither cuts nor fills up.

    Raises:
        StartError: If ``tokenizer.json`` cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        backend = Tokenizer.from_str(files[TOKENIZER_NAME].decode("utf-8"))
    except Exception as error:
        # The Rust library raises plain Exception for everything it cannot parse.
        raise StartError(
            f"The {TOKENIZER_NAME} of '{origin}' cannot be read ({type(error).__name__}: {error})."
            f" Expected what the tokenizers library writes. Restore the file."
        ) from error
    backend.no_truncation()
    backend.no_padding()
    return backend


def read_config(files: Mapping[str, bytes], origin: str) -> dict[str, object]:
    """Return the content of ``tokenizer_config.json``.

    Raises:
        StartError: If it cannot be read, or asks for code of its own.
    """
    try:
        config = json.loads(files[CONFIG_NAME].decode("utf-8"))
    except (KeyError, ValueError) as error:
        raise StartError(
            f"The {CONFIG_NAME} of '{origin}' cannot be read ({error}). Expected a JSON object. "
            f"Restore the file."
        ) from error
    if not isinstance(config, dict) or "auto_map" in config:
        found = (
            "asks for code of its own (auto_map)" if isinstance(config, dict) else "is no object"
        )
        raise StartError(
            f"The {CONFIG_NAME} of '{origin}' {found}. Expected a JSON object without code, which "
            f"is never run. Choose another start."
        )
    return config
