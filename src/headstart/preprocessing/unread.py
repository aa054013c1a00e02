"""How much of some texts a tokenizer does not know: unknown tokens, and words spelled by letters.

A vocabulary of English pieces holds the letters of many scripts, so that Russian or Greek words are
not unknown to it: each becomes a row of single letters, of which the network has learned nothing.
A letter is a word by itself in Chinese, Japanese and Korean, where nothing stands between words,
so that a single one proves nothing there; a vocabulary of letters alone was meant to spell.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from headstart.types import Finding

# With an English WordPiece, English, German and tweets have 0 to 0.7 % unknown tokens
# (docs/experiments.md), Korean, Japanese and Thai 5 to 33 %, Chinese 59 to 63 %.
MUCH = 0.03  # of the tokens, or of the texts
SPELLED = 0.4  # of a text's tokens
LEAST_TOKENS = 5  # of a text of which is said that it is spelled
PIECES = 0.3  # of a vocabulary: with fewer pieces of three letters it was made to spell
SHOWN = 20
BLANK, CONTINUED, BYTES = "\u2581", "##", "\u0120"  # as SentencePiece, BERT and GPT-2 write pieces
# Scripts in which one letter is often a word: kana, ideographs, Hangul syllables.
ONE_LETTER_WORDS = (
    *((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)


@dataclass(frozen=True)
class Unread:
    """What of some texts a tokenizer does not know.

    Attributes:
        num_texts: Texts in all.
        num_tokens: Tokens in all, special ones included.
        num_unknown: Tokens that stand for what it does not hold.
        unknown: Names of the texts with the largest share of these, the largest first.
        num_spelled: Texts that are cut into single letters.
        spelled: Names of the first of these.
    """

    num_texts: int = 0
    num_tokens: int = 0
    num_unknown: int = 0
    unknown: Sequence[str] = ()
    num_spelled: int = 0
    spelled: Sequence[str] = ()

    def findings(self, tokenizer: str = "the start's tokenizer") -> list[Finding]:
        """Say what is not known, where it is much, with what helps.

        Args:
            tokenizer: What to call it.
        """
        advice = (
            "Take a start of the language, or a multilingual one (headstart starts --modality "
            "text), or scratch/tfidf, which learns its terms from the texts."
        )
        found = []
        if (share := self.num_unknown / max(1, self.num_tokens)) >= MUCH:
            sentence = (
                f"{share * 100:.1f} % of the tokens of the texts stand for words or characters "
                f"that {tokenizer} does not know, such as in {self.unknown[0]}: nothing can be "
                f"learned from these. {advice}"
            )
            found.append(Finding("unseen", "warning", self.unknown, sentence))
        if (share := self.num_spelled / max(1, self.num_texts)) >= MUCH:
            sentence = (
                f"{tokenizer[0].upper()}{tokenizer[1:]} cuts {share * 100:.1f} % of the texts into "
                f"single letters, such as {self.spelled[0]}: it holds hardly a word of their "
                f"language, so that its start knows little of them. {advice}"
            )
            found.append(Finding("unseen", "warning", self.spelled, sentence))
        return found


def measure(
    parts: Sequence[np.ndarray],
    names: Sequence[str],
    unknown_id: int | None,
    letters: np.ndarray,
    num_special: int = 2,
) -> Unread:
    """Return what of some texts is unknown, or spelled.

    Args:
        parts: Ids of each text.
        names: One for each.
        unknown_id: That of the unknown token; None where there is none.
        letters: bool, a place for each id: whether it is a letter that continues a word.
        num_special: Special tokens of each text.
    """
    lengths = np.array([len(part) for part in parts], np.int64)
    unknown = np.array([int((part == unknown_id).sum()) for part in parts], np.int64)
    single = np.array([int(letters[part].sum()) for part in parts], np.int64)
    body = lengths - num_special
    is_spelled = (body >= LEAST_TOKENS) & (single >= SPELLED * body)
    most = np.argsort(-unknown / np.maximum(lengths, 1), kind="stable")[:SHOWN].tolist()
    return Unread(
        len(parts),
        int(lengths.sum()),
        int(unknown.sum()),
        [names[i] for i in most if unknown[i]],
        int(is_spelled.sum()),
        [names[i] for i in np.flatnonzero(is_spelled)[:SHOWN].tolist()],
    )


def continuing_letters(vocabulary: Mapping[str, int]) -> np.ndarray:
    """Return which ids are single letters that go on with a word, bool, shape (V,)."""
    found = np.zeros(max(vocabulary.values(), default=-1) + 1, bool)
    marks = {mark: sum(piece.startswith(mark) for piece in vocabulary) for mark in _READERS}
    mark = max(marks, key=marks.__getitem__)
    if not marks[mark]:
        return found
    read, num_pieces = _READERS[mark], 0
    for piece, place in vocabulary.items():
        text, is_continued = read(piece)
        num_pieces += len(text) >= 3 and text.isalpha()
        found[place] = is_continued and _is_letter(text)
    return found if num_pieces >= PIECES * len(vocabulary) else np.zeros_like(found)


def _is_letter(text: str) -> bool:
    """Return whether a piece is one letter, one mark, or part of the bytes of one."""
    if len(text) != 1 or any(first <= ord(text) <= last for first, last in ONE_LETTER_WORDS):
        return False
    return unicodedata.category(text)[0] in "LM" or text == "\ufffd"


def _of_bert(piece: str) -> tuple[str, bool]:
    return piece.removeprefix(CONTINUED), piece.startswith(CONTINUED)


def _of_sentencepiece(piece: str) -> tuple[str, bool]:
    return piece.removeprefix(BLANK), not piece.startswith(BLANK)


def _of_bytes(piece: str) -> tuple[str, bool]:
    is_continued = not piece.startswith(BYTES)
    known = _byte_of()
    raw = bytes(known.get(letter, 0) for letter in piece.removeprefix(BYTES))
    return raw.decode("utf-8", "replace"), is_continued


_READERS = {CONTINUED: _of_bert, BLANK: _of_sentencepiece, BYTES: _of_bytes}


@cache
def _byte_of() -> dict[str, int]:
    """Return the byte that each letter stands for, as GPT-2 writes bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    written = {chr(byte): byte for byte in plain}
    return written | {chr(256 + place): byte for place, byte in enumerate(others)}
