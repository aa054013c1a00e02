"""N-grams of characters, counted by NumPy: what scikit-learn's character analyzer counts.

scikit-learn cuts every n-gram out of a text as a Python str and looks it up in a dict; on Chinese,
where TF-IDF has characters for words, that is most of what a run of TF-IDF takes. Here an n-gram is
one number (21 bits a character, the first character highest, so that numbers sort as the n-grams
do), and counting is sorting. The counts are the same, term for term; weights stay scikit-learn's
business. Left out: words, whose number has no bound, and n-grams of more than three characters
(``pieces`` has these, inside words).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

MOST_CHARACTERS = 3  # that one number holds
_BITS = 21  # of a code point and one: zero is no character
_CHUNK = 1_000_000  # characters counted at once
_BLANKS = re.compile(r"\s\s+")


def count_ngrams(
    texts: Sequence[str], longest: int, *, least_texts: int, most: int
) -> tuple[list[str], np.ndarray]:
    """Count the n-grams of 1 to ``longest`` characters, lower case, runs of blanks as one.

    Args:
        texts: Any texts.
        longest: Characters of the longest n-grams, 1 to 3.
        least_texts: An n-gram of fewer texts is left out.
        most: No more than so many n-grams are kept, those that occur most often; of equally
            frequent ones the first in order.

    Returns:
        The n-grams that are kept, sorted, and in how many texts each occurs, int64, shape (D,).
    """
    lots = ((rows, found) for _, rows, found in _numbered(texts, longest))
    keys, num_texts = count_numbers(lots, least_texts=least_texts, most=most)
    return [_spell(key) for key in keys.tolist()], num_texts


def count_numbers(
    lots: Iterable[tuple[np.ndarray, np.ndarray]], *, least_texts: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count n-grams that are numbers, a lot of texts at a time.

    Args:
        lots: Of each n-gram its row, ascending, and its number, uint64; no text is in two lots.
        least_texts: An n-gram of fewer texts is left out.
        most: No more than so many are kept, those that occur most often.

    Returns:
        The numbers that are kept, ascending, and in how many texts each occurs, int64.
    """
    # n-grams with how often, and in how many texts, they occur, each run half of the one before
    runs = [(np.empty(0, np.uint64), np.empty((2, 0), np.int64))]
    for rows, found in lots:
        # stable, so that the rows of one n-gram ascend: a text is counted where it begins
        order = np.argsort(found, kind="stable")
        found, rows = found[order], rows[order]
        begins = np.concatenate([[True], found[1:] != found[:-1]])[: len(found)]
        is_first = begins | np.concatenate([[True], rows[1:] != rows[:-1]])[: len(found)]
        starts = np.flatnonzero(begins)
        how_often = np.diff(np.append(starts, len(found)))
        num_texts = np.add.reduceat(is_first, starts, dtype=np.int64) if len(starts) else how_often
        runs.append((found[starts], np.stack([how_often, num_texts])))
        while len(runs) > 1 and len(runs[-2][0]) < 2 * len(runs[-1][0]):
            runs.append(_merge(*runs.pop(), *runs.pop()))
    while len(runs) > 1:
        runs.append(_merge(*runs.pop(), *runs.pop()))
    ((keys, counts),) = runs
    kept = np.flatnonzero(counts[1] >= least_texts)
    if len(kept) > most:
        kept = np.sort(kept[np.argsort(-counts[0][kept], kind="stable")[:most]])
    return keys[kept], counts[1][kept]


def ngram_matrix(texts: Sequence[str], terms: Sequence[str], longest: int) -> Any:
    """Return how often each known n-gram occurs in each text.

    Args:
        texts: Any texts.
        terms: N-grams of 1 to ``longest`` characters, each once, in any order.
        longest: As in ``count_ngrams``.

    Returns:
        A SciPy CSR matrix, float32, shape (N, D), columns in the order of ``terms``.
    """
    from scipy.sparse import csr_matrix, vstack

    known = np.array([_number(term) for term in terms], dtype=np.uint64)
    columns = np.argsort(known)
    known = known[columns]
    parts = []
    for num_rows, rows, found in _numbered(texts, longest):
        places = np.minimum(np.searchsorted(known, found), len(known) - 1)
        hits = known[places] == found
        rows, places = rows[hits], columns[places[hits]]
        ones = np.ones(len(rows), np.float32)
        part = csr_matrix((ones, (rows, places)), shape=(num_rows, len(known)))
        part.sum_duplicates()
        parts.append(part)
    if not parts:
        return csr_matrix((len(texts), len(known)), dtype=np.float32)
    return parts[0] if len(parts) == 1 else vstack(parts, format="csr")


def _numbered(texts: Sequence[str], longest: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield, for some texts at a time: their number, and of each n-gram its row and its number."""
    lot: list[str] = []
    size = 0
    for place, text in enumerate(texts):
        lot.append(_BLANKS.sub(" ", text.lower()))
        size += len(lot[-1])
        if size >= _CHUNK or place == len(texts) - 1:
            yield len(lot), *_number_lot(lot, longest)
            lot, size = [], 0


def _number_lot(lot: list[str], longest: int) -> tuple[np.ndarray, np.ndarray]:
    joined = "".join(lot).encode("utf-32-le", "surrogatepass")
    characters = np.frombuffer(joined, np.uint32).astype(np.uint64) + np.uint64(1)
    owners = np.repeat(np.arange(len(lot)), [len(text) for text in lot])
    rows, numbers = [], []
    for length in range(1, min(longest, len(characters)) + 1):
        num = len(characters) - length + 1
        inside = owners[:num] == owners[length - 1 :]  # the last character is of the same text
        number = np.zeros(num, np.uint64)
        for place in range(length):
            shift = np.uint64(_BITS * (MOST_CHARACTERS - 1 - place))
            number |= characters[place : place + num] << shift
        rows.append(owners[:num][inside])
        numbers.append(number[inside])
    nothing = np.empty(0, np.int64), np.empty(0, np.uint64)
    if not rows:
        return nothing
    return np.concatenate(rows), np.concatenate(numbers)


def _merge(
    keys: np.ndarray, counts: np.ndarray, own: np.ndarray, both: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add the counts (2, E) of some n-grams to those (2, D) of others; both are sorted.

    A lot is merged with what is about as large: were each added to all before, the time would grow
    with the square of the texts.
    """
    every = np.concatenate([keys, own])
    order = np.argsort(every, kind="stable")  # two sorted runs: no more than a merge
    every, ordered = every[order], np.concatenate([counts, both], axis=1)[:, order]
    starts = np.flatnonzero(np.concatenate([[True], every[1:] != every[:-1]])[: len(every)])
    if not len(starts):
        return every, ordered
    return every[starts], np.add.reduceat(ordered, starts, axis=1)


def _number(term: str) -> int:
    number = 0
    for place, character in enumerate(term):
        number |= (ord(character) + 1) << (_BITS * (MOST_CHARACTERS - 1 - place))
    return number


def _spell(number: int) -> str:
    shifts = (_BITS * place for place in reversed(range(MOST_CHARACTERS)))
    codes = ((number >> shift) & ((1 << _BITS) - 1) for shift in shifts)
    return "".join(chr(code - 1) for code in codes if code)
