"""Terms: TF-IDF weights of words, or of characters where a script puts no blanks between words.

Beside words stand the pieces of words (``pieces``), where there are not too many texts for them:
what words have in common, and how they are written, tells much where few were seen.

The baseline of every text run: what a linear model reads off word counts alone. Words are counted
by ``words``, characters by ``ngrams`` and ``pieces``, as scikit-learn counts them; scikit-learn
weighs them. What was learned is one JSON file, so that nothing is pickled and a rebuilt vectorizer
gives the same numbers bit for bit. Needs neither transformers nor tokenizers.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import StartError
from headstart.preprocessing.learned_file import read_learned
from headstart.preprocessing.ngrams import count_ngrams, ngram_counts
from headstart.preprocessing.pieces import PieceTable, count_pieces
from headstart.preprocessing.words import TermTable, count_terms, words_of

FILE_NAME = "vectorizer.json"
FORMAT = 2  # 1: words are runs of letters and digits alone
MAX_TERMS = 50_000
SMALL = 200  # below this many texts a term may occur in one text only
MAX_PIECES = 30_000
PIECED_CHARACTERS = 2_000_000  # of all texts: from more, pieces take long and tell little
SMALLEST_PIECES = 3  # texts that a piece must be in
ANALYZERS = {"word": (1, 2), "char": (1, 3), "word+pieces": (1, 2)}  # n-grams of each


class TermVectorizer:
    """Turns texts into sparse TF-IDF weights.

    Sublinear term frequency (1 + log count), smoothed inverse document frequency, rows of length
    one (a text without a known term: zeros). Lower case, composed (NFC); words are runs of letters
    and digits with the marks that belong to them, ``c++`` and ``c#``, and emoji one by one.

    Args:
        terms: The vocabulary, in the order of the columns.
        idf: Inverse document frequency of each term, float32, shape (D,).
        analyzer: ``word`` (1-2-grams), ``char`` (1-3-grams), or ``word+pieces``: words, then
            pieces of words, each part of length one before both are joined to such a row.
        written: Format of the file it was read from, which says what a word is.
        num_words: How many of the terms are words; None for all.
    """

    def __init__(
        self,
        terms: Sequence[str],
        idf: np.ndarray,
        analyzer: str,
        written: int = FORMAT,
        num_words: int | None = None,
    ) -> None:
        self.terms = list(terms)
        self.idf = np.asarray(idf, dtype=np.float32)
        self.analyzer = analyzer
        self.written = written
        self.num_words = len(self.terms) if num_words is None else num_words
        words, pieces = self.terms[: self.num_words], self.terms[self.num_words :]
        self._table = TermTable(words, words_of(written)) if analyzer != "char" else None
        self._pieces = PieceTable(pieces) if pieces else None

    @property
    def num_terms(self) -> int:
        """Number of columns, D."""
        return len(self.terms)

    def transform(self, texts: Sequence[str]) -> Any:
        """Return a SciPy CSR matrix, float32, shape (N, D)."""
        if len(texts) == 0:
            from scipy.sparse import csr_matrix

            return csr_matrix((0, self.num_terms), dtype=np.float32)
        if self._table is None:
            counted = ngram_counts(texts, self.terms, ANALYZERS["char"][1])
            return _weighed(self.idf, counted, self.num_terms)
        words = _weighed(self.idf[: self.num_words], self._table.counts(texts), self.num_words)
        if self._pieces is None:
            return words
        from scipy.sparse import hstack

        num = self.num_terms - self.num_words
        both = [words, _weighed(self.idf[self.num_words :], self._pieces.counts(texts), num)]
        for part in both:
            part.data *= np.float32(math.sqrt(0.5))
        return hstack(both, format="csr")

    def files(self) -> dict[str, bytes]:
        """Return the file that rebuilds it, by name."""
        record = {
            "format": self.written,
            "analyzer": self.analyzer,
            "terms": self.terms,
            # the shortest text of a float64 gives the float32 back exactly
            "idf": [float(value) for value in self.idf],
        }
        if self._pieces is not None:
            record["num_words"] = self.num_words
        return {FILE_NAME: json.dumps(record, ensure_ascii=False).encode()}


def _weighed(idf: np.ndarray, counted: Iterable[Any], num_terms: int) -> Any:
    """Return counts as weights, each row of length one.

    To the bit what scikit-learn's ``TfidfTransformer(sublinear_tf=True)`` gives, whose import takes
    a server longer than all else before it is ready.
    """
    weighed = (_weigh(idf, counts) for counts in counted)
    return _one_below_another(weighed, num_terms)


def _weigh(idf: np.ndarray, counts: Any) -> Any:
    """Weigh counts in place: 1 + ln(count), times the term's idf, divided by the row's length."""
    data = counts.data
    np.log(data, data)
    data += 1.0
    data *= idf[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    lengths = np.sqrt(np.bincount(rows, weights=data * data, minlength=counts.shape[0]))
    lengths[lengths == 0] = 1.0
    np.divide(data, lengths[rows], out=data, casting="same_kind")
    return counts


def fit_vectorizer(texts: Sequence[str], origin: str, *, pieces: bool = True) -> TermVectorizer:
    """Learn terms and their weights from texts.

    Args:
        texts: Those of train.
        origin: Names the start in a refusal.
        pieces: Whether pieces of words may stand beside words.

    Returns:
        The vectorizer: terms of at least two texts (one, below 200 texts), at most 50,000, the
        most frequent ones; where the texts have no more than two million characters and a script
        with blanks, also pieces of words of at least three texts, at most 30,000.

    Raises:
        StartError: If no term is left.
    """
    least_texts = 1 if len(texts) < SMALL else 2
    try:
        if writes_without_blanks(texts):
            return _fit_characters(texts, least_texts)
        words = _fit_words(texts, least_texts)
        return _with_pieces(words, texts) if pieces else words
    except ValueError as error:
        raise StartError(
            f"'{origin}' finds no terms in the {len(texts)} texts of train ({error}). Expected "
            f"texts that share words. Check the text column."
        ) from error


def _fit_words(texts: Sequence[str], least_texts: int) -> TermVectorizer:
    """Learn words and pairs of words."""
    terms, num_texts = count_terms(texts, words_of(FORMAT), least_texts=least_texts, most=MAX_TERMS)
    if not terms:
        raise ValueError(f"no words that {least_texts} texts share")
    return TermVectorizer(terms, _inverse_frequency(num_texts, len(texts)), "word")


def _with_pieces(words: TermVectorizer, texts: Sequence[str]) -> TermVectorizer:
    """Return words with pieces of words beside them, where there are not too many texts."""
    if sum(map(len, texts)) > PIECED_CHARACTERS:
        return words
    found, num_texts = count_pieces(texts, least_texts=SMALLEST_PIECES, most=MAX_PIECES)
    if not found:
        return words
    terms = [*words.terms, *found]
    idf = np.concatenate([words.idf, _inverse_frequency(num_texts, len(texts))])
    return TermVectorizer(terms, idf, "word+pieces", num_words=words.num_terms)


def _fit_characters(texts: Sequence[str], least_texts: int) -> TermVectorizer:
    """Learn n-grams of characters; their inverse document frequency is smoothed as for words."""
    terms, num_texts = count_ngrams(
        texts, ANALYZERS["char"][1], least_texts=least_texts, most=MAX_TERMS
    )
    if not terms:
        raise ValueError(f"no characters that {least_texts} texts share")
    return TermVectorizer(terms, _inverse_frequency(num_texts, len(texts)), "char")


def _inverse_frequency(num_texts: np.ndarray, total: int) -> np.ndarray:
    """Return the smoothed inverse document frequency, float32, of terms of so many texts."""
    smoothed = (num_texts + 1).astype(np.float32)
    idf: np.ndarray = np.log(np.float32(total + 1) / smoothed) + np.float32(1)
    return idf


def _one_below_another(parts: Iterable[Any], num_terms: int) -> Any:
    """Return CSR matrices as one, which grows in place: parts and whole are not there at once."""
    from scipy.sparse import csr_matrix

    data, columns, used = np.empty(0, np.float32), np.empty(0, np.int32), 0
    rows = [np.zeros(1, np.int64)]
    for part in parts:
        end = used + part.nnz
        if end > len(data):
            for array in (data, columns):  # by half, so that nothing is moved often
                array.resize(end if not used else max(end, len(data) * 3 // 2), refcheck=False)
        data[used:end], columns[used:end] = part.data, part.indices
        rows.append(part.indptr[1:].astype(np.int64) + used)
        used = end
    for array in (data, columns):
        array.resize(used, refcheck=False)
    kind = np.int32 if used < 2**31 else np.int64
    ends = np.concatenate(rows).astype(kind)
    shape = len(ends) - 1, num_terms
    return csr_matrix((data, columns.astype(kind, copy=False), ends), shape=shape)


def read_vectorizer(folder: Path, num_terms: int, origin: str) -> TermVectorizer:
    """Read the vectorizer that ``files`` gave, from the folder it was written into.

    Args:
        folder: Usually a run folder.
        num_terms: How many terms the architecture says.
        origin: Names the start in a refusal.

    Raises:
        StartError: If the file is missing or damaged.
    """
    expected = f"the terms of '{origin}' beside its weights"
    return read_learned(folder / FILE_NAME, lambda record: _parse(record, num_terms), expected)


def writes_without_blanks(texts: Sequence[str]) -> bool:
    """Return whether texts are mostly in a script that puts no blanks between words.

    Chinese, Japanese, Thai, Lao, Khmer and Burmese are such scripts; Korean is not. The first
    1,000 characters of up to 1,000 texts spread over all of them are looked at.
    """
    step = max(1, len(texts) // 1000)
    sample = [character for text in texts[::step] for character in text[:1000]]
    letters = [character for character in sample if character.isalpha()]
    count = sum(_is_unspaced(character) for character in letters)
    # A Chinese character carries about as much as a word of five letters.
    return count * 5 > len(letters) - count


def _is_unspaced(letter: str) -> bool:
    if letter < "\u0e00":
        return False
    name = unicodedata.name(letter, "")
    return name.startswith(
        ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
    )


def _parse(record: Mapping[str, Any], num_terms: int) -> TermVectorizer:
    terms, idf, analyzer = record["terms"], record["idf"], record["analyzer"]
    if record["format"] not in (1, FORMAT) or analyzer not in ANALYZERS:
        raise ValueError(f"format {record['format']!r}, analyzer {analyzer!r}")
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
        raise ValueError("'terms' is no list of texts")
    values = np.asarray(idf, dtype=np.float32)
    num_words = record["num_words"] if analyzer == "word+pieces" else len(terms)
    if not isinstance(num_words, int) or not 0 <= num_words <= len(terms):
        raise ValueError(f"'num_words' is {num_words!r}")
    different = len(set(terms[:num_words])) + len(set(terms[num_words:]))
    if different != len(terms) or values.shape != (len(terms),) or len(terms) != num_terms:
        raise ValueError(f"{len(terms)} terms and {values.size} weights, expected {num_terms}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError("'idf' holds numbers that are not above 0")
    return TermVectorizer(terms, values, analyzer, record["format"], num_words)
