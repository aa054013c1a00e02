"""The columns of a table as counts: how often cells fell into each bin, never a cell itself.

Numbers are counted between quantiles of the reference, below its least and above its greatest;
categories by their codes, of which 0 is whatever train did not have often enough. Missing cells are
counted apart, whatever stands in for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.evaluation import holm
from headstart.monitoring.two_samples import chi_square, compare_binned, moved, rank_sum
from headstart.preprocessing import Preprocess
from headstart.preprocessing.inputs import Cells
from headstart.types import TableSpec

_BINS = 20
# of a column: the order of its values, whether they moved as a whole, shares, what is missing
_TESTS = 4


@dataclass(frozen=True)
class ColumnBins:
    """Where cells are counted.

    Attributes:
        names: Of the columns, C.
        is_coded: Whether a column is of categories, bool, shape (C,).
        places: Where a column begins in ``numbers`` or in ``codes``, int64, shape (C,).
        edges: A number above n of them is in bin n, float32, shape (C, E), filled up with
            infinity.
        width: Bins of the column that has most.
    """

    names: tuple[str, ...]
    is_coded: np.ndarray
    places: np.ndarray
    edges: np.ndarray
    width: int

    def counted(self, cells: Cells, places: np.ndarray | None = None) -> ColumnCounts:
        """Return rows as counts: all of them, or those at some places."""
        return self.summed(self.bins(cells, places))

    def bins(self, cells: Cells, places: np.ndarray | None = None) -> np.ndarray:
        """Return the bin of each cell, int64, shape (N, C); -1 where it is missing."""
        rows = slice(None) if places is None else places
        numbers, codes = cells.numbers[rows], cells.codes[rows]
        found = np.empty((len(numbers), len(self.names)), np.int64)
        coded = self.is_coded
        found[:, coded] = codes[:, self.places[coded]]
        wide = numbers[:, self.places[~coded], None]
        found[:, ~coded] = (wide > self.edges[~coded]).sum(axis=2)
        if cells.missing is not None:
            found[cells.missing[rows]] = -1
        return found

    def summed(self, bins: np.ndarray) -> ColumnCounts:
        """Return the bins of rows as counts."""
        num = len(self.names)
        wide = self.width + 1  # the first place is that of missing cells
        flat = bins + 1 + wide * np.arange(num)
        every = np.bincount(flat.ravel(), minlength=wide * num).reshape(num, wide)
        return ColumnCounts(len(bins), every[:, 1:], every[:, 0])


@dataclass(frozen=True)
class ColumnCounts:
    """How often the cells of columns fell into each bin.

    Attributes:
        num: Rows that were counted.
        bins: int64, shape (C, ``ColumnBins.width``).
        missing: int64, shape (C,).
    """

    num: int
    bins: np.ndarray
    missing: np.ndarray

    def plus(self, other: ColumnCounts) -> ColumnCounts:
        """Return the counts of both."""
        return ColumnCounts(
            self.num + other.num, self.bins + other.bins, self.missing + other.missing
        )

    def minus(self, other: ColumnCounts) -> ColumnCounts:
        """Return the counts without others that are among them."""
        return ColumnCounts(
            self.num - other.num, self.bins - other.bins, self.missing - other.missing
        )


@dataclass(frozen=True)
class ColumnDifference:
    """How one column differs from the reference.

    Attributes:
        name: Its header.
        p: Corrected for all columns that were looked at.
        size: Share of the rows that moved: to other bins, to other categories, or went missing.
        missing: Share of missing cells.
        former_missing: The same of the reference.
        new: Of categories the share that train did not have, or too rarely; of numbers the share
            beyond the reference's range.
        former_new: The same of the reference.
    """

    name: str
    p: float
    size: float
    missing: float
    former_missing: float
    new: float
    former_new: float


def column_bins(preprocess: Preprocess, parts: Sequence[Cells]) -> ColumnBins | None:
    """Return where the cells of a table are counted; None where samples are no rows.

    Args:
        preprocess: How rows are read.
        parts: Rows of the reference.
    """
    from headstart.preprocessing import TablePreprocess  # of which other servers know nothing

    if not isinstance(preprocess, TablePreprocess):
        return None
    numbers = np.concatenate([one.numbers for one in parts])
    missing = np.concatenate([_missing(one, len(preprocess.columns)) for one in parts])
    names, is_coded, places = _places(preprocess.spec)
    edges: list[np.ndarray] = []
    for place, (coded, at) in enumerate(zip(is_coded, places, strict=True)):
        edges.append(_edges(np.empty(0) if coded else numbers[~missing[:, place], at]))
    longest = max((len(one) for one in edges), default=0)
    filled = np.full((len(names), longest), np.inf, np.float32)
    for place, one in enumerate(edges):
        filled[place, : len(one)] = one
    sizes = [size for one in preprocess.inputs for size in one.below]
    width = max([longest + 1, *sizes])
    return ColumnBins(tuple(names), np.array(is_coded, bool), np.array(places), filled, width)


def _missing(cells: Cells, num_columns: int) -> np.ndarray:
    """Return which cells are missing, bool, shape (N, C); none where nobody has looked."""
    if cells.missing is None:
        return np.zeros((len(cells), num_columns), bool)
    return cells.missing


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the ends of bins: just below the least value, at quantiles, at the greatest."""
    if not len(values):
        return np.empty(0, np.float32)
    inner = np.quantile(values, np.arange(1, _BINS) / _BINS, method="inverted_cdf")
    least = np.nextafter(values.min(), np.float32(-np.inf))
    return np.unique(np.array([least, *inner, values.max()], np.float32))


def _places(spec: TableSpec) -> tuple[list[str], list[bool], list[int]]:
    """Return each column's name, whether it is of categories, and where it stands.

    The order is that of ``preprocessing.columns.to_cells``.
    """
    names, is_coded, places = [], [], []
    num_numbers = num_codes = 0
    for column in spec.columns:
        coded = column.kind == "categorical"
        names.append(column.name)
        is_coded.append(coded)
        places.append(num_codes if coded else num_numbers)
        if coded:
            num_codes += 1
            num_numbers += bool(column.levels)
        else:
            num_numbers += max(1, len(column.mean)) + column.has_missing
    return names, is_coded, places


def compare_columns(
    bins: ColumnBins, reference: ColumnCounts, window: ColumnCounts
) -> list[ColumnDifference]:
    """Return how each column of a window differs from the reference.

    Args:
        bins: Where both were counted.
        reference: Of held-out rows.
        window: Of new rows.
    """
    both = reference, window
    gaps = [np.stack([one.missing, one.num - one.missing], axis=1) for one in both]
    of_gaps, of_shares = chi_square(*gaps), chi_square(*(_inner(bins, one) for one in both))
    of_order = np.where(bins.is_coded, 1.0, compare_binned(reference.bins, window.bins)[0])
    of_ranks = np.where(bins.is_coded, 1.0, rank_sum(reference.bins, window.bins))
    least = np.minimum.reduce([of_gaps, of_shares, of_order, of_ranks])
    corrected = holm(np.minimum(1.0, _TESTS * least).tolist())
    sizes = np.maximum(moved(reference.bins, window.bins), moved(*gaps))
    missing = [one.missing / max(one.num, 1) for one in both]
    new = [_new(bins, one) for one in both]
    return [
        ColumnDifference(
            name,
            corrected[place],
            float(sizes[place]),
            float(missing[1][place]),
            float(missing[0][place]),
            float(new[1][place]),
            float(new[0][place]),
        )
        for place, name in enumerate(bins.names)
    ]


def _inner(bins: ColumnBins, counts: ColumnCounts) -> np.ndarray:
    """Return counts with those beyond the reference's range in the bins beside them.

    That range was made so that the reference has none there: by chance alone others have many.
    """
    found = counts.bins.copy()
    rows = np.flatnonzero(~bins.is_coded & (bins.width > 2))
    last = np.isfinite(bins.edges).sum(axis=1)[rows]
    for place, at in zip(rows.tolist(), last.tolist(), strict=True):
        if at >= 2:
            found[place, 1] += found[place, 0]
            found[place, at - 1] += found[place, at]
            found[place, 0] = found[place, at] = 0
    return found


def _new(bins: ColumnBins, counts: ColumnCounts) -> np.ndarray:
    """Return the share of cells that are in no bin of what was there before, shape (C,)."""
    found = counts.bins[:, 0].copy()
    num_edges = np.isfinite(bins.edges).sum(axis=1)
    above = counts.bins[np.arange(len(found)), np.minimum(num_edges, bins.width - 1)]
    found += np.where(bins.is_coded, 0, above)
    return np.asarray(found / max(counts.num, 1))


def smallest(found: Sequence[ColumnDifference]) -> float:
    """Return the smallest corrected p-value of some columns; 1 of none."""
    return min((one.p for one in found), default=1.0)
