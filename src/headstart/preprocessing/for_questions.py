"""Questions with the context that is to answer them, as token ids in windows.

A question stands before each window of its context: ``[CLS] question [SEP] context [SEP]`` of BERT,
by the tokenizer's own template for two texts. Nothing of a context is left out: what is longer than
an encoder takes is read in windows that overlap by half, so that every answer of up to half a
window stands whole in one of them. A question that would leave less than half to its context is
cut, which is said. The first token of all stands for "no answer".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from headstart import events
from headstart.errors import StartError
from headstart.preprocessing.for_pairs import PairPreprocess
from headstart.preprocessing.for_texts import EMPTY_TOKENS, TEXTS_AT_ONCE, UsableTexts
from headstart.preprocessing.inputs import Tokens
from headstart.preprocessing.pair_frame import PairFrame
from headstart.types import Finding, Inputs, Rows, TextPair
from headstart.types.questions import NOWHERE, GoldAnswers, tokens_of_span
from headstart.types.ragged import Gathered, Ragged

NO_CONTEXT = "the tokenizer leaves nothing of its context"
_PLACES = ("token_starts", "token_ends", "first_tokens", "num_tokens", "num_windows")


@dataclass(frozen=True)
class QuestionTokens(Tokens):
    """Token ids of questions, and of the contexts that are to answer them.

    ``flat`` and ``offsets`` hold the questions; contexts that several share are kept once.

    Attributes:
        contexts: int32, C rows: ids of the contexts, whole.
        starts: int64, C rows: first character of each token.
        ends: int64, C rows: the character after its last.
        which: int64, shape (N,), the context of each question.
        texts: N pairs, as they were given.
        frame: Special tokens around both; None of nothing.
        has_types: Whether the network is told which tokens are of the context.
        are_cut: bool, shape (N,), which questions were cut.
    """

    contexts: Ragged = field(default_factory=lambda: Ragged.of([]))
    starts: Ragged = field(default_factory=lambda: Ragged.of([]))
    ends: Ragged = field(default_factory=lambda: Ragged.of([]))
    which: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    texts: Sequence[TextPair] = ()
    frame: PairFrame | None = None
    has_types: bool = False
    are_cut: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    @cached_property
    def _rooms(self) -> np.ndarray:
        """Tokens of the context in a window of each question, int64, shape (N,)."""
        num_special = 0 if self.frame is None else self.frame.num_special
        found: np.ndarray = self.max_length - num_special - np.diff(self.offsets)
        return found

    @cached_property
    def windows(self) -> Ragged:
        """First token of the context in each window of each question, int64, N rows."""
        sizes = self.contexts.lengths[self.which]
        return Ragged.of(
            _window_starts(size, room)
            for size, room in zip(sizes.tolist(), self._rooms.tolist(), strict=True)
        )

    @cached_property
    def _sizes(self) -> np.ndarray:
        """Tokens of the context in each window of each question."""
        found: np.ndarray = np.minimum(self.contexts.lengths[self.which], self._rooms)
        return found

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of all windows of each question, int64, shape (N,)."""
        num_special = 0 if self.frame is None else self.frame.num_special
        each = np.diff(self.offsets) + num_special + self._sizes
        found: np.ndarray = each * self.windows.lengths
        return found

    @property
    def window_length(self) -> int:
        """Tokens that are read at once."""
        return self.max_length

    @property
    def row_lengths(self) -> np.ndarray:
        """Tokens that are told of, and one for "no answer", in all windows of each question."""
        found: np.ndarray = (self._sizes + 1) * self.windows.lengths
        return found

    @cached_property
    def told(self) -> Ragged | None:
        """What is learned of each question, int64, N rows; None for predicting.

        Four numbers a window: the first and the last token of the answer, both that of "no answer"
        where the window does not hold all of it; and where the tokens of the context begin and end.
        """
        if not len(self.targets):
            return None
        assert self.frame is not None
        rows = []
        for place, wanted in enumerate(np.asarray(self.targets).tolist()):
            assert isinstance(wanted, GoldAnswers)
            begin = self._begin(place)
            size = int(self._sizes[place])
            starts, ends = (each[int(self.which[place])] for each in (self.starts, self.ends))
            span, row = wanted.span, []
            for start in self.windows[place].tolist():
                some = slice(start, start + size)
                held = None if span is None else tokens_of_span(starts[some], ends[some], *span)
                first, last = (0, 0) if held is None else (begin + held[0], begin + held[1])
                row += [first, last, begin, begin + size]
            rows.append(np.array(row, np.int64))
        return Ragged.of(rows)

    @property
    def findings(self) -> list[Finding]:
        """Say what is read in windows, what was cut, and what the tokenizer does not know."""
        num = int((self.windows.lengths > 1).sum())
        said = []
        if num:
            sentence = (
                f"{num:,} of {len(self):,} contexts are longer than {self.max_length:,} tokens "
                "leave room for beside the question, and are read in windows that overlap; all of "
                "them is looked at."
            )
            said.append(Finding("truncated", "note", (), sentence))
        if num_cut := int(self.are_cut.sum()):
            sentence = (
                f"{num_cut:,} of {len(self):,} questions are longer than half of "
                f"the {self.max_length:,} tokens that are read at once, and their ends were cut. "
                "--max-length sets that number."
            )
            said.append(Finding("truncated", "warning", (), sentence))
        return [*said, *self.unread.findings()]

    def _begin(self, place: int) -> int:
        """Return where the tokens of the context begin in the windows of a question."""
        assert self.frame is not None
        num = int(self.offsets[place + 1] - self.offsets[place])
        return len(self.frame.before) + num + len(self.frame.between)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return windows of some questions, one question after the other.

        Args:
            places: int64, shape (B,), positions of the wanted questions.

        Returns:
            Ids, mask and, where the network takes them, types: int64 (M, T) each, M windows,
            padded to the longest of them.
        """
        frame = self.frame
        assert frame is not None
        lot, seams = [], []
        for place in places.tolist():
            question = self.flat[self.offsets[place] : self.offsets[place + 1]]
            context, size = self.contexts[int(self.which[place])], int(self._sizes[place])
            for start in self.windows[place].tolist():
                lot.append(
                    np.concatenate(
                        (
                            frame.before,
                            question,
                            frame.between,
                            context[start : start + size],
                            frame.behind,
                        )
                    ).astype(np.int64)
                )
                seams.append(self._begin(place))
        ids = Ragged.of(lot)
        steps = np.arange(int(ids.lengths.max(initial=0)))
        mask = (steps[None, :] < ids.lengths[:, None]).astype(np.int64)
        wide = ids.padded(self.pad_id).astype(np.int64)
        if not self.has_types:
            return wide, mask
        return wide, mask, (steps[None, :] >= np.array(seams)[:, None]) * mask

    def where(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return where the tokens of contexts stand in the windows of some questions.

        Args:
            places: int64, shape (B,).

        Returns:
            int64 each: first character of each token of each window, and the character after its
            last, (M, T), T of the widest context; where these tokens begin in their window, and how
            many they are, (M,); and windows of each question, (B,).
        """
        starts, ends, begins, sizes = [], [], [], []
        for place in places.tolist():
            which, size = int(self.which[place]), int(self._sizes[place])
            for start in self.windows[place].tolist():
                starts.append(self.starts[which][start : start + size])
                ends.append(self.ends[which][start : start + size])
                begins.append(self._begin(place))
                sizes.append(size)
        counts = self.windows.lengths[places]
        padded = (Ragged.of(each).padded(NOWHERE).astype(np.int64) for each in (starts, ends))
        return *padded, np.array(begins), np.array(sizes), counts

    @property
    def gathered(self) -> Gathered:
        """Makes rows of what is told of the tokens of contexts, with their places."""
        return lambda places, outputs: gathered(self.where(places), outputs)


def gathered(where: Sequence[np.ndarray], outputs: np.ndarray) -> Ragged:
    """Return what is told of the tokens of contexts, float32, rows of (T, K + 2).

    Args:
        where: As ``QuestionTokens.where`` gives it, M windows of B questions.
        outputs: Of each token, shape (M, T, K).
    """
    starts, ends, begins, sizes, counts = where
    parts = []
    for row, (begin, size) in enumerate(zip(begins.tolist(), sizes.tolist(), strict=True)):
        told = np.concatenate((outputs[row, :1], outputs[row, begin : begin + size]))
        places = np.full((size + 1, 2), NOWHERE, np.float32)
        places[1:, 0], places[1:, 1] = starts[row, :size], ends[row, :size]
        parts.append(np.concatenate((told.astype(np.float32), places), axis=1))
    width = outputs.shape[2] + 2
    flat = np.concatenate([np.zeros((0, width), np.float32), *parts])
    window_ends = np.concatenate(([0], np.cumsum(sizes + 1)))
    offsets = window_ends[np.concatenate(([0], np.cumsum(counts)))]
    return Ragged(flat, offsets.astype(np.int64))


def _window_starts(num_tokens: int, room: int) -> np.ndarray:
    """Return where the windows of a context begin, rising, int64, shape (W,)."""
    last = max(0, num_tokens - room)
    stride = max(1, room // 2)
    return np.minimum(np.arange(-(-last // stride) + 1) * stride, last)


@dataclass(frozen=True)
class QuestionPreprocess(PairPreprocess):
    """Token ids of a question and a window of its context, a mask, and types where there are any.

    ``column`` held the questions, ``second_column`` the contexts.
    """

    kind: ClassVar[str] = "questions"

    def batch(self, inputs: Inputs, places: np.ndarray) -> dict[str, np.ndarray]:
        """Return windows as a network reads them, and where the tokens of contexts stand."""
        assert isinstance(inputs, QuestionTokens)
        where = dict(zip(_PLACES, inputs.where(places), strict=True))
        return super().batch(inputs, places) | where

    def told(self, arrays: Mapping[str, np.ndarray], outputs: np.ndarray) -> Rows:
        """Return what is told of the tokens of contexts, with their places, a row a question."""
        return gathered([arrays[name] for name in _PLACES], outputs)

    def names_of(self, listed: list[Any]) -> list[str]:
        """Return "question 1", "question 2" and so on."""
        return [f"question {i + 1}" for i in range(len(listed))]

    def _encode(self, usable: UsableTexts, task: str) -> QuestionTokens:  # type: ignore[override]
        frame = self.tokenizer.pair_frame
        if not frame.before:
            raise StartError(
                f"The tokenizer of '{self.tokenizer.origin}' puts no token before a text, which is "
                'to stand for "no answer". Expected one such as [CLS]. Choose an encoder such as '
                "BERT."
            )
        half = (self.max_length - frame.num_special) // 2
        if half < 1:
            raise StartError(
                f"max_length {self.max_length} leaves no room for a question and its context in "
                f"'{self.tokenizer.origin}', whose special tokens alone are {frame.num_special}. "
                f"Expected at least {frame.num_special + 2}. Choose a larger one."
            )
        pairs = [usable.samples.texts[i] for i in usable.places.tolist()]
        questions, lengths = self.tokenizer.bodies([pair.first for pair in pairs], half)
        known: dict[str, int] = {}
        which = np.array([known.setdefault(p.second, len(known)) for p in pairs], np.int64)
        ids, starts, ends = self._located(list(known), task)
        sizes = np.array([len(one) for one in questions], np.int64)
        silent = sizes == 0
        bare = ids.lengths[which] == 0
        kept = np.flatnonzero(~silent & ~bare)
        places = usable.places
        usable = usable.but(places[silent], EMPTY_TOKENS).but(places[bare & ~silent], NO_CONTEXT)
        asked = [np.array(questions[i], np.int32) for i in kept.tolist()]
        names = [usable.samples.names[i] for i in usable.places.tolist()]
        return QuestionTokens(
            np.concatenate([np.empty(0, np.int32), *asked]).astype(np.int32),
            np.concatenate([[0], np.cumsum(sizes[kept])]).astype(np.int64),
            self.tokenizer.pad_id,
            self.max_length,
            *usable.kept(),
            unread=self.tokenizer.unread(
                [
                    np.concatenate((question, ids[int(context)]))
                    for question, context in zip(asked, which[kept], strict=True)
                ],
                names,
            ),
            contexts=ids,
            starts=starts,
            ends=ends,
            which=which[kept],
            texts=[pairs[i] for i in kept.tolist()],
            frame=frame,
            has_types=self.has_types,
            are_cut=lengths[kept] > half,
        )

    def _located(self, contexts: Sequence[str], task: str) -> tuple[Ragged, Ragged, Ragged]:
        """Return ids of contexts, and first and last character (exclusive) of each token."""
        ids, starts, ends = [], [], []
        for number, (found, first, last) in enumerate(self.tokenizer.encode_spans(contexts), 1):
            ids.append(found)
            starts.append(first)
            ends.append(last)
            if number % TEXTS_AT_ONCE == 0 or number == len(contexts):
                events.emit("task", name=task, done=number, total=len(contexts))
        return Ragged.of(ids), Ragged.of(starts), Ragged.of(ends)
