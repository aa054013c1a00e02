"""Building text encoders: a start and the texts of train give network, tokenizer and weights.

The texts decide what no pretraining has decided: the vocabulary of random starts, the terms of
TF-IDF, and how long an input may be. Runs as starts bring their own vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from headstart.errors import StartError, did_you_mean, first_line
from headstart.extras import require_text_extra
from headstart.preprocessing import (
    PairPreprocess,
    PairTermPreprocess,
    QuestionPreprocess,
    TermPreprocess,
    TokenPreprocess,
    WordPreprocess,
    sides_of,
    terms,
)
from headstart.preprocessing.for_pairs import pair_lengths
from headstart.preprocessing.json_records import read_json
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer
from headstart.preprocessing.vocabulary import load_tokenizer, train_tokenizer
from headstart.preprocessing.word_places import CutAt, cut_of
from headstart.starts.addresses import Address, parse_address
from headstart.starts.architecture import Option, write_architecture
from headstart.starts.encoder import Encoder
from headstart.starts.provider import BuildRequest, FormerRun
from headstart.starts.texts.configs import Pooling, clean_config, set_dropout
from headstart.starts.texts.networks import TextNetwork, build_transformers
from headstart.starts.texts.term_network import build_tfidf
from headstart.starts.texts.vocabulary_check import check_vocabulary
from headstart.starts.texts.weights import find_folder, load_network
from headstart.starts.weights import load_checked
from headstart.tensors import evaluating, seeded
from headstart.types import Start, are_pairs

MOST_TOKENS = 256  # a default never goes beyond this; attention grows with the square
LEAST_TOKENS = 16
LENGTH_QUANTILE = 0.99
LENGTH_SAMPLE = 10_000  # texts looked at to find the default length
LENGTH_CHARACTERS = 2_000_000  # of them at the most
TINY = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2}
SMALL = {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4}
SMALL_ADDRESS = "scratch/bert-small"
TINY_POSITIONS = 512


@dataclass(frozen=True)
class _Parts:
    """What a start gives: configuration, pooling, tokenizer, and where the weights lie."""

    config: dict[str, object]
    pooling: Pooling
    tokenizer: TextTokenizer
    folder: Path | None = None  # transformers' folder with weights
    former: FormerRun | None = None  # run with weights


def build_token_encoder(
    start: Start, address: Address, request: BuildRequest, former: FormerRun | None
) -> Encoder:
    """Build a transformers encoder for some texts, with its weights.

    Args:
        start: Of the provider of transformers, or a run of one.
        address: Of the start.
        request: Texts, and what is said of length, dropout and pooling.
        former: The run that is the start; None where it is none.

    Raises:
        StartError: If weights or packages are missing, or something does not fit.
    """
    check_request(start, request)
    require_text_extra(f"'{start.address}'", "transformers", "tokenizers")
    learned, max_length = request.preprocess, request.max_length
    assert learned is None or isinstance(learned, TokenPreprocess)
    source = learned.tokenizer if learned else None
    parts = _read_parts(start, address, request, former, source)
    config = parts.config
    if request.dropout is not None:
        config = set_dropout(config, request.dropout, start.address)
    with seeded(request.seed):
        network = _make_network(parts, config, start.address)
    limit = min(network.max_positions(), parts.tokenizer.own_limit)
    if max_length is None and source is not None and source.max_length != NO_LIMIT:
        max_length = min(source.max_length, limit)  # chosen when the source was made
    length = _choose_length(parts.tokenizer, request.texts, max_length, limit, start.address)
    tokenizer = parts.tokenizer.with_max_length(length)
    check_vocabulary(tokenizer, config, start.address)
    preprocess = TokenPreprocess(tokenizer, request.column)
    if request.tells_words:
        cut = _own_cut(former) or cut_of(request.texts)
        preprocess = WordPreprocess(tokenizer, request.column, cut)
    elif are_pairs(request.texts):
        kind = QuestionPreprocess if request.finds_texts else PairPreprocess
        has_types = tokenizer.pair_frame.has_types and network.takes_types
        preprocess = kind(tokenizer, request.column, request.second_column, has_types)
    options = {"config": config, "pooling": parts.pooling}
    encoder = Encoder(
        network,
        start=start,
        preprocess=preprocess,
        architecture=write_architecture("transformers", options, start, preprocess.to_json()),
        num_features=network.num_features,
    )
    _check_pass(encoder, tokenizer)
    return encoder


def learn_terms(texts: Sequence[str], origin: str) -> TermPreprocess:
    """Learn the terms of texts; of pairs, those of all their sides.

    Args:
        texts: Those of train.
        origin: Names the start in a refusal.

    Raises:
        StartError: If no term is left.
    """
    if are_pairs(texts):
        return PairTermPreprocess(terms.fit_vectorizer(sides_of(texts), origin))
    return TermPreprocess(terms.fit_vectorizer(texts, origin))


def averaged(encoder: Encoder) -> Encoder:
    """Return an encoder whose features are the mean of its states, with the same weights.

    What pools a text for a classifier is left out: a language model has no use for it.

    Args:
        encoder: Of the provider of transformers.
    """
    network = encoder.network
    assert isinstance(network, TextNetwork)
    if network.pooling == "mean":
        return encoder
    config = encoder.architecture["options"]["config"]  # type: ignore[index]
    assert isinstance(config, dict)
    bare = build_transformers(config, "mean")
    assert isinstance(bare, TextNetwork)
    wanted = bare.state_dict().keys()
    weights = {f"model.{n}": t for n, t in network.model.base_model.state_dict().items()}
    bare.load_state_dict({name: t for name, t in weights.items() if name in wanted}, strict=True)
    options: dict[str, Option] = {"config": config, "pooling": "mean"}
    about = encoder.start, encoder.preprocess.to_json()
    return Encoder(
        bare,
        start=encoder.start,
        preprocess=encoder.preprocess,
        architecture=write_architecture("transformers", options, *about),
        num_features=bare.num_features,
    )


def usual_tokenizer(start: Start, texts: Sequence[str]) -> TextTokenizer:
    """Return the tokenizer that a start is given for some texts where nobody says a length.

    No network is built, so that the length may be a few tokens above what a rare one takes.

    Args:
        start: A pretrained one of the provider of transformers.
        texts: Those of train.

    Raises:
        StartError: If its files or packages are missing.
    """
    require_text_extra(f"'{start.address}'", "tokenizers")
    parts = _read_parts(start, parse_address(start.address), BuildRequest(texts=texts), None, None)
    positions = parts.config.get("max_position_embeddings")
    limit = min(positions if isinstance(positions, int) else NO_LIMIT, parts.tokenizer.own_limit)
    length = _choose_length(parts.tokenizer, texts, None, limit, start.address)
    return parts.tokenizer.with_max_length(length)


def build_term_encoder(start: Start, request: BuildRequest, former: FormerRun | None) -> Encoder:
    """Build the TF-IDF encoder; a run as a start keeps its terms.

    Args:
        start: ``scratch/tfidf``, or a run of it.
        request: The texts.
        former: The run that is the start; None where it is none.

    Raises:
        StartError: If the request holds what TF-IDF has no use for.
    """
    check_request(start, request)
    refuse_token_options(start, request, "counts the terms of whole texts")
    learned = request.preprocess
    if learned is None and former is not None:
        learned = former.architecture.read_preprocess(former.path)
    elif learned is None:
        learned = learn_terms(request.texts, start.address)
    assert isinstance(learned, TermPreprocess)
    preprocess = TermPreprocess(learned.vectorizer, request.column)
    if are_pairs(request.texts):
        preprocess = PairTermPreprocess(learned.vectorizer, request.column, request.second_column)
    options = {"num_terms": preprocess.num_terms}
    return Encoder(
        build_tfidf(preprocess.num_terms),
        start=start,
        preprocess=preprocess,
        architecture=write_architecture("tfidf", options, start, preprocess.to_json()),
        num_features=preprocess.num_terms,
    )


def _read_parts(
    start: Start,
    address: Address,
    request: BuildRequest,
    former: FormerRun | None,
    source: TextTokenizer | None,
) -> _Parts:
    """Return configuration, pooling and tokenizer of a start; ``source`` is one that is at hand."""
    pooling = request.pooling
    wanted: Pooling = "mean" if pooling == "mean" else "native"
    if former is not None:
        run = former.architecture
        tokenizer = source or _own_tokenizer(former)
        config, has = run.options["config"], run.options["pooling"]
        if pooling not in ("auto", has):
            raise StartError(
                f"The run '{start.address}' has pooling '{has}', not '{pooling}'. Expected its "
                f"own. Leave pooling out."
            )
        assert isinstance(config, dict)
        own: Pooling = "mean" if has == "mean" else "native"
        return _Parts(config, own, tokenizer, former=former)
    if address.kind == "scratch":
        tokenizer = source or train_tokenizer(sides_of(request.texts), start.address)
        config = scratch_config(tokenizer, start.address)
        if are_pairs(request.texts):
            config = {**config, "type_vocab_size": 2}
        return _Parts(config, wanted, tokenizer)
    folder = find_folder(address)
    config = clean_config(read_json(folder / "config.json"), start.address)
    tokenizer = source or load_tokenizer(folder, start.address)
    return _Parts(config, wanted, tokenizer, folder=folder)


def _own_tokenizer(former: FormerRun) -> TextTokenizer:
    """Return the tokenizer of a run."""
    preprocess = former.architecture.read_preprocess(former.path)
    assert isinstance(preprocess, TokenPreprocess)
    config = former.architecture.options["config"]
    assert isinstance(config, dict)
    check_vocabulary(preprocess.tokenizer, config, former.architecture.start.address)
    return preprocess.tokenizer


def _own_cut(former: FormerRun | None) -> CutAt | None:
    """Return how a run cuts texts into words; None where it does not."""
    if former is None:
        return None
    preprocess = former.architecture.read_preprocess(former.path)
    return preprocess.cut if isinstance(preprocess, WordPreprocess) else None


def scratch_config(tokenizer: TextTokenizer, origin: str) -> dict[str, object]:
    """Return the configuration of a start from scratch for a vocabulary.

    Args:
        tokenizer: Gives the size of the vocabulary.
        origin: ``scratch/bert-tiny``, or ``scratch/bert-small``: six blocks of width 256, each
            normalised before it (science.md E.3, for pretraining on own texts).
    """
    if origin != SMALL_ADDRESS:
        return tiny_config(tokenizer, origin)
    record = {
        "model_type": "roberta-prelayernorm",
        "vocab_size": tokenizer.vocab_size,
        "pad_token_id": tokenizer.pad_id,
        "intermediate_size": 4 * SMALL["hidden_size"],
        # positions are counted from behind the padding id
        "max_position_embeddings": TINY_POSITIONS + tokenizer.pad_id + 1,
        "type_vocab_size": 1,
        **SMALL,
    }
    return clean_config(record, origin)


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
        return load_network(parts.folder, config, parts.pooling, origin)
    network = build_transformers(config, parts.pooling)
    assert isinstance(network, TextNetwork)
    if parts.former is not None:
        load_checked(network, parts.former.read_tensors(), origin, "Train the run again.")
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
    if are_pairs(sample):
        lengths = pair_lengths(tokenizer, sample)
    else:
        _, lengths = tokenizer.with_max_length(NO_LIMIT).encode(sample)
    usual = int(np.quantile(lengths, LENGTH_QUANTILE, method="higher"))
    rounded = max(LEAST_TOKENS, -(-usual // 8) * 8)
    return min(rounded, MOST_TOKENS, limit)


def _check_pass(encoder: Encoder, tokenizer: TextTokenizer) -> None:
    """Refuse a network that fails on the longest input, or gives no features."""
    length, pad_id = tokenizer.max_length, tokenizer.pad_id
    ids = torch.full((1, length), max(0, pad_id - 1), dtype=torch.int64)
    if pad_id == 0:
        ids += 1
    others = [torch.ones_like(ids) for _ in encoder.preprocess.inputs[1:]]
    if isinstance(encoder.preprocess, WordPreprocess):
        others = others[:1]
    try:
        with evaluating(encoder):
            features = encoder(ids, *others)
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


def check_request(start: Start, request: BuildRequest) -> None:
    """Refuse what no start for texts can do.

    Raises:
        StartError: If there are no texts, or the pooling is unknown.
    """
    if not len(request.texts):
        raise StartError(
            f"'{start.address}' is built for the texts of train, and there are none. Expected at "
            f"least one. Check the data."
        )
    known = ("auto", "native", "mean")
    if request.pooling not in known:
        raise StartError(
            f"Unknown pooling '{request.pooling}'.{did_you_mean(request.pooling, known)} Expected "
            f"'auto', 'native' or 'mean'. Choose one of them."
        )


def refuse_token_options(start: Start, request: BuildRequest, does: str) -> None:
    """Refuse options that a start without tokens has no use for; it ``does`` something else."""
    said = {"max_length": request.max_length, "dropout": request.dropout or None}
    wrong = [f"{name} {value}" for name, value in said.items() if value is not None]
    wrong += [f"pooling '{request.pooling}'"] if request.pooling != "auto" else []
    if wrong:
        raise StartError(
            f"'{start.address}' has no use for {' and '.join(wrong)}: it {does}. Expected none of "
            "them. Leave them out."
        )
