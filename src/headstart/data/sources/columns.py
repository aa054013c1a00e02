"""Tables as named columns of plain Python values, wherever they are: files, pandas, pyarrow.

Three small classes with one face, so that the reader of tables knows nothing of formats. Parquet
is special in that its image column stays on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from headstart.columnar import Coded, Lazy, cells_of, give_memory_back
from headstart.data.options import ReadOptions
from headstart.data.sources.delimited import read_text_table
from headstart.data.sources.label_names import column_names, names_in
from headstart.data.sources.samples import ParquetSamples, ValueSamples
from headstart.errors import DataError, first_line
from headstart.preprocessing.memory import as_arrow, is_arrow_table, is_frame, refuse_duplicates
from headstart.types import Samples

HEAD_ROWS = 100
READ_BYTES = 2**20  # of a Parquet file at once


class Table(Protocol):
    """Named columns.

    Attributes:
        where: What a person calls the table, for example ``reviews.csv``.
        root: The folder that paths in the table start from.
        columns: Column names.
        num_rows: Number of rows.
    """

    where: str
    root: Path
    columns: list[str]
    num_rows: int

    def head(self, column: str) -> list[object]:
        """Return the first values, at most ``HEAD_ROWS``."""
        ...

    def values(self, column: str) -> list[Any]:
        """Return all values."""
        ...

    def cells(self, column: str) -> Sequence[Any]:
        """Return all values, those that repeat once where that is known without a loop."""
        ...

    def images(self, column: str, names: Sequence[str]) -> Samples:
        """Return the images that the column holds or points to."""
        ...

    def image_names(self, column: str) -> list[str | None]:
        """Return for each row the path of its image, or None where there is none."""
        ...

    def class_names(self, column: str) -> list[str] | None:
        """Return the names that the integers of a column stand for, where the table says so."""
        ...

    def arrow(self, columns: Sequence[str]) -> Any:
        """Return these columns as a pyarrow Table."""
        ...


class FrameTable:
    """A pandas DataFrame, known by its face only: pandas need not be installed."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.where = "the DataFrame"
        self.root = Path.cwd()
        self.columns = [str(column) for column in frame.columns]
        refuse_duplicates(self.columns, self.where)
        self._keys = dict(zip(self.columns, frame.columns, strict=True))
        self.num_rows = len(frame)

    def head(self, column: str) -> list[object]:
        """Return the first values."""
        return list(self._frame[self._keys[column]].iloc[:HEAD_ROWS].tolist())

    def values(self, column: str) -> list[object]:
        """Return all values."""
        return list(self._frame[self._keys[column]].tolist())

    def cells(self, column: str) -> Sequence[Any]:
        """Return all values, those that repeat once."""
        return _frame_cells(self._frame[self._keys[column]])

    def images(self, column: str, names: Sequence[str]) -> Samples:
        """Return the images of a column."""
        return ValueSamples(self.values(column), names, self.root)

    def image_names(self, column: str) -> list[str | None]:
        """Return the paths of a column."""
        return [_path_of(value) for value in self.values(column)]

    def class_names(self, column: str) -> list[str] | None:
        """Return None: pandas categories are strings already."""
        return None

    def arrow(self, columns: Sequence[str]) -> Any:
        """Return these columns as a pyarrow Table; cells of several kinds become text."""
        import pyarrow as pa

        return pa.table({c: as_arrow(self._frame[self._keys[c]]) for c in columns})


class ArrowTable:
    """A pyarrow Table in memory: CSV and JSONL files end up here too."""

    def __init__(
        self, table: Any, where: str, root: Path, names: dict[str, list[str]] | None = None
    ) -> None:
        self._table = table
        self.where = where
        self.root = root
        self.columns = list(table.column_names)
        refuse_duplicates(self.columns, where)
        self._names = names or {}
        self.num_rows = table.num_rows
        self._asked: tuple[str, Sequence[Any]] = "", ()  # the target is asked for twice

    def head(self, column: str) -> list[object]:
        """Return the first values."""
        return list(self._table.column(column).slice(0, HEAD_ROWS).to_pylist())

    def values(self, column: str) -> list[object]:
        """Return all values."""
        return list(self.cells(column))

    def cells(self, column: str) -> Sequence[Any]:
        """Return all values, those that repeat once."""
        if self._asked[0] != column:
            self._asked = column, cells_of(self._table.column(column))
        return self._asked[1]

    def images(self, column: str, names: Sequence[str]) -> Samples:
        """Return the images of a column."""
        return ValueSamples(self.values(column), names, self.root)

    def image_names(self, column: str) -> list[str | None]:
        """Return the paths of a column."""
        return [_path_of(value) for value in self.values(column)]

    def class_names(self, column: str) -> list[str] | None:
        """Return the names given, or those a Hugging Face ``ClassLabel`` states."""
        if column in self._names:
            return self._names[column] or None  # none at all: what lies beside is not meant
        stated = names_in(self._table.schema.metadata, column)
        return stated or column_names(self.root, self.where, column)

    def arrow(self, columns: Sequence[str]) -> Any:
        """Return these columns as a pyarrow Table."""
        return self._table.select(list(columns))


class ParquetTable:
    """A Parquet file; columns are read when asked for, images a row group at a time."""

    def __init__(self, path: Path, where: str) -> None:
        import pyarrow.parquet as pq

        self.path = path
        self.where = where
        self.root = path.parent
        with pq.ParquetFile(path) as file:
            self._schema = file.schema_arrow
            self.num_rows = file.metadata.num_rows
        self.columns = list(self._schema.names)
        refuse_duplicates(self.columns, where)
        self._asked: tuple[str, Sequence[Any]] = "", ()

    def head(self, column: str) -> list[object]:
        """Return the first values."""
        with self._open() as file:
            for batch in file.iter_batches(batch_size=HEAD_ROWS, columns=[column]):
                return list(batch.column(0).to_pylist())
        return []

    def values(self, column: str) -> list[object]:
        """Return all values."""
        return list(self.cells(column))

    def cells(self, column: str) -> Sequence[Any]:
        """Return all values, those that repeat once."""
        if self._asked[0] != column:
            self._asked = column, cells_of(self._read(column))
        return self._asked[1]

    def images(self, column: str, names: Sequence[str]) -> Samples:
        """Return the images of a column without reading them yet."""
        import pyarrow as pa

        kind = self._schema.field(column).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return ValueSamples(self.values(column), names, self.root)
        return ParquetSamples(self.path, column, names)

    def image_names(self, column: str) -> list[str | None]:
        """Return the paths of a column, without reading the bytes beside them."""
        import pyarrow as pa

        kind = self._schema.field(column).type
        if pa.types.is_struct(kind):
            if kind.get_field_index("path") < 0:
                return [None] * self.num_rows
            rows = self._read(f"{column}.path").to_pylist()
            return [_path_of(row) for row in rows]
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return [_path_of(value) for value in self.values(column)]
        return [None] * self.num_rows

    def class_names(self, column: str) -> list[str] | None:
        """Return the names a Hugging Face ``ClassLabel`` feature states in the metadata."""
        stated = names_in(self._schema.metadata, column)
        return stated or column_names(self.root, self.where, column)

    def arrow(self, columns: Sequence[str]) -> Any:
        """Return these columns as a pyarrow Table."""
        import pyarrow as pa

        # a column at a time: read together, they take twice their size on the way
        give_memory_back()  # what heads were read with
        with self._open(buffer_size=READ_BYTES) as file:
            read = [file.read(columns=[column]).column(0) for column in columns]
        give_memory_back()
        schema = pa.schema([self._schema.field(c) for c in columns], self._schema.metadata)
        return pa.table(read, schema=schema)

    def _read(self, column: str) -> Any:
        with self._open() as file:
            return file.read(columns=[column]).column(0)

    @contextmanager
    def _open(self, buffer_size: int = 0) -> Iterator[Any]:
        """Open the file, whose footer was whole when it was first looked at."""
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path, buffer_size=buffer_size) as file:
                yield file
        except OSError as error:  # also what pyarrow raises on a damaged page
            raise DataError(
                f"{self.where} is damaged: {first_line(error)} Write the file again."
            ) from error


def source_table(values: Any) -> FrameTable | ArrowTable | None:
    """Return a pandas DataFrame or a pyarrow Table as a table to read; None for anything else."""
    if is_frame(values):
        return FrameTable(values)
    return ArrowTable(values, "the Table", Path.cwd()) if is_arrow_table(values) else None


def read_table(path: Path, where: str, options: ReadOptions) -> Table:
    """Open a CSV, TSV, JSONL or Parquet file.

    Args:
        path: The file.
        where: What to call it in messages.
        options: Header and encoding, where they were said.

    Raises:
        DataError: The file is empty, damaged, may not be read, or is of another kind.
    """
    import pyarrow as pa

    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{where} is empty (0 bytes). Expected a table with a header.")
        if kind == "parquet":
            return ParquetTable(path, where)
        return ArrowTable(read_text_table(path, where, kind, options), where, path.parent)
    except PermissionError:
        raise DataError(
            f"{where} cannot be read: permission denied. Give this user the right to read it."
        ) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where} cannot be read as {kind.upper()}: {first_line(error)} "
            "Expected one header and the same columns in every row; correct the file."
        ) from error


def _frame_cells(series: Any) -> Sequence[Any]:
    """Return the cells of a pandas column."""
    import pyarrow as pa

    try:
        cells = cells_of(pa.array(series, from_pandas=True))
    except (pa.ArrowException, OverflowError, UnicodeError):  # several kinds, half surrogates
        return list(series.tolist())
    return cells if isinstance(cells, (Coded, Lazy)) else list(series.tolist())


def _path_of(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, (bytes, bytearray, memoryview)) or value is None or value != value:
        return None
    return str(value) or None
