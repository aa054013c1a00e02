"""Models that write as folders for transformers' ``AutoModelForCausalLM``.

The folder gives the logits that the run has, its tokenizer the same ids, and its chat template the
same conversations, so that ``pipeline("text-generation", model=folder)`` answers as the run does.
Adapters are merged. What the folder was written from is compared with it before it is left behind.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from headstart.errors import ExportError
from headstart.exporting.folder import building, check_same, refuse_occupied, unreadable
from headstart.exporting.transformers_files import write_files
from headstart.extras import quiet_transformers, require_text_extra
from headstart.model import Model
from headstart.preprocessing import DialoguePreprocess
from headstart.preprocessing.chat_templates import render
from headstart.preprocessing.tokenizer_files import TEMPLATE_NAME
from headstart.starts.lora import merge_lora
from headstart.starts.texts.language_network import LanguageNetwork
from headstart.types import ANSWERER, USER

SAMPLE_TURNS = (
    (USER, "What is the capital of France?"),
    (ANSWERER, "Paris."),
    (USER, "Und wie viele Menschen leben dort? 多少?"),
)


def writes_on(model: Model) -> bool:
    """Return whether a model is a decoder with its head, which goes on with a text."""
    return isinstance(model.encoder.network, LanguageNetwork)


def export_causal(model: Model, folder: str | Path) -> Path:
    """Write a model that writes as a folder that transformers loads.

    Args:
        model: Of a decoder; it is left as it is.
        folder: A new or empty folder.

    Raises:
        ExportError: If what was written does not give the same ids and logits; then nothing is left
            behind.
    """
    target, preprocess = Path(folder), model.encoder.preprocess
    assert isinstance(preprocess, DialoguePreprocess)
    refuse_occupied(target)
    require_text_extra("The export", "transformers", "tokenizers")
    network = merged_network(model)
    with building(target) as partial, quiet_transformers():
        whole = network.model
        whole.generation_config.max_new_tokens = preprocess.answer_tokens
        whole.generation_config.eos_token_id = preprocess.end_id
        whole.generation_config.pad_token_id = preprocess.end_id
        write_files(whole, preprocess.tokenizer, partial)
        if preprocess.of_turns:
            (partial / TEMPLATE_NAME).write_text(preprocess.template, encoding="utf-8")
        _check(network, preprocess, partial, target)
    return target


def merged_network(model: Model) -> LanguageNetwork:
    """Return a copy of a model's network on the CPU, adapters merged, in eval mode."""
    encoder = deepcopy(model.encoder).cpu().eval()
    merge_lora(encoder)
    network = encoder.network
    assert isinstance(network, LanguageNetwork)
    return network.eval()


def logits_of(network: LanguageNetwork, ids: torch.Tensor) -> torch.Tensor:
    """Return a run's own logits of one row of ids, (T, V)."""
    positions = torch.arange(ids.shape[1])[None]
    with torch.no_grad():
        return network.logits(network.states(ids, positions, torch.zeros_like(ids))[0])


def sample_ids(preprocess: DialoguePreprocess) -> torch.Tensor:
    """Return the ids of a sample conversation, or of its texts where none is read, (1, T)."""
    tokenizer = preprocess.tokenizer
    text = "\n".join(content for _, content in SAMPLE_TURNS)
    if preprocess.of_turns:
        origin, special = tokenizer.origin, tokenizer.special_tokens
        text = render(preprocess.template, SAMPLE_TURNS, special, origin, opens=True)
    ids = tokenizer.encode_plain([text])[0][: preprocess.max_length]
    return torch.from_numpy(ids).to(torch.int64)[None]


def _check(
    network: LanguageNetwork, preprocess: DialoguePreprocess, partial: Path, target: Path
) -> None:
    """Load what was written as a user would, and compare ids and logits."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            str(partial), local_files_only=True, use_safetensors=True, dtype=torch.float32
        ).eval()
        reader: Any = AutoTokenizer.from_pretrained(str(partial), local_files_only=True)
    except Exception as error:
        # transformers' readers fail in every way Python knows.
        raise unreadable("transformers", target, error) from error
    ids = sample_ids(preprocess)
    if preprocess.of_turns:
        messages = [{"role": role, "content": content} for role, content in SAMPLE_TURNS]
        told = reader.apply_chat_template(messages, add_generation_prompt=True)
        read = told["input_ids"][: preprocess.max_length]
    else:
        text = "\n".join(content for _, content in SAMPLE_TURNS)
        read = reader(text, add_special_tokens=False)["input_ids"][: preprocess.max_length]
    if read != ids[0].tolist():
        raise ExportError(
            f"The tokenizer exported to {target} gives other ids than the run's for a text. "
            "Nothing was kept. Please report this with the start's name."
        )
    with torch.no_grad():
        found = loaded(input_ids=ids).logits[0]
    check_same(found, logits_of(network, ids), target)
