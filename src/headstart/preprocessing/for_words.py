"""Texts as token ids with the place of each word, for tasks that tell something of each.

A word may be several tokens; its first one answers for it. Nothing is cut: an encoder reads what is
longer than it takes in windows that overlap (``starts.texts.windows``), so that every word gets an
answer and every tag is scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart import events
from headstart.preprocessing.base import NamedInput
from headstart.preprocessing.for_texts import (
    EMPTY_TOKENS,
    MOST_TOKENS,
    TEXTS_AT_ONCE,
    TokenPreprocess,
    UsableTexts,
    check_whole,
    demand_folder,
)
from headstart.preprocessing.incoming import listed_texts
from headstart.preprocessing.inputs import Tokens
from headstart.preprocessing.json_records import check_column, damaged, read_record
from headstart.preprocessing.memory import memory_table
from headstart.preprocessing.tokens import read_tokenizer
from headstart.preprocessing.word_places import CUTS, CutAt, with_words
from headstart.preprocessing.word_windows import Window, word_windows
from headstart.types import Finding, Inputs, Rows, Sentence
from headstart.types.ragged import Ragged

NO_WORDS = "it has no word"
_WHERE = ("word_rows", "word_places", "word_counts")


@dataclass(frozen=True)
class WordTokens(Tokens):
    """Token ids of texts, uncut, and which token answers for each word.

    Attributes:
        firsts: int64, N rows: place of the first token of each word among the ids of its text.
        sentences: The texts themselves, with the places of their words.
    """

    firsts: Ragged = field(default_factory=lambda: Ragged.of([]))
    sentences: Sequence[Sentence] = ()

    @property
    def window_length(self) -> int:
        """Tokens that are read at once."""
        return self.max_length

    @property
    def row_lengths(self) -> np.ndarray:
        """Words of each text, int64, shape (N,)."""
        return self.firsts.lengths

    @property
    def findings(self) -> list[Finding]:
        """Say what is read in windows, and what the tokenizer does not know."""
        num = int((self.lengths > self.max_length).sum())
        said = []
        if num:
            sentence = (
                f"{num:,} of {len(self):,} texts are longer than {self.max_length:,} tokens and "
                "are read in windows that overlap; every word is told."
            )
            said.append(Finding("truncated", "note", (), sentence))
        return [*said, *self.unread.findings()]

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids, mask, int64 (B, T), and the first token of each word, int64 (B, W)."""
        return *super().arrays(places), self.firsts[places].padded(0).astype(np.int64)


@dataclass(frozen=True)
class WordPreprocess(TokenPreprocess):
    """Token ids, a mask, and the first token of each word.

    Attributes:
        cut: How a text is cut into words that are not given.
    """

    cut: CutAt = "words"
    kind: ClassVar[str] = "words"

    @property
    def window(self) -> Window:
        """How much of a text an encoder reads at once."""
        before, behind = self.tokenizer.frame
        return Window(self.max_length, len(before), len(behind))

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Ids, mask, and places of words."""
        ids, mask = super().inputs
        firsts = NamedInput("first_tokens", "int64", ("words",), (self.max_length,))
        return ids, mask, firsts

    @property
    def exported_inputs(self) -> tuple[NamedInput, ...]:
        """Ids and mask of windows: an exported network tells of each token."""
        return super().inputs

    def batch(self, inputs: Inputs, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return texts as windows that a network reads at once, and where each word stands.

        Args:
            inputs: As this has read them.
            places: int64, shape (B,).

        Returns:
            Ids and mask, int64 (M, T), M windows, a text at least one; and of the words of all
            texts, one after the other, ``word_rows`` and ``word_places``, and of each text how
            many it has, ``word_counts``.
        """
        assert isinstance(inputs, WordTokens)
        names = [*(one.name for one in self.exported_inputs), *_WHERE]
        found = word_windows(inputs, inputs.firsts, places, self.window)
        return dict(zip(names, found, strict=True))

    def told(self, arrays: Mapping[str, np.ndarray], outputs: np.ndarray) -> Rows:
        """Return what is told of the first token of each word, a row a text."""
        rows, places, counts = (arrays[name] for name in _WHERE)
        ends = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Ragged(outputs[rows, places], ends)

    def listed(self, values: Any) -> list[Any]:
        """Return texts; a list of lists of words is as many texts."""
        return listed_words(values, self.column, self.cut)

    def _encode(self, usable: UsableTexts, task: str) -> Tokens:
        texts: list[Any] = [usable.samples.texts[i] for i in usable.places.tolist()]
        sentences = [with_words(text, self.cut) for text in texts]
        bare = np.array([not sentence.spans for sentence in sentences], bool)
        usable = usable.but(usable.places[bare], NO_WORDS)
        sentences = [sentence for sentence in sentences if sentence.spans]
        ids: list[np.ndarray] = []
        firsts: list[np.ndarray] = []
        window = self.window
        num_before = window.num_before
        for start in range(0, len(sentences), TEXTS_AT_ONCE):
            lot = sentences[start : start + TEXTS_AT_ONCE]
            for sentence, (found, ends) in zip(
                lot, self.tokenizer.encode_located(lot), strict=True
            ):
                ids.append(found)
                firsts.append(num_before + _first_tokens(sentence, ends))
            done = min(start + TEXTS_AT_ONCE, len(sentences))
            events.emit("task", name=task, done=done, total=len(sentences))
        lengths = np.array([len(part) for part in ids], np.int64)
        empty = lengths <= num_before + window.num_behind
        kept = np.flatnonzero(~empty).tolist()
        usable = usable.but(usable.places[empty], EMPTY_TOKENS)
        names = [usable.samples.names[i] for i in usable.places.tolist()]
        return WordTokens(
            np.concatenate([np.empty(0, np.int32), *(ids[i] for i in kept)]).astype(np.int32),
            np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64),
            self.tokenizer.pad_id,
            self.max_length,
            *usable.kept(),
            unread=self.tokenizer.unread([ids[i] for i in kept], names),
            firsts=Ragged.of([firsts[i] for i in kept]),
            sentences=[sentences[i] for i in kept],
        )

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the tokenizer itself is in ``files``."""
        return {**super().to_json(), "cut": self.cut}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(record, ("kind", "column", "max_length", "cut"), "preprocess")
        check_column(record)
        check_whole(record, "max_length", MOST_TOKENS)
        if record["cut"] not in CUTS:
            raise damaged("preprocess", dict(record), f"cut as one of {', '.join(CUTS)}")

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> WordPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        found = demand_folder(folder, origin)
        tokenizer = read_tokenizer(found, record["max_length"], origin)
        return cls(tokenizer, record["column"], record["cut"])


def listed_words(values: Any, column: str | None, cut: CutAt) -> list[Any]:
    """Return texts that a user gives; a list of lists of words is as many texts.

    Args:
        values: In any form that people have them.
        column: Of a table that which holds them.
        cut: What words are.
    """
    if memory_table(values) is None and not isinstance(values, (str, bytes)):
        rows = list(values)
        if rows and all(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
            return [with_words([str(word) for word in row], cut) for row in rows]
        values = rows
    return listed_texts(values, column)


def _first_tokens(sentence: Sentence, ends: np.ndarray) -> np.ndarray:
    """Return the first token that holds something of each word, int64, shape (W,).

    A word of which a tokenizer leaves nothing is answered for by the next token, or the last.

    Args:
        sentence: Gives the words.
        ends: Character after the last of each token, rising.
    """
    starts = np.array([start for start, _ in sentence.spans], np.int64)
    found = np.searchsorted(np.maximum.accumulate(ends), starts, side="right")
    return np.minimum(found, max(0, len(ends) - 1)).astype(np.int64)
