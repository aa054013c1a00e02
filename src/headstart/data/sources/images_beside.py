"""Find the image that a cell of a table names: by its path, its file name, or an id.

Tables name images as ``train/1.jpg``, as ``1.jpg`` though it lies in ``train/``, and as ``1``. What
is there decides: the files below the table's folder are listed once, when a path does not lead to
one directly.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from headstart.cells import is_missing
from headstart.data.sources.folder import is_image
from headstart.data.sources.folder_tree import list_folder
from headstart.errors import DataError

MAX_DEPTH, MAX_FOLDERS, MAX_FILES = 4, 500, 2_000_000
MIN_BEGINNING = 6  # characters of an id with which the name of a file begins
MOST = 0.9  # of the first cells must name a file, for a column of ids to name images


class ImagesBeside:
    """The image files below a folder, by path, by name and by name without suffix.

    Args:
        root: The folder; it is listed when first asked.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._places: dict[str, list[str]] | None = None
        self._stems: list[tuple[str, str]] | None = None

    def find(self, value: object, *, below: str = "") -> str | None:
        """Return the path, relative to the root, of the one image that a cell names.

        Args:
            value: The cell.
            below: The folder to prefer where several images have the name.
        """
        if is_missing(value):
            return None
        word = os.path.normpath(_word(value).replace("\\", "/").lstrip("/"))
        places = self._listed()
        found = places.get(word) or places.get(os.path.basename(word)) or []
        found = found or self._beginning(word)
        if len(found) > 1:
            ending = [path for path in found if path == word or path.endswith("/" + word)]
            found = ending or found
        if len(found) > 1 and below:
            found = [path for path in found if path.startswith(below + "/")]
        return found[0] if len(found) == 1 else None

    def _beginning(self, word: str) -> list[str]:
        """Return the images whose names begin with an id: ``0a1b2c`` of ``0a1b2c_jpg.rf.9.jpg``."""
        if len(word) < MIN_BEGINNING or is_image(word):
            return []
        if self._stems is None:
            every = {path for paths in self._listed().values() for path in paths}
            self._stems = sorted((os.path.basename(path), path) for path in every)
        at = bisect_left(self._stems, (word, ""))
        near = self._stems[at : at + 2]
        return [path for name, path in near if name.startswith(word)]

    def names_images(self, values: Sequence[object]) -> bool:
        """Return whether most of the values name an image each."""
        words = [value for value in values if not is_missing(value)]
        if len({_word(word) for word in words}) < max(2, len(words) / 2):
            return False  # measures and categories
        if not all(isinstance(word, (str, int)) and not isinstance(word, bool) for word in words):
            return False
        found = [self.find(word) for word in words]
        return sum(path is not None for path in found) >= MOST * len(words)

    def resolved(self, values: Sequence[str | None]) -> list[str | None]:
        """Return for each path the one that leads to a file, or itself where none is found."""
        return [
            path if path is None or self._is_there(path) else self.find(path) or path
            for path in values
        ]

    def _is_there(self, path: str) -> bool:
        return os.path.isfile(os.path.join(self.root, path))

    def _listed(self) -> dict[str, list[str]]:
        if self._places is None:
            self._places = {}
            pending, num_files = deque([("", 0)]), 0
            for _ in range(MAX_FOLDERS):  # a table may lie in a folder of everything
                if not pending or num_files > MAX_FILES:
                    break
                folder, depth = pending.popleft()
                try:
                    folders, files = list_folder(self.root / folder)
                except DataError:
                    continue  # what may not be read names nothing
                num_files += len(files)
                if depth < MAX_DEPTH:
                    pending += [(os.path.join(folder, child), depth + 1) for child in folders]
                for file in filter(is_image, files):
                    path = os.path.join(folder, file)
                    stem = os.path.splitext(path)[0]
                    for key in {path, file, stem, os.path.basename(stem)}:
                        self._places.setdefault(key, []).append(path)
        return self._places


def _word(value: object) -> str:
    return str(value).strip()
