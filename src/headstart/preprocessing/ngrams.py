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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_CHARACTERS = 3  # that one number holds
_BITS = 21  # of a code point and one: zero is no character
_CHUNK = 300_000  # characters counted at once
_NUM_CODES = 0x110000  # code points
NUM_RANGES = 16  # of n-grams that are merged apart
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
    ranges: list[_Range] = []
    for lot in _lots(texts, longest):
        starts = np.flatnonzero(lot.is_new_key)
        how_often = np.diff(np.append(starts, len(lot.packed)))
        is_new_text = _differ(lot.packed)
        num_texts = np.add.reduceat(is_new_text, starts, dtype=np.int64) if len(starts) else starts
        keys = lot.numbers(lot.keys[starts])
        counts = np.stack([how_often, num_texts]).astype(np.uint32)
        if not ranges:  # as many of the first lot in each: what is merged at once is a part
            inner = keys[np.arange(1, NUM_RANGES) * len(keys) // NUM_RANGES] if len(keys) else keys
            ranges = [_Range(int(least)) for least in (0, *np.unique(inner[inner > 0]).tolist())]
        cuts = np.searchsorted(keys, np.array([each.least for each in ranges], np.uint64))
        for each, start, stop in zip(ranges, cuts, [*cuts[1:], len(keys)], strict=True):
            each.add(keys[start:stop], counts[:, start:stop])
    parts = [each.kept(least_texts, most) for each in ranges]
    keys = np.concatenate([keys for keys, _ in parts] or [np.empty(0, np.uint64)])
    counts = np.concatenate([own for _, own in parts] or [np.empty((2, 0), np.uint32)], axis=1)
    kept = _most_often(counts, most)
    return [_spell(key) for key in keys[kept].tolist()], counts[1][kept].astype(np.int64)


def ngram_counts(texts: Sequence[str], terms: Sequence[str], longest: int) -> Iterator[Any]:
    """Yield how often each known n-gram occurs in each text, for some texts at a time.

    Args:
        texts: Any texts.
        terms: N-grams of 1 to ``longest`` characters, each once, in any order.
        longest: As in ``count_ngrams``.

    Yields:
        SciPy CSR matrices, float32, shape (n, D), columns in the order of ``terms``.
    """
    from scipy.sparse import csr_matrix

    known = np.array([_number(term) for term in terms], dtype=np.uint64)
    columns = np.argsort(known)
    known = known[columns]
    for lot in _lots(texts, longest):
        pairs = np.flatnonzero(_differ(lot.packed))
        how_often = np.diff(np.append(pairs, len(lot.packed)))
        starts = np.flatnonzero(lot.is_new_key)
        # numbers are sorted: the known ones are looked up among them, and not each of them
        there, here = _common(known, lot.numbers(lot.keys[starts]))
        ends = np.append(starts, len(lot.packed))
        low, high = (np.searchsorted(pairs, at) for at in (ends[here], ends[here + 1]))
        places = _spans(low, high - low)
        rows = (lot.packed[pairs[places]] & lot.row_mask).astype(np.int32)
        found = np.repeat(columns[there], high - low)
        counts = how_often[places].astype(np.float32)
        yield csr_matrix((counts, (rows, found)), shape=(lot.num_rows, len(known)))


class _Range:
    """N-grams of the numbers from ``least`` on, and how often, and in how many texts, they occur.

    A lot is merged with what is about as large: were each added to all before, the time would grow
    with the square of the texts.
    """

    def __init__(self, least: int) -> None:
        self.least = least
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []  # each half of the one before

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Add n-grams, sorted, with their counts (2, E)."""
        self._runs.append((keys.copy(), counts.copy()))  # not a view, which keeps the whole lot
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            self._runs.append(merge_runs(*self._runs.pop(), *self._runs.pop()))

    def kept(self, least_texts: int, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the n-grams of so many texts, the most frequent ones, and their counts."""
        while len(self._runs) > 1:
            self._runs.append(merge_runs(*self._runs.pop(), *self._runs.pop()))
        ((keys, counts),) = self._runs
        self._runs = []
        kept = np.flatnonzero(counts[1] >= least_texts)
        kept = kept[_most_often(counts[:, kept], most)]
        return keys[kept], counts[:, kept]


def _most_often(counts: np.ndarray, most: int) -> np.ndarray:
    """Return the places of those that occur most often, ascending; of equals the first."""
    if counts.shape[1] <= most:
        return np.arange(counts.shape[1])
    order = np.argsort(-counts[0].astype(np.int64), kind="stable")
    return np.sort(order[:most])


@dataclass(frozen=True)
class _Lot:
    """N-grams of some texts, sorted: by their characters, then by the text.

    Attributes:
        packed: uint64, shape (E,): the characters as numbers among those of the lot, from the
            first, then the row. One sort of plain numbers is several times as quick as one that
            says where each came from.
        num_rows: Texts.
        row_bits: The last bits of ``packed`` are the row.
        character_bits: Of one character.
        characters: uint64: the character of each number and one; zero for none.
        longest: Characters of an n-gram.
    """

    packed: np.ndarray
    num_rows: int
    row_bits: int
    character_bits: int
    characters: np.ndarray
    longest: int

    @property
    def keys(self) -> np.ndarray:
        """The n-grams alone."""
        return np.asarray(self.packed >> np.uint64(self.row_bits))

    @property
    def row_mask(self) -> np.uint64:
        """What leaves the row alone."""
        return np.uint64((1 << self.row_bits) - 1)

    @property
    def is_new_key(self) -> np.ndarray:
        """bool, shape (E,), where an n-gram begins."""
        return _differ(self.keys)

    def numbers(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of n-grams that is the same in every lot, in the same order."""
        found = np.zeros(len(keys), np.uint64)
        mask = np.uint64((1 << self.character_bits) - 1)
        for place in range(self.longest):
            own = (keys >> np.uint64(self.character_bits * (self.longest - 1 - place))) & mask
            found |= self.characters[own] << np.uint64(_BITS * (MOST_CHARACTERS - 1 - place))
        return found


def _lots(texts: Sequence[str], longest: int) -> Iterator[_Lot]:
    """Yield the n-grams of some texts at a time."""
    lot: list[str] = []
    size = 0
    for place, text in enumerate(texts):
        lot.append(_BLANKS.sub(" ", text.lower()))
        size += len(lot[-1])
        if size >= _CHUNK or len(lot) >= _CHUNK or place == len(texts) - 1:
            yield from _packed(lot, longest)
            lot, size = [], 0


def _packed(lot: list[str], longest: int) -> Iterator[_Lot]:
    joined = "".join(lot).encode("utf-32-le", "surrogatepass")
    letters = np.frombuffer(joined, np.uint32)
    is_there = np.zeros(_NUM_CODES, bool)
    is_there[letters] = True
    characters = np.concatenate([[0], np.flatnonzero(is_there) + 1]).astype(np.uint64)
    row_bits, character_bits = (len(lot) - 1).bit_length(), (len(characters) - 1).bit_length()
    if row_bits + longest * character_bits > 64:  # very many texts of very many characters
        yield from _packed(lot[: len(lot) // 2], longest)
        yield from _packed(lot[len(lot) // 2 :], longest)
        return
    number_of = np.cumsum(is_there).astype(np.uint64)
    own: np.ndarray = number_of[letters]
    rows = np.repeat(np.arange(len(lot), dtype=np.uint64), [len(text) for text in lot])
    found = [np.empty(0, np.uint64)]
    for length in range(1, min(longest, len(own)) + 1):
        num = len(own) - length + 1
        packed = rows[:num].copy()
        for place in range(length):
            shift = np.uint64(row_bits + character_bits * (longest - 1 - place))
            packed |= own[place : place + num] << shift
        # the last character is of the same text
        found.append(packed[rows[:num] == rows[length - 1 :]])
    packed = np.sort(np.concatenate(found))
    yield _Lot(packed, len(lot), row_bits, character_bits, characters, longest)


def _differ(numbers: np.ndarray) -> np.ndarray:
    """Return where sorted numbers are other than the one before, bool, shape (E,)."""
    found: np.ndarray = np.ones(len(numbers), bool)
    found[1:] = numbers[1:] != numbers[:-1]
    return found


def _common(known: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of equal numbers in two sorted arrays of different ones."""
    if not len(numbers):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(numbers, known), len(numbers) - 1)
    there = np.flatnonzero(numbers[places] == known)
    return there, places[there]


def _spans(low: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the numbers of each span, one after the other."""
    before = np.cumsum(lengths) - lengths
    found: np.ndarray = np.arange(int(lengths.sum())) + np.repeat(low - before, lengths)
    return found


def merge_runs(
    keys: np.ndarray, counts: np.ndarray, own: np.ndarray, both: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add the counts (2, E) of some n-grams to those (2, D) of others; both are sorted."""
    every = np.concatenate([keys, own])
    order = np.argsort(every, kind="stable")  # two sorted runs: no more than a merge
    every, ordered = every[order], np.concatenate([counts, both], axis=1)[:, order]
    starts = np.flatnonzero(_differ(every))
    if not len(starts):
        return every, ordered
    summed: np.ndarray = np.add.reduceat(ordered, starts, axis=1, dtype=np.uint32)
    return every[starts], summed


def _number(term: str) -> int:
    number = 0
    for place, character in enumerate(term):
        number |= (ord(character) + 1) << (_BITS * (MOST_CHARACTERS - 1 - place))
    return number


def _spell(number: int) -> str:
    shifts = (_BITS * place for place in reversed(range(MOST_CHARACTERS)))
    codes = ((number >> shift) & ((1 << _BITS) - 1) for shift in shifts)
    return "".join(chr(code - 1) for code in codes if code)
