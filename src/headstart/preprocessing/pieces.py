"""Pieces of words: n-grams of up to five characters inside a word, counted by NumPy.

Beside whole words they tell what words have in common (``refund``, ``refunded``), and what is
written in an unusual way. A word has a blank on either side, which belongs to its first and its
last pieces; no piece goes over two words. These are the n-grams of scikit-learn's ``char_wb``. One
piece is one number: 12 bits a character of an alphabet that the texts themselves give, the first
highest, so that numbers sort as pieces do in that alphabet, which is sorted.

Left out: characters beyond the 4,095 most frequent ones; a piece that has one is not counted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from headstart.preprocessing.ngrams import merge_runs

LONGEST = 5
_BITS = 12
_MOST_LETTERS = (1 << _BITS) - 1
_CODES = 0x110000
_CHUNK = 500_000  # characters counted at once
_BLANK = " "


def count_pieces(
    texts: Sequence[str], *, least_texts: int, most: int
) -> tuple[list[str], np.ndarray]:
    """Count the pieces of the words of texts, in lower case.

    Args:
        texts: Any texts.
        least_texts: A piece of fewer texts is left out.
        most: No more than so many are kept, those that occur most often.

    Returns:
        The pieces that are kept, sorted, and in how many texts each occurs, int64, shape (D,).
    """
    counts = np.zeros(_CODES, np.int64)
    for lot in _lots(texts):
        counts += np.bincount(_codes(lot), minlength=_CODES)
    used = np.flatnonzero(counts)
    if len(used) > _MOST_LETTERS:
        used = np.sort(used[np.argsort(-counts[used], kind="stable")[:_MOST_LETTERS]])
    table = _table(used)
    lots = (_number_lot(lot, table)[::-1] for lot in _lots(texts))
    ordered = ((rows, found) for found, rows in lots)
    keys, num_texts = _count_numbers(ordered, least_texts=least_texts, most=most)
    return [_spell(key, used) for key in keys.tolist()], num_texts


def _count_numbers(
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
            runs.append(merge_runs(*runs.pop(), *runs.pop()))
    while len(runs) > 1:
        runs.append(merge_runs(*runs.pop(), *runs.pop()))
    ((keys, counts),) = runs
    kept = np.flatnonzero(counts[1] >= least_texts)
    if len(kept) > most:
        kept = np.sort(kept[np.argsort(-counts[0][kept], kind="stable")[:most]])
    return keys[kept], counts[1][kept].astype(np.int64)


class PieceTable:
    """Pieces that are known, to be counted in texts.

    Args:
        pieces: Each once, in any order.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        letters = sorted({ord(character) for piece in pieces for character in piece})
        self._table = _table(np.array(letters[:_MOST_LETTERS], np.int64))
        numbers = np.array([self._number(piece) for piece in pieces], np.uint64)
        self._columns = np.argsort(numbers)
        self._known = numbers[self._columns]
        self._num = len(pieces)

    def _number(self, piece: str) -> int:
        number = 0
        for place, character in enumerate(piece[:LONGEST]):
            number |= int(self._table[ord(character)]) << (_BITS * (LONGEST - 1 - place))
        return number

    def counts(self, texts: Sequence[str]) -> Iterator[Any]:
        """Yield how often each piece occurs, for some texts at a time: SciPy CSR, float32."""
        from scipy.sparse import csr_matrix

        for lot in _lots(texts):
            rows, found = _number_lot(lot, self._table)
            places = np.minimum(np.searchsorted(self._known, found), max(0, self._num - 1))
            hits = self._known[places] == found if self._num else np.zeros(len(found), bool)
            rows, places = rows[hits], self._columns[places[hits]]
            ones = np.ones(len(rows), np.float32)
            part = csr_matrix((ones, (rows, places)), shape=(len(lot), self._num))
            part.sum_duplicates()
            yield part


def _lots(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield some texts at a time, their words with one blank before, between and after."""
    lot: list[str] = []
    size = 0
    for place, text in enumerate(texts):
        words = unicodedata.normalize("NFC", text.lower()).split()
        lot.append(f"{_BLANK}{_BLANK.join(words)}{_BLANK}" if words else "")
        size += len(lot[-1])
        if size >= _CHUNK or place == len(texts) - 1:
            yield lot
            lot, size = [], 0


def _codes(lot: Sequence[str]) -> np.ndarray:
    joined = "".join(lot).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(joined, np.uint32).astype(np.int64)


def _table(letters: np.ndarray) -> np.ndarray:
    """Return the number of each character: from 1 on, and 0 for those that are none of them."""
    table = np.zeros(_CODES, np.uint64)
    table[letters] = np.arange(1, len(letters) + 1, dtype=np.uint64)
    return table


def _number_lot(lot: Sequence[str], table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each piece the text that it is in, ascending, int64, and its number, uint64."""
    codes = _codes(lot)
    letters = table[codes]
    is_blank = codes == ord(_BLANK)
    owners = np.repeat(np.arange(len(lot)), [len(text) for text in lot])
    rows, numbers = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for length in range(1, min(LONGEST, len(codes)) + 1):
        num = len(codes) - length + 1
        number = np.zeros(num, np.uint64)
        inside = np.ones(num, bool)
        for place in range(length):
            part = slice(place, place + num)
            number |= letters[part] << np.uint64(_BITS * (LONGEST - 1 - place))
            inside &= letters[part] > 0
            if 0 < place < length - 1:
                inside &= ~is_blank[part]
        if length < 3:  # no word without a letter, and nothing from one text to the next
            inside &= ~(is_blank[:num] & is_blank[length - 1 :])
        rows.append(owners[:num][inside])
        numbers.append(number[inside])
    return np.concatenate(rows), np.concatenate(numbers)


def _spell(number: int, letters: np.ndarray) -> str:
    shifts = (_BITS * place for place in reversed(range(LONGEST)))
    codes = ((number >> shift) & ((1 << _BITS) - 1) for shift in shifts)
    return "".join(chr(int(letters[code - 1])) for code in codes if code)
