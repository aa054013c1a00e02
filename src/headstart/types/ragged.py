"""Rows of different lengths in one flat array: token tags, target sequences, logits of each token.

A Python list of small arrays would take several times the memory, and padding everything to the
longest row far more. Wherever targets or outputs are indexed by places, this may stand in place of
an array; what needs one width (a batch on a device) asks for ``padded``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

import numpy as np

IGNORED = -100  # fills ragged targets up; losses leave it out, as torch's do by themselves


@dataclass(frozen=True, eq=False)
class Ragged:
    """N rows, each an array of its own length.

    Attributes:
        flat: All rows one after the other, shape (M, …).
        offsets: int64, shape (N + 1,), where each row begins and ends in ``flat``.

    Example:
        >>> tags = Ragged.of([[1, 2], [], [3]])
        >>> len(tags), tags[0].tolist(), tags[np.array([2, 0])].padded(-100).tolist()
        (3, [1, 2], [[3, -100], [1, 2]])
    """

    flat: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[object]) -> Ragged:
        """Return rows, each what ``np.asarray`` takes; those without an element may be lists."""
        arrays = [np.asarray(row) for row in rows]
        filled = [array for array in arrays if len(array)]
        flat = np.concatenate(filled) if filled else np.zeros(0, np.int64)
        return cls(flat, np.cumsum([0, *map(len, arrays)], dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """Return the rows of all parts, one part after the other; at least one part."""
        flat = np.concatenate([part.flat for part in parts])
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(flat, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))

    @classmethod
    def even(cls, array: np.ndarray) -> Ragged:
        """Return rows of one length, shape (N, T, …), as rows of any."""
        num, length = array.shape[:2]
        flat = array.reshape(num * length, *array.shape[2:])
        return cls(flat, np.arange(num + 1, dtype=np.int64) * length)

    @property
    def lengths(self) -> np.ndarray:
        """Elements of each row, int64, shape (N,)."""
        return np.diff(self.offsets)

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.flat.dtype

    @property
    def whole(self) -> np.ndarray:
        """All elements of these rows, one row after the other."""
        return self.flat[self.offsets[0] : self.offsets[-1]]

    def padded(self, fill: float) -> np.ndarray:
        """Return all rows at the length of the longest, shape (N, T, …), filled up with a value."""
        lengths = self.lengths
        steps = np.arange(int(lengths.max(initial=0)))
        whole = np.full((len(self), len(steps), *self.flat.shape[1:]), fill, self.flat.dtype)
        whole[steps[None, :] < lengths[:, None]] = self.whole
        return whole

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[place] for place in range(len(self)))

    @overload
    def __getitem__(self, places: int | np.integer) -> np.ndarray: ...

    @overload
    def __getitem__(self, places: slice | np.ndarray | Sequence[int]) -> Ragged: ...

    def __getitem__(
        self, places: int | np.integer | slice | np.ndarray | Sequence[int]
    ) -> np.ndarray | Ragged:
        """Return one row by its number; or by a slice, places or a mask, several as ``Ragged``."""
        if isinstance(places, int | np.integer):
            row = range(len(self))[int(places)]
            return self.flat[self.offsets[row] : self.offsets[row + 1]]
        chosen = np.arange(len(self))[places]
        lengths = self.lengths[chosen]
        ends = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        # each element's place in the new flat array, shifted to where its row lies in the old one
        shifts = np.repeat(self.offsets[:-1][chosen] - ends[:-1], lengths)
        return Ragged(self.flat[np.arange(int(ends[-1])) + shifts], ends)

    def __eq__(self, other: object) -> bool:
        """Return whether the other has the same rows."""
        if not isinstance(other, Ragged):
            return NotImplemented
        same_lengths = np.array_equal(self.lengths, other.lengths)
        return same_lengths and np.array_equal(self.whole, other.whole)

    __hash__ = None  # type: ignore[assignment]  # equal rows may lie in other arrays


# One row a sample: an array of N rows, or rows of different lengths.
Rows: TypeAlias = np.ndarray | Ragged

# How what is told of parts of samples becomes a row a sample: places of these, int64, shape (B,),
# and what was told of each part, float32, shape (M, T, K).
Gathered: TypeAlias = Callable[[np.ndarray, np.ndarray], Ragged]
