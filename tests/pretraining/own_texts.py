"""English texts that a package brings: descriptions of scikit-learn's data sets, by paragraphs."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def paragraphs() -> tuple[str, ...]:
    """Return some hundred paragraphs, each once."""
    folder = files("sklearn.datasets.descr")
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".rst"):
            parts = re.split(r"\n\s*\n", file.read_text(encoding="utf-8"))
            found += [" ".join(part.split()) for part in parts if len(part.split()) > 4]
    return tuple(dict.fromkeys(found))
