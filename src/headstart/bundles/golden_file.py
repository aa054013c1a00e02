"""The file of golden samples of any bundle: writing, reading, and what does not agree with it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from headstart.bundles.records import BundleRecord
from headstart.errors import ExportError

GOLDEN = "golden.npz"


def golden_file_bytes(content: Mapping[str, np.ndarray]) -> bytes:
    """Return the file that holds arrays by name; none of them may hold objects."""
    file = io.BytesIO()
    np.savez(file, **content)  # type: ignore[arg-type]
    return file.getvalue()


@contextmanager
def golden_file(folder: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open the golden samples of a bundle for reading, inside the block.

    Args:
        folder: The bundle.

    Raises:
        ExportError: If the file, or what is looked for in it, cannot be read.
    """
    try:
        with np.load(folder / GOLDEN, allow_pickle=False) as file:
            yield file
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ExportError(
            f"{folder / GOLDEN} is damaged ({type(error).__name__}: {error}); expected the golden "
            "samples that headstart wrote. Export the run again."
        ) from error


def otherwise(folder: Path, record: BundleRecord, does: str, how: str) -> ExportError:
    """Return the refusal of a bundle that does something else of its golden samples than it did.

    Args:
        folder: The bundle.
        record: Its own.
        does: What it is to do with them: ``answer``.
        how: What differs.
    """
    known = record.versions.get("onnxruntime", "it was exported with")
    return ExportError(
        f"{folder} does not {does} its golden samples as it did when it was exported: {how}. "
        f"Expected the same. Use the release of onnxruntime that {known} names, or export the run "
        "again."
    )
