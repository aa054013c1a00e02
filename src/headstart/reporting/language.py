"""The language of the page: English sentences as they stand in the code, or their Chinese.

Every sentence that the page makes itself goes through ``say``, with its fields by name; the English
text is the key, so that a reader of the code sees what is said. ``templates/zh.json`` holds the
Chinese of each. What a run has written into its records (findings, reasons of choices, names of
files and classes) stays as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from headstart.errors import OptionError, did_you_mean

Language = Literal["en", "zh"]
LANGUAGES: tuple[str, ...] = get_args(Language)
_spoken: ContextVar[str] = ContextVar("headstart_language", default="en")


def check_language(language: str) -> None:
    """Refuse a language that the page is not written in.

    Raises:
        OptionError: There is no such language.
    """
    if language not in LANGUAGES:
        raise OptionError(
            f"Unknown language '{language}'.{did_you_mean(language, LANGUAGES)} Expected one of "
            f"{', '.join(LANGUAGES)}. Say --language en."
        )


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Make ``say`` speak a language inside the block.

    Args:
        language: One of ``LANGUAGES``.

    Raises:
        OptionError: There is no such language.
    """
    check_language(language)
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def spoken() -> str:
    """Return the language of the block, as HTML names it."""
    return {"zh": "zh-CN"}.get(_spoken.get(), _spoken.get())


def say(text: str, **fields: object) -> str:
    """Return a sentence in the language of the block, its fields filled in.

    A sentence that the language has no words for stays English.

    Args:
        text: The English sentence, with fields in braces where there are any.
        **fields: What stands in them.
    """
    found = catalog(_spoken.get()).get(text, text)
    return found.format(**fields) if fields else found


@cache
def catalog(language: str) -> Mapping[str, str]:
    """Return the sentences of a language by their English."""
    if language == "en":
        return {}
    path = files("headstart.reporting") / "templates" / f"{language}.json"
    found: dict[str, str] = json.loads(path.read_text("utf-8"))
    return found
