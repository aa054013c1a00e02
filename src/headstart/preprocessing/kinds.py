"""The kinds of preprocessing there are, and reading one back from JSON and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.errors import StartError, did_you_mean, quoted
from headstart.preprocessing.base import Preprocess
from headstart.types import is_among, rows_of
from headstart.types.placed import PlacedTable

KINDS: PlacedTable[type[Preprocess]] = PlacedTable(
    {
        "image": ("headstart.preprocessing.for_images", "ImagePreprocess"),
        "tokens": ("headstart.preprocessing.for_texts", "TokenPreprocess"),
        "words": ("headstart.preprocessing.for_words", "WordPreprocess"),
        "word_features": (
            "headstart.preprocessing.for_word_features",
            "WordFeaturePreprocess",
        ),
        "known_words": (
            "headstart.preprocessing.for_word_features",
            "KnownWordPreprocess",
        ),
        "dialogues": ("headstart.preprocessing.for_dialogues", "DialoguePreprocess"),
        "sequences": ("headstart.preprocessing.for_sequences", "SequencePreprocess"),
        "terms": ("headstart.preprocessing.for_texts", "TermPreprocess"),
        "pairs": ("headstart.preprocessing.for_pairs", "PairPreprocess"),
        "pair_terms": ("headstart.preprocessing.for_pairs", "PairTermPreprocess"),
        "questions": ("headstart.preprocessing.for_questions", "QuestionPreprocess"),
        "table": ("headstart.preprocessing.for_tables", "TablePreprocess"),
        "text_joined": ("headstart.preprocessing.for_joined", "TextJoinedPreprocess"),
        "image_joined": ("headstart.preprocessing.for_joined", "ImageJoinedPreprocess"),
        "image_text": ("headstart.preprocessing.for_captions", "ImageTextPreprocess"),
    }
)


def check_preprocess(value: object, modality: str) -> dict[str, Any]:
    """Return the JSON record of a preprocessing if ``Preprocess.to_json`` may have written it.

    Args:
        value: A JSON value.
        modality: What it has to read.

    Raises:
        StartError: If it is of no kind that is known, or keys, types or lengths differ.
    """
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise StartError(
            f"The record 'preprocess' is {value!r}. Expected a JSON object with its kind. The file "
            f"is damaged."
        )
    kind = value["kind"]
    if kind not in KINDS or not is_among(KINDS[kind], (modality,)):
        known = list(rows_of(KINDS, modality))
        raise StartError(
            f"The record 'preprocess' is of kind '{kind}'.{did_you_mean(kind, known)} Expected "
            f"{quoted(known)} for {modality}. The file is damaged."
        )
    KINDS[kind].check_json(value)
    return value


def read_preprocess(record: dict[str, Any], folder: Path | None, origin: str) -> Preprocess:
    """Return the preprocessing of a checked record.

    Args:
        record: From ``check_preprocess``.
        folder: Where ``Preprocess.files`` was written; None where there are none.
        origin: Names the start in a refusal.

    Raises:
        StartError: If a file is missing or damaged.
    """
    return KINDS[record["kind"]].from_json(record, folder, origin)
