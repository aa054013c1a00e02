"""A bundle that writes, opened: texts token after token, by the search that ``predict`` uses too.

A decoder is one network that is given what it has read so far, of which there may be nothing. An
encoder–decoder is two: one reads a text and tells the first token, one tells each that follows.
Keys and values are arrays in between, so that rows can be taken out, doubled and put in another
order between two tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.bundles.answering import demand_whole, preprocess_of
from headstart.bundles.manifest import check_files
from headstart.bundles.records import BundleRecord, read_bundle_record
from headstart.bundles.session import MODEL, OUTPUT, check_bounds, open_session
from headstart.decoding import Search, Steps, WritingRules, are_others, begin_search, written_by
from headstart.errors import ExportError
from headstart.preprocessing import NamedInput
from headstart.tasks import Task, find_task
from headstart.types import Inputs, Prediction, Schema
from headstart.types.texts import Telling, told_rows

if TYPE_CHECKING:
    from headstart.preprocessing import DialoguePreprocess, SequencePreprocess

STEP = "step.onnx"
IDS, MASK, PAST_MASK, TOKEN = "input_ids", "attention_mask", "past_mask", "token_ids"
OWN, READ = "past", "text"  # keys and values of what was written, and of what is written of
Arrays = Mapping[str, np.ndarray]


def value_names(kind: str, num: int) -> list[str]:
    """Return what the keys and values of blocks are called.

    Args:
        kind: ``OWN`` or ``READ``.
        num: Blocks.
    """
    return [f"{kind}.{block}.{side}" for block in range(num) for side in ("keys", "values")]


class OnnxWriter:
    """A network that writes, in ONNX Runtime.

    Args:
        folder: Holds its files.
        inputs: Ids and mask, by its preprocessing.
        is_pair: Whether it is an encoder–decoder, in two files.
        num_threads: Of ONNX Runtime.

    Raises:
        PackageMissing: If ONNX Runtime is not installed.
        ExportError: If it does not take the files as such a network.
    """

    def __init__(
        self, folder: Path, inputs: Sequence[NamedInput], *, is_pair: bool, num_threads: int
    ) -> None:
        self.inputs = list(inputs)
        self._first = open_session(folder / MODEL, num_threads)
        self._next = open_session(folder / STEP, num_threads) if is_pair else self._first
        self._is_pair = is_pair
        known = {one.name: one.shape for one in self._next.get_inputs()}
        self._own = {n: shape for n, shape in known.items() if n.startswith(f"{OWN}.")}
        self._read = [name for name in known if name.startswith(f"{READ}.")]
        taken = [one.name for one in self._first.get_inputs()]
        wanted = [IDS, MASK] if is_pair else [IDS, MASK, PAST_MASK, *self._own]
        told = self._first.get_outputs()
        num = len(self._own) + len(self._read)
        is_ours = told[0].name == OUTPUT and len(told) == 1 + num and len(self._own) > 0
        if taken != wanted or not is_ours or not isinstance(told[0].shape[0], str):
            raise ExportError(
                f"{folder / MODEL} takes {taken[:4]} and gives {told[0].name} of "
                f"{told[0].shape} with {len(told) - 1} values; expected {wanted[:4]} and "
                f"'{OUTPUT}' with {num}, of a batch of any size. Export the run again."
            )

    def steps(self, arrays: Arrays) -> Steps:
        """Return the network with what is to be written to, which it has not read yet.

        Args:
            arrays: Ids and mask by name, B rows each.

        Raises:
            DataError: If an id or a length is beyond what the network knows.
        """
        for one in self.inputs:
            check_bounds(one, arrays[one.name])
        ids, mask = arrays[IDS], arrays[MASK]
        return _PairSteps(self, ids, mask) if self._is_pair else _DecoderSteps(self, ids, mask)

    def nothing(self, num: int) -> list[np.ndarray]:
        """Return keys and values of nothing that was read, of some rows."""
        shapes = [(num, shape[1], 0, shape[3]) for shape in self._own.values()]
        return [np.zeros(shape, np.float32) for shape in shapes]

    def first(self, given: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Run the network that reads: logits (B, V), and keys and values."""
        return self._run(self._first, given)

    def next(self, given: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Run the network that goes on by a token; otherwise as ``first``."""
        return self._run(self._next, given)

    @staticmethod
    def _run(session: Any, given: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        names = [one.name for one in session.get_inputs()]
        logits, *values = session.run(None, dict(zip(names, given, strict=True)))
        if not np.isfinite(logits).all():
            raise ExportError(
                "The network gives logits that are no finite numbers; expected numbers. Export a "
                "run whose training has not diverged."
            )
        return logits, values

    @property
    def num_own(self) -> int:
        """How many arrays of keys and values of what was written there are."""
        return len(self._own)


class _DecoderSteps:
    """A decoder as ``decoding.Steps``.

    Args:
        writer: The network.
        ids: int64, shape (B, T), padded before the first token.
        mask: int64, shape (B, T).
    """

    def __init__(self, writer: OnnxWriter, ids: np.ndarray, mask: np.ndarray) -> None:
        self._writer, self._ids, self._mask = writer, ids, mask
        self._past: list[np.ndarray] = []

    def begin(self) -> np.ndarray:
        """Read what is written to."""
        nothing = self._writer.nothing(len(self._ids))
        given = [self._ids, self._mask, self._mask[:, :0], *nothing]
        logits, self._past = self._writer.first(given)
        return logits

    def advance(self, tokens: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """Go on by a token."""
        if are_others(origins, len(self._mask)):
            self._past = [one[origins] for one in self._past]
            self._mask = self._mask[origins]
        new = np.ones((len(tokens), 1), np.int64)
        given = [tokens[:, None], new, self._mask, *self._past]
        logits, self._past = self._writer.next(given)
        self._mask = np.concatenate([self._mask, new], axis=1)
        return logits


class _PairSteps:
    """An encoder–decoder as ``decoding.Steps``.

    Args:
        writer: Its networks.
        ids: int64, shape (B, T), the texts, padded at the end.
        mask: int64, shape (B, T).
    """

    def __init__(self, writer: OnnxWriter, ids: np.ndarray, mask: np.ndarray) -> None:
        self._writer, self._ids, self._mask = writer, ids, mask
        self._own: list[np.ndarray] = []
        self._read: list[np.ndarray] = []
        self._owners = np.arange(len(ids))  # the text of each row

    def begin(self) -> np.ndarray:
        """Read the texts."""
        logits, values = self._writer.first([self._ids, self._mask])
        num = self._writer.num_own
        self._own, self._read = values[:num], values[num:]
        return logits

    def advance(self, tokens: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """Go on by a token."""
        if are_others(origins, len(self._owners)):
            self._own = [one[origins] for one in self._own]
        owners = self._owners[origins]
        if not np.array_equal(owners, self._owners):  # beams of one text read the same
            self._read = [one[origins] for one in self._read]
            self._mask = self._mask[origins]
        self._owners = owners
        given = [tokens[:, None], self._mask, *self._own, *self._read]
        logits, self._own = self._writer.next(given)
        return logits


@dataclass(frozen=True)
class WritingBundle:
    """A bundle that writes.

    Attributes:
        path: Its folder.
        record: ``bundle.json``.
        preprocess: How it reads samples.
        writer: Its network.
        version: The first 12 digits of the SHA-256 of its manifest.
    """

    path: Path
    record: BundleRecord
    preprocess: SequencePreprocess | DialoguePreprocess
    writer: OnnxWriter
    version: str

    @property
    def schema(self) -> Schema:
        """What is written of what."""
        return self.record.schema

    @cached_property
    def task(self) -> Task:
        """The same, as the task itself."""
        return find_task(self.schema.task)

    @property
    def rules(self) -> WritingRules:
        """What may be written."""
        assert self.record.writing is not None
        return self.record.writing

    @property
    def telling(self) -> Telling:
        """How it writes where nobody says otherwise."""
        return self.preprocess.telling

    def read(self, samples: Any, names: Sequence[str] | None = None) -> Inputs:
        """Return what a user gives as the model takes it.

        Raises:
            DataError: As ``Preprocess.read`` does, or if a sample cannot be used.
        """
        inputs = self.preprocess.read(samples, names)
        demand_whole(inputs, self.schema)
        return inputs

    def search(self, arrays: Arrays, how: Telling | None = None) -> Search:
        """Return texts to be written, none begun.

        Args:
            arrays: Ids and mask by name, as the preprocessing's ``batch`` gives them.
            how: Beams, length, draws; as it is served when not given.

        Raises:
            DataError: If an id or a length is beyond what the network knows.
        """
        steps = self.writer.steps(arrays)
        asked = zip(arrays[IDS], arrays[MASK] > 0, strict=True)
        prompts = [ids[has] for ids, has in asked]
        return begin_search(steps, self.rules, how or self.telling, prompts)

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text that ids stand for."""
        return self.preprocess.text_of(np.array(ids, np.int64))

    def predictions(self, names: Sequence[str], texts: Sequence[str]) -> list[Prediction]:
        """Return what a person reads of texts that were written, one record a sample."""
        return self.task.predictions(names, told_rows(list(texts)), self.schema)

    def predict(
        self, samples: Any, names: Sequence[str] | None = None, how: Telling | None = None
    ) -> list[Prediction]:
        """Write of new samples, all in one batch.

        Args:
            samples: As ``read`` takes them.
            names: The same.
            how: As for ``search``.

        Raises:
            DataError: As ``read`` does.
        """
        inputs = self.read(samples, names)
        arrays = self.preprocess.batch(inputs, np.arange(len(inputs)))
        texts = [self.text_of(ids) for ids in written_by(self.search(arrays, how))]
        return self.predictions(inputs.names, texts)


def open_writer(folder: Path, *, num_threads: int = 1, is_whole: bool = True) -> WritingBundle:
    """Open a bundle that writes.

    Args:
        folder: What ``headstart export RUN --to onnx`` wrote.
        num_threads: Of ONNX Runtime.
        is_whole: Whether it has its manifest, which is then checked; not while it is written.

    Raises:
        ExportError: If a file is missing, damaged, or not what was exported.
    """
    version = check_files(folder)[:12] if is_whole else ""
    record = read_bundle_record(folder)
    member = record.members[0]
    preprocess = preprocess_of(member, folder)
    assert record.writing is not None
    # imported where one is opened: a server of other bundles does without
    from headstart.preprocessing import DialoguePreprocess, SequencePreprocess

    # records.py has checked its kind
    assert isinstance(preprocess, SequencePreprocess | DialoguePreprocess)
    is_pair = isinstance(preprocess, SequencePreprocess)
    inputs = preprocess.exported_inputs
    writer = OnnxWriter(folder, inputs, is_pair=is_pair, num_threads=num_threads)
    return WritingBundle(folder, record, preprocess, writer, version)
