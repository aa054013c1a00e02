"""Texts of which more is known: where the words stand, or that there are two of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard


class Sentence(str):
    """A text that knows where its words stand; anything else takes it for the text that it is.

    Attributes:
        spans: First and last place (exclusive) of each word, in characters, rising.

    Example:
        >>> said = Sentence.of(["Ada", "lives", "here"])
        >>> said, said.words
        ('Ada lives here', ['Ada', 'lives', 'here'])
    """

    spans: tuple[tuple[int, int], ...]

    def __new__(cls, text: str, spans: Iterable[tuple[int, int]]) -> Sentence:
        """Make one of a text and the places of its words."""
        made = super().__new__(cls, text)
        made.spans = tuple(spans)
        return made

    @classmethod
    def of(cls, words: Sequence[str], between: str = " ") -> Sentence:
        """Return a sentence of words.

        Args:
            words: Each at least one character.
            between: What is written between two of them; nothing in scripts without blanks.
        """
        spans, place = [], 0
        for word in words:
            spans.append((place, place + len(word)))
            place += len(word) + len(between)
        return cls(between.join(words), spans)

    @property
    def words(self) -> list[str]:
        """The words themselves."""
        return [self[start:end] for start, end in self.spans]

    def __reduce__(self) -> tuple[type[Sentence], tuple[str, tuple[tuple[int, int], ...]]]:
        """Return what makes it again, so that it can be copied."""
        return Sentence, (str(self), self.spans)


class TextPair(str):
    """Two texts that belong together; anything else takes them for one text of two lines.

    Attributes:
        first: The first, such as a premise.
        second: The second, such as what is to follow from it.

    Example:
        >>> pair = TextPair("A man sleeps.", "A man is awake.")
        >>> pair.splitlines(), pair.turned == TextPair(pair.second, pair.first)
        (['A man sleeps.', 'A man is awake.'], True)
    """

    first: str
    second: str

    def __new__(cls, first: str, second: str) -> TextPair:
        """Make one of two texts."""
        made = super().__new__(cls, f"{first}\n{second}")
        made.first, made.second = first, second
        return made

    @property
    def turned(self) -> TextPair:
        """The same two in the other order."""
        return TextPair(self.second, self.first)

    def __reduce__(self) -> tuple[type[TextPair], tuple[str, str]]:
        """Return what makes it again, so that it can be copied."""
        return TextPair, (self.first, self.second)


def are_pairs(texts: Sequence[str]) -> TypeGuard[Sequence[TextPair]]:
    """Return whether texts are pairs: all of a source are, or none."""
    return len(texts) > 0 and isinstance(texts[0], TextPair)
