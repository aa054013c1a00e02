"""Columns of a table as arrays, as audits read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.preprocessing.rows import TableSamples
from headstart.types import Dataset, SplitName


def column_parts(dataset: Dataset, places: dict[SplitName, np.ndarray], column: str) -> list[Any]:
    """Return the cells of a column at these places of each split, as pyarrow arrays.

    Args:
        dataset: Of rows.
        places: int64, of each split.
        column: Its name.
    """
    found = []
    for name, chosen in places.items():
        samples = dataset.split(name).samples
        assert isinstance(samples, TableSamples)
        cells = samples.column(column, np.asarray(chosen, np.int64))  # of no other column
        found.append(cells.combine_chunks() if hasattr(cells, "combine_chunks") else cells)
    return found


def numbers_of(parts: Sequence[Any]) -> np.ndarray:
    """Return cells as numbers, float64, shape (N,): times in days, NaN where there is none."""
    import pyarrow as pa

    found = []
    for part in parts:
        if pa.types.is_timestamp(part.type):
            part = part.cast(pa.timestamp("us")).cast(pa.int64())
            cells = part.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) / 86_400e6
        else:
            cells = part.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        found.append(cells)
    return np.concatenate(found)


def codes_of(parts: Sequence[Any]) -> tuple[np.ndarray, list[str]]:
    """Return cells as numbers of their values, int64, shape (N,), -1 for none; and the values.

    Args:
        parts: Cells of any one type.
    """
    import pyarrow as pa

    whole = pa.chunked_array(parts).combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    encoded = whole.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, [str(value) for value in encoded.dictionary.to_pylist()]
