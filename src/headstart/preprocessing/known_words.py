"""A dictionary: the entities that train has, or its words, and what each of them is.

An entity is known as it is written, word by word, with the type that it has most often; the longest
that fits is taken, from left to right. Where each word has a tag of its own, words are known, and
one that is not has the tag that most have. What it says of a word is its one feature, the number
of a tag counted from 1, so that a network of one weight a tag makes probabilities of it. What was
learned is one JSON file. Left out: other spellings, and what stands around a name.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.evaluation import TagSet, entities_of
from headstart.preprocessing.learned_file import read_learned
from headstart.types import Sentence
from headstart.types.ragged import Ragged

FILE_NAME = "known_words.json"
FORMAT = 1
_LONGEST = 12  # words of an entity that is looked for
Words = tuple[str, ...]


class KnownWords:
    """What is known of the words of texts.

    Args:
        entries: Words in a row, to the number of their type; of single words to that of their tag.
        tags_of: Names of the K tags.
        is_of_entities: Whether several words may be one entry, told by two tags a type.
        usual: The tag of what is not known.

    Attributes:
        width: Features of a word, 1.
    """

    width = 1

    def __init__(
        self,
        entries: Mapping[Words, int],
        tags_of: Sequence[str],
        *,
        is_of_entities: bool,
        usual: int = 0,
    ) -> None:
        self.entries, self.tags_of, self.usual = dict(entries), tuple(tags_of), usual
        self.is_of_entities = is_of_entities
        self._longest = max(map(len, self.entries), default=0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnownWords) and self.files() == other.files()

    def __hash__(self) -> int:
        return hash((len(self.entries), self.tags_of))

    @property
    def num_features(self) -> int:
        """As many as there are tags, K."""
        return len(self.tags_of)

    def tags(self, sentences: Sequence[Sentence]) -> Ragged:
        """Return what it says of texts, int64, a row a text, a tag a word."""
        return Ragged.of([self._tags(sentence.words) for sentence in sentences])

    def rows(self, sentences: Sequence[Sentence]) -> np.ndarray:
        """Return the same as features of all words, one text after the other.

        Args:
            sentences: M words in all.

        Returns:
            int64, shape (M, 1), from 1 to K.
        """
        rows = [self._tags(sentence.words) for sentence in sentences]
        return np.concatenate([np.zeros(0, np.int64), *rows])[:, None] + 1

    def _tags(self, words: list[str]) -> np.ndarray:
        if not self.is_of_entities:
            told = [self.entries.get((word,), self.usual) for word in words]
            return np.array(told, np.int64)
        tags, at = np.zeros(len(words), np.int64), 0
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                kind = self.entries.get(tuple(words[at : at + length]))
                if kind is not None:
                    tags[at] = 2 * kind + 1
                    tags[at + 1 : at + length] = 2 * kind + 2
                    at += length
                    break
            else:
                at += 1
        return tags

    def files(self) -> dict[str, bytes]:
        """Return the file that rebuilds it, by name."""
        entries = [[list(words), number] for words, number in self.entries.items()]
        about = {"entities": self.is_of_entities, "usual": self.usual}
        record = {"format": FORMAT, "tags": self.tags_of, **about, "entries": entries}
        return {FILE_NAME: json.dumps(record, ensure_ascii=False).encode()}


def learn_known_words(
    sentences: Sequence[Sentence],
    targets: Ragged,
    meaning: TagSet,
    *,
    tags_of: Sequence[str],
    is_of_entities: bool,
) -> KnownWords:
    """Return what train says of its entities, or of its words.

    Args:
        sentences: Texts with their words.
        targets: int64, their tags.
        meaning: What the tags mean.
        tags_of: Names of the K tags.
        is_of_entities: Whether several words may be one entity.
    """
    counts: defaultdict[Words, Counter[int]] = defaultdict(Counter)
    if not is_of_entities:
        for sentence, row in zip(sentences, targets, strict=True):
            for word, tag in zip(sentence.words, row.tolist(), strict=True):
                counts[(word,)][tag] += 1
        usual = int(np.bincount(targets.whole, minlength=len(tags_of)).argmax())
        return KnownWords(_most_often(counts), tags_of, is_of_entities=False, usual=usual)
    found = entities_of(targets, meaning)
    words = [sentence.words for sentence in sentences]
    columns = (found.row, found.start, found.end, found.type)
    for row, start, end, kind in zip(*(c.tolist() for c in columns), strict=True):
        if end - start <= _LONGEST:
            counts[tuple(words[row][start:end])][kind] += 1
    return KnownWords(_most_often(counts), tags_of, is_of_entities=True)


def _most_often(counts: Mapping[Words, Counter[int]]) -> dict[Words, int]:
    return {name: each.most_common(1)[0][0] for name, each in counts.items()}


def read_known_words(folder: Path, num_tags: int, origin: str) -> KnownWords:
    """Read what ``files`` gave, from the folder it was written into.

    Args:
        folder: Usually a run folder.
        num_tags: How many the architecture says.
        origin: Names the start in a refusal.

    Raises:
        StartError: If the file is missing or damaged.
    """
    expected = f"what '{origin}' knows beside its weights"
    return read_learned(folder / FILE_NAME, lambda record: _parse(record, num_tags), expected)


def _parse(record: Any, num_tags: int) -> KnownWords:
    is_of_entities, usual, tags_of = record["entities"], record["usual"], record["tags"]
    if record["format"] != FORMAT or len(tags_of) != num_tags:
        raise ValueError(f"format {record['format']!r}, {len(tags_of)} tags")
    if not isinstance(tags_of, list) or not all(isinstance(tag, str) for tag in tags_of):
        raise ValueError("'tags' is no list of texts")
    if not isinstance(is_of_entities, bool) or not _is_below(usual, num_tags):
        raise ValueError(f"entities {is_of_entities!r}, usual {usual!r}")
    below = num_tags // 2 if is_of_entities else num_tags
    entries: dict[Words, int] = {}
    for words, number in record["entries"]:
        if not words or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{words!r} is no entry")
        if not _is_below(number, below):
            raise ValueError(f"{number!r} is no type of {words!r}")
        entries[tuple(words)] = number
    if len(entries) != len(record["entries"]):
        raise ValueError("an entry stands there twice")
    return KnownWords(entries, tags_of, is_of_entities=is_of_entities, usual=usual)


def _is_below(number: object, most: int) -> bool:
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    return is_whole and 0 <= number < most  # type: ignore[operator]
