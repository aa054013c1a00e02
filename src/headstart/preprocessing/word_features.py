"""What a word looks like, and what stands beside it: the features of a linear tagger.

A feature is a text (``w=paris``, ``s=Xx``, ``-1w=in``); those that train shows often enough are
numbered from 1 on. A word has at most one feature in each of ``WIDTH`` slots, so that words become
rows of numbers, and 0 says that a slot holds nothing that is known. A slot is looked up once for
each word that differs, or pair of neighbours, and not for each place: Chinese by character has few
different ones. What was learned is one JSON file. Left out: gazetteers, and the tags of the words
before, which would have to be told one after the other.

Source:
    The features are those of L. Ratinov and D. Roth, 2009, CoNLL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import StartError
from headstart.preprocessing.learned_file import read_learned
from headstart.types import Sentence

FILE_NAME = "word_features.json"
FORMAT = 1
MOST_FEATURES = 300_000
FEW_WORDS = 5_000  # with fewer a feature may occur once
_AHEAD = 2  # neighbours on each side
_STEPS = tuple(step for step in range(-_AHEAD, _AHEAD + 1) if step)
_ENDS = (1, 2, 3)  # characters of the beginnings and ends that are looked at
_OWN = 3 + 2 * len(_ENDS)
_BESIDE = 2 * len(_STEPS)
WIDTH = _OWN + _BESIDE + 2
Slots = tuple[str, ...]


def own_features(word: str) -> Slots:
    """Return what a word looks like, a slot each; empty where it is too short for one."""
    low = word.lower()
    begins = (f"p{n}={low[:n]}" if len(word) > n else "" for n in _ENDS)
    ends = (f"e{n}={low[-n:]}" if len(word) > n else "" for n in _ENDS)
    return f"w={low}", f"W={word}", f"s={shape_of(word)}", *begins, *ends


def beside_features(word: str) -> Slots:
    """Return what a word is to its neighbours: for each step from them, itself and its shape."""
    low, shape = word.lower(), shape_of(word)
    return tuple(text for step in _STEPS for text in (f"{step}w={low}", f"{step}s={shape}"))


def pair_features(first: str, second: str) -> tuple[str, str]:
    """Return what two neighbours are to the second and to the first of them."""
    both = f"{first.lower()} {second.lower()}"
    return f"-={both}", f"+={both}"


def shape_of(word: str) -> str:
    """Return capitals, small letters, digits and signs of a word, repeats left out."""
    kinds = [
        "X" if c.isupper() else "x" if c.isalpha() else "0" if c.isdigit() else c for c in word
    ]
    return "".join(c for place, c in enumerate(kinds) if not place or c != kinds[place - 1])


@dataclass(frozen=True, eq=False)
class _Words:
    """The words of texts, one text after the other, M in all.

    Attributes:
        different: Those that differ.
        codes: int64, shape (M,), the number of each among these.
        text: int64, shape (M,), the text of each.
    """

    different: list[str]
    codes: np.ndarray
    text: np.ndarray

    @classmethod
    def of(cls, sentences: Sequence[Sentence]) -> _Words:
        """Number the words of texts."""
        rows = [sentence.words for sentence in sentences]
        places: dict[str, int] = {}
        codes = [places.setdefault(word, len(places)) for row in rows for word in row]
        text = np.repeat(np.arange(len(rows)), np.array([len(row) for row in rows], np.int64))
        return cls(list(places), np.array(codes, np.int64), text)

    def pairs(self) -> tuple[np.ndarray, list[tuple[str, str]], np.ndarray]:
        """Return the first place of each two neighbours, the pairs that differ, and which it is."""
        firsts = np.flatnonzero(self.text[1:] == self.text[:-1])
        num = max(1, len(self.different))
        found, which = np.unique(
            self.codes[firsts] * num + self.codes[firsts + 1], return_inverse=True
        )
        both = zip(*(part.tolist() for part in np.divmod(found, num)), strict=True)
        return firsts, [(self.different[a], self.different[b]) for a, b in both], which


class FeatureTable:
    """Numbers the features of words that are known.

    Args:
        features: All of them, in the order of their numbers, from 1 on.

    Attributes:
        width: Features of a word at the most.
    """

    width = WIDTH

    def __init__(self, features: Sequence[str]) -> None:
        self.features = list(features)
        self._numbers = {text: number for number, text in enumerate(self.features, start=1)}
        self._nothing = np.array([self._number(f"{step}none") for step in _STEPS], np.int64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureTable) and self.features == other.features

    def __hash__(self) -> int:
        return hash(len(self.features))

    @property
    def num_features(self) -> int:
        """How many there are, D."""
        return len(self.features)

    def rows(self, sentences: Sequence[Sentence]) -> np.ndarray:
        """Return the features of all words, one text after the other.

        Args:
            sentences: M words in all.

        Returns:
            int64, shape (M, ``WIDTH``), from 0 to D.
        """
        return self.rows_of(_Words.of(sentences))

    def rows_of(self, words: _Words) -> np.ndarray:
        """Return the same of words that are numbered."""
        different, codes, text = words.different, words.codes, words.text
        found = np.zeros((len(codes), WIDTH), np.int64)
        if not len(codes):
            return found
        own = [[self._number(name) for name in own_features(word)] for word in different]
        found[:, :_OWN] = np.array(own, np.int64)[codes]
        beside = [[self._number(name) for name in beside_features(word)] for word in different]
        of_word = np.array(beside, np.int64).reshape(len(different), len(_STEPS), 2)
        place = np.arange(len(codes))
        for number, step in enumerate(_STEPS):
            other = np.clip(place + step, 0, len(codes) - 1)
            is_there = (place + step == other) & (text[other] == text)
            slots = _OWN + 2 * number
            found[:, slots : slots + 2] = of_word[codes[other], number]
            found[~is_there, slots : slots + 2] = (self._nothing[number], 0)
        firsts, pairs, which = words.pairs()
        told = [[self._number(name) for name in pair_features(*pair)] for pair in pairs]
        numbers = np.array(told, np.int64).reshape(len(pairs), 2)[which]
        found[firsts + 1, WIDTH - 2] = numbers[:, 0]
        found[firsts, WIDTH - 1] = numbers[:, 1]
        return found

    def _number(self, text: str) -> int:
        return self._numbers.get(text, 0)

    def files(self) -> dict[str, bytes]:
        """Return the file that rebuilds it, by name."""
        record = {"format": FORMAT, "features": self.features}
        return {FILE_NAME: json.dumps(record, ensure_ascii=False).encode()}


def learn_features(sentences: Sequence[Sentence], origin: str) -> FeatureTable:
    """Return the features that texts have, those that occur at least twice.

    Where there are few words once is enough, and of more than ``MOST_FEATURES`` the most frequent
    ones are kept.

    Args:
        sentences: Those of train.
        origin: Names the start in a refusal.

    Raises:
        StartError: If there is no word.
    """
    words = _Words.of(sentences)
    if not words.different:
        raise StartError(
            f"'{origin}' finds no words in the {len(sentences)} texts of train. Expected texts "
            "with words. Check the text column."
        )
    every = FeatureTable(_all_features(words))
    counts = np.bincount(every.rows_of(words).reshape(-1), minlength=every.num_features + 1)[1:]
    kept = np.flatnonzero(counts >= (1 if len(words.codes) < FEW_WORDS else 2))
    if len(kept) > MOST_FEATURES:
        most = np.argsort(-counts[kept], kind="stable")[:MOST_FEATURES]
        kept = np.sort(kept[most])
    return FeatureTable([every.features[place] for place in kept.tolist()])


def _all_features(words: _Words) -> list[str]:
    """Return each feature that a word of these may have, once."""
    found = dict.fromkeys(f"{step}none" for step in _STEPS)
    for word in words.different:
        found |= dict.fromkeys((*own_features(word), *beside_features(word)))
    for pair in words.pairs()[1]:
        found |= dict.fromkeys(pair_features(*pair))
    found.pop("", None)
    return list(found)


def read_features(folder: Path, num_features: int, origin: str) -> FeatureTable:
    """Read the table that ``files`` gave, from the folder it was written into.

    Args:
        folder: Usually a run folder.
        num_features: How many the architecture says.
        origin: Names the start in a refusal.

    Raises:
        StartError: If the file is missing or damaged.
    """
    expected = f"the features of '{origin}' beside its weights"
    return read_learned(folder / FILE_NAME, lambda record: _parse(record, num_features), expected)


def _parse(record: Any, num_features: int) -> FeatureTable:
    features = record["features"]
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']!r}")
    if not isinstance(features, list) or not all(isinstance(text, str) for text in features):
        raise ValueError("'features' is no list of texts")
    if len(set(features)) != len(features) or len(features) != num_features:
        raise ValueError(f"{len(features)} features, expected {num_features}, each once")
    return FeatureTable(features)
