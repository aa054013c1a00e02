"""Preprocessing: how samples become what a network takes, as one object that travels with it.

``Preprocess`` is the contract, ``KINDS`` the table of those there are; each prepares the splits of
a data set and what a user hands to ``predict``. ``decode_one`` is the one way from an image to
pixels, and ``fit_table`` learns from train how the columns of a table become numbers. Nothing here
imports torch, and what a kind needs is imported with it. Left out: augmentation, which happens on
the device, and what is in the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.lazily import names_from
from headstart.preprocessing.base import NamedInput, Preprocess
from headstart.preprocessing.kinds import KINDS, check_preprocess, read_preprocess

if TYPE_CHECKING:
    from headstart.preprocessing.columns import feature_names
    from headstart.preprocessing.decoded import Pixels, decode
    from headstart.preprocessing.for_captions import ImageTextPreprocess, ImageTexts
    from headstart.preprocessing.for_dialogues import DialoguePreprocess, DialogueTokens
    from headstart.preprocessing.for_images import ImagePreprocess
    from headstart.preprocessing.for_joined import (
        JoinedInputs,
        JoinedPreprocess,
        given_of,
        joined_preprocess,
        rows_of,
        without_rows,
    )
    from headstart.preprocessing.for_pairs import PairPreprocess, PairTermPreprocess, sides_of
    from headstart.preprocessing.for_questions import QuestionPreprocess, QuestionTokens
    from headstart.preprocessing.for_sequences import SequencePreprocess, SequenceTokens
    from headstart.preprocessing.for_tables import TablePreprocess, fit_table
    from headstart.preprocessing.for_texts import TermPreprocess, TokenPreprocess
    from headstart.preprocessing.for_word_features import (
        KnownWordPreprocess,
        WordFeaturePreprocess,
        WordFeatures,
    )
    from headstart.preprocessing.for_words import WordPreprocess, WordTokens
    from headstart.preprocessing.images import decode_one
    from headstart.preprocessing.inputs import Cells, Terms, Tokens
    from headstart.preprocessing.samples import UnreadableImage

# What this room shows beside these, and where it stands: imported when first used.
_PLACES = {
    "Cells": "headstart.preprocessing.inputs",
    "decode": "headstart.preprocessing.decoded",
    "decode_one": "headstart.preprocessing.images",
    "DialoguePreprocess": "headstart.preprocessing.for_dialogues",
    "DialogueTokens": "headstart.preprocessing.for_dialogues",
    "feature_names": "headstart.preprocessing.columns",
    "fit_table": "headstart.preprocessing.for_tables",
    "given_of": "headstart.preprocessing.for_joined",
    "ImagePreprocess": "headstart.preprocessing.for_images",
    "ImageTextPreprocess": "headstart.preprocessing.for_captions",
    "ImageTexts": "headstart.preprocessing.for_captions",
    "joined_preprocess": "headstart.preprocessing.for_joined",
    "JoinedInputs": "headstart.preprocessing.for_joined",
    "JoinedPreprocess": "headstart.preprocessing.for_joined",
    "KnownWordPreprocess": "headstart.preprocessing.for_word_features",
    "PairPreprocess": "headstart.preprocessing.for_pairs",
    "PairTermPreprocess": "headstart.preprocessing.for_pairs",
    "Pixels": "headstart.preprocessing.decoded",
    "QuestionPreprocess": "headstart.preprocessing.for_questions",
    "QuestionTokens": "headstart.preprocessing.for_questions",
    "rows_of": "headstart.preprocessing.for_joined",
    "SequencePreprocess": "headstart.preprocessing.for_sequences",
    "SequenceTokens": "headstart.preprocessing.for_sequences",
    "sides_of": "headstart.preprocessing.for_pairs",
    "TablePreprocess": "headstart.preprocessing.for_tables",
    "TermPreprocess": "headstart.preprocessing.for_texts",
    "Terms": "headstart.preprocessing.inputs",
    "TokenPreprocess": "headstart.preprocessing.for_texts",
    "Tokens": "headstart.preprocessing.inputs",
    "UnreadableImage": "headstart.preprocessing.samples",
    "without_rows": "headstart.preprocessing.for_joined",
    "WordFeaturePreprocess": "headstart.preprocessing.for_word_features",
    "WordFeatures": "headstart.preprocessing.for_word_features",
    "WordPreprocess": "headstart.preprocessing.for_words",
    "WordTokens": "headstart.preprocessing.for_words",
}


__getattr__ = names_from(__name__, _PLACES)


__all__ = [
    "KINDS",
    "Cells",
    "DialoguePreprocess",
    "DialogueTokens",
    "ImagePreprocess",
    "ImageTextPreprocess",
    "ImageTexts",
    "JoinedInputs",
    "JoinedPreprocess",
    "KnownWordPreprocess",
    "NamedInput",
    "PairPreprocess",
    "PairTermPreprocess",
    "Pixels",
    "Preprocess",
    "QuestionPreprocess",
    "QuestionTokens",
    "SequencePreprocess",
    "SequenceTokens",
    "TablePreprocess",
    "TermPreprocess",
    "Terms",
    "TokenPreprocess",
    "Tokens",
    "UnreadableImage",
    "WordFeaturePreprocess",
    "WordFeatures",
    "WordPreprocess",
    "WordTokens",
    "check_preprocess",
    "decode",
    "decode_one",
    "feature_names",
    "fit_table",
    "given_of",
    "joined_preprocess",
    "read_preprocess",
    "rows_of",
    "sides_of",
    "without_rows",
]
