"""Where samples come from: files, values in memory, Parquet row groups, arrays.

Each class reads one sample at a time and holds at most a bounded part of the data in memory, so
that a folder or a Parquet file may be larger than the machine. What a sample means (an image, a
text) is decided elsewhere: this file hands out bytes and arrays.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.filesize import decimal

from headstart.cells import shown
from headstart.errors import DataError, first_line
from headstart.preprocessing.samples import UnreadableImage, read_file
from headstart.types import Samples

if TYPE_CHECKING:
    import pyarrow

ROW_GROUP_CACHE_BYTES = 512 * 2**20
MAX_ROW_GROUP_BYTES = 4 * 2**30


class FileSamples:
    """Files below a folder.

    Args:
        root: The folder.
        names: Paths relative to ``root`` (absolute ones are taken as they are).
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = str(root)
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """Return the bytes of the file; UnreadableImage when that fails."""
        return read_file(os.path.join(self.root, self.names[index]))

    def name(self, index: int) -> str:
        """Return the path relative to the folder, as it can be printed."""
        return shown(self.names[index])


class ValueSamples:
    """Values of a table column that is in memory: encoded bytes, paths, or nothing.

    Args:
        values: bytes, a path relative to ``root``, ``{"bytes": …, "path": …}``, or None.
        names: What a person calls each of them.
        root: The folder that relative paths start from.
    """

    def __init__(self, values: Sequence[object], names: Sequence[str], root: Path) -> None:
        self.values = values
        self.names = names
        self.root = root

    def __len__(self) -> int:
        return len(self.values)

    def read(self, index: int) -> bytes:
        """Return the encoded image; UnreadableImage when the row holds none."""
        return read_value(self.values[index], self.root, self.names[index])

    def name(self, index: int) -> str:
        """Return the path, or the row."""
        return shown(self.names[index])


def read_value(value: object, root: Path, name: str) -> bytes:
    """Return the encoded image that one table cell holds or points to.

    Args:
        value: bytes, a path, ``{"bytes": …, "path": …}``, or None.
        root: The folder that relative paths start from.
        name: What a person calls this cell.

    Raises:
        UnreadableImage: The cell holds none of these, or the file cannot be read.
    """
    if isinstance(value, dict):
        value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (str, os.PathLike)) and str(value).strip():
        return read_file(os.path.join(root, value))
    if value is None or value != value or value == "":
        raise UnreadableImage("the row holds no image", name)
    raise UnreadableImage(
        f"the cell holds a {type(value).__name__}, not bytes or the path of an image", name
    )


class ParquetSamples:
    """Images inside a Parquet file, read a row group at a time.

    Random access costs a row group, so readers should go in ascending order; the row groups last
    used stay in memory up to ``ROW_GROUP_CACHE_BYTES`` (or one row group).

    Args:
        path: The file.
        column: The column with bytes, or a struct of bytes and path.
        names: What a person calls each row.
    """

    def __init__(self, path: Path, column: str, names: Sequence[str]) -> None:
        import pyarrow.parquet as pq

        self.path, self.column, self.names = path, column, names
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        largest = max((group.total_byte_size for group in groups), default=0)
        if largest > MAX_ROW_GROUP_BYTES:
            raise DataError(
                f"A row group of {path} has {decimal(largest)} uncompressed; at most "
                f"{decimal(MAX_ROW_GROUP_BYTES)} are read at once. Write the file again with "
                "smaller row groups, for example row_group_size=1000."
            )
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        self._cache: OrderedDict[int, pyarrow.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """Return the encoded image; UnreadableImage when the row holds none."""
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        value = self._group(group)[index - int(self._starts[group])].as_py()
        return read_value(value, self.path.parent, self.names[index])

    def name(self, index: int) -> str:
        """Return the path stored beside the bytes, or the row."""
        return self.names[index]

    def _group(self, group: int) -> Any:
        import pyarrow.parquet as pq

        with self._lock:
            if group in self._cache:
                self._cache.move_to_end(group)
                return self._cache[group]
            try:
                with pq.ParquetFile(self.path) as file:
                    column = file.read_row_group(group, columns=[self.column]).column(0)
            except OSError as error:  # also what pyarrow raises on a damaged page
                raise DataError(
                    f"Row group {group} of {self.path} cannot be read: {first_line(error)} "
                    "Write the file again."
                ) from error
            held = sum(kept.nbytes for kept in self._cache.values()) + column.nbytes
            while self._cache and held > ROW_GROUP_CACHE_BYTES:
                held -= self._cache.popitem(last=False)[1].nbytes
            self._cache[group] = column
            return column


class ChainSamples:
    """Several sources one after the other."""

    def __init__(self, parts: Iterable[Samples]) -> None:
        self.parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in self.parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _find(self, index: int) -> tuple[Samples, int]:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.parts[part], index - int(self._starts[part])

    def read(self, index: int) -> Any:
        """Return what the part that holds this sample reads."""
        part, position = self._find(index)
        return part.read(position)

    def name(self, index: int) -> str:
        """Return the name the part gives it."""
        part, position = self._find(index)
        return part.name(position)
