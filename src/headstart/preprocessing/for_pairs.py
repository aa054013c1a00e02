"""Pairs of texts: both as the token ids of one sequence, or both weighed term by term.

A tokenizer's own template says what stands between the two, and both are cut as transformers'
``longest_first`` cuts them. Terms are those of each side, those that both share, and four numbers
of how much that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart import events
from headstart.errors import DataError, quoted
from headstart.preprocessing.base import NamedInput
from headstart.preprocessing.for_texts import (
    EMPTY_TOKENS,
    MOST_TOKENS,
    TEXTS_AT_ONCE,
    TermPreprocess,
    TokenPreprocess,
    UsableTexts,
    check_whole,
    demand_folder,
)
from headstart.preprocessing.inputs import Tokens
from headstart.preprocessing.json_records import check_column, damaged, read_record
from headstart.preprocessing.pair_frame import kept_of_both
from headstart.preprocessing.pairs_given import listed_pairs
from headstart.preprocessing.terms import TermVectorizer, read_vectorizer
from headstart.preprocessing.tokens import NO_LIMIT, TextTokenizer, read_tokenizer
from headstart.types import Dataset, Inputs, SplitName, TextPair

NUM_OVERLAPS = 4  # numbers that say how much two texts share


@dataclass(frozen=True)
class PairTokens(Tokens):
    """Token ids of pairs, and which of them are of the second text.

    Attributes:
        seams: int64, shape (N,), place of the first token of the second text.
        has_types: Whether the network is told which tokens are of which text.
    """

    seams: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    has_types: bool = False

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids, mask and, where the network takes them, types: int64 (B, T) each."""
        ids, mask = super().arrays(places)
        if not self.has_types:
            return ids, mask
        steps = np.arange(ids.shape[1])
        types = (steps[None, :] >= self.seams[places][:, None]) * mask
        return ids, mask, types


def encode_pairs(
    tokenizer: TextTokenizer, pairs: Sequence[TextPair]
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return token ids of pairs, their full lengths, and where the second text begins.

    Args:
        tokenizer: Cuts at its own greatest length, the longer text first.
        pairs: N pairs.

    Returns:
        Ids of each pair, int32; lengths uncut and places, int64, shape (N,). Where a tokenizer
        leaves nothing of both texts, there are no ids.
    """
    frame = tokenizer.pair_frame
    room = max(0, tokenizer.max_length - frame.num_special)
    of_first, first_lengths = tokenizer.bodies([pair.first for pair in pairs], room)
    of_second, second_lengths = tokenizer.bodies([pair.second for pair in pairs], room)
    ids, seams = [], np.zeros(len(pairs), np.int64)
    for place, (first, second) in enumerate(zip(of_first, of_second, strict=True)):
        lengths = int(first_lengths[place]), int(second_lengths[place])
        kept = kept_of_both(*lengths, room)
        first, second = first[: kept[0]], second[: kept[1]]
        joined = frame.joined(first, second) if first or second else []
        ids.append(np.array(joined, np.int32))
        seams[place] = frame.seam(first)
    return ids, first_lengths + second_lengths + frame.num_special, seams


def pair_lengths(tokenizer: TextTokenizer, pairs: Sequence[TextPair]) -> np.ndarray:
    """Return how many tokens pairs have uncut, special ones included, int64, shape (N,)."""
    return encode_pairs(tokenizer.with_max_length(NO_LIMIT), pairs)[1]


@dataclass(frozen=True)
class PairPreprocess(TokenPreprocess):
    """Token ids of both texts, a mask, and types where the network takes them.

    Attributes:
        second_column: Column of the training data that held the second texts, or None.
        has_types: Whether the network is told which tokens are of which text.
    """

    second_column: str | None = None
    has_types: bool = False
    kind: ClassVar[str] = "pairs"
    is_pair: ClassVar[bool] = True

    @property
    def columns(self) -> tuple[str, ...]:
        """Both, if there were any."""
        return _columns(self.column, self.second_column)

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Ids, mask and types, as transformers names them."""
        ids, mask = super().inputs
        types = NamedInput("token_type_ids", "int64", ("length",), (2,), self.max_length)
        return (ids, mask, types) if self.has_types else (ids, mask)

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> Inputs:
        _refuse_single(dataset, self.columns)
        return super()._prepare(dataset, split_name, indices)

    def listed(self, values: Any) -> list[Any]:
        """Return pairs, of a table those of the two columns that the model was trained on."""
        return listed_pairs(values, self.columns)

    def names_of(self, listed: list[Any]) -> list[str]:
        """Return "pair 1", "pair 2" and so on."""
        return [f"pair {i + 1}" for i in range(len(listed))]

    def _encode(self, usable: UsableTexts, task: str) -> PairTokens:
        good = usable.places
        pairs = [usable.samples.texts[i] for i in good.tolist()]
        parts: list[np.ndarray] = []
        full, seams = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for start in range(0, len(pairs), TEXTS_AT_ONCE):
            found, lengths, begins = encode_pairs(
                self.tokenizer, pairs[start : start + TEXTS_AT_ONCE]
            )
            parts += found
            full.append(lengths)
            seams.append(begins)
            done = min(start + TEXTS_AT_ONCE, len(pairs))
            events.emit("task", name=task, done=done, total=len(pairs))
        lengths = np.array([len(part) for part in parts], np.int64)
        filled, cut = lengths > 0, np.concatenate(full) - lengths
        names = [usable.samples.names[i] for i in good.tolist()]
        return PairTokens(
            np.concatenate([np.empty(0, np.int32), *parts]).astype(np.int32),
            np.concatenate([[0], np.cumsum(lengths[filled])]).astype(np.int64),
            self.tokenizer.pad_id,
            self.max_length,
            *usable.but(good[~filled], EMPTY_TOKENS).kept(),
            num_truncated=int((cut[filled] > 0).sum()),
            num_tokens_cut=int(cut[filled].sum()),
            unread=self.tokenizer.unread(parts, names),
            seams=np.concatenate(seams)[filled],
            has_types=self.has_types,
        )

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the tokenizer itself is in ``files``."""
        more = {"second_column": self.second_column, "has_types": self.has_types}
        return {**super().to_json(), **more}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        keys = ("kind", "column", "max_length", "second_column", "has_types")
        read_record(record, keys, "preprocess")
        _check_columns(record)
        check_whole(record, "max_length", MOST_TOKENS)
        if not isinstance(record["has_types"], bool):
            raise damaged("preprocess", dict(record), "has_types as true or false")

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> PairPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        found = demand_folder(folder, origin)
        tokenizer = read_tokenizer(found, record["max_length"], origin)
        return cls(tokenizer, record["column"], record["second_column"], record["has_types"])


@dataclass(frozen=True)
class PairTermPreprocess(TermPreprocess):
    """Weights of the terms of each text and of those that both share, and how much that is.

    Attributes:
        second_column: See ``PairPreprocess``.
    """

    second_column: str | None = None
    kind: ClassVar[str] = "pair_terms"
    is_pair: ClassVar[bool] = True

    @property
    def columns(self) -> tuple[str, ...]:
        """Both, if there were any."""
        return _columns(self.column, self.second_column)

    @property
    def num_terms(self) -> int:
        """Three numbers a term, and those of the overlap."""
        return 3 * self.vectorizer.num_terms + NUM_OVERLAPS

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> Inputs:
        _refuse_single(dataset, self.columns)
        return super()._prepare(dataset, split_name, indices)

    def listed(self, values: Any) -> list[Any]:
        """Return pairs, of a table those of the two columns that the model was trained on."""
        return listed_pairs(values, self.columns)

    def names_of(self, listed: list[Any]) -> list[str]:
        """Return "pair 1", "pair 2" and so on."""
        return [f"pair {i + 1}" for i in range(len(listed))]

    def weights(self, texts: Sequence[str]) -> Any:
        """Return SciPy CSR, float32, shape (N, D), of pairs."""
        return _pair_terms(self.vectorizer, texts)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the terms themselves are in ``files``."""
        num_terms = self.vectorizer.num_terms
        return {
            "kind": self.kind,
            "column": self.column,
            "num_terms": num_terms,
            "second_column": self.second_column,
        }

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(record, ("kind", "column", "num_terms", "second_column"), "preprocess")
        _check_columns(record)
        check_whole(record, "num_terms", 10_000_000)

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> PairTermPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        vectorizer = read_vectorizer(demand_folder(folder, origin), record["num_terms"], origin)
        return cls(vectorizer, record["column"], record["second_column"])


def sides_of(texts: Sequence[str]) -> list[str]:
    """Return the texts of pairs one by one: what words and terms are learned from."""
    sides: list[str] = []
    for text in texts:
        sides += [text.first, text.second] if isinstance(text, TextPair) else [text]
    return sides


def _pair_terms(vectorizer: TermVectorizer, texts: Sequence[str]) -> Any:
    """Return the terms of pairs: of the first text, of the second, of both, and the overlap.

    A term that both have weighs the geometric mean of its weights, so that the squares of a row's
    shared terms add up to the cosine of the two texts. The numbers are that cosine, the share of
    each text's terms that the other has too, and the shorter length by the longer, in characters.
    """
    from scipy.sparse import csr_matrix, hstack

    pairs = [text for text in texts if isinstance(text, TextPair)]
    first = vectorizer.transform([pair.first for pair in pairs])
    second = vectorizer.transform([pair.second for pair in pairs])
    product = first.multiply(second).tocsr()
    cosine = np.asarray(product.sum(axis=1), np.float32).reshape(-1)
    num_shared = np.diff(product.indptr).astype(np.float32)
    shares = [num_shared / np.maximum(np.diff(one.indptr), 1) for one in (first, second)]
    ratio = [
        min(len(pair.first), len(pair.second)) / max(len(pair.first), len(pair.second), 1)
        for pair in pairs
    ]
    product.data = np.sqrt(product.data)
    overlap = np.stack([cosine, *shares, np.array(ratio, np.float32)], axis=1)
    return hstack([first, second, product, csr_matrix(overlap.astype(np.float32))], format="csr")


def _columns(first: str | None, second: str | None) -> tuple[str, ...]:
    return () if first is None or second is None else (first, second)


def _refuse_single(dataset: Dataset, columns: Sequence[str]) -> None:
    """Refuse data whose texts stand alone.

    Raises:
        DataError: If they do.
    """
    if not dataset.schema.sides:
        called = f" in the columns {quoted(columns)}" if columns else ""
        raise DataError(
            f"{dataset.name} holds single texts, and the model reads pairs{called}. Give data with "
            "both, named as there, or say --text FIRST,SECOND."
        )


def _check_columns(record: Mapping[str, Any]) -> None:
    check_column(record)
    check_column({"column": record["second_column"]})
