"""Texts in pieces of bounded length, a bounded lot at a time: what is cut into tokens at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

PIECE_LENGTH = 50_000  # characters; longer texts are encoded in pieces to bound the memory
BATCH_LENGTH = 2_000_000  # characters encoded at once


def batches_of(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Yield pieces of texts with the place of the text each belongs to, a bounded lot at a time."""
    owners: list[int] = []
    pieces: list[str] = []
    size = 0
    for place, text in enumerate(texts):
        for piece in pieces_of(text):
            owners.append(place)
            pieces.append(piece)
            size += len(piece) + 100  # an encoding costs something however short its text
            if size >= BATCH_LENGTH:
                yield owners, pieces
                owners, pieces, size = [], [], 0
    if pieces:
        yield owners, pieces


def pieces_of(text: str) -> Iterator[str]:
    """Yield a text in pieces of bounded length, cut before a blank where there is one."""
    begin = 0
    while len(text) - begin > PIECE_LENGTH:
        end = begin + PIECE_LENGTH
        blanks = (text.rfind(blank, begin + 1, end) for blank in (" ", "\n", "\t"))
        cut = max(max(blanks), 0) or end
        yield text[begin:cut]
        begin = cut
    yield text[begin:]
