"""The kinds of preprocessing there are, and reading one back from JSON and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.errors import StartError, did_you_mean, quoted
from headstart.preprocessing.base import Preprocess
from headstart.preprocessing.for_captions import ImageTextPreprocess
from headstart.preprocessing.for_dialogues import DialoguePreprocess
from headstart.preprocessing.for_images import ImagePreprocess
from headstart.preprocessing.for_joined import ImageJoinedPreprocess, TextJoinedPreprocess
from headstart.preprocessing.for_pairs import PairPreprocess, PairTermPreprocess
from headstart.preprocessing.for_questions import QuestionPreprocess
from headstart.preprocessing.for_sequences import SequencePreprocess
from headstart.preprocessing.for_tables import TablePreprocess
from headstart.preprocessing.for_texts import TermPreprocess, TokenPreprocess
from headstart.preprocessing.for_words import WordPreprocess
from headstart.types import rows_of

KINDS: dict[str, type[Preprocess]] = {
    "image": ImagePreprocess,
    "tokens": TokenPreprocess,
    "words": WordPreprocess,
    "dialogues": DialoguePreprocess,
    "sequences": SequencePreprocess,
    "terms": TermPreprocess,
    "pairs": PairPreprocess,
    "pair_terms": PairTermPreprocess,
    "questions": QuestionPreprocess,
    "table": TablePreprocess,
    "text_joined": TextJoinedPreprocess,
    "image_joined": ImageJoinedPreprocess,
    "image_text": ImageTextPreprocess,
}


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
    known = list(rows_of(KINDS, modality))
    if kind not in known:
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
