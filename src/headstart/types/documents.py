"""Documents, a stretch at a time: what a corpus of texts is read as."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stretch:
    """The next part of a document, of bounded length.

    Attributes:
        text: The part itself; it ends where a word does, if that is to be had.
        is_last: Whether the document ends with it.
        is_held_out: Whether the document is judged by and not learned from.
    """

    text: str
    is_last: bool
    is_held_out: bool = False
