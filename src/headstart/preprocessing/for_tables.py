"""Rows of a table: numbers and codes, by what was learned of its columns from train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np

from headstart.errors import DataError, did_you_mean, quoted
from headstart.preprocessing.base import NamedInput, Preprocess
from headstart.preprocessing.canonical import canonical
from headstart.preprocessing.columns import (
    check_columns,
    feature_names,
    fit_columns,
    to_cells,
)
from headstart.preprocessing.inputs import Cells
from headstart.preprocessing.json_records import damaged, read_record
from headstart.preprocessing.memory import as_arrow, memory_table
from headstart.preprocessing.numbers import is_number_format
from headstart.preprocessing.rows import TableSamples
from headstart.preprocessing.samples import take
from headstart.preprocessing.strange import strange_cells
from headstart.types import (
    Column,
    ColumnKind,
    Dataset,
    DateFormat,
    Finding,
    Inputs,
    Modality,
    SplitName,
    TableSpec,
)

_COLUMN_NUMBERS = ("mean", "scale", "edges", "seen")


@dataclass(frozen=True)
class TablePreprocess(Preprocess):
    """The preprocessing of a network for tables.

    Attributes:
        spec: Its columns, fitted on train.
    """

    spec: TableSpec
    kind: ClassVar[str] = "table"
    modality: ClassVar[Modality] = "table"
    is_instant: ClassVar[bool] = True

    @property
    def rows(self) -> TablePreprocess:
        """Itself: all of a sample is its columns."""
        return self

    @property
    def inputs(self) -> tuple[NamedInput, ...]:
        """Numbers, and codes of categories."""
        coded = [column for column in self.spec.columns if column.kind == "categorical"]
        num_numbers = len(feature_names(self.spec)) - len(coded)
        sizes = tuple(len(column.categories) + 1 for column in coded)
        return (
            NamedInput("numbers", "float32", (num_numbers,)),
            NamedInput("codes", "int64", (len(coded),), sizes),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row needs."""
        return tuple(column.name for column in self.spec.columns)

    def _prepare(
        self, dataset: Dataset, split_name: SplitName, indices: np.ndarray | None
    ) -> Cells:
        split = dataset.split(split_name)
        chosen = np.arange(len(split)) if indices is None else np.asarray(indices, np.int64)
        samples = split.samples if indices is None else take(split.samples, chosen)
        assert isinstance(samples, TableSamples)
        check_columns(self.spec, dataset)
        table = samples.columns()
        targets, ids = split.targets[chosen], split.ids[chosen]
        if split_name == "train":  # what it has too rarely is no news: others may bring more
            return Cells(*to_cells(self.spec, table), targets, ids, samples.names, (), [])
        cells, missing, findings = self._looked_at(table, samples.names)
        return Cells(*cells, targets, ids, samples.names, (), findings, missing)

    def _looked_at(
        self, table: Any, names: Sequence[str]
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, list[Finding]]:
        """Return numbers and codes of rows, what is missing, and in what they are unlike train."""
        findings: list[Finding] = []
        missing = np.zeros((len(names), len(self.spec.columns)), bool)
        places = iter(range(len(self.spec.columns)))

        def look(column: Column, cells: Any) -> None:
            findings.extend(strange_cells(column, cells, names))
            is_word = column.kind == "categorical"
            missing[:, next(places)] = [not word for word in cells] if is_word else np.isnan(cells)

        return to_cells(self.spec, table, look), missing, findings

    def listed(self, values: Any) -> IncomingRows:
        """Return the columns of rows in any form: dicts, a DataFrame, a pyarrow Table."""
        return values if isinstance(values, IncomingRows) else IncomingRows.of(values)

    def names_of(self, listed: IncomingRows) -> list[str]:
        """Return "row 1", "row 2" and so on."""
        return [f"row {i + 1}" for i in range(len(listed))]

    def _read(self, listed: IncomingRows, names: list[str]) -> Cells:
        if len(listed) == 0:
            raise DataError("The table has no rows; expected one a sample. Give at least one row.")
        listed = listed.under(self.columns)
        there = set(listed.columns)
        missing = [name for name in self.columns if name not in there]
        if missing:
            many = len(missing) > 1
            raise DataError(
                f"Column{'s' if many else ''} {quoted(missing)} {'are' if many else 'is'} missing "
                f"in the rows (found: {quoted(listed.columns)})."
                f"{did_you_mean(missing[0], listed.columns)} The model was trained with "
                f"{'them; add them' if many else 'it; add it'}. Single cells may be empty."
            )
        found = self.cells_of(self.typed(listed), names)
        known = set(self.columns)
        if extra := [name for name in listed.columns if name not in known]:
            sentence = f"Columns that the model does not know are ignored: {quoted(extra)}."
            unused = Finding("unused", "note", (), sentence)
            return replace(found, findings=(*found.findings, unused))
        return found

    def cells_of(self, table: Any, names: Sequence[str]) -> Cells:
        """Return rows without targets, and in what they are unlike train's.

        Args:
            table: As ``typed`` returns it.
            names: What to call each.
        """
        (numbers, codes), gaps, findings = self._looked_at(table, names)
        nothing, ids = np.empty(0, np.int64), np.arange(len(names))
        return Cells(numbers, codes, nothing, ids, names, (), findings, gaps)

    def typed(self, listed: IncomingRows) -> Any:
        """Return the columns of rows as a pyarrow Table, each in the form of its kind.

        Raises:
            DataError: A cell does not fit.
        """
        import pyarrow as pa

        columns = {
            c.name: canonical(
                listed.read(c.name),
                c.kind,
                c.name,
                lambda i: f"row {i + 1}",
                c.date_format,
                c.number_format,
            )
            for c in self.spec.columns
        }
        return pa.table(columns)

    def incoming(self, values: Any, names: Sequence[str] | None = None) -> Iterator[Inputs]:
        """Yield all rows at once: a table in memory is prepared column by column."""
        yield self.read(values, names)

    def stand_ins(self, num: int, draw: np.random.Generator) -> Cells:
        """Return rows of standard normal numbers and any codes."""
        numbers, codes = self.inputs
        places, names = np.arange(num), [""] * num
        return Cells(
            draw.standard_normal((num, _width(numbers))).astype(np.float32),
            draw.integers(0, codes.below, (num, _width(codes)), np.int64),
            np.empty(0, np.int64),
            places,
            names,
        )

    def to_json(self) -> dict[str, object]:
        """Return it as JSON-able dict; tuples become lists."""
        columns = []
        for column in self.spec.columns:
            record = asdict(column)
            columns.append({n: list(v) if isinstance(v, tuple) else v for n, v in record.items()})
        return {"kind": self.kind, "columns": columns}

    @classmethod
    def check_json(cls, record: Mapping[str, Any]) -> None:
        """Refuse a record that ``to_json`` did not write."""
        _read_spec(record)

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], folder: Path | None, origin: str
    ) -> TablePreprocess:
        """Return what ``to_json`` wrote; there are no files."""
        del folder, origin
        return cls(_read_spec(record))


def fit_table(dataset: Dataset) -> TablePreprocess:
    """Return the preprocessing of a table, fitted on its train split alone.

    Args:
        dataset: A table.

    Raises:
        DataError: It is no table.

    Example:
        >>> from headstart.data import load
        >>> data = load((np.arange(40.0), 2 * np.arange(40.0) + 0.5))
        >>> fit_table(data).columns
        ('x0',)
    """
    return TablePreprocess(fit_columns(dataset))


@dataclass(frozen=True)
class IncomingRows:
    """Rows that a user gives, by columns.

    Attributes:
        columns: Their names.
        read: Returns one as a pyarrow array.
        num_rows: N.
    """

    columns: list[str]
    read: Callable[[str], Any]
    num_rows: int

    def __len__(self) -> int:
        return self.num_rows

    def under(self, names: Sequence[str]) -> IncomingRows:
        """Return the rows under names of a model where those here differ in blanks around alone.

        A text file's header is read without them; who reads the same file otherwise keeps them.
        """
        there, own = set(self.columns), set(names)
        spelled = {name.strip(): name for name in self.columns if name not in own}
        found = {name: spelled[name] for name in names if name not in there and name in spelled}
        if not found:
            return self
        back = {written: name for name, written in found.items()}
        columns = [back.get(name, name) for name in self.columns]
        return IncomingRows(columns, lambda name: self.read(found.get(name, name)), self.num_rows)

    @classmethod
    def of(cls, values: Any) -> IncomingRows:
        """Return the rows of a DataFrame, a pyarrow Table, or a list of dicts.

        Raises:
            DataError: It is something else, or two columns have one name.
        """
        if (table := memory_table(values)) is not None:
            return cls(table.columns, table.arrow, table.num_rows)
        if isinstance(values, Mapping):
            raise DataError("Expected a list of rows, not one row. Put it into a list.")
        rows: list[Any] = list(values)
        for i, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise DataError(
                    f"Row {i + 1} is a {type(row).__name__}; expected a dict from column name to "
                    "value (or give a DataFrame or a pyarrow Table)."
                )
            rows[i] = {str(name): value for name, value in row.items()}

        def read(name: str) -> Any:
            for i, row in enumerate(rows):
                if name not in row:
                    raise DataError(
                        f"Column '{name}' is missing in row {i + 1} (found: {quoted(list(row))}). "
                        "Give every row the same columns; a cell that is not known may be None."
                    )
            return as_arrow([row[name] for row in rows])

        return cls(list(dict.fromkeys(name for row in rows for name in row)), read, len(rows))


def _width(one: NamedInput) -> int:
    """Return how many numbers a row has of an input."""
    (width,) = one.shape
    return int(width)


def _read_spec(value: Mapping[str, Any]) -> TableSpec:
    record = read_record(value, ("kind", "columns"), "preprocess")
    if not isinstance(record["columns"], list):
        raise damaged("preprocess", record, "a list of columns")
    return TableSpec(tuple(_read_column(column) for column in record["columns"]))


def _read_column(value: object) -> Column:
    record = read_record(value, tuple(field.name for field in fields(Column)), "column")
    numbers = [record[name] for name in _COLUMN_NUMBERS]
    categories = record["categories"]
    if (
        not isinstance(record["name"], str)
        or record["kind"] not in get_args(ColumnKind)
        or not isinstance(record["fill"], int | float)
        or not isinstance(record["has_missing"], bool)
        or not isinstance(record["is_whole"], bool)
        or record["date_format"] not in get_args(DateFormat)
        or not is_number_format(record["number_format"])
        or not all(isinstance(n, list | tuple) for n in (*numbers, categories))
        or not all(isinstance(x, int | float) for n in numbers for x in n)
        or not isinstance(record["levels"], list | tuple)
        or not all(isinstance(word, str) for word in (*categories, *record["levels"]))
    ):
        raise damaged("column", record, "a name, a kind, known formats, and lists")
    tuples = {name: tuple(float(x) for x in record[name]) for name in _COLUMN_NUMBERS}
    words = {"categories": tuple(categories), "levels": tuple(record["levels"])}
    return Column(**{**record, **tuples, **words})
