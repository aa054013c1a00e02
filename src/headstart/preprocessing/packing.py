"""Windows of documents, and windows that share a row: what a language model reads at once.

A document longer than a row is cut into windows of nearly equal length, so that no window is a
useless end. For a causal model neighbours share one token, so that each token is predicted exactly
once. Windows that share a row never see one another (``Rows`` says where each begins), and fill it
up best: the longest first, each into the row that it leaves the least of.

Source: best fit decreasing; of sequences, Krell et al., "Efficient Sequence Packing without
Cross-contamination", 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """Stretches of documents.

    Attributes:
        documents: int64, shape (N,), the document of each.
        begins: int64, shape (N,), place of its first token in the document.
        ends: int64, shape (N,), the place after its last.
    """

    documents: np.ndarray
    begins: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each, int64, shape (N,)."""
        found: np.ndarray = self.ends - self.begins
        return found

    def some(self, places: np.ndarray) -> Windows:
        """Return those at some places."""
        return Windows(self.documents[places], self.begins[places], self.ends[places])


def cut_documents(documents: np.ndarray, lengths: np.ndarray, most: int) -> Windows:
    """Return the windows of documents, in their order; together they hold each token once.

    Args:
        documents: int64, shape (N,), numbers of the documents.
        lengths: int64, shape (N,), tokens of each, at least one.
        most: Tokens of a window at the most.

    Example:
        >>> found = cut_documents(np.array([4, 9]), np.array([7, 2]), 3)
        >>> found.documents.tolist(), found.begins.tolist(), found.ends.tolist()
        ([4, 4, 4, 9], [0, 2, 4, 0], [2, 4, 7, 2])
    """
    counts = -(-lengths // most)
    owners = np.repeat(np.arange(len(documents)), counts)
    number = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    length, count = lengths[owners], counts[owners]
    begins, ends = number * length // count, (number + 1) * length // count
    return Windows(documents[owners], begins, ends)


def pack(lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which windows share a row.

    Args:
        lengths: int64, shape (N,), from 1 to ``most``.
        most: Tokens of a row.

    Returns:
        The windows, row after row, int64, shape (N,); and where each row begins in them, with
        their number at the end, int64, shape (R + 1,).

    Example:
        >>> order, bounds = pack(np.array([3, 5, 2, 2]), 6)
        >>> [order[a:b].tolist() for a, b in zip(bounds, bounds[1:])]
        [[1], [0, 2], [3]]
    """
    rows: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(most + 1)]
    rooms = 0  # bit r is set where some row has room for r more
    for window in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[window])
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                rooms &= ~(1 << room)
            rows[row].append(window)
        else:
            room, row = most, len(rows)
            rows.append([window])
        if room > length:
            by_room[room - length].append(row)
            rooms |= 1 << (room - length)
    bounds = np.cumsum([0, *map(len, rows)])
    return np.array([w for row in rows for w in row], np.int64), bounds.astype(np.int64)
