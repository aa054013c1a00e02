"""The files of a tokenizer as transformers wants them beside a model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from headstart.preprocessing.tokens import CONFIG_NAME, TextTokenizer


def tokenizer_files(
    tokenizer: TextTokenizer, *, names: Sequence[str] | None = None
) -> dict[str, bytes]:
    """Return the tokenizer's files with the model's length as its limit.

    Args:
        tokenizer: The model's.
        names: Of the inputs of the model; None leaves what the tokenizer says.
    """
    files = tokenizer.files()
    config = {**json.loads(files[CONFIG_NAME]), "model_max_length": tokenizer.max_length}
    if names is not None and "token_type_ids" in names:
        config["model_input_names"] = list(names)
    return {**files, CONFIG_NAME: json.dumps(config, indent=2, ensure_ascii=False).encode()}
