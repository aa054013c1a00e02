"""Where the words of a text stand, for tasks that tell something of each.

Texts whose words were given keep them. Any other text, a user's own, is cut as the training texts
were: into single characters where these were (Chinese by character), else at blanks and around
signs, a word keeping its marks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from headstart.cells import is_missing
from headstart.preprocessing.words import word_pattern
from headstart.types import Sentence

CutAt = Literal["words", "characters"]
CUTS: tuple[CutAt, ...] = ("words", "characters")
_BLANK = re.compile(r"\s+")


def cut_of(texts: Sequence[Any]) -> CutAt:
    """Return how sentences were cut into words: by character where each word is one."""
    known = [text for text in texts if isinstance(text, Sentence)]
    words = [span for text in known for span in text.spans]
    single = sum(end - start == 1 for start, end in words)
    has_blanks = any(" " in text for text in known)
    return "characters" if words and single > 0.9 * len(words) and not has_blanks else "words"


def with_words(value: Any, cut: CutAt) -> Any:
    """Return a text with its words; what is none, or holds none, stays as it is.

    Args:
        value: A text, a list of words, or whatever else a user gives.
        cut: How texts whose words are not known are cut.
    """
    if isinstance(value, Sentence):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value):
        return sentence_of([str(word) for word in value], cut)
    if not isinstance(value, str) or is_missing(value):
        return value
    return Sentence(value, spans_in(value, cut))


def sentence_of(words: Sequence[str], cut: CutAt = "words") -> Sentence:
    """Return a sentence of words as one writes it, without blanks between characters.

    Args:
        words: At least one; blanks inside of one become a sign that is no blank.
        cut: What words are.
    """
    plain = [_BLANK.sub("\u00a0", word.strip()) or "\u00b7" for word in words]
    return Sentence.of(plain, "" if cut == "characters" else " ")


def spans_in(text: str, cut: CutAt) -> list[tuple[int, int]]:
    """Return the first and last place (exclusive) of each word of a text."""
    if cut == "characters":
        return [(i, i + 1) for i, letter in enumerate(text) if not letter.isspace()]
    return [match.span() for match in _words().finditer(text)]


@cache
def _words() -> re.Pattern[str]:
    """Return the pattern of a word, or of a sign between words."""
    return re.compile(rf"(?:{word_pattern().removeprefix('(?u)')})|[^\w\s]|\w+")
