"""Building encoder–decoders: a small one from scratch, one of a transformers folder, an own run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.errors import StartError, first_line
from headstart.extras import quiet_transformers, require_text_extra
from headstart.preprocessing import SequencePreprocess, TokenPreprocess
from headstart.preprocessing.json_records import read_json
from headstart.preprocessing.languages import Sides, in_languages
from headstart.preprocessing.sentence_pieces import convert_pieces
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer
from headstart.preprocessing.vocabulary import load_tokenizer
from headstart.starts.addresses import Address
from headstart.starts.architecture import write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.provider import BuildRequest, FormerRun
from headstart.starts.texts.builders import LEAST_TOKENS, LENGTH_SAMPLE, MOST_TOKENS, check_request
from headstart.starts.texts.configs import attention_of, set_dropout
from headstart.starts.texts.sequences import (
    BUILDER,
    SEQUENCES,
    SequenceNetwork,
    begin_of,
    build_sequences,
    sequence_class,
    tiny_sequences,
)
from headstart.starts.texts.vocabulary_check import check_vocabulary
from headstart.starts.texts.weights import find_folder
from headstart.starts.weights import load_checked
from headstart.tensors import seeded
from headstart.types import Start

_LENGTH_QUANTILE = 0.999  # of texts that are not cut: what is cut on either side learns to stop
_USUAL_RATIO = 4.0
_RELATIVE = ("t5", "mt5")  # whose positions have no end


def build_sequence_start(
    start: Start, address: Address, request: BuildRequest, former: FormerRun | None
) -> Encoder:
    """Build an encoder–decoder for some pairs of texts, with its weights.

    Args:
        start: ``scratch/seq2seq-tiny``, a transformers folder of one, or an own run of one.
        address: Of the start.
        request: Texts of both sides, and what is said of length and dropout.
        former: The run that is the start; None where it is none.

    Raises:
        StartError: If weights or packages are missing, or something does not fit.
    """
    check_request(start, request)
    require_text_extra(f"'{start.address}'", "transformers", "tokenizers")
    learned = request.preprocess
    assert learned is None or isinstance(learned, TokenPreprocess)
    config, sides, folder = _read_parts(start, address, request, former)
    if sides.read.end_id is None:
        raise StartError(
            f"The tokenizer of '{start.address}' has no eos_token, which ends what is written. "
            "Expected one. Add it to tokenizer_config.json, or choose another start."
        )
    check_vocabulary(sides.read, config, start.address)
    check_vocabulary(sides.told, config, start.address)
    if request.dropout is not None:
        config = set_dropout(config, request.dropout, start.address)
    with seeded(request.seed):
        network = (
            build_sequences(config) if folder is None else _load(folder, config, start.address)
        )
    assert isinstance(network, SequenceNetwork)
    if former is not None:
        load_checked(network, former.read_tensors(), start.address, "Train the run again.")
    lengths = _lengths(sides, request, config, start.address, learned)
    own = learned.most_ratio if isinstance(learned, SequencePreprocess) else None
    ratio = _ratio(sides, request) if own is None else own
    preprocess = SequencePreprocess(
        sides.read.with_max_length(lengths[0]),
        request.column,
        begin_id=begin_of(network.model.config),
        most_told=lengths[1],
        most_ratio=ratio,
        told_by=None if sides.told is sides.read else sides.told,
        first_id=sides.forced_id,
    )
    network.train()
    return Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=write_architecture(BUILDER, {"config": config}, start, preprocess.to_json()),
        num_features=network.num_features,
    )


def _read_parts(
    start: Start, address: Address, request: BuildRequest, former: FormerRun | None
) -> tuple[dict[str, object], Sides, Path | None]:
    """Return configuration, tokenizers of both sides, and the folder with weights, if any."""
    own, folder = request.preprocess, None
    if former is not None:
        config = former.architecture.options["config"]
        own = former.architecture.read_preprocess(former.path)
    elif address.kind == "scratch":
        assert isinstance(own, TokenPreprocess)
        config = tiny_sequences(own.tokenizer.with_max_length(NO_LIMIT), start.address)
    else:
        folder = find_folder(address)
        config = SEQUENCES.clean(read_json(folder / "config.json"), start.address)
    assert isinstance(config, dict)
    if isinstance(own, SequencePreprocess):
        read = own.tokenizer.with_max_length(NO_LIMIT)
        told = read if own.told_by is None else own.told_by
        if request.languages is None:
            return config, Sides(read, told, forced_id=own.first_id), folder
    elif isinstance(own, TokenPreprocess):
        read = told = own.tokenizer.with_max_length(NO_LIMIT)
    else:
        assert folder is not None
        read, told = _load_sides(folder, start.address)
    sides = in_languages(read, told, request.languages, start.address)
    if sides.begin_id is not None:
        config["decoder_start_token_id"] = sides.begin_id
    return config, sides, folder


def _load_sides(folder: Path, origin: str) -> tuple[TextTokenizer, TextTokenizer]:
    """Load the tokenizers of both sides of a transformers folder."""
    found = convert_pieces(folder, origin)
    if found is None:
        found = load_tokenizer(folder, origin), None
    return found[0], found[0] if found[1] is None else found[1]


def _lengths(
    sides: Sides,
    request: BuildRequest,
    config: Mapping[str, Any],
    origin: str,
    learned: TokenPreprocess | None,
) -> tuple[int, int]:
    """Return how many tokens a text and a target keep at most."""
    if isinstance(learned, SequencePreprocess) and request.max_length is None:
        return learned.max_length, learned.most_told
    positions = config.get("max_position_embeddings")
    is_endless = config.get("model_type") in _RELATIVE or not isinstance(positions, int)
    tokenizer = sides.read
    limit = min(NO_LIMIT if is_endless else int(positions or 0), tokenizer.own_limit)
    if request.max_length is not None:
        least = 1 + sum(map(len, tokenizer.frame))
        if not least <= request.max_length <= limit:
            raise StartError(
                f"max_length {request.max_length} is not possible for '{origin}'. Expected "
                f"{least} to {limit:,} tokens. Choose a length in that range, or leave it out."
            )
        return request.max_length, request.max_length
    texts = (request.texts, request.wanted)
    found = [
        _usual(side, some, limit)
        for side, some in zip((sides.read, sides.told), texts, strict=True)
    ]
    return found[0], found[1]


def _usual(tokenizer: TextTokenizer, texts: Any, limit: int) -> int:
    """Return the length that nearly all texts do not exceed."""
    sample = texts[:: max(1, len(texts) // LENGTH_SAMPLE)]
    if not len(sample):
        return min(MOST_TOKENS, limit)
    usual = int(np.quantile(tokenizer.encode(sample)[1], _LENGTH_QUANTILE, method="higher"))
    return min(max(LEAST_TOKENS, -(-usual // 8) * 8), MOST_TOKENS, limit)


def _ratio(sides: Sides, request: BuildRequest) -> float:
    """Return how many tokens nearly all targets have at most for each of their text."""
    step = max(1, len(request.texts) // LENGTH_SAMPLE)
    texts = request.texts[::step], request.wanted[::step]
    if len(texts[0]) != len(texts[1]):
        return _USUAL_RATIO
    read, told = (
        side.encode(some)[1] for side, some in zip((sides.read, sides.told), texts, strict=True)
    )
    found = np.quantile(told / np.maximum(read, 1), _LENGTH_QUANTILE)
    return round(max(float(found), 1.0 / 64), 3)


def _load(folder: Path, config: Mapping[str, object], origin: str) -> SequenceNetwork:
    """Return the encoder–decoder of a transformers folder."""
    read = SEQUENCES.config(config, origin)
    kind: Any = sequence_class(read)
    try:
        with quiet_transformers():
            model, report = kind.from_pretrained(
                str(folder),
                config=read,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
                attn_implementation=attention_of(kind),
            )
    except Exception as error:
        # Readers fail in every way: missing files, damaged headers, errors of their own kinds.
        raise StartError(
            f"The weights of '{origin}' in '{folder}' cannot be loaded ({first_line(error)}). "
            f"Expected safetensors that fit config.json; pickles are not opened. Get them again."
        ) from error
    missing = sorted(map(str, report.get("missing_keys") or ()))
    if missing:
        raise StartError(
            f"The weights of '{origin}' do not fit its config.json: '{missing[0]}' is missing. "
            f"Expected weights of that encoder–decoder. Get both files again."
        )
    for parameter in model.parameters():
        # what was read may lie anywhere in a mapped file: kernels round by how memory is aligned
        parameter.data = parameter.data.clone()
    return SequenceNetwork(model)
