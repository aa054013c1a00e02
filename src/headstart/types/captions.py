"""Captions of images: the texts that are true of one, as its target."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np


class Captions(str):
    """The captions of one image; anything else takes them for the JSON list that they are.

    Attributes:
        texts: Each of them, at least one.

    Example:
        >>> told = Captions(["a dog", "a dog runs"])
        >>> told, told.texts
        ('["a dog", "a dog runs"]', ('a dog', 'a dog runs'))
    """

    texts: tuple[str, ...]

    def __new__(cls, texts: Iterable[str]) -> Captions:
        """Make them of texts."""
        listed = tuple(texts)
        made = super().__new__(cls, json.dumps(listed, ensure_ascii=False))
        made.texts = listed
        return made

    def __reduce__(self) -> tuple[type[Captions], tuple[tuple[str, ...]]]:
        """Return what makes them again, so that they can be copied."""
        return Captions, (self.texts,)


def captions_array(captions: Sequence[Captions]) -> np.ndarray:
    """Return captions as an array of objects, shape (N,)."""
    found = np.empty(len(captions), object)
    found[:] = list(captions)
    return found


def captions_of(targets: object) -> list[Captions]:
    """Return the captions of each image of a target array.

    Args:
        targets: Object array of N ``Captions``.
    """
    return [one for one in np.asarray(targets).tolist() if isinstance(one, Captions)]


def text_number(text: str) -> int:
    """Return a number of a text, from 0 to below 2^62, the same but for case and blanks."""
    plain = " ".join(text.casefold().split())
    digest = blake2b(plain.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2
