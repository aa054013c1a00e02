"""Configurations of networks of transformers that write: checked, and with nothing left open.

One may come from a stranger's file: its type is looked up in a list, and nothing of it is imported
or run. PyTorch is imported by transformers alone, when a configuration is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.errors import StartError, did_you_mean, quoted
from headstart.extras import require_text_extra

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Encoder–decoders whose targets are what their tokenizer makes of a text, moved by one place. NLLB
# is an M2M100.
SEQUENCE_TYPES = ("bart", "m2m_100", "marian", "mbart", "mt5", "t5")
# Of a configuration what decides the function of a network is all but these.
_SILENT = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
_CODE = ("auto_map", "quantization_config", "trust_remote_code")


@dataclass(frozen=True)
class Writers:
    """Networks of one kind that headstart trains.

    Attributes:
        name: What one is called.
        types: Their ``model_type``.
    """

    name: str
    types: Sequence[str]

    def clean(self, record: Mapping[str, object], origin: str) -> dict[str, object]:
        """Return a configuration with all that decides its function, and no more.

        Args:
            record: Content of a ``config.json``, or what this function gave before.
            origin: Names the start in a refusal.

        Raises:
            StartError: If it is none that headstart trains, or would run code.
        """
        full = json.loads(self.config(record, origin).to_json_string(use_diff=False))
        kept = {key: value for key, value in full.items() if key not in _SILENT}
        return {**kept, "model_type": record["model_type"]}

    def config(
        self, record: Mapping[str, object], origin: str = "architecture"
    ) -> PretrainedConfig:
        """Return transformers' configuration object.

        Raises:
            StartError: As ``clean``.
        """
        code = [key for key in _CODE if record.get(key)]
        kind = str(record.get("model_type"))
        if code or kind not in self.types:
            wrong = f"has {quoted(code)}" if code else f"is of model_type '{kind}'"
            raise StartError(
                f"'{origin}' {wrong}, which is no {self.name} that headstart trains."
                f"{did_you_mean(kind, self.types)} Expected a plain one of {quoted(self.types)}. "
                f"Choose another start."
            )
        require_text_extra(f"'{origin}'", "transformers", "tokenizers")
        from headstart.starts.texts.configs import transformers_config

        options = {k: v for k, v in record.items() if k not in _SILENT and k != "model_type"}
        return transformers_config(kind, options, origin)
