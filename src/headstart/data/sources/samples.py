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

from headstart.errors import DataError
from headstart.types import Samples

if TYPE_CHECKING:
    import pyarrow

MAX_FILE_BYTES = 256 * 2**20
ROW_GROUP_CACHE_BYTES = 512 * 2**20
MAX_ROW_GROUP_BYTES = 4 * 2**30


class UnreadableImage(DataError):
    """Report one image that cannot be used.

    Attributes:
        reason: The reason alone, without the name of the image.
    """

    def __init__(self, reason: str, name: str | None = None) -> None:
        self.reason = reason
        what = f"Image '{name}'" if name else "The image"
        super().__init__(
            f"{what} cannot be used: {reason}. "
            "Expected a whole JPEG, PNG, WebP, BMP or GIF image; replace it or leave it out."
        )


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of one file.

    Raises:
        UnreadableImage: It is missing, may not be read, or is larger than ``MAX_FILE_BYTES``.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            num_bytes = os.fstat(file.fileno()).st_size
            if num_bytes > MAX_FILE_BYTES:
                raise UnreadableImage(
                    f"the file has {decimal(num_bytes)}, the limit is {decimal(MAX_FILE_BYTES)}",
                    str(path),
                )
            return file.readall()
    except FileNotFoundError:
        raise UnreadableImage("the image file is missing", str(path)) from None
    except PermissionError:
        raise UnreadableImage("permission denied", str(path)) from None
    except IsADirectoryError:
        raise UnreadableImage("it is a folder, not a file", str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableImage(f"reading failed ({error})", str(path)) from error


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
        """Return the path relative to the folder."""
        return self.names[index]


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
        return self.names[index]


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
                    f"Row group {group} of {self.path} cannot be read: {error}. "
                    "Write the file again."
                ) from error
            held = sum(kept.nbytes for kept in self._cache.values()) + column.nbytes
            while self._cache and held > ROW_GROUP_CACHE_BYTES:
                held -= self._cache.popitem(last=False)[1].nbytes
            self._cache[group] = column
            return column


class ArraySamples:
    """Images that are an array already.

    Args:
        images: uint8, shape (N, H, W, C) with C 1 or 3.
        names: What a person calls each of them.
    """

    def __init__(self, images: np.ndarray, names: Sequence[str]) -> None:
        self.images = images
        self.names = names

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> np.ndarray:
        """Return uint8 (H, W, C)."""
        image: np.ndarray = self.images[index]
        return image

    def name(self, index: int) -> str:
        """Return the position, for example ``X[17]``."""
        return self.names[index]

    def take(self, indices: np.ndarray) -> ArraySamples:
        """Return these samples alone; a view where ``indices`` is one ascending run."""
        is_run = len(indices) > 0 and bool(np.all(np.diff(indices) == 1))
        images = (
            self.images[indices[0] : indices[-1] + 1]
            if is_run
            else self.images[np.asarray(indices)]
        )
        return ArraySamples(images, [self.names[i] for i in indices])


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


class SubsetSamples:
    """Some of the samples of a source, by index."""

    def __init__(self, samples: Samples, indices: np.ndarray) -> None:
        self.samples = samples
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> Any:
        """Return what the source reads."""
        return self.samples.read(int(self.indices[index]))

    def name(self, index: int) -> str:
        """Return the name the source gives it."""
        return self.samples.name(int(self.indices[index]))


def take(samples: Samples, indices: np.ndarray) -> Samples:
    """Return some of the samples; what lies in memory is taken, everything else becomes a view."""
    if hasattr(samples, "take"):  # arrays, texts, rows
        taken: Samples = samples.take(indices)
        return taken
    if isinstance(samples, SubsetSamples):
        return SubsetSamples(samples.samples, samples.indices[indices])
    return SubsetSamples(samples, indices)
