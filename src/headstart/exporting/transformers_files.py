"""What every folder for transformers has in common: its files, its labels, and how it is read back.

A folder is read as its user will read it, by ``from_pretrained``, and its tokenizer has to give the
ids that the model was trained on, text by text, before logits are compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ExportError
from headstart.exporting.folder import unreadable
from headstart.extras import quiet_transformers
from headstart.model import Model
from headstart.preprocessing.tokenizer_files import CONFIG_NAME
from headstart.preprocessing.tokens import TextTokenizer
from headstart.starts.lora import merge_lora
from headstart.starts.texts.networks import TextNetwork
from headstart.types import TextPair

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_PLAIN = {"input_ids": "ids"}  # what a person calls an input


def write_files(
    whole: PreTrainedModel,
    tokenizer: TextTokenizer,
    folder: Path,
    *,
    names: Sequence[str] | None = None,
) -> None:
    """Write a model of transformers with its tokenizer, the model's length as its limit.

    Args:
        whole: The model.
        tokenizer: Its tokenizer.
        folder: Where to.
        names: Of the inputs of the model; None leaves what the tokenizer says.
    """
    whole.save_pretrained(str(folder))
    files = tokenizer.files()
    config = {**json.loads(files[CONFIG_NAME]), "model_max_length": tokenizer.max_length}
    if names is not None and "token_type_ids" in names:
        config["model_input_names"] = list(names)
    told = json.dumps(config, indent=2, ensure_ascii=False).encode()
    for name, content in {**files, CONFIG_NAME: told}.items():
        (folder / name).write_bytes(content)


def set_labels(config: PretrainedConfig, model: Model, names: Sequence[str]) -> None:
    """Write what the outputs are called, and the temperature, into a configuration.

    Args:
        config: Of transformers; it is changed.
        model: Gives the temperature, by which its probabilities are calibrated.
        names: Of each output.
    """
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: place for place, name in enumerate(names)}
    config.headstart = {"temperature": model.temperature}


def assemble(
    model: Model,
    auto: Any,
    head_name: str,
    *,
    what: str,
    configure: Callable[[PretrainedConfig], None],
) -> PreTrainedModel:
    """Return a model of transformers with a model's weights, adapters merged.

    Args:
        model: A model with a transformers encoder and a linear head; it is left as it is.
        auto: The class of transformers that makes one of a configuration.
        head_name: What that class calls its linear head.
        what: What that class is for, in refusals.
        configure: Writes what the outputs are into a configuration.

    Raises:
        ExportError: If transformers has none for the encoder, or its weights do not fit.
    """
    encoder = deepcopy(model.encoder).cpu()
    merge_lora(encoder)
    network = encoder.network
    assert isinstance(network, TextNetwork)
    base = network.model if network.pooling == "mean" else network.model.base_model
    config = deepcopy(network.model.config)
    configure(config)
    address = model.encoder.start.address
    try:
        with quiet_transformers():
            whole: PreTrainedModel = auto.from_config(config, dtype=torch.float32)
    except ValueError as error:
        raise ExportError(
            f"transformers has no {what} for '{address}' ({config.model_type}). Serve the run "
            "folder with headstart."
        ) from error
    head = getattr(whole, head_name, None)
    own = base.state_dict()
    wanted = set(whole.base_model.state_dict()) if head is not None else set()
    if not isinstance(head, nn.Linear) or not wanted <= own.keys():
        raise ExportError(
            f"The weights of '{address}' do not fit transformers' {type(whole).__name__}. Serve "
            "the run folder with headstart."
        )
    whole.base_model.load_state_dict({name: own[name] for name in wanted}, strict=True)
    head.load_state_dict({name: t.cpu().float() for name, t in model.head.state_dict().items()})
    return whole.eval()


class WrittenFolder:
    """A folder for transformers, loaded again.

    Args:
        auto: The class of transformers that a user loads it with.
        partial: The folder.
        target: What it will be called, for refusals.

    Raises:
        ExportError: If transformers cannot load it.
    """

    def __init__(self, auto: Any, partial: Path, target: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self.model: PreTrainedModel = auto.from_pretrained(
                str(partial), local_files_only=True, use_safetensors=True, dtype=torch.float32
            ).eval()
            self._tokenizer = AutoTokenizer.from_pretrained(str(partial), local_files_only=True)
        except Exception as error:
            # transformers' readers fail in every way Python knows.
            raise unreadable("transformers", target, error) from error
        self._target = target

    def read(self, text: str, ids: np.ndarray) -> Any:
        """Return a text as transformers' model takes it.

        Args:
            text: The text.
            ids: What the exported model reads of it, int64, shape (T,).

        Raises:
            ExportError: If the tokenizer that was written gives others.
        """
        return self.read_as(text, {"input_ids": torch.from_numpy(ids)[None]})

    def read_as(self, text: str, own: Mapping[str, Tensor]) -> Any:
        """Return a text, or a pair, as transformers' model takes it.

        Args:
            text: The text.
            own: What the exported model reads of it, by the names of transformers, (1, T) each.

        Raises:
            ExportError: If the tokenizer that was written gives something else.
        """
        sides = (text.first, text.second) if isinstance(text, TextPair) else (text,)
        inputs = self._tokenizer(*sides, truncation=True, return_tensors="pt")
        for name, array in own.items():
            if inputs[name][0].tolist() != array[0].tolist():
                raise ExportError(
                    f"The tokenizer exported to {self._target} gives other {_PLAIN.get(name, name)}"
                    f" than headstart's for {text[:40]!r}. Nothing was kept. Please report this "
                    "with the start's name."
                )
        return inputs
