"""Texts as features of their words, for what tags without tokens; nothing is cut.

A linear tagger has what words look like, a dictionary what it knows of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from headstart.preprocessing.base import NamedInput
from headstart.preprocessing.for_texts import (
    TextPreprocess,
    UsableTexts,
    check_whole,
    demand_folder,
)
from headstart.preprocessing.for_words import NO_WORDS, listed_words
from headstart.preprocessing.json_records import check_column, damaged, read_record
from headstart.preprocessing.known_words import read_known_words
from headstart.preprocessing.word_features import (
    MOST_FEATURES,
    read_features,
)
from headstart.preprocessing.word_places import CUTS, CutAt, with_words
from headstart.types import BadSample, Finding, Inputs, PlainInputs, Rows, Sentence
from headstart.types.ragged import Ragged

_COUNTS = "word_counts"


class WordTable(Protocol):
    """What numbers the features of words: at most ``width`` of each, from 1 to ``num_features``."""

    width: int

    @property
    def num_features(self) -> int:
        """How many are known, D."""
        ...

    def rows(self, sentences: Sequence[Sentence]) -> np.ndarray:
        """Return those of M words, one text after the other, int64, shape (M, F)."""
        ...

    def files(self) -> dict[str, bytes]:
        """Return the file that rebuilds it, by name."""
        ...


@dataclass(frozen=True)
class WordFeatures(PlainInputs):
    """The features of the words of texts.

    Attributes:
        features: int64, N rows of (W, F), numbers of a ``WordTable``, F being its width.
        sentences: The texts themselves, with the places of their words.
        targets: As in ``Split.targets``; empty for predicting.
        ids: int64, shape (N,).
        names: N names.
        bad_samples: Texts left out, each with its reason.
        findings: What a user should know of the preparation.
    """

    features: Ragged
    sentences: Sequence[Sentence]
    targets: Rows
    ids: np.ndarray
    names: Sequence[str]
    bad_samples: Sequence[BadSample] = ()
    findings: Sequence[Finding] = ()

    def __len__(self) -> int:
        return len(self.features)

    @property
    def lengths(self) -> np.ndarray:
        """Words of each text, int64, shape (N,)."""
        return self.features.lengths

    @property
    def row_lengths(self) -> np.ndarray:
        """The same: each word is told of."""
        return self.lengths

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch, int64 (B, W, F), 0 where a text has no more words.

        Args:
            places: int64, shape (B,), positions of the wanted texts.
        """
        return (self.features[places].padded(0),)


@dataclass(frozen=True)
class WordFeaturePreprocess(TextPreprocess):
    """The features of each word.

    Attributes:
        table: Numbers those that it knows.
        column: See ``TextPreprocess``.
        cut: How a text is cut into words that are not given.
    """

    table: WordTable
    column: str | None = None
    cut: CutAt = "words"
    kind: ClassVar[str] = "word_features"

    @property
    def num_features(self) -> int:
        """How many features are known, D."""
        return self.table.num_features

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Numbers of features, a row a word."""
        return (
            NamedInput(self.kind, "int64", ("words", self.table.width), (self.num_features + 1,)),
        )

    @property
    def exported_inputs(self) -> tuple[NamedInput, ...]:
        """The same: an exported network tells of words, whatever texts they stand in."""
        return (NamedInput(self.kind, "int64", (self.table.width,), (self.num_features + 1,)),)

    def batch(self, inputs: Inputs, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return the words of texts one after the other, and how many each has.

        Args:
            inputs: As this has read them.
            places: int64, shape (B,).
        """
        assert isinstance(inputs, WordFeatures)
        chosen = inputs.features[places]
        return {self.kind: np.ascontiguousarray(chosen.whole), _COUNTS: chosen.lengths}

    def told(self, arrays: Mapping[str, np.ndarray], outputs: np.ndarray) -> Rows:
        """Return what is told of each word, a row a text."""
        ends = np.concatenate(([0], np.cumsum(arrays[_COUNTS]))).astype(np.int64)
        return Ragged(outputs, ends)

    def listed(self, values: Any) -> list[Any]:
        """Return texts; a list of lists of words is as many texts."""
        return listed_words(values, self.column, self.cut)

    def _encode(self, usable: UsableTexts, task: str) -> WordFeatures:
        del task
        texts: list[Any] = [usable.samples.texts[i] for i in usable.places.tolist()]
        sentences = [with_words(text, self.cut) for text in texts]
        bare = np.array([not sentence.spans for sentence in sentences], bool)
        usable = usable.but(usable.places[bare], NO_WORDS)
        sentences = [sentence for sentence in sentences if sentence.spans]
        counts = [len(sentence.spans) for sentence in sentences]
        ends = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return WordFeatures(Ragged(self.table.rows(sentences), ends), sentences, *usable.kept())

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the features themselves are in ``files``."""
        about = {"num_features": self.num_features, "cut": self.cut}
        return {"kind": self.kind, "column": self.column, **about}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(record, ("kind", "column", "num_features", "cut"), "preprocess")
        check_column(record)
        check_whole(record, "num_features", MOST_FEATURES)
        if record["cut"] not in CUTS:
            raise damaged("preprocess", dict(record), f"cut as one of {', '.join(CUTS)}")

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> WordFeaturePreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        table = read_features(demand_folder(folder, origin), record["num_features"], origin)
        return cls(table, record["column"], record["cut"])

    def files(self) -> dict[str, bytes]:
        """Return the file of the features."""
        return self.table.files()


@dataclass(frozen=True)
class KnownWordPreprocess(WordFeaturePreprocess):
    """What a dictionary says of each word: one feature, the number of a tag."""

    kind: ClassVar[str] = "known_words"

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> KnownWordPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        table = read_known_words(demand_folder(folder, origin), record["num_features"], origin)
        return cls(table, record["column"], record["cut"])
