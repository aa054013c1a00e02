"""Texts as sets of words and of neighbouring words, and which of them may be alike.

What is compared is a text in small letters without punctuation and web addresses; of scripts that
are written without blanks each character is a word. MinHash of pairs of neighbouring words (Broder
1997) proposes: 32 bands of 3 hashes, so that of two texts that share half their pairs 98 % meet in
a band, and of two that share a tenth 3 %. In a band a text is held against the first of its place
and against its neighbour, never against all: cost grows with the number of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.identity import fold, hash_strings, mixed, seed_of

BLOCK = 2**14  # texts at once
NUM_BANDS, ROWS = 32, 3
_ADDRESS = r"(?:https?://|www\.)\S+"
# written without blanks between words
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_APOSTROPHES = r"['’ʼ`´]"
_MARKS = r"[^\p{L}\p{M}\p{N}]+"
_BETWEEN = np.uint64(0x9E3779B97F4A7C15)
PAIR_BLOCK = 2**16  # pairs at once


@dataclass(frozen=True)
class Sets:
    """Sets of numbers, one for each of N texts: ``keys[starts[i] : starts[i + 1]]`` is that of i.

    Attributes:
        keys: uint64, ascending within a text.
        starts: int64, shape (N + 1,).
    """

    keys: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """int64, shape (N,)."""
        return np.diff(self.starts)

    def common(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return how many numbers two texts share, for many pairs; int64 (P,)."""
        counts = np.zeros(len(first), np.int64)
        for start in range(0, len(first), PAIR_BLOCK):
            part = slice(start, start + PAIR_BLOCK)
            rows, keys = [], []
            for ends in (first[part], second[part]):
                sizes = self.sizes[ends]
                pair = np.repeat(np.arange(len(ends)), sizes)
                steps = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
                rows.append(pair)
                keys.append(self.keys[np.repeat(self.starts[ends], sizes) + steps])
            pair, key = np.concatenate(rows), np.concatenate(keys)
            order = np.lexsort((key, pair))
            pair, key = pair[order], key[order]
            twice = (pair[1:] == pair[:-1]) & (key[1:] == key[:-1])
            counts[part] = np.bincount(pair[1:][twice], minlength=len(first[part]))
        return counts


@dataclass(frozen=True)
class Shingled:
    """N texts as they are compared.

    Attributes:
        whole: uint64, shape (N,), the text in its plain form without blanks; the same where nothing
            but case, blanks, punctuation and web addresses differ.
        words: The different words of each.
        pairs: The different pairs of neighbouring words of each.
        lengths: float64, shape (N,), words; a character of a script without blanks is half a one.
        bands: uint64, shape (32, N), what a text's place in each band is.
    """

    whole: np.ndarray
    words: Sets
    pairs: Sets
    lengths: np.ndarray
    bands: np.ndarray


def plain(texts: Sequence[str]) -> Any:
    """Return texts in the form in which they are compared, words between single blanks.

    Returns:
        A pyarrow array.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    words = fold(pa.array(texts, pa.large_string()))
    words = pc.replace_substring_regex(words, _ADDRESS, " ")
    words = pc.replace_substring_regex(words, _APOSTROPHES, "")
    if pc.all(pc.string_is_ascii(words)).as_py() is False:
        words = pc.replace_substring_regex(words, _UNSPACED, r" \1 ")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(words, _MARKS, " "))


def shingle(texts: Sequence[str], is_over: Callable[[], bool] = lambda: False) -> Shingled | None:
    """Return texts as they are compared; None if the time is up before.

    Args:
        texts: N of them.
        is_over: Whether the time is up.
    """
    draw = np.random.default_rng(0)
    factors = draw.integers(1, 2**63, NUM_BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    parts = []
    for start in range(0, len(texts), BLOCK):
        if is_over():
            return None
        parts.append(_shingle_some(texts[start : start + BLOCK], factors))
    if not parts:
        parts = [_shingle_some([], factors)]
    return Shingled(
        np.concatenate([part.whole for part in parts]),
        _joined([part.words for part in parts]),
        _joined([part.pairs for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.bands for part in parts], axis=1),
    )


def propose_pairs(bands: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of texts that meet in a band, each once; int64 (P,) each, the lower first.

    Args:
        bands: uint64, shape (32, N).
        chosen: int64, the texts that are looked at.
    """
    found = [np.zeros((0, 2), np.int64)]
    for number in range(len(bands) if len(chosen) else 0):  # all texts may be too short
        here, following = bands[number, chosen], bands[(number + 1) % len(bands), chosen]
        order = np.lexsort((following, here))  # the likeliest are neighbours
        here, texts = here[order], chosen[order]
        same = np.concatenate([[False], here[1:] == here[:-1]])
        first = texts[np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))]
        places = np.flatnonzero(same)
        for other in (texts[places - 1], first[places]):
            found.append(np.sort(np.column_stack([texts[places], other]), axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _shingle_some(texts: Sequence[str], factors: np.ndarray) -> Shingled:
    import pyarrow.compute as pc

    words = plain(texts)
    lists = pc.utf8_split_whitespace(words)
    starts = lists.offsets.to_numpy().astype(np.int64)
    cells = lists.flatten()
    encoded = cells.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    tokens = hash_strings(encoded.dictionary)[codes] if len(codes) else np.zeros(0, np.uint64)
    is_unspaced = pc.match_substring_regex(encoded.dictionary, _UNSPACED)
    halves = np.where(is_unspaced.to_numpy(zero_copy_only=False), 0.5, 1.0)[codes]
    rows = np.repeat(np.arange(len(texts)), np.diff(starts))
    lengths = np.bincount(rows, halves, len(texts))
    following = rows[1:] == rows[:-1]
    pairs = mixed(tokens[:-1] * _BETWEEN + tokens[1:])[following]
    word_sets = _sets(rows, tokens, len(texts))
    pair_sets = _sets(rows[1:][following], pairs, len(texts))
    bands = _bands(pair_sets, word_sets, factors)
    whole = hash_strings(pc.replace_substring(words, " ", ""))
    return Shingled(whole, word_sets, pair_sets, lengths, bands)


def _sets(rows: np.ndarray, keys: np.ndarray, number: int) -> Sets:
    order = np.lexsort((keys, rows))
    rows, keys = rows[order], keys[order]
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (rows[1:] != rows[:-1]) | (keys[1:] != keys[:-1])
    counts = np.bincount(rows[fresh], minlength=number)
    return Sets(keys[fresh], np.concatenate([[0], np.cumsum(counts)]))


def _joined(parts: Sequence[Sets]) -> Sets:
    sizes = np.concatenate([part.sizes for part in parts])
    return Sets(
        np.concatenate([part.keys for part in parts]), np.concatenate([[0], np.cumsum(sizes)])
    )


def _bands(pairs: Sets, words: Sets, factors: np.ndarray) -> np.ndarray:
    """Return the place of each text in each band, uint64 (32, N).

    Of a hash the high half of an odd multiple is as good as a permutation (multiply-shift).
    """
    number = len(pairs.sizes)
    bands = np.zeros((NUM_BANDS, number), np.uint64)
    full = np.flatnonzero(pairs.sizes)
    starts = pairs.starts[full]
    for band in range(NUM_BANDS if len(full) else 0):
        place = np.full(len(full), seed_of(f"band {band}"))
        for factor in factors[band * ROWS : (band + 1) * ROWS]:
            values = (mixed(pairs.keys) * factor) >> np.uint64(32)
            place = mixed(place * _BETWEEN + np.minimum.reduceat(values, starts))
        bands[band, full] = place
    empty = np.flatnonzero(pairs.sizes == 0)  # texts of one word meet those of the same
    alone = np.zeros(number, np.uint64)
    alone[empty[words.sizes[empty] > 0]] = words.keys[words.starts[empty[words.sizes[empty] > 0]]]
    bands[:, empty] = mixed(alone[empty] + np.uint64(1))
    return bands
