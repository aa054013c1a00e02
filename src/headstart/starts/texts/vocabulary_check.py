"""Whether a tokenizer and a network fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.errors import StartError
from headstart.preprocessing.tokens import TextTokenizer


def check_vocabulary(tokenizer: TextTokenizer, config: Mapping[str, Any], origin: str) -> None:
    """Refuse a tokenizer with ids that the network has no embedding for.

    Raises:
        StartError: If it has more tokens than the network.
    """
    size = config.get("vocab_size")
    if isinstance(size, int) and tokenizer.vocab_size > size:
        raise StartError(
            f"The tokenizer of '{origin}' has {tokenizer.vocab_size:,} tokens, its network only "
            f"{size:,}. Expected the tokenizer that the network was trained with. Restore the "
            f"files, or choose another start."
        )
