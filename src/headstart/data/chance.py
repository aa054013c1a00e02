"""Whether samples are alike by chance: rows of few categories, texts of few words.

Two customers of one sex, plan and town are alike without being copies. How often that happens by
chance is estimated:

- of a table as a whole: each column in turn is left out; of the pairs of rows that then agree, the
  share that chance would make agree on that column too. Copies agree on everything or on little;
  chance leaves many pairs that differ in one column. Beside it stands the number of pairs that
  independent columns would give;
- of a text alone: the number of times that its words, drawn one by one, would make it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from headstart.data.identity import column_identity, fold

MAX_PAIRED_ROWS = 200_000  # of which pairs are counted
MOST_TIMES = 5  # that a row stands in a table which was joined or drawn again
MUCH_MORE = 5  # times what chance gives: then rows are copies
LIKELY_AGAIN = 0.2  # expected number of times that chance makes a text
MAX_WORDS = 8  # a text of more is not made by chance


def without_chance(texts: Sequence[str], groups: np.ndarray) -> np.ndarray:
    """Return groups of the same texts without those texts that chance makes again: int64, (N,)."""
    repeated = np.flatnonzero(np.bincount(groups)[groups] > 1)
    chance = repeated[texts_by_chance(texts, repeated)]
    groups = groups.copy()
    groups[chance] = len(groups) + chance
    return np.unique(groups, return_inverse=True)[1].reshape(-1)


def likeness(table: Any, contents: np.ndarray, columns: Sequence[str]) -> float:
    """Return the estimated chance that two rows agree in everything and are no copies.

    Args:
        table: The rows, in canonical form.
        contents: uint64, shape (N,), of these columns.
        columns: Names.
    """
    table, contents = fewer_rows(table, contents)
    terms = (column_identity(table.column(name), name).content for name in columns)
    return chance_of_likeness(terms, contents)


def chance_of_likeness(
    terms: Iterable[np.ndarray], contents: np.ndarray, *, by_each: bool = True
) -> float:
    """Return the estimated chance that two rows agree in everything and are no copies.

    Args:
        terms: Of each column what it adds to the rows' numbers, uint64 (N,).
        contents: Their sum.
        by_each: Whether each column in turn is left out; otherwise columns count as independent.
    """
    all_pairs = len(contents) * (len(contents) - 1) / 2
    if not all_pairs:
        return 0.0
    pairs = num_pairs(contents)
    expected, independent = 0.0, 1.0
    num_different = len(np.unique(contents))
    told = set[bytes]()
    for term in terms:
        agreeing = num_pairs(term) / all_pairs
        if by_each and agreeing < 1:
            almost = num_pairs(contents - term) - pairs  # they differ in this column alone
            expected = max(expected, almost * agreeing / (1 - agreeing) / all_pairs)
        _, first, codes = np.unique(term, return_index=True, return_inverse=True)
        pattern = first[codes.reshape(-1)].tobytes()
        # A town and its post code say the same; of two measurements, nearly all different, which
        # agree for the same rows alone, the second is a second witness, also where each row stands
        # a few times: then of the different rows nearly all differ.
        is_measured = 2 * len(first) > num_different and len(term) <= MOST_TIMES * len(first)
        if pattern not in told or is_measured:
            independent *= agreeing
            told.add(pattern)
    return max(expected, independent)


def fewer_rows(table: Any, contents: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return as many rows as pairs are counted of."""
    if len(contents) <= MAX_PAIRED_ROWS:
        return table, contents
    places = np.linspace(0, len(contents) - 1, MAX_PAIRED_ROWS).astype(np.int64)
    return table.take(places), contents[places]


def num_pairs(numbers: np.ndarray) -> float:
    """Return how many pairs of equal numbers there are."""
    counts = np.unique(numbers, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)


def texts_by_chance(texts: Sequence[str], places: np.ndarray) -> np.ndarray:
    """Return whether chance makes each of some texts again, in as many as there are.

    Args:
        texts: All of them: they say how usual a word is.
        places: int64, shape (M,), which ones are asked about.

    Returns:
        bool, shape (M,).
    """
    import pyarrow as pa

    step = max(1, len(texts) // MAX_PAIRED_ROWS)
    counts: dict[str, int] = {}
    for text in texts[::step]:
        for word in text.lower().split():
            counts[word] = counts.get(word, 0) + 1
    total = max(1, sum(counts.values()))
    asked = fold(pa.array([texts[i] for i in places.tolist()], pa.large_string())).to_pylist()
    again = np.zeros(len(places), bool)
    for i, text in enumerate(asked):
        words = text.split(None, MAX_WORDS)
        if len(words) <= MAX_WORDS:
            shares = [counts.get(word, 0) / total for word in words]
            again[i] = len(texts) * float(np.prod(shares)) >= LIKELY_AGAIN
    return again
