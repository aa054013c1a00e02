"""The provider of pairs: a start of images and one of texts, ``IMAGES+TEXTS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from headstart.errors import StartError
from headstart.extras import require_text_extra
from headstart.starts.addresses import Address, parse_address
from headstart.starts.architecture import Architecture
from headstart.starts.images.providers import LiteProvider, ScratchProvider, TimmProvider
from headstart.starts.provider import BuildRequest, FormerRun, Provider, matches
from headstart.starts.texts.providers import TransformersProvider
from headstart.types import Start

if TYPE_CHECKING:
    from torch import nn

    from headstart.preprocessing import Preprocess
    from headstart.starts.encoder import Encoder

_IMAGES: tuple[Provider, ...] = (LiteProvider(), ScratchProvider(), TimmProvider())
_TEXTS: tuple[Provider, ...] = (TransformersProvider(),)
KNOWN = (
    "pip/efficientnet-lite0+pip/all-minilm-l6-v2",
    "scratch/simple-cnn+scratch/bert-tiny",
)
_BUILDER = "dual"


class DualProvider(Provider):
    """Two starts with a plus between: one of images, one of texts."""

    modality: ClassVar[str] = "image"
    builders: ClassVar[tuple[str, ...]] = (_BUILDER,)

    def owns(self, address: Address) -> bool:
        """Return whether it names two starts."""
        return address.kind == "dual"

    def addresses(self, text: str) -> Sequence[str]:
        """Return those that are at hand."""
        return KNOWN if "+" in text else ()

    def list(self, like: str | None) -> Iterator[Start]:
        """Yield those at hand where they are asked for: what has labels has no use for them."""
        asked = KNOWN if like and "+" in like else ()
        found = [self.find(parse_address(address)) for address in asked]
        yield from (start for start in found if matches(start.address, like))

    def list_local(self) -> Iterator[Start]:
        """Yield none: what is tried unasked tells something of images alone."""
        yield from ()

    def find(self, address: Address) -> Start:
        """Return the pair.

        Raises:
            StartError: If one of both is no start, or reads something else.
        """
        (image, _), (text, _) = self._parts(address)
        pretrained = [one.pretrained_on for one in (image, text) if one.pretrained_on]
        return Start(
            address=address.text,
            family="dual",
            modality="image",
            num_parameters=0,
            licence=" and ".join(dict.fromkeys((image.licence, text.licence))),
            pretrained_on=" and ".join(pretrained) or None,
            objective=None,
            image=image.image,
            is_local=image.is_local and text.is_local,
        )

    def require(self, address: Address) -> None:
        """Refuse it without the packages of both; a run brings its weights."""
        require_text_extra(f"'{address.text}'", "transformers", "tokenizers")
        if address.kind != "dual":
            return
        for parsed, providers in self._named(address):
            next(p for p in providers if p.owns(parsed)).require(parsed)

    def build(
        self, start: Start, address: Address, request: BuildRequest, former: FormerRun | None
    ) -> Encoder:
        """Build the pair, for images with captions.

        Raises:
            StartError: If the data have labels.
        """
        if not request.matches_texts:
            raise StartError(
                f"'{start.address}' is a pair of encoders, of images and of texts, and these data "
                "have no captions. Expected a start of images alone. Give that, such as --start "
                "pip/efficientnet-lite0."
            )
        from headstart.starts.duals.building import build_again, build_pair

        if former is not None:
            return build_again(start, request, former)
        return build_pair(start, self._parts(address), request)

    def network_builder(self, builder: str) -> Callable[..., nn.Module]:
        """Return the one builder."""
        from headstart.starts.duals.networks import build_dual

        return build_dual

    def check_preprocess(self, architecture: Architecture, preprocess: Preprocess) -> None:
        """Refuse a tokenizer with more tokens than the network of texts."""
        from headstart.preprocessing import ImageTextPreprocess
        from headstart.starts.texts.vocabulary_check import check_vocabulary

        assert isinstance(preprocess, ImageTextPreprocess)
        text = architecture.options["text"]
        options = text.get("options") if isinstance(text, dict) else None
        config = options.get("config") if isinstance(options, dict) else None
        if isinstance(config, dict):  # whatever else it is the builder refuses
            check_vocabulary(preprocess.text.tokenizer, config, architecture.start.address)

    def _parts(self, address: Address) -> tuple[tuple[Start, Address], ...]:
        """Return both starts with their addresses."""
        found = []
        for (parsed, providers), what in zip(
            self._named(address), ("images", "texts"), strict=True
        ):
            provider = next((p for p in providers if p.owns(parsed)), None)
            try:
                start = provider.find(parsed) if provider else None
            except LookupError:
                start = None
            if start is None:
                example = KNOWN[0].split("+")[what == "texts"]
                raise StartError(
                    f"'{parsed.text}' in '{address.text}' is no start of {what} that can be one of "
                    f"a pair. Expected a start of images, a plus, and an encoder of texts. Choose "
                    f"one that 'headstart starts' lists, such as {example}."
                )
            found.append((start, parsed))
        return tuple(found)

    def _named(self, address: Address) -> tuple[tuple[Address, tuple[Provider, ...]], ...]:
        """Return the addresses of both, and who may own each."""
        first, _, second = address.name.partition("+")
        return (parse_address(first.strip()), _IMAGES), (parse_address(second.strip()), _TEXTS)
