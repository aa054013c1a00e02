"""A text or an image with columns of its row: each read by its own preprocessing, side by side.

A network takes the arrays of the text or image first, then numbers and codes of the columns. What
leaves a sample out is its text or image; a cell may be missing, as in every table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.errors import DataError, quoted
from headstart.preprocessing.base import AT_ONCE, NamedInput, Preprocess
from headstart.preprocessing.for_images import ImagePreprocess
from headstart.preprocessing.for_pairs import PairPreprocess, PairTermPreprocess
from headstart.preprocessing.for_tables import IncomingRows, TablePreprocess
from headstart.preprocessing.for_texts import TermPreprocess, TokenPreprocess
from headstart.preprocessing.inputs import Cells
from headstart.preprocessing.json_records import damaged, read_record
from headstart.preprocessing.memory import memory_table
from headstart.types import (
    BadSample,
    Dataset,
    Finding,
    Gathered,
    Inputs,
    Modality,
    Rows,
    Samples,
    Split,
    SplitName,
    TextPair,
)


@dataclass(frozen=True)
class JoinedInputs:
    """Texts or images as a network takes them, and the cells beside each.

    Attributes:
        main: Of the texts or images.
        cells: Of the same samples in the same order.
    """

    main: Inputs
    cells: Cells

    @property
    def targets(self) -> Rows:
        """As in ``Split``."""
        return self.main.targets

    @property
    def ids(self) -> np.ndarray:
        """int64, shape (N,)."""
        return self.main.ids

    @property
    def names(self) -> Sequence[str]:
        """What a person calls each sample."""
        return self.main.names

    @property
    def bad_samples(self) -> Sequence[BadSample]:
        """Texts or images that cannot be used."""
        return self.main.bad_samples

    @property
    def findings(self) -> list[Finding]:
        """Of both."""
        return [*self.main.findings, *self.cells.findings]

    @property
    def lengths(self) -> np.ndarray | None:
        """Of texts, int64, shape (N,)."""
        return self.main.lengths

    @property
    def row_lengths(self) -> np.ndarray | None:
        """Of texts that are told word by word; there are none."""
        return self.main.row_lengths

    @property
    def batch_order(self) -> np.ndarray | None:
        """By what samples share a batch: that of the texts or images."""
        return self.main.batch_order

    @property
    def window_length(self) -> int | None:
        """None: beside columns each text is read at once."""
        return None

    @property
    def told(self) -> Rows | None:
        """None: the task says what is learned of a target."""
        return self.main.told

    @property
    def gathered(self) -> Gathered | None:
        """How windows of a text become a row; there are none."""
        return self.main.gathered

    def __len__(self) -> int:
        return len(self.main)

    def arrays(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return one batch: what the text or image becomes, numbers (B, F), codes (B, G).

        Args:
            places: int64, shape (B,).
        """
        return (*self.main.arrays(places), *self.cells.arrays(places))


@dataclass(frozen=True)
class JoinedGiven:
    """Samples that a user gives, each a row.

    Attributes:
        mains: The texts or images.
        table: A pyarrow Table of the columns beside them, in the form of their kinds.
        unknown: Columns that the model does not know.
    """

    mains: Any
    table: Any
    unknown: Sequence[str] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, part: slice) -> JoinedGiven:
        first, end, _ = part.indices(len(self))
        return JoinedGiven(self.mains[part], self.table.slice(first, end - first))


@dataclass(frozen=True)
class JoinedPreprocess(Preprocess):
    """How a text or an image is read together with columns of its row.

    Attributes:
        reads: What reads the text or image.
        table: What reads the columns.
    """

    reads: Preprocess
    table: TablePreprocess
    mains: ClassVar[Mapping[str, type[Preprocess]]]

    @property
    def main(self) -> Preprocess:
        """What reads the text or image."""
        return self.reads

    @property
    def rows(self) -> TablePreprocess:
        """What reads the columns."""
        return self.table

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Those of the text or image, then numbers and codes."""
        return (*self.reads.inputs, *self.table.inputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """That of the text or image, then those beside it."""
        return (*self.reads.columns, *self.table.columns)

    @property
    def size(self) -> int | None:
        """Side of an image network's input in pixels."""
        return self.reads.size

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> JoinedInputs:
        if dataset.beside_kinds is None:
            raise DataError(
                f"{dataset.name} holds {dataset.schema.facts.nouns} alone, and the model reads the "
                f"columns {quoted(self.table.columns)} beside them. Give a table that has them, "
                "with --beside and their names."
            )
        main = self.reads.prepare(dataset, split_name, indices)
        ids = dataset.split(split_name).ids
        order = np.argsort(ids, kind="stable")
        places = order[np.searchsorted(ids, main.ids, sorter=order)]
        cells = self.table.prepare(rows_of(dataset), split_name, places)
        assert isinstance(cells, Cells)
        return JoinedInputs(main, cells)

    def listed(self, values: Any) -> JoinedGiven:
        """Return rows in any form that tables have: dicts, a DataFrame, a pyarrow Table."""
        if isinstance(values, JoinedGiven):
            return values
        rows = IncomingRows.of(values if memory_table(values) is not None else list(values))
        rows = rows.under(self.columns)
        there = set(rows.columns)
        if missing := [name for name in self.columns if name not in there]:
            raise DataError(
                f"The rows lack {quoted(missing)} (found: {quoted(rows.columns)}). The model reads "
                f"{self.modality}s together with columns of their rows: {quoted(self.columns)}. "
                f"Add what is missing; single cells beside the {self.modality} may be empty."
            )
        mains = _values(values, rows, self.reads.columns)
        unknown = [name for name in rows.columns if name not in self.columns]
        return JoinedGiven(self.reads.listed(mains), self.table.typed(rows), unknown)

    def names_of(self, listed: JoinedGiven) -> list[str]:
        """Return "row 1", "row 2" and so on."""
        return [f"row {i + 1}" for i in range(len(listed))]

    def _read(self, listed: JoinedGiven, names: list[str]) -> JoinedInputs:
        main = self.reads.read(listed.mains, names)
        cells = self.table.cells_of(listed.table.take(main.ids), main.names)
        if listed.unknown:
            sentence = (
                f"Columns that the model does not know are ignored: {quoted(listed.unknown)}."
            )
            unknown = Finding("unused", "note", (), sentence)
            cells = replace(cells, findings=(*cells.findings, unknown))
        return JoinedInputs(main, cells)

    def incoming(self, values: Any, names: Sequence[str] | None = None) -> Iterator[Inputs]:
        """Yield texts at once, as their columns are, and so many images as fit into memory."""
        listed = self.listed(values)
        called = self.names_of(listed) if names is None else list(names)
        if self.size is None or len(called) != len(listed):
            yield self.read(listed, called)
            return
        for start in range(0, len(listed), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            yield self._read(listed[part], called[part])

    def noise(self, num: int, draw: np.random.Generator) -> JoinedInputs | None:
        """Return noise of both, where the main one has some."""
        found = self.reads.noise(num, draw)
        return None if found is None else JoinedInputs(found, self.table.stand_ins(num, draw))

    def seconds_per_sample(self, samples: Samples) -> float:
        """Measure what reading the text or image takes."""
        return self.reads.seconds_per_sample(samples)

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; files are those of the text's."""
        return {"kind": self.kind, "main": self.reads.to_json(), "table": self.table.to_json()}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        read_record(record, ("kind", "main", "table"), "preprocess")
        main = record["main"]
        kind = main.get("kind") if isinstance(main, Mapping) else None
        if not isinstance(kind, str) or kind not in cls.mains:
            raise damaged("preprocess", dict(record), f"as main one of {quoted(list(cls.mains))}")
        cls.mains[kind].check_json(main)
        TablePreprocess.check_json(record["table"])

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> JoinedPreprocess:
        """Return what ``to_json`` and ``files`` wrote."""
        main = cls.mains[record["main"]["kind"]].from_json(record["main"], folder, origin)
        return cls(main, TablePreprocess.from_json(record["table"], None, origin))

    def files(self) -> dict[str, bytes]:
        """Return the files of the text's preprocessing."""
        return self.reads.files()


class TextJoinedPreprocess(JoinedPreprocess):
    """A text, or a pair of texts, with columns of its row."""

    kind: ClassVar[str] = "text_joined"
    modality: ClassVar[Modality] = "text"
    mains: ClassVar[Mapping[str, type[Preprocess]]] = {
        one.kind: one
        for one in (TokenPreprocess, TermPreprocess, PairPreprocess, PairTermPreprocess)
    }


class ImageJoinedPreprocess(JoinedPreprocess):
    """An image with columns of its row."""

    kind: ClassVar[str] = "image_joined"
    modality: ClassVar[Modality] = "image"
    mains: ClassVar[Mapping[str, type[Preprocess]]] = {ImagePreprocess.kind: ImagePreprocess}


_KINDS = (TextJoinedPreprocess, ImageJoinedPreprocess)


def joined_preprocess(main: Preprocess, table: TablePreprocess) -> JoinedPreprocess | None:
    """Return how a text or an image is read with columns; None where what reads it cannot be."""
    for kind in _KINDS:
        if main.kind in kind.mains:
            return kind(main, table)
    return None


def rows_of(dataset: Dataset) -> Dataset:
    """Return the rows that texts or images stand in as a table, with the same targets.

    Args:
        dataset: Whose columns are learned from, too.
    """

    def rows(split: Split) -> Split:
        assert split.beside is not None
        return replace(split, samples=split.beside, beside=None)

    return replace(
        dataset,
        schema=replace(dataset.schema, modality="table", sides=(), beside=()),
        train=rows(dataset.train),
        val=rows(dataset.val),
        test=rows(dataset.test),
        column_kinds=dataset.beside_kinds,
        beside_kinds=None,
        pool=None,
    )


def without_rows(dataset: Dataset) -> Dataset:
    """Return the same texts or images standing alone; data that has no columns beside as it is."""
    if dataset.beside_kinds is None:
        return dataset
    train, val, test = (
        replace(split, beside=None) for split in (dataset.train, dataset.val, dataset.test)
    )
    return replace(
        dataset,
        schema=replace(dataset.schema, beside=()),
        train=train,
        val=val,
        test=test,
        beside_kinds=None,
        pool=None if dataset.pool is None else without_rows(dataset.pool),
    )


def given_of(dataset: Dataset, split_name: SplitName, places: Sequence[int]) -> list[Any]:
    """Return samples of a split as ``Preprocess.read`` takes them: with their rows, where needed.

    Args:
        dataset: The data.
        split_name: Which split.
        places: Positions in it.
    """
    split, schema = dataset.split(split_name), dataset.schema
    read = [split.samples.read(place) for place in places]
    if split.beside is None:
        return read
    names = schema.sides or (str(dataset.input_column),)
    each = [(one.first, one.second) if isinstance(one, TextPair) else (one,) for one in read]
    rows = [split.beside.read(place) for place in places]
    return [
        {**row, **dict(zip(names, sides, strict=True))}
        for row, sides in zip(rows, each, strict=True)
    ]


def _values(values: Any, rows: IncomingRows, columns: Sequence[str]) -> Any:
    """Return the texts or images of rows: as they are given, whatever Arrow could hold."""
    if memory_table(values) is None:
        given = [{str(name): cell for name, cell in row.items()} for row in values]
        cells = [[row[name] for row in given] for name in columns]
    else:
        cells = [rows.read(name).to_pylist() for name in columns]
    if len(columns) == 1:
        return cells[0]
    return [list(sides) for sides in zip(*cells, strict=True)]
