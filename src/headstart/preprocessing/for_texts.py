"""Texts: cut into the token ids of a tokenizer, or weighed term by term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart import events
from headstart.errors import StartError
from headstart.preprocessing.bad_samples import check_prepared
from headstart.preprocessing.base import NamedInput, Preprocess
from headstart.preprocessing.incoming import listed_texts
from headstart.preprocessing.inputs import Terms, Tokens
from headstart.preprocessing.json_records import check_column, damaged, read_record
from headstart.preprocessing.rows import TextSamples, text_faults
from headstart.preprocessing.samples import take
from headstart.preprocessing.terms import TermVectorizer, read_vectorizer
from headstart.preprocessing.tokens import TextTokenizer, read_tokenizer
from headstart.types import BadSample, Dataset, Inputs, Modality, Rows, SplitName

TEXTS_AT_ONCE = 1_000
EMPTY_TOKENS = "the tokenizer leaves nothing of it"
MOST_TOKENS = 1_000_000
_NO_TARGETS = np.empty(0, np.int64)


@dataclass(frozen=True)
class UsableTexts:
    """Texts of which those that cannot be used are known.

    Attributes:
        samples: All of them.
        targets: Of all; empty for predicting.
        ids: Of all.
        faults: Why some cannot be used, by position.
    """

    samples: TextSamples
    targets: Rows
    ids: np.ndarray
    faults: dict[int, str]

    @property
    def places(self) -> np.ndarray:
        """Positions of those that can be used."""
        return np.delete(np.arange(len(self.samples)), list(self.faults))

    def but(self, places: np.ndarray, reason: str) -> UsableTexts:
        """Return the same where these cannot be used either."""
        faults = self.faults | dict.fromkeys(places.tolist(), reason)
        return UsableTexts(self.samples, self.targets, self.ids, faults)

    def kept(self) -> tuple[Rows, np.ndarray, list[str], list[BadSample]]:
        """Return targets, ids and names of those that can be used, and the others."""
        places, names = self.places, self.samples.names
        targets = self.targets if len(self.targets) == 0 else self.targets[places]
        bad = [BadSample(names[i], self.faults[i]) for i in sorted(self.faults)]
        return targets, self.ids[places], [names[i] for i in places], bad


class TextPreprocess(Preprocess):
    """What both ways to read texts have in common.

    Attributes:
        column: Column of the training data that held the texts, or None.
    """

    modality: ClassVar[Modality] = "text"
    column: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The one, if there was one."""
        return () if self.column is None else (self.column,)

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> Inputs:
        split = dataset.split(split_name)
        chosen = np.arange(len(split)) if indices is None else np.asarray(indices, np.int64)
        samples = split.samples if indices is None else take(split.samples, chosen)
        assert isinstance(samples, TextSamples)
        usable = _usable(samples, split.targets[chosen], split.ids[chosen])
        inputs = self._encode(usable, f"tokenize {split_name}")
        check_prepared(dataset, list(inputs.bad_samples), "texts")
        return inputs

    def listed(self, values: Any) -> list[Any]:
        """Return texts, of a table those of the column that the model was trained on."""
        return listed_texts(values, self.column)

    def names_of(self, listed: list[Any]) -> list[str]:
        """Return "text 1", "text 2" and so on."""
        return [f"text {i + 1}" for i in range(len(listed))]

    def _read(self, listed: list[Any], names: list[str]) -> Inputs:
        ids = np.arange(len(listed), dtype=np.int64)
        return self._encode(_usable(TextSamples(listed, names), _NO_TARGETS, ids), "tokenize")

    def _encode(self, usable: UsableTexts, task: str) -> Inputs:
        raise NotImplementedError


@dataclass(frozen=True)
class TokenPreprocess(TextPreprocess):
    """Token ids, and a mask where a batch is padded.

    Attributes:
        tokenizer: Cuts a text into ids, and at its own greatest length.
        column: See ``TextPreprocess``.
    """

    tokenizer: TextTokenizer
    column: str | None = None
    kind: ClassVar[str] = "tokens"

    @property
    def max_length(self) -> int:
        """Tokens that a text keeps at most."""
        return self.tokenizer.max_length

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Ids and mask, as transformers names them."""
        size, longest = self.tokenizer.vocab_size, self.max_length
        return (
            NamedInput("input_ids", "int64", ("length",), (size,), longest, self.tokenizer.pad_id),
            NamedInput("attention_mask", "int64", ("length",), (2,), longest),
        )

    def _encode(self, usable: UsableTexts, task: str) -> Tokens:
        good = usable.places
        texts = [usable.samples.texts[i] for i in good.tolist()]
        parts: list[np.ndarray] = []
        full: list[np.ndarray] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            tokens, lengths = self.tokenizer.encode(texts[start : start + TEXTS_AT_ONCE])
            parts += tokens
            full.append(np.asarray(lengths, np.int64))
            done = min(start + TEXTS_AT_ONCE, len(texts))
            events.emit("task", name=task, done=done, total=len(texts))
        lengths = np.array([len(part) for part in parts], np.int64)
        cut = (np.concatenate(full) if full else lengths) - lengths
        filled = lengths > 0
        names = [usable.samples.names[i] for i in good.tolist()]
        flat = np.concatenate([np.empty(0, np.int32), *parts]).astype(np.int32)
        return Tokens(
            flat,
            np.concatenate([[0], np.cumsum(lengths[filled])]).astype(np.int64),
            self.tokenizer.pad_id,
            self.max_length,
            *usable.but(good[~filled], EMPTY_TOKENS).kept(),
            num_truncated=int((cut[filled] > 0).sum()),
            num_tokens_cut=int(cut[filled].sum()),
            unread=self.tokenizer.unread(parts, names),
        )

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the tokenizer itself is in ``files``."""
        return {"kind": self.kind, "column": self.column, "max_length": self.max_length}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(record, ("kind", "column", "max_length"), "preprocess")
        check_column(record)
        check_whole(record, "max_length", MOST_TOKENS)

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> TokenPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        tokenizer = read_tokenizer(demand_folder(folder, origin), record["max_length"], origin)
        return cls(tokenizer, record["column"])

    def files(self) -> dict[str, bytes]:
        """Return the tokenizer's files."""
        return self.tokenizer.files()


@dataclass(frozen=True)
class TermPreprocess(TextPreprocess):
    """TF-IDF weights.

    Attributes:
        vectorizer: Weighs the terms that it knows.
        column: See ``TextPreprocess``.
    """

    vectorizer: TermVectorizer
    column: str | None = None
    kind: ClassVar[str] = "terms"

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """The weights."""
        return (NamedInput("terms", "float32", (self.num_terms,)),)

    @property
    def num_terms(self) -> int:
        """Numbers a text becomes."""
        return self.vectorizer.num_terms

    def weights(self, texts: Sequence[str]) -> Any:
        """Return SciPy CSR, float32, shape (N, D), of texts that can be used."""
        return self.vectorizer.transform(texts)

    def _encode(self, usable: UsableTexts, task: str) -> Terms:
        del task
        texts = [usable.samples.texts[i] for i in usable.places.tolist()]
        return Terms(self.weights(texts), *usable.kept())

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the terms themselves are in ``files``."""
        num_terms = self.vectorizer.num_terms
        return {"kind": self.kind, "column": self.column, "num_terms": num_terms}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(record, ("kind", "column", "num_terms"), "preprocess")
        check_column(record)
        check_whole(record, "num_terms", 10_000_000)

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> TermPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        vectorizer = read_vectorizer(demand_folder(folder, origin), record["num_terms"], origin)
        return cls(vectorizer, record["column"])

    def files(self) -> dict[str, bytes]:
        """Return the vectorizer's file."""
        return self.vectorizer.files()


def _usable(samples: TextSamples, targets: Rows, ids: np.ndarray) -> UsableTexts:
    return UsableTexts(samples, targets, ids, text_faults(samples.texts))


def check_whole(record: Mapping[str, Any], name: str, most: int) -> None:
    """Refuse a record in which a name is no whole number from 1 to ``most``."""
    number = record[name]
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= most:
        raise damaged("preprocess", dict(record), f"{name} from 1 to {most:,}")


def demand_folder(folder: Path | None, origin: str) -> Path:
    """Return a folder, or refuse that there is none."""
    if folder is None:
        raise StartError(
            f"The text encoder '{origin}' cannot be rebuilt from its architecture alone. Expected "
            f"the folder that holds its tokenizer or terms. Give it: folder=…"
        )
    return folder
