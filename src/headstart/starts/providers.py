"""The table of providers: where starts come from."""

from __future__ import annotations

from headstart.starts.duals.clip_starts import ClipProvider
from headstart.starts.duals.providers import DualProvider
from headstart.starts.images.providers import LiteProvider, ScratchProvider, TimmProvider
from headstart.starts.provider import Provider
from headstart.starts.tables.providers import TableProvider
from headstart.starts.texts.decoder_starts import DecoderProvider
from headstart.starts.texts.providers import (
    DictionaryProvider,
    TaggerProvider,
    TermsProvider,
    TransformersProvider,
)
from headstart.starts.texts.sequence_starts import SequenceProvider

PROVIDERS: dict[str, Provider] = {
    "table": TableProvider(),
    "dual": DualProvider(),
    "clip": ClipProvider(),
    "decoder": DecoderProvider(),
    "sequences": SequenceProvider(),
    "transformers": TransformersProvider(),
    "terms": TermsProvider(),
    "tagger": TaggerProvider(),
    "dictionary": DictionaryProvider(),
    "lite": LiteProvider(),
    "scratch": ScratchProvider(),
    "timm": TimmProvider(),
}
