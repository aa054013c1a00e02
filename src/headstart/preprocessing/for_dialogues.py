"""Conversations and texts as a decoder reads them, and which of their tokens it is to tell.

Of a conversation the answers are told, each with the token that ends it; of a text that stands
alone everything. A batch is rows that several samples share: each sees itself alone, and its
positions begin anew, so that the loss is that of samples read one by one. A text longer than a row
is read in windows that share a token, so that each token is told once; a conversation is never cut
into windows: a prompt that leaves no room for its answer is no sample, and an answer that is too
long is cut at its end, which is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart import events
from headstart.preprocessing.base import NamedInput
from headstart.preprocessing.chat_templates import PLAIN, pieces
from headstart.preprocessing.for_sequences import asked_batch
from headstart.preprocessing.for_texts import (
    MOST_TOKENS,
    TEXTS_AT_ONCE,
    TokenPreprocess,
    UsableTexts,
    check_whole,
    demand_folder,
)
from headstart.preprocessing.inputs import Tokens
from headstart.preprocessing.json_records import check_column, damaged, read_record
from headstart.preprocessing.packing import cut_documents, pack
from headstart.preprocessing.tokens import read_tokenizer
from headstart.types import USER, Conversation, Dataset, Inputs, SplitName
from headstart.types.ragged import Ragged
from headstart.types.texts import Telling

UNTOLD = -1
_ALONE = -1  # the segment of what fills a row up
_MOST_TIMES, _ROW_TOKENS = 4, 1024  # rows are a few times as long as the longest, up to this


@dataclass(frozen=True)
class DialogueTokens(Tokens):
    """Token ids of conversations and texts, whole, and which of them are to be told.

    Attributes:
        is_told: bool, as long as ``flat``: whether a token is to be told from those before it.
        num_bytes: int64, shape (N,), bytes in UTF-8 of what is told of each.
        prompts: Ids of what stands before the answer of each, which is written from them.
        are_asked: Whether something is to be written of each; of texts that stand alone, where
            they are learned, nothing is.
    """

    is_told: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    num_bytes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    prompts: Sequence[np.ndarray] = ()
    are_asked: bool = True

    @property
    def batch_order(self) -> None:
        """None: samples of any lengths share rows."""
        return

    @cached_property
    def told(self) -> Ragged | None:
        """The ids that are told of each sample, N rows of int64; None where nothing is."""
        sums = np.concatenate([[0], np.cumsum(self.is_told)])
        if not sums[-1]:
            return None
        return Ragged(self.flat[self.is_told].astype(np.int64), sums[self.offsets])

    def asked(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids and mask of what answers are written to, int64 (B, T), padded before them."""
        prompts = [self.prompts[place] for place in places.tolist()]
        ids = np.full((len(prompts), max(map(len, prompts))), self.pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, ids.shape[1] - len(prompt) :] = prompt
            mask[row, ids.shape[1] - len(prompt) :] = 1
        return ids, mask

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return some samples in rows that they share, and what is to be told of each.

        Args:
            places: int64, shape (B,), the samples.

        Returns:
            Ids, positions and segments, int64 (R, T): tokens of one segment see those before them,
            and positions begin with it; and of each sample, filled up with -1, where the tokens
            that tell something stand in these, flattened, and what they tell, int64 (B, W) each.
        """
        steps = self.lengths[places] - 1
        windows = cut_documents(np.arange(len(places)), steps, self.max_length)
        order, bounds, most = _packed(windows.lengths)
        shape = (len(bounds) - 1, most)
        ids = np.full(shape, self.pad_id, np.int64)
        positions = np.zeros(shape, np.int64)
        segments = np.full(shape, _ALONE, np.int64)
        begins = np.zeros(len(windows), np.int64)  # of each window in the rows, flattened
        for row in range(shape[0]):
            at = 0
            for number, window in enumerate(order[bounds[row] : bounds[row + 1]].tolist()):
                first, last = int(windows.begins[window]), int(windows.ends[window])
                start = int(self.offsets[places[windows.documents[window]]])
                some = slice(at, at + last - first)
                ids[row, some] = self.flat[start + first : start + last]
                positions[row, some] = np.arange(last - first)
                segments[row, some] = number
                begins[window] = row * most + at
                at = some.stop
        # where each step of each sample stands: windows lie in the order of the samples
        shifts = np.repeat(begins - windows.begins, windows.lengths)
        firsts = np.concatenate([[0], np.cumsum(steps)])
        inner = np.arange(int(firsts[-1])) - np.repeat(firsts[:-1], steps)
        where, told = [], []
        for place, first, last in zip(places.tolist(), firsts[:-1], firsts[1:], strict=True):
            start = int(self.offsets[place]) + 1
            wanted = np.flatnonzero(self.is_told[start : start + last - first])
            where.append((shifts + inner)[first:last][wanted])
            told.append(self.flat[start + wanted].astype(np.int64))
        return ids, positions, segments, _filled(where), _filled(told)


def _packed(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return which windows share a row, as ``pack``, and how long rows are.

    As long as the longest, or a few times that where it leaves less room empty.
    """
    longest = int(lengths.max())
    best: tuple[int, np.ndarray, np.ndarray, int] | None = None
    for times in range(1, max(1, min(_MOST_TIMES, _ROW_TOKENS // longest)) + 1):
        order, bounds = pack(lengths, times * longest)
        most = int(np.add.reduceat(lengths[order], bounds[:-1]).max())
        cells = most * (len(bounds) - 1)
        if best is None or cells < best[0]:
            best = (cells, order, bounds, most)
    assert best is not None
    return best[1:]


def _filled(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return rows at the length of the longest, int64, filled up with -1."""
    longest = max(map(len, rows))
    found = np.full((len(rows), longest), UNTOLD, np.int64)
    for row, each in enumerate(rows):
        found[row, : len(each)] = each
    return found


@dataclass(frozen=True)
class _Encoded:
    """One sample: its ids, which are told, the ids before its answer, and the bytes told."""

    ids: np.ndarray
    is_told: np.ndarray
    prompt: np.ndarray
    num_bytes: int


@dataclass(frozen=True)
class DialoguePreprocess(TokenPreprocess):
    """Token ids in rows that samples share, and which of them are told.

    Attributes:
        of_turns: Whether samples are conversations; otherwise texts that stand alone.
        answer_tokens: Tokens of an answer at the most, when one is written.
        is_whole: Whether the answers before the last of a conversation are told, too.
    """

    of_turns: bool = True
    answer_tokens: int = 128
    is_whole: bool = False
    kind: ClassVar[str] = "dialogues"
    writes: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Ids, positions, segments, and what is told where."""
        size, longest = self.tokenizer.vocab_size, self.max_length
        of_rows = (("input_ids", (size,)), ("position_ids", (longest,)), ("segments", ()))
        rows = [NamedInput(name, "int64", ("length",), below, longest) for name, below in of_rows]
        told = [NamedInput(name, "int64", ("told",)) for name in ("where", "told")]
        return *rows, *told

    @property
    def exported_inputs(self) -> tuple[NamedInput, ...]:
        """Ids of what is written to, padded before it, and where they stand."""
        return tuple(replace(one, fills_before=True) for one in super().inputs)

    def batch(self, inputs: Inputs, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return what answers are written to, by name."""
        return asked_batch(self.exported_inputs, inputs, places)

    def listed(self, values: Any) -> list[Any]:
        """Return texts, each a user's turn where conversations are answered."""
        found = super().listed(values)
        return [self._as_asked(text) for text in found] if self.of_turns else found

    def _as_asked(self, text: Any) -> Any:
        is_bare = isinstance(text, str) and not isinstance(text, Conversation)
        return Conversation.of([(USER, text)]) if is_bare and text.strip() else text

    @property
    def template(self) -> str:
        """How conversations are written."""
        return self.tokenizer.chat_template or PLAIN

    @property
    def telling(self) -> Telling:
        """How answers are written: the likeliest token each time."""
        return Telling(max_tokens=self.answer_tokens)

    def text_of(self, ids: np.ndarray) -> str:
        """Return the text of what was written, up to the token that ends it."""
        ends = np.flatnonzero(ids == self.tokenizer.end_id)
        body = ids[: int(ends[0])] if len(ends) else ids
        special = np.array(self.tokenizer.special_ids, np.int64)
        return self.tokenizer.decode(body[~np.isin(body, special)].tolist())

    def lengths_of(self, texts: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """Return how many tokens some samples have before their answers, and in all, (N, 2)."""
        found = [self._encoded(t, a, is_whole=True) for t, a in zip(texts, answers, strict=True)]
        return np.array([(len(one.prompt), len(one.ids)) for one in found], np.int64).reshape(-1, 2)

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> Inputs:
        """Return samples of a split; of those that are judged by, the last answer is told alone."""
        whole = replace(self, is_whole=split_name == "train")
        return super(DialoguePreprocess, whole)._prepare(dataset, split_name, indices)

    def _encode(self, usable: UsableTexts, task: str) -> Tokens:
        is_asked = len(usable.targets) > 0
        faults: dict[int, str] = {}
        found: list[_Encoded] = []
        cut: list[int] = []  # tokens that answers lost
        good = usable.places.tolist()
        for number, place in enumerate(good, 1):
            text = usable.samples.texts[place]
            answer = str(usable.targets[place]) if is_asked else None
            one = self._encoded(text, answer, is_whole=self.is_whole)
            if number % TEXTS_AT_ONCE == 0 or number == len(good):
                events.emit("task", name=task, done=number, total=len(good))
            is_cut = isinstance(text, Conversation) or not is_asked
            if is_cut and len(one.prompt) >= self.max_length:
                faults[place] = (
                    f"its prompt has {len(one.prompt):,} tokens, and {self.max_length:,} are read "
                    "at once, with the answer"
                )
                continue
            if is_cut and len(one.ids) > self.max_length + 1:
                cut.append(len(one.ids) - self.max_length - 1)
                one = self._cut(one)
            found.append(one)
        for place, reason in faults.items():
            usable = usable.but(np.array([place]), reason)
        ids = [one.ids for one in found]
        return DialogueTokens(
            np.concatenate([np.empty(0, np.int32), *ids]).astype(np.int32),
            np.cumsum([0, *map(len, ids)]).astype(np.int64),
            self.tokenizer.pad_id,
            self.max_length,
            *usable.kept(),
            num_truncated=len(cut),
            num_tokens_cut=sum(cut),
            unread=self.tokenizer.unread(ids, [usable.samples.names[i] for i in usable.places]),
            is_told=np.concatenate([np.zeros(0, bool), *(one.is_told for one in found)]),
            num_bytes=np.array([one.num_bytes for one in found], np.int64),
            prompts=[one.prompt for one in found],
            are_asked=self.of_turns or not is_asked,
        )

    def _cut(self, one: _Encoded) -> _Encoded:
        """Return a conversation without what its row has no room for."""
        some = slice(0, self.max_length + 1)
        ids, is_told = one.ids[some], one.is_told[some]
        num_bytes = len(self.tokenizer.decode(ids[is_told].tolist()).encode(errors="replace"))
        return _Encoded(ids, is_told, one.prompt, num_bytes)

    def _encoded(self, text: str, answer: str | None, *, is_whole: bool) -> _Encoded:
        """Return a sample as ids.

        Args:
            text: A conversation, or a text that stands alone.
            answer: What is answered; of a text alone that text, where it is to be told. None opens
                an answer, or a text that goes on, and tells nothing.
            is_whole: Whether answers before the last are told, too.
        """
        if not isinstance(text, Conversation):
            return self._alone(text, is_told=answer is not None)
        special = self.tokenizer.special_tokens
        parts = pieces(self.template, text.turns, answer, special, self.tokenizer.origin)
        bodies = self.tokenizer.encode_plain([piece for piece, _ in parts])
        last = len(parts) - 1
        are_told = [
            answer is not None and is_answer and (is_whole or number == last)
            for number, (_, is_answer) in enumerate(parts)
        ]
        marks = [
            _told_to_end(body, self.end_id) if is_told else np.zeros(len(body), bool)
            for body, is_told in zip(bodies, are_told, strict=True)
        ]
        mark = special["eos_token"]
        said = [piece.rpartition(mark)[0] or piece for piece, _ in parts]
        told = [text for text, is_told in zip(said, are_told, strict=True) if is_told]
        before = bodies if answer is None else bodies[:-1]
        whole = (np.concatenate(bodies), np.concatenate(marks), np.concatenate(before))
        return _Encoded(*whole, sum(len(each.encode(errors="replace")) for each in told))

    def _alone(self, text: str, *, is_told: bool) -> _Encoded:
        """Return a text that stands alone, between two tokens that end one."""
        body, end = self.tokenizer.encode_plain([text])[0], [self.end_id]
        if not is_told:
            prompt = np.concatenate([end, body])
            return _Encoded(prompt, np.zeros(len(prompt), bool), prompt, 0)
        ids = np.concatenate([end, body, end])
        marks = np.ones(len(ids), bool)
        marks[0] = False
        return _Encoded(ids, marks, np.array(end), len(text.encode(errors="replace")))

    @property
    def end_id(self) -> int:
        """The token that ends a text, and an answer."""
        found = self.tokenizer.end_id
        assert found is not None, "a decoder's tokenizer is checked when it is built"
        return found

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; the tokenizer itself is in ``files``."""
        more = {"of_turns": self.of_turns, "answer_tokens": self.answer_tokens}
        return {**super().to_json(), **more}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        names = ("kind", "column", "max_length", "of_turns", "answer_tokens")
        read_record(record, names, "preprocess")
        check_column(record)
        for name in ("max_length", "answer_tokens"):
            check_whole(record, name, MOST_TOKENS)
        if not isinstance(record["of_turns"], bool):
            raise damaged("preprocess", dict(record), "of_turns as true or false")

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> DialoguePreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        tokenizer = read_tokenizer(demand_folder(folder, origin), record["max_length"], origin)
        return cls(tokenizer, record["column"], record["of_turns"], record["answer_tokens"])


def _told_to_end(body: np.ndarray, end: int) -> np.ndarray:
    """Return which tokens of an answer are told: up to the one that ends it; all without one."""
    ends = np.flatnonzero(body == end)
    found = np.ones(len(body), bool)
    if len(ends):
        found[int(ends[-1]) + 1 :] = False
    return found
