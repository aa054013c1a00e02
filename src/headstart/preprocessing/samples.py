"""Samples as preprocessing reads them: an array in memory, some of a source, the bytes of a file.

Where they come from, folders, tables, archives, is the business of ``data.sources``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.filesize import decimal

from headstart.errors import DataError
from headstart.types import Samples

MAX_FILE_BYTES = 256 * 2**20


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
            "Expected a whole JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or HEIC image; replace it or "
            "leave it out."
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


class ArraySamples:
    """Images that are an array already.

    Args:
        images: uint8, or whole numbers of more bits, shape (N, H, W, C) with C 1 or 3.
        names: What a person calls each of them.
    """

    def __init__(self, images: np.ndarray, names: Sequence[str]) -> None:
        self.images = images
        self.names = names

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> np.ndarray:
        """Return an array (H, W, C)."""
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
