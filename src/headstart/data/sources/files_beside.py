"""Find the file that a cell or a line names: by its path, its file name, an id, or an address.

Tables name images as ``train/1.jpg``, as ``1.jpg`` though it lies in ``train/``, as ``1``, and
tools as ``s3://bucket/set/1.jpg`` or ``/data/upload/3/0f3a-1.jpg``. What is there decides: the
files below the table's folder are listed once, when a path does not lead to one directly. Of
several files of one name that is meant which shares most of the path, then the one in the folder
of the table's own split.
"""

from __future__ import annotations

import copy
import os
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from headstart.cells import is_missing
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.split_words import split_of
from headstart.errors import DataError
from headstart.preprocessing.image_files import IMAGE_SUFFIXES

USUAL = ("", "images", "data", "upload", "media", "files", "img")  # of the files of an export
MAX_DEPTH, MAX_FOLDERS, MAX_FILES = 4, 5_000, 2_000_000
MIN_BEGINNING = 6  # characters of an id with which the name of a file begins
MOST = 0.9  # of the first cells must name a file, for a column of ids to name files


class FilesBeside:
    """The sample files below a folder, by path, by name and by name without suffix.

    Args:
        root: The folder; it is listed when first asked.
        suffixes: Of the files that are samples.
    """

    def __init__(self, root: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> None:
        self.root, self.suffixes = root, suffixes
        self._split: str | None = None
        self._listing = _Listing(root, suffixes)

    def of_split(self, split: str | None) -> FilesBeside:
        """Return the same files for a table of one split, whose folder is preferred."""
        other = copy.copy(self)
        other._split = split
        return other

    def find(self, value: object, *, below: str = "") -> str | None:
        """Return the path, relative to the root, of the one file that a cell names.

        Args:
            value: The cell.
            below: The folder to prefer where several files have the name.
        """
        if is_missing(value):
            return None
        word = os.path.normpath(_word(value).replace("\\", "/").lstrip("/"))
        places = self._listing.places
        found = places.get(word) or places.get(os.path.basename(word)) or []
        found = found or self._beginning(word)
        if len(found) > 1:
            found = _sharing_most(found, word)
        if len(found) > 1 and below:
            found = [path for path in found if path.startswith(below + "/")] or found
        if len(found) > 1 and self._split:
            found = [p for p in found if self._split in map(split_of, p.split("/")[:-1])]
        return found[0] if len(found) == 1 else None

    def near(self, reference: object) -> object:
        """Return the path of the file that a tool's reference means; else the reference itself.

        Args:
            reference: A path, or the address of a store, as the tool has it; or a text.
        """
        if not isinstance(reference, str) or "\n" in reference.strip():
            return reference
        path = (reference.partition("?d=")[2] or reference.partition("?")[0]).strip()
        if not self.is_sample(path):
            return reference
        # Label Studio puts a number before the name of an upload
        bare = os.path.basename(path).partition("-")[2]
        for name in filter(None, dict.fromkeys((path, unquote(path), bare, unquote(bare)))):
            if not os.path.isabs(name) and self._is_there(name):
                return name
            if found := self.find(name.partition("://")[2] or name):
                return found
            usual = (os.path.join(folder, os.path.basename(name)) for folder in USUAL)
            if found := next(filter(self._is_there, usual), None):  # where several hold the name
                return found
        return path

    def of_another_suffix(self, path: str) -> str | None:
        """Return the file that is called like one that is not there, but for its suffix."""
        found = self._listing.places.get(os.path.splitext(os.path.basename(path))[0])
        return found[0] if found else None

    def is_sample(self, file: str) -> bool:
        """Return whether a file is a sample by its suffix."""
        return os.path.splitext(file)[1].lower() in self.suffixes

    def _beginning(self, word: str) -> list[str]:
        """Return the files whose names begin with an id: ``0a1b2c`` of ``0a1b2c_jpg.rf.9.jpg``."""
        if len(word) < MIN_BEGINNING or self.is_sample(word):
            return []
        stems = self._listing.stems
        at = bisect_left(stems, (word, ""))
        return [path for name, path in stems[at : at + 2] if name.startswith(word)]

    def are_named(self, values: Sequence[object]) -> bool:
        """Return whether most of the values name a file each."""
        if not self._listing.places:
            return False
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


class _Listing:
    """What lies below a folder, listed when first asked."""

    def __init__(self, root: Path, suffixes: Collection[str]) -> None:
        self.root, self.suffixes = root, suffixes

    @cached_property
    def places(self) -> dict[str, list[str]]:
        """The paths by path, by name, and by both without suffix."""
        places: dict[str, list[str]] = {}
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
            for file in files:
                stem, suffix = os.path.splitext(file)
                if suffix.lower() not in self.suffixes:
                    continue
                path = os.path.join(folder, file)
                for key in {path, file, os.path.join(folder, stem), stem}:
                    places.setdefault(key, []).append(path)
        return places

    @cached_property
    def stems(self) -> list[tuple[str, str]]:
        """The names of the files, sorted, each with its path."""
        every = {path for paths in self.places.values() for path in paths}
        return sorted((os.path.basename(path), path) for path in every)


def _word(value: object) -> str:
    return str(value).strip()


def _sharing_most(paths: Sequence[str], word: str) -> list[str]:
    """Return those paths whose end is the longest end of what was named, suffix or not."""
    ends = {path: (f"/{path}", f"/{os.path.splitext(path)[0]}") for path in paths}
    parts = word.split("/")
    for start in range(len(parts)):
        tail = "/" + "/".join(parts[start:])
        if whole := [path for path in paths if tail in ends[path]]:
            return whole
        if ending := [p for p in paths if any(end.endswith(tail) for end in ends[p])]:
            return ending
    return list(paths)
