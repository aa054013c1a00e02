"""What a list of fixes says of the cells of a row, so that it is known beside other columns, too.

The id of a row counts all columns that were read. A model reads fewer than its table has, and the
next table may lack one: then ids differ, and what both have decides. Each column gives four
hexadecimal digits of its name and four of the cell; a row is found by its number where all columns
in common hold what the list says, else where a single row holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.data.fix_lists import Fix
from headstart.data.identity import column_identity, seed_of
from headstart.preprocessing.rows import TableSamples

MOST_COLUMNS = 32  # the first ones: a line that no spreadsheet shows helps nobody
_DIGITS = 4


def row_cells(samples: object, places: Sequence[int]) -> list[str]:
    """Return what some rows hold, column by column; nothing of samples that are no rows.

    Args:
        samples: Of one split.
        places: M of them.
    """
    if not isinstance(samples, TableSamples) or not len(places):
        return [""] * len(places)
    chosen = np.asarray(places, np.int64)
    columns = samples.column_names[:MOST_COLUMNS]
    codes = [_codes(samples.column(name, chosen), name) for name in columns]
    names = [_name(name) for name in columns]
    return [
        " ".join(f"{name}{int(of[row]):04x}" for name, of in zip(names, codes, strict=True))
        for row in range(len(chosen))
    ]


class CellFinder:
    """Finds rows of a list by the cells that they have in common with N samples.

    Args:
        samples: The samples; where they are no rows nothing is found.
    """

    def __init__(self, samples: object) -> None:
        self._samples = samples if isinstance(samples, TableSamples) else None
        self._names = {_name(n): n for n in samples.column_names} if self._samples else {}  # type: ignore[attr-defined]
        self._kept: dict[str, np.ndarray] = {}
        self._rows: dict[tuple[str, ...], Mapping[tuple[int, ...], int]] = {}

    def find(self, row: Fix, named: Sequence[int]) -> int | None:
        """Return the place of the sample of a row, or None.

        Args:
            row: Of the list.
            named: Places of the samples of that name.
        """
        wanted = {
            cell[:_DIGITS]: int(cell[_DIGITS:], 16)
            for cell in row.cells.split()
            if cell[:_DIGITS] in self._names
        }
        if not wanted:
            return None
        for place in named:
            if all(int(self._of(name)[place]) == code for name, code in wanted.items()):
                return place
        names = tuple(sorted(wanted))
        if names not in self._rows:
            self._rows[names] = self._lone(names)
        return self._rows[names].get(tuple(wanted[name] for name in names))

    def _of(self, name: str) -> np.ndarray:
        if name not in self._kept:
            assert self._samples is not None
            column = self._names[name]
            self._kept[name] = _codes(self._samples.column(column), column)
        return self._kept[name]

    def _lone(self, names: tuple[str, ...]) -> Mapping[tuple[int, ...], int]:
        """Return the place of each combination of cells that a single row holds."""
        table = np.column_stack([self._of(name) for name in names])
        kinds, first, counts = np.unique(table, axis=0, return_index=True, return_counts=True)
        return {
            tuple(kind): int(place)
            for kind, place, count in zip(kinds.tolist(), first, counts, strict=True)
            if count == 1
        }


def _codes(column: Any, name: str) -> np.ndarray:
    """Return four hexadecimal digits of each cell as a number, int64, shape (N,)."""
    found: np.ndarray = (column_identity(column, name).exact >> np.uint64(48)).astype(np.int64)
    return found


def _name(name: str) -> str:
    return f"{int(seed_of(name)) >> 48:04x}"
