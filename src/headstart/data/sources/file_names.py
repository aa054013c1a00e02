"""Classes that stand in the names of files: ``cat.0.jpg``, ``Abyssinian_12.jpg``.

They are read only where all files of the training folder are named so, and then it is said.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence

NUMBERED = re.compile(r"(.*?[^\W\d_])[\W_]*\(?\d+\)?(?:[\W_]\d+)*\)?")
MIN_FILES = 3  # of a class
# What cameras, programs and people call a file whatever it shows.
# fmt: off
MEANINGLESS = frozenset(
    (
        "img", "image", "images", "photo", "pic", "picture", "dsc", "dscn", "dscf", "dcim",
        "frame", "file", "sample", "scan", "screenshot", "thumb", "page", "train", "test",
        "val", "valid", "x", "a", "p", "im", "item", "data", "id", "text", "doc", "document",
        "review",
    )
)
# fmt: on


def class_in_name(path: str) -> str | None:
    """Return the word before the number of a file name; None where there is none.

    Example:
        >>> class_in_name("train/cat.12.jpg"), class_in_name("0012.jpg")
        ('cat', None)
    """
    match = NUMBERED.fullmatch(os.path.splitext(os.path.basename(path))[0])
    return match[1] if match else None


def classes_in_names(paths: Sequence[str]) -> set[str]:
    """Return the classes in file names, none where the names do not seem to hold classes."""
    counts = Counter(map(class_in_name, paths))
    words = {word for word in counts if word is not None}
    is_said = None not in counts and len(words) > 1 and min(counts.values()) >= MIN_FILES
    return words if is_said and not {word.lower() for word in words} & MEANINGLESS else set()
