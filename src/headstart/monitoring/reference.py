"""What new samples are compared with: held-out ones, as a file of a bundle without any input.

``drift_reference.npz`` holds embeddings, confidences and counts of up to a thousand samples that
the model has not learned from, and the limits that were calibrated on them. Nothing is pickled; the
manifest of the bundle has its digest.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import ExportError
from headstart.monitoring.columns import ColumnBins, ColumnCounts
from headstart.monitoring.detectors import SeenSamples

DRIFT = "drift_reference.npz"
_FORMAT = 1
_NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True)
class DriftReference:
    """Held-out samples, and when a window is unlike them.

    Attributes:
        seen: What is known of them.
        origin: Which they are, in words.
        limits: For each detector the score that windows without drift stay below.
        median: Squared distance of the kernel of embeddings; None without embeddings.
        bins: Where cells of a table are counted; None where samples are no rows.
        confusion: Samples by true and predicted class, int64, shape (K, K); empty where a sample
            has not exactly one.
        edges: What divides their confidences into tenths; empty where there is no accuracy.
        right: How many of each tenth are right and how many there are, int64, shape (B, 2).
    """

    seen: SeenSamples
    origin: str
    limits: dict[str, float]
    median: float | None = None
    bins: ColumnBins | None = None
    confusion: np.ndarray = field(default_factory=lambda: _NOTHING.reshape(0, 0))
    edges: np.ndarray = field(default_factory=lambda: np.empty(0))
    right: np.ndarray = field(default_factory=lambda: _NOTHING.reshape(0, 2))

    @property
    def accuracy(self) -> float | None:
        """Share of the held-out samples that are right; None where there is no such thing."""
        if not len(self.right):
            return None
        return float(self.right[:, 0].sum() / self.right[:, 1].sum())

    def to_bytes(self) -> bytes:
        """Return the file."""
        seen, bins = self.seen, self.bins
        about: dict[str, Any] = {
            "format": _FORMAT,
            "origin": self.origin,
            "limits": self.limits,
            "median": self.median,
            "is_exclusive": seen.is_exclusive,
            "columns": None if bins is None else list(bins.names),
            "width": None if bins is None else bins.width,
            "rows": None if seen.columns is None else seen.columns.num,
        }
        arrays = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "numbers": seen.numbers,
            "counts": seen.counts,
            "confusion": self.confusion,
            "edges": self.edges,
            "right": self.right,
        }
        if seen.embeddings is not None:
            arrays["embeddings"] = seen.embeddings
        if bins is not None and seen.columns is not None:
            arrays |= {
                "column_is_coded": bins.is_coded,
                "column_places": bins.places,
                "column_edges": bins.edges,
                "column_bins": seen.columns.bins,
                "column_missing": seen.columns.missing,
            }
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()


def read_reference(folder: Path) -> DriftReference | None:
    """Return the drift reference of a bundle; None where it was exported without one.

    Args:
        folder: The bundle, whose files have been checked by their digests.

    Raises:
        ExportError: If the file is not what headstart writes.
    """
    path = folder / DRIFT
    if not path.is_file():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return _checked({name: file[name] for name in file.files})
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ExportError(
            f"{path} is damaged ({type(error).__name__}: {error}); expected the drift reference "
            "that headstart wrote. Export the run again."
        ) from error


def _checked(arrays: dict[str, np.ndarray]) -> DriftReference:
    """Return a reference of the arrays of a file.

    Raises:
        ValueError: If they are none; also KeyError, TypeError.
    """
    about = json.loads(arrays["about"].tobytes())
    if about["format"] != _FORMAT:
        raise ValueError(f"format {about['format']!r}, expected {_FORMAT}")
    bins = columns = None
    if about["columns"] is not None:
        bins = ColumnBins(
            tuple(map(str, about["columns"])),
            arrays["column_is_coded"],
            arrays["column_places"],
            arrays["column_edges"],
            int(about["width"]),
        )
        columns = ColumnCounts(int(about["rows"]), arrays["column_bins"], arrays["column_missing"])
        if columns.bins.shape != (len(bins.names), bins.width):
            raise ValueError(f"columns of shape {columns.bins.shape}")
    numbers, embeddings = arrays["numbers"], arrays.get("embeddings")
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"numbers of shape {numbers.shape}")
    if embeddings is not None and (embeddings.ndim != 2 or len(embeddings) != len(numbers)):
        raise ValueError(f"embeddings of shape {embeddings.shape}")
    seen = SeenSamples(numbers, arrays["counts"], bool(about["is_exclusive"]), embeddings, columns)
    return DriftReference(
        seen,
        str(about["origin"]),
        {str(name): float(limit) for name, limit in about["limits"].items()},
        None if about["median"] is None else float(about["median"]),
        bins,
        arrays["confusion"],
        arrays["edges"],
        arrays["right"],
    )
