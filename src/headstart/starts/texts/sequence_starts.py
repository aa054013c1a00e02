"""Encoder–decoders as starts: a small one from scratch, or one of a transformers folder.

They are for tasks whose answers are texts. Whoever wants a class or a number of a text is refused
with the way out, and so is whoever wants a text of an encoder (``tuning.writers``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from headstart.errors import StartError
from headstart.extras import require_extra
from headstart.starts.addresses import Address
from headstart.starts.architecture import Architecture
from headstart.starts.provider import BuildRequest, FormerRun, Provider, matches
from headstart.starts.texts.catalog import NO_LICENCE, cached_folder
from headstart.starts.texts.writer_configs import SEQUENCE_TYPES
from headstart.types import Start

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from headstart.preprocessing import Preprocess
    from headstart.starts.encoder import Encoder

NAME = "seq2seq-tiny"
ADDRESS = f"scratch/{NAME}"
_BUILDER = "sequences"
# Characters of both sides to a token, and the fewest tokens: each is met some hundred times, and
# the vocabulary's share of a step stays a fifth.
_EACH, _LEAST_SIZE = 600, 1024


class SequenceProvider(Provider):
    """Encoder–decoders of transformers: in a folder, in the hub's cache, or from scratch."""

    modality: ClassVar[str] = "text"
    prefixes: ClassVar[tuple[str, ...]] = ("scratch/",)
    builders: ClassVar[tuple[str, ...]] = (_BUILDER,)

    def owns(self, address: Address) -> bool:
        """Return whether it is the small one, or a folder whose configuration is of such a kind."""
        if address.kind == "scratch":
            return address.name == NAME
        return _kind_of(_folder_of(address)) in SEQUENCE_TYPES

    def addresses(self, text: str) -> Sequence[str]:
        """Return the small one."""
        del text
        return [ADDRESS]

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield the small one, if it fits."""
        if matches(ADDRESS, like):
            yield _describe(ADDRESS, is_scratch=True)

    def find(self, address: Address) -> Start:
        """Return the start of an address."""
        return _describe(address.text, is_scratch=address.kind == "scratch")

    def require(self, address: Address) -> None:
        """Refuse it without transformers."""
        require_extra("seq", f"'{address.text}'", "transformers", "tokenizers")  # BLEU comes along

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the network, with the tokenizer that was learned or that it brings.

        Raises:
            StartError: If no text is to be told, or something does not fit.
        """
        if not request.tells_texts:
            raise StartError(
                f"'{start.address}' writes a text for a text. Expected data whose targets are "
                "texts, or for classes and numbers an encoder. Say --task seq2seq, or choose an "
                "encoder, such as --start scratch/bert-tiny."
            )
        from headstart.starts.texts.sequence_building import build_sequence_start

        return build_sequence_start(start, address, request, former)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the one builder."""
        del builder
        from headstart.starts.texts.sequences import build_sequences

        return build_sequences

    def learns_from_texts(self, start: Start) -> bool:
        """Return whether the tokenizer is trained on the data."""
        return start.address == ADDRESS

    def learn_preprocess(self, start: Start, texts: Sequence[str]) -> Preprocess:
        """Train one tokenizer on the texts of both sides, each with its target behind it."""
        from headstart.preprocessing import TokenPreprocess
        from headstart.preprocessing.vocabulary import supported_size, train_pair_tokenizer

        num_characters = sum(map(len, texts))
        size = min(supported_size(num_characters), max(_LEAST_SIZE, num_characters // _EACH))
        return TokenPreprocess(train_pair_tokenizer(texts, start.address, vocab_size=size))

    def check_preprocess(self, architecture: Architecture, preprocess: Preprocess) -> None:
        """Refuse a tokenizer with more tokens than the network."""
        from headstart.preprocessing import SequencePreprocess
        from headstart.starts.texts.vocabulary_check import check_vocabulary

        config = architecture.options["config"]
        assert isinstance(preprocess, SequencePreprocess)
        assert isinstance(config, dict)
        check_vocabulary(preprocess.tokenizer, config, architecture.start.address)


def _describe(address: str, *, is_scratch: bool) -> Start:
    return Start(
        address=address,
        family="seq2seq",
        modality="text",
        num_parameters=0,
        licence=NO_LICENCE if is_scratch else "unknown",
        pretrained_on=None if is_scratch else "unknown (local weights)",
        objective=None if is_scratch else "seq2seq",
        image=None,
        is_local=True,
    )


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
