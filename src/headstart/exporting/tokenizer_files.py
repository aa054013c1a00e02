"""The files of a tokenizer as transformers wants them beside a model."""

from __future__ import annotations

import json

from headstart.preprocessing.tokens import CONFIG_NAME, TextTokenizer


def tokenizer_files(tokenizer: TextTokenizer) -> dict[str, bytes]:
    """Return the tokenizer's files with the model's length as its limit."""
    files = tokenizer.files()
    config = {**json.loads(files[CONFIG_NAME]), "model_max_length": tokenizer.max_length}
    return {**files, CONFIG_NAME: json.dumps(config, indent=2, ensure_ascii=False).encode()}
