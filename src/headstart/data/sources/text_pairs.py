"""Two columns of texts of which one is to be written of the other, where nobody says which.

Known by their names: ``source`` and ``target``, ``text`` and ``summary`` and the like, or two names
of languages, whose direction the data's own name tells (``multi30k-en-de``). Where nothing tells
it, the question goes back to the user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from headstart.data.options import DEFAULT_LABEL, ReadOptions
from headstart.data.sources.columns import Table
from headstart.errors import DataError
from headstart.tasks import SEQ2SEQ, find_task
from headstart.types import Finding

# What is read, and what is written of it.
_PAIRS = (
    ("source", "target"),
    ("src", "tgt"),
    ("src", "trg"),
    ("source_text", "target_text"),
    ("input_text", "target_text"),
    ("article", "highlights"),
    ("article", "summary"),
    ("document", "summary"),
    ("dialogue", "summary"),
    ("text", "summary"),
    ("text", "headline"),
    ("article", "headline"),
)
# fmt: off
_LANGUAGES = frozenset(
    (
        "ar", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "eu", "fa", "fi",
        "fr", "ga", "gl", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk",
        "km", "kn", "ko", "lt", "lv", "mk", "ml", "mn", "mr", "ms", "my", "ne", "nl", "no", "pl",
        "ps", "pt", "ro", "ru", "si", "sk", "sl", "sq", "sr", "sv", "sw", "ta", "te", "th", "tl",
        "tr", "uk", "ur", "uz", "vi", "zh",
        "chinese", "czech", "english", "french", "german", "italian", "japanese", "korean",
        "russian", "spanish", "turkish", "ukrainian",
    )
)
# ISO 639-3, as NLLB, Marian and FLORES write languages.
_IN_TWO = {
    "ara": "ar", "arb": "ar", "bul": "bg", "ben": "bn", "cat": "ca", "ces": "cs", "cym": "cy",
    "dan": "da", "deu": "de", "ell": "el", "eng": "en", "spa": "es", "est": "et", "eus": "eu",
    "fas": "fa", "pes": "fa", "fin": "fi", "fra": "fr", "gle": "ga", "glg": "gl", "guj": "gu",
    "heb": "he", "hin": "hi", "hrv": "hr", "hun": "hu", "hye": "hy", "ind": "id", "isl": "is",
    "ita": "it", "jpn": "ja", "kat": "ka", "kaz": "kk", "khm": "km", "kan": "kn", "kor": "ko",
    "lit": "lt", "lvs": "lv", "lav": "lv", "mkd": "mk", "mal": "ml", "khk": "mn", "mon": "mn",
    "mar": "mr", "zsm": "ms", "mya": "my", "npi": "ne", "nep": "ne", "nld": "nl", "nob": "no",
    "nor": "no", "pol": "pl", "pbt": "ps", "por": "pt", "ron": "ro", "rus": "ru", "sin": "si",
    "slk": "sk", "slv": "sl", "als": "sq", "sqi": "sq", "srp": "sr", "swe": "sv", "swh": "sw",
    "tam": "ta", "tel": "te", "tha": "th", "tgl": "tl", "tur": "tr", "ukr": "uk", "urd": "ur",
    "uzn": "uz", "vie": "vi", "zho": "zh", "cmn": "zh",
}
# fmt: on


def settle_pair(
    tables: Sequence[tuple[Table, str | None]], name: str, options: ReadOptions
) -> tuple[ReadOptions, list[Finding]]:
    """Return options that name the columns of a pair of texts, where the data has one.

    Args:
        tables: Open tables, each with its split.
        name: What the user called the source.
        options: What the user said; a target that was said is kept.

    Raises:
        DataError: Two languages, and nothing says which is to be written.
    """
    train = next((table for table, split in tables if split == "train"), tables[0][0])
    known = options.known_task
    is_asked = known is not None and find_task(known).tells_texts
    if (known is not None and not is_asked) or options.schema is not None or options.label:
        return options, []
    if DEFAULT_LABEL in train.columns or options.image_column or options.kept_columns:
        return options, []
    found = _named(train.columns, options) or _languages(train, name, options)
    if found is None:
        return options, []
    text, label = found
    sentence = f"'{label}' is to be written of '{text}' ({SEQ2SEQ.name})."
    task = options.task if is_asked else SEQ2SEQ.name
    said = Finding("task", "note", (), sentence)
    return replace(options, text=text, label=label, task=task), [said]


def _named(columns: Sequence[str], options: ReadOptions) -> tuple[str, str] | None:
    low = {column.lower(): column for column in columns}
    for text, label in _PAIRS:
        if text in low and label in low and options.text in (None, low[text]):
            return low[text], low[label]
    return None


def _languages(table: Table, name: str, options: ReadOptions) -> tuple[str, str] | None:
    """Return both columns of a table that has two languages."""
    found = [column for column in table.columns if _language(column) in _LANGUAGES]
    if (said := _said(table, found, options)) is not None:
        return said
    if len(found) != 2 or not all(_is_text(table, column) for column in found):
        return None
    if options.text in found:
        other = found[1 - found.index(options.text)]
        return options.text, other
    low = [column.lower() for column in found]
    told = [
        pair
        for place in (str(table.root), name)
        for pair in pairwise(re.split(r"[^a-z]+|(?<=[a-z])2(?=[a-z])", place.lower()))
        if set(pair) == set(low)
    ]
    if len(set(told)) != 1:
        one, two = found
        raise DataError(
            f"{table.where} has texts in '{one}' and in '{two}', and nothing says which is to be "
            f"written of which. Say it: --text {one} --label {two}, or the other way round."
        )
    text, label = (found[low.index(word)] for word in told[0])
    return text, label


def _said(table: Table, columns: Sequence[str], options: ReadOptions) -> tuple[str, str] | None:
    """Return the columns of the languages that were said; None where they name none.

    Raises:
        DataError: The column of texts was said, too, and is of the other language.
    """
    named = {_short(_language(column)): column for column in columns if _is_text(table, column)}
    names = [_short(_language(name.strip("_> <"))) for name in (options.languages or "").split(",")]
    if len(names) == 1 and names[0] in named and len(named) == 2:  # starts told the target alone
        names = [next(name for name in named if name != names[0]), names[0]]
    if len(set(names)) != 2 or not set(names) <= set(named):
        return None
    text, label = named[names[0]], named[names[1]]
    if options.text not in (None, text):
        raise DataError(
            f"languages is '{options.languages}', which reads '{text}' of {table.where}, and text "
            f"is '{options.text}'; expected the same of both. Leave --text out, or turn the "
            "languages round."
        )
    return text, label


def _short(language: str) -> str:
    """Return a language's name in two letters, where it was written in three."""
    return _IN_TWO.get(language, language)


def _language(column: str) -> str:
    return re.split(r"[-_]", column.lower())[0]


def _is_text(table: Table, column: str) -> bool:
    """Return whether a column holds words; ``id``, ``no`` and ``sq`` are names of numbers, too."""
    cells = [cell for cell in table.head(column) if cell is not None]
    if not cells or not all(isinstance(cell, str) for cell in cells):
        return False
    half = len(cells) // 2
    return len(set(cells)) > half and sum(_has_words(str(cell)) for cell in cells) > half


def _has_words(cell: str) -> bool:
    letters = sum(map(str.isalpha, cell))
    return 2 * letters > len(cell.strip()) and (" " in cell.strip() or cell.strip().isalpha())
