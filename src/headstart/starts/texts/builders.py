"""Building text encoders: a start and the texts of train give network, tokenizer and weights.

The texts decide what no pretraining has decided: the vocabulary of random starts, the terms of
TF-IDF, and how long an input may be. Runs as starts bring their own vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from headstart.errors import StartError, did_you_mean, first_line
from headstart.extras import require_text_extra
from headstart.starts.addresses import Address, parse_address
from headstart.starts.architecture import Architecture, build_network, write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.local import read_json, read_run
from headstart.starts.texts.configs import Pooling, clean_config, set_dropout
from headstart.starts.texts.networks import TextNetwork
from headstart.starts.texts.terms import TermVectorizer, fit_vectorizer, read_vectorizer
from headstart.starts.texts.tokens import (
    NO_LIMIT,
    TextTokenizer,
    load_tokenizer,
    read_tokenizer,
    train_tokenizer,
)
from headstart.tensors import evaluating, seeded
from headstart.types import Start, TextSpec, Tokenizer, Vectorizer

MOST_TOKENS = 256  # a default never goes beyond this; attention grows with the square
LEAST_TOKENS = 16
LENGTH_QUANTILE = 0.99
LENGTH_SAMPLE = 10_000  # texts looked at to find the default length
LENGTH_CHARACTERS = 2_000_000  # of them at the most: a second or two of any tokenizer
TINY = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2}
TINY_POSITIONS = 512


@dataclass(frozen=True)
class _Parts:
    """What a start gives: configuration, pooling, tokenizer, and where the weights lie."""

    config: dict[str, object]
    pooling: Pooling
    tokenizer: TextTokenizer
    folder: Path | None = None  # transformers' folder with weights
    run: Path | None = None  # run folder with weights


def build_text_encoder(
    start: Start,
    texts: Sequence[str],
    *,
    max_length: int | None = None,
    dropout: float | None = None,
    pooling: Literal["auto", "native", "mean"] = "auto",
    seed: int = 0,
    source: Tokenizer | Vectorizer | None = None,
) -> Encoder:
    """Build the encoder of a text start for some texts, with its weights.

    Args:
        start: From ``find_start`` or ``list_starts("text")``.
        texts: Those of train: vocabularies and terms are learned from them, and the length.
        max_length: Tokens a text keeps at most. None takes the length that 99 % of the texts do
            not exceed (of 10,000 spread over them, fewer where they are long), rounded up to a
            multiple of 8, at least 16 and at most 256 or what the encoder can take.
        dropout: Every dropout rate of the network; None keeps the start's own.
        pooling: How features come about: ``native``, what the architecture's own classification
            head feeds its last layer, which can be exported exactly; ``mean``, the average of the
            last hidden states, the better frozen features of sentence encoders; ``auto``,
            ``native``, or for a run as a start the run's own.
        seed: Seeds random weights.
        source: What turns texts into inputs, as ``learn_source`` or an encoder of the same start
            has it: nothing is learned or loaded again. None learns from the texts, or loads.

    Returns:
        The encoder, in train mode.

    Raises:
        StartError: If weights or packages are missing, something does not fit, or the start does
            not read texts.

    Example:
        >>> from headstart.starts import find_start
        >>> build_text_encoder(find_start("scratch/tfidf"), ["good film", "bad film"]).num_features
        5
    """
    _check_request(start, texts, pooling)
    address = parse_address(start.address)
    run = read_run(address.path)[0] if address.kind == "run" and address.path else None
    if start.address == "scratch/tfidf" or (run is not None and run.builder == "tfidf"):
        _refuse_token_options(start, max_length, dropout, pooling)
        assert source is None or isinstance(source, TermVectorizer)
        return _build_terms(start, texts, address, run, source)
    require_text_extra(f"'{start.address}'", "transformers", "tokenizers")
    assert source is None or isinstance(source, TextTokenizer)
    parts = _read_parts(start, texts, address, run, pooling, source)
    config = parts.config
    if dropout is not None:
        config = set_dropout(config, dropout, start.address)
    with seeded(seed):
        network = _make_network(parts, config, start.address)
    limit = min(network.max_positions(), parts.tokenizer.own_limit)
    if max_length is None and source is not None and source.max_length != NO_LIMIT:
        max_length = min(source.max_length, limit)  # chosen when the source was made
    length = _choose_length(parts.tokenizer, texts, max_length, limit, start.address)
    tokenizer = parts.tokenizer.with_max_length(length)
    _check_vocabulary(tokenizer, config, start.address)
    spec = TextSpec("tokens", length)
    options = {"config": config, "pooling": parts.pooling}
    encoder = Encoder(
        network,
        start=start,
        spec=spec,
        architecture=write_architecture("transformers", options, start, spec),
        num_features=network.num_features,
        tokenizer=tokenizer,
    )
    _check_pass(encoder, length)
    return encoder


def learns_from_texts(start: Start) -> bool:
    """Return whether a start learns its vocabulary or terms from the texts of train."""
    return start.modality == "text" and parse_address(start.address).kind == "scratch"


def learn_source(start: Start, texts: Sequence[str]) -> TextTokenizer | TermVectorizer:
    """Learn what turns texts into the inputs of a start that brings nothing: the slow part.

    Args:
        start: One that ``learns_from_texts``.
        texts: Those of train, or some of them.

    Raises:
        StartError: If there is nothing to learn in the texts.
    """
    if start.address == "scratch/tfidf":
        return fit_vectorizer(texts, start.address)
    return train_tokenizer(texts, start.address)


def read_sources(
    parts: Architecture, folder: Path | None
) -> tuple[TextTokenizer | None, TermVectorizer | None]:
    """Read what turns texts into an encoder's inputs from the folder it was saved in.

    Args:
        parts: The architecture of a text encoder.
        folder: Where ``Encoder.files`` was written.

    Raises:
        StartError: If there is no folder, or a file is missing or damaged.
    """
    address = parts.start.address
    if folder is None:
        raise StartError(
            f"The text encoder '{address}' cannot be rebuilt from its architecture alone. Expected "
            f"the folder that holds its tokenizer or terms. Give it: folder=…"
        )
    assert isinstance(parts.spec, TextSpec)
    if parts.builder == "tfidf":
        return None, read_vectorizer(folder, int(str(parts.options["num_terms"])), address)
    tokenizer = read_tokenizer(folder, parts.spec.max_length, address)
    config = parts.options["config"]
    assert isinstance(config, dict)
    _check_vocabulary(tokenizer, config, address)
    return tokenizer, None


def _build_terms(
    start: Start,
    texts: Sequence[str],
    address: Address,
    run: Architecture | None,
    source: TermVectorizer | None,
) -> Encoder:
    """Build the TF-IDF encoder; a run as a start keeps its terms."""
    if source is not None:
        vectorizer = source
    elif run is not None and address.path is not None:
        _, found = read_sources(run, address.path)
        assert found is not None
        vectorizer = found
    else:
        vectorizer = fit_vectorizer(texts, start.address)
    spec, options = TextSpec("terms", 0), {"num_terms": vectorizer.num_terms}
    return Encoder(
        build_network("tfidf", options),
        start=start,
        spec=spec,
        architecture=write_architecture("tfidf", options, start, spec),
        num_features=vectorizer.num_terms,
        vectorizer=vectorizer,
    )


def _read_parts(
    start: Start,
    texts: Sequence[str],
    address: Address,
    run: Architecture | None,
    pooling: Literal["auto", "native", "mean"],
    source: TextTokenizer | None,
) -> _Parts:
    """Return configuration, pooling and tokenizer of a start; ``source`` is one that is at hand."""
    wanted: Pooling = "mean" if pooling == "mean" else "native"
    if run is not None and address.path is not None:
        tokenizer = source or read_sources(run, address.path)[0]
        config, has = run.options["config"], run.options["pooling"]
        if pooling not in ("auto", has):
            raise StartError(
                f"The run '{start.address}' has pooling '{has}', not '{pooling}'. Expected its "
                f"own. Leave pooling out."
            )
        assert tokenizer is not None
        assert isinstance(config, dict)
        own: Pooling = "mean" if has == "mean" else "native"
        return _Parts(config, own, tokenizer, run=address.path)
    if address.kind == "scratch":
        tokenizer = source or train_tokenizer(texts, start.address)
        return _Parts(tiny_config(tokenizer, start.address), wanted, tokenizer)
    from headstart.starts.texts.weights import find_folder

    folder = find_folder(address)
    config = clean_config(read_json(folder / "config.json"), start.address)
    tokenizer = source or load_tokenizer(folder, start.address)
    return _Parts(config, wanted, tokenizer, folder=folder)


def tiny_config(tokenizer: TextTokenizer, origin: str) -> dict[str, object]:
    """Return the configuration of ``scratch/bert-tiny`` for a vocabulary.

    Four blocks of width 128: on two CPU cores a pass over 10,000 short texts takes seconds.
    """
    record = {
        "model_type": "bert",
        "vocab_size": tokenizer.vocab_size,
        "pad_token_id": tokenizer.pad_id,
        "intermediate_size": 4 * TINY["hidden_size"],
        "max_position_embeddings": TINY_POSITIONS,
        "type_vocab_size": 1,
        **TINY,
    }
    return clean_config(record, origin)


def _make_network(parts: _Parts, config: dict[str, object], origin: str) -> TextNetwork:
    """Build the network and fill it from where the start's weights lie."""
    if parts.folder is not None:
        from headstart.starts.texts.weights import load_network

        return load_network(parts.folder, config, parts.pooling, origin)
    network = build_network("transformers", {"config": config, "pooling": parts.pooling})
    assert isinstance(network, TextNetwork)
    if parts.run is not None:
        from headstart.starts.builders import read_run_tensors
        from headstart.starts.weights import load_checked

        load_checked(network, read_run_tensors(parts.run), origin, "Train the run again.")
    return network


def _choose_length(
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    max_length: int | None,
    limit: int,
    origin: str,
) -> int:
    """Return the number of tokens that a text keeps at most."""
    if max_length is not None:
        if not 1 <= max_length <= limit:
            raise StartError(
                f"max_length {max_length} is not possible for '{origin}'. Expected 1 to {limit:,} "
                f"tokens. Choose a length in that range, or leave it out."
            )
        return max_length
    sample = texts[:: max(1, len(texts) // LENGTH_SAMPLE)]
    num_characters = sum(map(len, sample))
    sample = sample[:: max(1, -(-num_characters // LENGTH_CHARACTERS))]
    _, lengths = tokenizer.with_max_length(NO_LIMIT).encode(sample)
    usual = int(np.quantile(lengths, LENGTH_QUANTILE, method="higher"))
    rounded = max(LEAST_TOKENS, -(-usual // 8) * 8)
    return min(rounded, MOST_TOKENS, limit)


def _check_vocabulary(tokenizer: TextTokenizer, config: Mapping[str, Any], origin: str) -> None:
    """Refuse a tokenizer with ids that the network has no embedding for."""
    size = config.get("vocab_size")
    if isinstance(size, int) and tokenizer.vocab_size > size:
        raise StartError(
            f"The tokenizer of '{origin}' has {tokenizer.vocab_size:,} tokens, its network only "
            f"{size:,}. Expected the tokenizer that the network was trained with. Restore the "
            f"files, or choose another start."
        )


def _check_pass(encoder: Encoder, length: int) -> None:
    """Refuse a network that fails on the longest input, or gives no features."""
    assert encoder.tokenizer is not None
    ids = torch.full((1, length), max(0, encoder.tokenizer.pad_id - 1), dtype=torch.int64)
    if encoder.tokenizer.pad_id == 0:
        ids += 1
    try:
        with evaluating(encoder):
            features = encoder(ids, torch.ones_like(ids))
    except Exception as error:
        # Networks fail on lengths they cannot take in every way Python knows.
        raise StartError(
            f"'{encoder.start.address}' fails on a text of {length} tokens ({first_line(error)}). "
            f"Expected features of shape (1, D). Choose a smaller max_length, or another start."
        ) from error
    if features.shape != (1, encoder.num_features):
        raise StartError(
            f"'{encoder.start.address}' gives features of shape {tuple(features.shape)} for a "
            f"text. Expected (1, {encoder.num_features}). Choose another start."
        )


def _check_request(start: Start, texts: Sequence[str], pooling: str) -> None:
    """Refuse what no start can do."""
    if start.modality != "text":
        raise StartError(f"'{start.address}' reads {start.modality}. Expected a start for text.")
    if not len(texts):
        raise StartError(
            f"'{start.address}' is built for the texts of train, and there are none. Expected at "
            f"least one. Check the data."
        )
    known = ("auto", "native", "mean")
    if pooling not in known:
        raise StartError(
            f"Unknown pooling '{pooling}'.{did_you_mean(pooling, known)} Expected 'auto', 'native' "
            f"or 'mean'. Choose one of them."
        )


def _refuse_token_options(
    start: Start, max_length: int | None, dropout: float | None, pooling: str
) -> None:
    """Refuse options that TF-IDF has no use for."""
    said = {"max_length": max_length, "dropout": dropout or None}
    wrong = [f"{name} {value}" for name, value in said.items() if value is not None]
    wrong += [f"pooling '{pooling}'"] if pooling != "auto" else []
    if wrong:
        raise StartError(
            f"'{start.address}' has no use for {' and '.join(wrong)}: it counts the terms of whole "
            f"texts. Expected none of them. Leave them out."
        )
