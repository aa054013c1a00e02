"""Texts with the texts that are to be written of them: ids of both sides.

One tokenizer reads and writes: that of the start, or one that was trained on both sides of train.
Of starts that read and write by two, or in languages that they are told, the targets have their
own.
A target's ids end with what its tokenizer puts behind a text; the network is given them moved by
one place, behind the id that a text begins with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.preprocessing.base import NamedInput
from headstart.preprocessing.for_texts import (
    MOST_TOKENS,
    TokenPreprocess,
    UsableTexts,
    check_whole,
    demand_folder,
)
from headstart.preprocessing.inputs import Tokens
from headstart.preprocessing.json_records import check_column, damaged, read_record
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer, read_tokenizer
from headstart.types import Finding, Inputs
from headstart.types.ragged import Ragged
from headstart.types.texts import Telling

_OWN = ("begin_id", "most_told", "num_beams", "most_ratio")
_TOLD = "told_"  # before the names of the files of targets' tokenizer
_MOST_RATIO = 10_000
_SIDES = 1 << 20  # of a length: lengths of both sides in one number


@dataclass(frozen=True)
class SequenceTokens(Tokens):
    """Token ids of texts, and of what is to be written of each.

    Attributes:
        told: int64, N rows: ids of the targets, each with what ends it; None for predicting.
        begin_id: What stands before the first.
        sources: The texts as they were given.
        num_told_cut: Targets that were cut.
        most_told: Tokens that a target keeps at most.
    """

    told: Ragged | None = None
    begin_id: int = 0
    sources: Sequence[str] = ()
    num_told_cut: int = 0
    most_told: int = 0

    @property
    def batch_order(self) -> np.ndarray:
        """By what samples share a batch, int64, shape (N,): the target, then the text."""
        if self.told is None:
            return self.lengths
        found: np.ndarray = self.told.lengths * _SIDES + self.lengths
        return found

    @property
    def findings(self) -> list[Finding]:
        """Say what was cut on either side."""
        said = list(super().findings)
        if self.num_told_cut:
            sentence = (
                f"{self.num_told_cut:,} of {len(self):,} targets were cut at {self.most_told:,} "
                "tokens: their ends are not learned. --max-length sets the length of both sides."
            )
            said.append(Finding("truncated", "warning", (), sentence))
        return said

    def asked(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids and mask of texts to write of, int64 (B, T)."""
        return super().arrays(places)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids and mask, int64 (B, T), and of targets the ids before each, int64 (B, L)."""
        asked = super().arrays(places)
        if self.told is None:
            return asked
        wanted = self.told[places].padded(self.pad_id).astype(np.int64)
        before = np.full((len(wanted), 1), self.begin_id, np.int64)
        return *asked, np.concatenate([before, wanted[:, :-1]], axis=1)


def asked_batch(
    named: Sequence[NamedInput], inputs: Any, places: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what is written to of some samples, by name: ids and mask, int64 (B, T).

    Args:
        named: What these are called.
        inputs: Give them (``asked``).
        places: int64, shape (B,).
    """
    asked = inputs.asked(places)
    return {one.name: np.ascontiguousarray(array) for one, array in zip(named, asked, strict=True)}


@dataclass(frozen=True)
class SequencePreprocess(TokenPreprocess):
    """Token ids of a text, and how what is written becomes a text again.

    Attributes:
        begin_id: The id that what is written begins with.
        most_told: Tokens that are written at most.
        num_beams: Beginnings that are followed at once where the model is served.
        most_ratio: Tokens that are written at most for each that is read, and a few.
        told_by: The tokenizer of targets; None where it is that of texts.
        first_id: The id that every answer has first, such as its language; None for none.
    """

    begin_id: int = 0
    most_told: int = 128
    num_beams: int = 4
    most_ratio: float = 4.0
    told_by: TextTokenizer | None = None
    first_id: int | None = None
    kind: ClassVar[str] = "sequences"
    writes: ClassVar[bool] = True

    @property
    def writer(self) -> TextTokenizer:
        """The tokenizer of targets."""
        return self.tokenizer if self.told_by is None else self.told_by

    @property
    def telling(self) -> Telling:
        """How texts are written."""
        return Telling(self.num_beams, self.most_told, self.most_ratio, first_id=self.first_id)

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Ids, mask, and the ids before each that is to be told."""
        ids, mask = super().inputs
        size, longest = self.tokenizer.vocab_size, self.most_told
        fill = self.tokenizer.pad_id
        before = NamedInput("decoder_input_ids", "int64", ("told",), (size,), longest, fill)
        return ids, mask, before

    @property
    def exported_inputs(self) -> tuple[NamedInput, ...]:
        """Ids and mask: what is told of them is written."""
        return self.inputs[:2]

    def batch(self, inputs: Inputs, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return texts to write of, by name."""
        return asked_batch(self.exported_inputs, inputs, places)

    def text_of(self, ids: np.ndarray) -> str:
        """Return the text that ids stand for, without what begins, ends and fills it."""
        kept = [i for i in ids.tolist() if i not in self._special]
        return self.writer.decode(kept).strip()

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(self.writer.special_ids)

    def _encode(self, usable: UsableTexts, task: str) -> Tokens:
        read = super()._encode(usable, task)
        place_of = {name: place for place, name in enumerate(usable.ids.tolist())}
        kept = np.array([place_of[i] for i in read.ids.tolist()], np.int64)
        sources = [usable.samples.texts[i] for i in kept.tolist()]
        told, num_cut = None, 0
        if len(usable.targets):
            told, num_cut = self._told([str(text) for text in np.asarray(read.targets)])
        return SequenceTokens(
            **{name: getattr(read, name) for name in Tokens.__dataclass_fields__},
            told=told,
            begin_id=self.begin_id,
            sources=sources,
            num_told_cut=num_cut,
            most_told=self.most_told,
        )

    def _told(self, texts: Sequence[str]) -> tuple[Ragged, int]:
        """Return the ids of targets, and how many were cut."""
        ids, lengths = self.writer.with_max_length(self.most_told).encode(texts)
        num_cut = int((lengths > self.most_told).sum())
        return Ragged.of([row.astype(np.int64) for row in ids]), num_cut

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the tokenizer itself is in ``files``."""
        own = {name: getattr(self, name) for name in _OWN}
        told = {"has_writer": self.told_by is not None, "first_id": self.first_id}
        return {**super().to_json(), **own, **told}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(
            record, ("kind", "column", "max_length", *_OWN, "has_writer", "first_id"), "preprocess"
        )
        check_column(record)
        for name, most in (("max_length", MOST_TOKENS), ("most_told", MOST_TOKENS)):
            check_whole(record, name, most)
        check_whole(record, "num_beams", 64)
        if not isinstance(record["has_writer"], bool):
            raise damaged("preprocess", dict(record), "has_writer as true or false")
        for name in ("begin_id", "first_id"):
            one = record[name]
            is_id = isinstance(one, int) and not isinstance(one, bool) and one >= 0
            if not (is_id or (one is None and name == "first_id")):
                raise damaged("preprocess", dict(record), f"{name} as an id")
        ratio = record["most_ratio"]
        if not isinstance(ratio, int | float) or not 0 < ratio < _MOST_RATIO:
            raise damaged("preprocess", dict(record), f"most_ratio from 0 to {_MOST_RATIO:,}")

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> SequencePreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        place = demand_folder(folder, origin)
        tokenizer = read_tokenizer(place, record["max_length"], origin)
        told_by = (
            read_tokenizer(place, NO_LIMIT, origin, prefix=_TOLD) if record["has_writer"] else None
        )
        own = {name: record[name] for name in (*_OWN, "first_id")}
        return cls(tokenizer, record["column"], **own, told_by=told_by)

    def files(self) -> dict[str, bytes]:
        """Return the files of one tokenizer, or of both."""
        told = {} if self.told_by is None else self.told_by.files()
        return {**super().files(), **{f"{_TOLD}{name}": told[name] for name in told}}
