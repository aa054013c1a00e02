"""Answers that stand in a text: what a question asks for, and what a model finds.

A target is every answer that people gave to a question, with its place in the context; a question
that the context does not answer has none. What a model finds of N questions is an array of N rows
of ``FOUND``; how it was found is told of each token by two numbers, and by its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np

# Of each token of each window: how much says that the answer begins with it, and that it ends with
# it, and its first and last character (exclusive) in the context. Of the token that stands for "no
# answer" both places are ``NOWHERE``; it begins its window. float32 knows whole numbers up to 2^24.
LOOKED_AT = 4
NOWHERE = -1

# ``start`` and ``end``: characters of the best span, ``NOWHERE`` where a context has no token;
# ``score``: the sum of both its logits; ``nothing``: that of no answer, the least of all windows;
# ``probability``: of the span, and ``probability_nothing``: of no answer, among all of one window.
FOUND = np.dtype(
    [
        ("start", np.int64),
        ("end", np.int64),
        ("score", np.float64),
        ("nothing", np.float64),
        ("probability", np.float64),
        ("probability_nothing", np.float64),
    ]
)


class GoldAnswers(str):
    """The answers to one question; anything else takes them for the JSON list of their texts.

    Attributes:
        texts: Each of them, the first one is what is learned; empty where there is no answer.
        starts: Character of the context at which each begins.
        context: The text that they stand in; empty where nobody has it at hand.

    Example:
        >>> told = GoldAnswers(["Ada"], [0], "Ada lives here.")
        >>> told, told.span
        ('["Ada"]', (0, 3))
    """

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    context: str

    def __new__(
        cls, texts: Iterable[str], starts: Iterable[int] = (), context: str = ""
    ) -> GoldAnswers:
        """Make them of texts and places."""
        listed = tuple(texts)
        made = super().__new__(cls, json.dumps(listed, ensure_ascii=False))
        made.texts, made.starts, made.context = listed, tuple(starts), context
        return made

    @classmethod
    def read(cls, text: str) -> GoldAnswers:
        """Return answers of the JSON list that they are written as.

        Raises:
            ValueError: It is none.
        """
        found = json.loads(text)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise ValueError(f"no list of answers: {text[:60]!r}")
        return cls(found)

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last character (exclusive) of what is learned; None where nothing answers."""
        if not self.texts:
            return None
        return self.starts[0], self.starts[0] + len(self.texts[0])

    def __reduce__(self) -> tuple[type[GoldAnswers], tuple[tuple[str, ...], tuple[int, ...], str]]:
        """Return what makes them again, so that they can be copied."""
        return GoldAnswers, (self.texts, self.starts, self.context)


def answers_array(answers: Sequence[GoldAnswers]) -> np.ndarray:
    """Return answers as an array of objects, shape (N,)."""
    found = np.empty(len(answers), object)
    found[:] = list(answers)
    return found


def tokens_of_span(
    starts: np.ndarray, ends: np.ndarray, start: int, end: int
) -> tuple[int, int] | None:
    """Return the first and the last token of a span of characters; None where not all are there.

    Args:
        starts: First character of each token of a window, rising, shape (T,).
        ends: The character after its last, shape (T,).
        start: First character of the span.
        end: The character after its last.
    """
    if not len(starts) or starts[0] > start or ends[-1] < end:
        return None
    first = int(np.searchsorted(ends, start, side="right"))
    last = int(np.searchsorted(starts, end, side="left")) - 1
    return first, max(first, last)


def spoken(context: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without blanks at its ends."""
    if start == NOWHERE:
        return 0, 0
    text = context[start:end]
    start += len(text) - len(text.lstrip())
    return start, start + len(text.strip())
