"""Building decoders: a small one from scratch, one of a transformers folder, one of an own run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from headstart.errors import StartError
from headstart.extras import quiet_transformers, require_text_extra
from headstart.preprocessing import TokenPreprocess
from headstart.preprocessing.json_records import read_json
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer
from headstart.preprocessing.vocabulary import load_tokenizer
from headstart.starts.addresses import WEIGHTS_NAME, parse_address
from headstart.starts.architecture import Option, write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.rebuild import RUN_PREFIX, read_run
from headstart.starts.texts.decoders import (
    BUILDER,
    DECODERS,
    build_decoder,
    tiny_decoder,
)
from headstart.starts.texts.networks import TextNetwork
from headstart.starts.texts.vocabulary_check import check_vocabulary
from headstart.starts.texts.weights import find_folder, read_weights
from headstart.starts.weights import load_checked, read_safetensors
from headstart.tensors import seeded
from headstart.types import Start

LENGTH = 256  # tokens of a row where nobody says


def build_decoder_start(
    start: Start,
    trained: TextTokenizer | None,
    *,
    max_length: int | None,
    column: str | None,
    seed: int,
) -> Encoder:
    """Build a decoder, with its weights, as an encoder that gives a state for each token.

    Args:
        start: ``scratch/gpt-tiny``, a transformers folder of a decoder, or an own run of one.
        trained: The vocabulary, where the start brings none.
        max_length: Tokens that are read at once; None takes 256, or what the decoder can take.
        column: Column of the texts, or None.
        seed: Of random weights.

    Raises:
        StartError: If the start is no decoder, or its files are missing or do not fit.
    """
    address = parse_address(start.address)
    require_text_extra(f"'{start.address}'", "transformers", "tokenizers")
    if address.kind == "run" and address.path is not None:
        network, config, tokenizer = _of_run(start, address.path)
    elif trained is not None and start.address == "scratch/gpt-tiny":
        tokenizer, config = trained, tiny_decoder(trained, start.address)
        with seeded(seed):
            network = build_decoder(config)
    elif address.kind in ("transformers", "hub"):
        folder = find_folder(address)
        config = DECODERS.clean(read_json(folder / "config.json"), start.address)
        tokenizer = load_tokenizer(folder, start.address, pads_with_end=True)
        network = _load(folder, config, start.address)
    else:
        raise _no_decoder(start.address)
    assert isinstance(network, TextNetwork)
    if tokenizer.end_id is None:
        raise StartError(
            f"The tokenizer of '{start.address}' has no eos_token, which ends a text. Expected "
            f"one. Add it to tokenizer_config.json, or choose another start."
        )
    check_vocabulary(tokenizer, config, start.address)
    limit = network.max_positions()
    length = min(LENGTH, limit) if max_length is None else max_length
    if not 2 <= length <= limit:
        raise StartError(
            f"max_length {length} is not possible for '{start.address}'. Expected 2 to {limit:,} "
            f"tokens. Choose a length in that range, or leave it out."
        )
    preprocess = TokenPreprocess(tokenizer.with_max_length(length), column)
    options: dict[str, Option] = {"config": config}
    return Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=write_architecture(BUILDER, options, start, preprocess.to_json()),
        num_features=network.num_features,
    )


def _no_decoder(address: str) -> StartError:
    return StartError(
        f"'{address}' is no decoder, which tells the next word. Expected scratch/gpt-tiny, a "
        f"transformers folder of one, or an own pretraining with objective clm. For an encoder say "
        f"--objective mlm."
    )


def _of_run(start: Start, path: Path) -> tuple[torch.nn.Module, dict[str, object], TextTokenizer]:
    """Return network, configuration and tokenizer of an own pretraining."""
    architecture, _ = read_run(path)
    if architecture.builder != BUILDER:
        raise _no_decoder(start.address)
    config = architecture.options["config"]
    preprocess = architecture.read_preprocess(path)
    assert isinstance(config, dict)
    assert isinstance(preprocess, TokenPreprocess)
    network = build_decoder(config)
    weights = read_safetensors(path / WEIGHTS_NAME, RUN_PREFIX)
    load_checked(network, weights, start.address, "Train the run again.")
    return network, config, preprocess.tokenizer.with_max_length(NO_LIMIT)


def _load(folder: Path, config: Mapping[str, object], origin: str) -> torch.nn.Module:
    """Return the decoder of a transformers folder, without its head."""
    from transformers import AutoModel

    read = DECODERS.config(config, origin)
    with quiet_transformers():
        model_class = AutoModel._model_mapping[type(read)]
    model, _ = read_weights(model_class, folder, read, origin)
    return TextNetwork(model, "mean", int(read.hidden_size))
