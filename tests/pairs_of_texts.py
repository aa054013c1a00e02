"""A small language to translate: each word has one in the other, and two change places."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

NOUNS = {"dog": "Hund", "man": "Mann", "child": "Kind", "bird": "Vogel", "house": "Haus"}
VERBS = {"sees": "sieht", "likes": "mag", "follows": "verfolgt"}
ADJECTIVES = {"red": "rote", "big": "große", "small": "kleine", "old": "alte"}


def pairs_of(num: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return ``num`` texts and what is to be written of each."""
    draw, texts, wanted = random.Random(seed), [], []
    for _ in range(num):
        one, two = draw.choices(list(NOUNS), k=2)
        verb, how = draw.choice(list(VERBS)), draw.choice(list(ADJECTIVES))
        tail = draw.random() < 0.5
        texts.append(f"the {how} {one} {verb} the {two}{' today' if tail else ''}.")
        told = f"der {ADJECTIVES[how]} {NOUNS[one]} {VERBS[verb]} den {NOUNS[two]}."
        wanted.append(f"heute {told}" if tail else told)
    return texts, wanted


def write_pairs(folder: Path, sizes: dict[str, int], *, is_packed: bool = False) -> Path:
    """Write line-aligned files ``train.en`` and ``train.de`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (stem, num) in enumerate(sizes.items()):
        for side, texts in zip(("en", "de"), pairs_of(num, seed), strict=True):
            content = ("\n".join(texts) + "\n").encode()
            name = f"{stem}.{side}" + (".gz" if is_packed else "")
            (folder / name).write_bytes(gzip.compress(content) if is_packed else content)
    return folder
