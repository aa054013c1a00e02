"""Words and pairs of words, counted by NumPy: what scikit-learn's word analyzer counts.

scikit-learn cuts every word and every pair of words out of a text as a Python str and keeps each in
a dict; of a million short texts these are ten million, most of which occur once and are dropped at
the end. Here a text becomes the numbers of its words (cut out of the bytes of many texts at once
where they are plain ASCII), a pair of words is one number, and counting is sorting, a part of the
words at a time. Numbers are given in the order of the words, so that pairs sort as their texts do.
The counts are the same, term for term; weights stay scikit-learn's business.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np

CHUNK_CHARACTERS = 2_000_000  # whose words are cut out at once
COUNTED_AT_ONCE = 2_000_000  # words whose terms are counted at once
_IS_WORD = np.zeros(256, bool)
_IS_WORD[[ord(c) for c in "abcdefghijklmnopqrstuvwxyz0123456789_"]] = True
_UNKNOWN = -1
_NO_KEY = -1  # of no text: so that there always is one to search among


@dataclass(frozen=True)
class Words:
    """What a word is.

    Attributes:
        find: Returns the words of a text that is in the one form.
        composed: Whether the one form is composed (NFC) as well as in lower case.
        marked: Finds ASCII beside letters, digits and ``_`` that may be part of a word.
    """

    find: Callable[[str], list[str]]
    composed: bool
    marked: Callable[[str], object]

    def of(self, text: str) -> list[str]:
        """Return the words of a text."""
        low = text.lower()
        return self.find(unicodedata.normalize("NFC", low) if self.composed else low)

    def are_plain(self, text: str) -> bool:
        """Return whether words are runs of ASCII letters, digits and ``_``, and nothing else."""
        return text.isascii() and self.marked(text) is None


@cache
def words_of(written: int) -> Words:
    """Return what a word is to a vectorizer of a format.

    Args:
        written: 1: a run of letters and digits; 2: with its marks, ``c++`` and ``c#``, and emoji.
    """
    if written == 1:
        return Words(re.compile(r"(?u)\b\w+\b").findall, composed=False, marked=_nothing)
    return Words(
        re.compile(word_pattern()).findall, composed=True, marked=re.compile("[+#]").search
    )


def _nothing(text: str) -> None:
    """Find nothing."""


@cache
def word_pattern() -> str:
    """Return what a word is; the vowel signs of Indic and Thai words are part of it."""
    marks = "".join(
        chr(code)
        for code in range(0x300, 0x1F000)
        if unicodedata.category(chr(code)) in ("Mn", "Mc")
    )
    joiners = "\u200c\u200d"
    emoji = "[\u2190-\u2bff\U0001f000-\U0001faff]"
    tails = f"(?:[\ufe0f\U0001f3fb-\U0001f3ff]|\u200d{emoji})*"
    language = r"(?:(?<=\b\w)(?:\+\+?|#)(?!\w))?"  # c++, c#, an a+
    return rf"(?u)\w+(?:[{marks}{joiners}]+\w*)*{language}|{emoji}{tails}"


def count_terms(
    texts: Sequence[str], words: Words, *, least_texts: int, most: int
) -> tuple[list[str], np.ndarray]:
    """Count the words of texts, and the pairs of words that stand together.

    Args:
        texts: Any texts.
        words: What a word is.
        least_texts: A term of fewer texts is left out.
        most: No more than so many terms are kept, those that occur most often; of equally frequent
            ones those that scikit-learn keeps.

    Returns:
        The terms that are kept, sorted, and in how many texts each occurs, int64, shape (D,).
    """
    known: dict[str, int] = {}
    parts, counts = [], []
    for _, numbers, codes in _coded(texts, words, partial(_number, known)):
        parts.append(codes)
        counts.append(numbers)
    if not known:
        return [], np.empty(0, np.int64)
    codes = np.concatenate(parts)
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), np.concatenate(counts))
    del parts, counts
    # what occurs in fewer texts than are asked for does so in every pair, too
    often = np.bincount(codes, minlength=len(known)) >= least_texts
    names = sorted(word for word, code in known.items() if often[code])
    rank_of = np.full(len(known), _UNKNOWN, np.int32)
    rank_of[[known[name] for name in names]] = np.arange(len(names), dtype=np.int32)
    del known
    keys, how_often, num_texts = _count(rank_of[codes], rows, len(names), least_texts)
    kept = np.arange(len(keys))
    if len(kept) > most:
        # as scikit-learn does it, so that ties fall as they did
        kept = np.sort((-how_often.astype(np.float32)).argsort()[:most])
    first, second = np.divmod(keys[kept], len(names) + 1)
    terms = [
        names[a] if b == 0 else f"{names[a]} {names[b - 1]}"
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    return terms, num_texts[kept]


def _number(known: dict[str, int], word: str) -> int:
    """Return the number of a word; a new one is given the next."""
    return known.setdefault(word, len(known))


def _count(
    ranks: np.ndarray, rows: np.ndarray, number: int, least_texts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count words and pairs of words, those that begin with some words at a time.

    Args:
        ranks: int32, shape (T,), the word at each place; -1 for one that does not count.
        rows: int32, shape (T,), the text that each place is in.
        number: Of words that count.
        least_texts: A term of fewer texts is left out.

    Returns:
        The number of each term, ascending: that of its first word times ``number + 1``, plus that
        of its second and one; how often it occurs; in how many texts.
    """
    second = np.zeros(len(ranks), np.int32)
    if len(ranks):
        second[:-1] = np.where(rows[1:] == rows[:-1], ranks[1:] + 1, 0)
    begun = np.cumsum(np.bincount(ranks[ranks >= 0], minlength=number))
    cuts = np.searchsorted(begun, np.arange(COUNTED_AT_ONCE, begun[-1:].sum(), COUNTED_AT_ONCE))
    found = [(np.empty(0, np.int64),) * 3]
    edges = [0, *np.unique(cuts + 1).tolist(), number]
    for low, high in pairwise(edges):
        places = np.flatnonzero((ranks >= low) & (ranks < high))
        alone = ranks[places].astype(np.int64) * (number + 1)
        paired = second[places] > 0
        keys = np.concatenate([alone, alone[paired] + second[places][paired]])
        texts = np.concatenate([rows[places], rows[places][paired]])
        found.append(_count_keys(keys, texts, least_texts))
    keys, how_often, num_texts = (np.concatenate(part) for part in zip(*found, strict=True))
    return keys, how_often, num_texts


def _count_keys(
    keys: np.ndarray, rows: np.ndarray, least_texts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the different keys, how often each is there, and in how many rows."""
    # stable, so that the rows of a key ascend: each is counted where it begins
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
    is_first = begins | np.concatenate([[True], rows[1:] != rows[:-1]])[: len(keys)]
    starts = np.flatnonzero(begins)
    how_often = np.diff(np.append(starts, len(keys)))
    num_texts = np.add.reduceat(is_first, starts, dtype=np.int64) if len(starts) else how_often
    kept = num_texts >= least_texts
    return keys[starts[kept]], how_often[kept], num_texts[kept]


class TermTable:
    """Terms that are known, to be counted in texts.

    Args:
        terms: Words, and pairs of words with a blank between them, each once, in any order.
        words: What a word is.
    """

    def __init__(self, terms: Sequence[str], words: Words) -> None:
        split = [term.split(" ") for term in terms]
        names = sorted({word for parts in split for word in parts})
        self._words = words
        self._known: Mapping[str, int] = {name: code for code, name in enumerate(names)}
        self._base = len(names) + 1
        self._num_terms = len(terms)
        # what is no pair is a term that no text holds
        wanted = [(column, parts) for column, parts in enumerate(split) if len(parts) < 3]
        keys = np.array([_NO_KEY, *(self._key(parts) for _, parts in wanted)], np.int64)
        order = np.argsort(keys)
        self._keys = keys[order]
        self._columns = np.array([0, *(column for column, _ in wanted)], np.int64)[order]

    def _key(self, parts: Sequence[str]) -> int:
        codes = [self._known[word] for word in parts]
        return codes[0] * self._base + (codes[1] + 1 if len(codes) == 2 else 0)

    def counts(self, texts: Sequence[str]) -> Iterator[Any]:
        """Yield how often each term occurs, for some texts at a time: SciPy CSR, float32."""
        from scipy.sparse import csr_matrix

        for num_rows, counts, codes in _coded(texts, self._words, self._code):
            rows = np.repeat(np.arange(num_rows), counts)
            known = codes >= 0
            paired = np.flatnonzero(known[:-1] & known[1:] & (rows[:-1] == rows[1:]))
            first = codes.astype(np.int64) * self._base
            keys = np.concatenate([first[known], first[paired] + codes[paired + 1] + 1])
            rows = np.concatenate([rows[known], rows[paired]])
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            hits = self._keys[places] == keys
            cells = rows[hits] * self._num_terms + self._columns[places[hits]]
            cells, how_often = np.unique(cells, return_counts=True)
            rows, columns = np.divmod(cells, self._num_terms)
            ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=num_rows))])
            shape = (num_rows, self._num_terms)
            parts = how_often.astype(np.float32), columns.astype(np.int32), ends.astype(np.int32)
            yield csr_matrix(parts, shape=shape)

    def _code(self, word: str) -> int:
        return self._known.get(word, _UNKNOWN)


def _coded(
    texts: Sequence[str], words: Words, code_of: Callable[[str], int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield, for some texts at a time: their number, how many words each has, and their codes."""
    lot: list[str] = []
    size = 0
    for place, text in enumerate(texts):
        lot.append(text)
        size += len(text)
        if size >= CHUNK_CHARACTERS or place == len(texts) - 1:
            yield len(lot), *_code_lot(lot, words, code_of)
            lot, size = [], 0


def _code_lot(
    lot: list[str], words: Words, code_of: Callable[[str], int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many words each text has, int64, and the codes of all words, int32."""
    is_plain = np.fromiter(map(words.are_plain, lot), bool, len(lot))
    counts = np.zeros(len(lot), np.int64)
    plain = [text for text, is_so in zip(lot, is_plain.tolist(), strict=True) if is_so]
    other = [words.of(t) for t, is_so in zip(lot, is_plain.tolist(), strict=True) if not is_so]
    counts[is_plain], cut = _cut_plain(plain)
    counts[~is_plain] = [len(found) for found in other]
    codes = np.empty(int(counts.sum()), np.int32)
    of_plain = np.repeat(is_plain, counts)
    codes[of_plain] = _codes_of(cut, code_of)
    codes[~of_plain] = _codes_of([word for found in other for word in found], code_of)
    return counts, codes


def _cut_plain(lot: list[str]) -> tuple[np.ndarray, Any]:
    """Return how many words each of some ASCII texts has, and the words as a pyarrow array."""
    import pyarrow as pa

    letters = np.frombuffer("\n".join([*lot, ""]).encode("ascii").lower(), np.uint8)
    is_word = _IS_WORD[letters]
    begins = is_word.copy()
    begins[1:] &= ~is_word[:-1]
    ends = np.cumsum([len(text) + 1 for text in lot]) if lot else np.empty(0, np.int64)
    so_far = np.cumsum(begins)
    counts = np.diff(so_far[ends - 1], prepend=0)
    within = np.cumsum(is_word)  # letters of words up to each place
    starts = np.flatnonzero(begins)
    offsets = np.append(within[starts] - 1, within[-1:].sum()).astype(np.int32)
    data = letters[is_word].tobytes()
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return counts, pa.Array.from_buffers(pa.string(), len(starts), buffers)


def _codes_of(found: Any, code_of: Callable[[str], int]) -> np.ndarray:
    """Return the code of each word; each different word is asked for once."""
    import pyarrow as pa

    encoded = pa.array(found, pa.string()).dictionary_encode()
    different = encoded.dictionary.to_pylist()
    codes = np.fromiter(map(code_of, different), np.int32, len(different))
    return np.asarray(codes[encoded.indices.to_numpy(zero_copy_only=False)])
