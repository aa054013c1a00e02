"""What lies in a folder and below it, each folder looked into once: a million files are not kept.

Of a folder the names of its folders stay, and how many files have which suffix; the names of its
files are listed once, by whoever makes samples of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import DataError

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Contents:
    """What lies in one folder, hidden names left out.

    Attributes:
        folders: Names of the folders, sorted.
        suffixes: How many files have which suffix, in small letters.
        tables: Names of the files that are tables, sorted.
    """

    folders: list[str]
    suffixes: Counter[str]
    tables: list[str]

    def has(self, suffixes: Collection[str]) -> bool:
        """Return whether a file has one of these suffixes."""
        return any(suffix in self.suffixes for suffix in suffixes)

    def count(self, suffixes: Collection[str]) -> int:
        """Return how many files have one of these suffixes."""
        return sum(self.suffixes[suffix] for suffix in set(suffixes))

    @property
    def has_statement(self) -> bool:
        """Whether a file may say what the samples are."""
        return self.has((*TABLES, ".json"))


class Tree:
    """The folders below a root.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[str, Contents] = {}
        self._holds: dict[tuple[str, tuple[str, ...]], bool] = {}

    def look(self, folder: str) -> Contents:
        """Return what lies in a folder, whose path is relative to the root.

        Raises:
            DataError: It may not be read.
        """
        if folder not in self._seen:
            self._seen[folder] = _contents(self.root / folder)
        return self._seen[folder]

    def has_samples(self, folder: str, suffixes: Collection[str]) -> bool:
        """Return whether a folder holds such a file at any depth; it is walked once."""
        key = folder, tuple(suffixes)
        if key not in self._holds:
            self._holds[key] = self._has_samples(folder, suffixes)
        return self._holds[key]

    def _has_samples(self, folder: str, suffixes: Collection[str]) -> bool:
        """Walk a folder; each real folder is seen once."""
        pending, seen = [folder], set()
        while pending:
            current = pending.pop()
            real = os.path.realpath(self.root / current)
            if real in seen:
                continue
            seen.add(real)
            contents = self.look(current)
            if contents.has(suffixes):
                return True
            pending += [os.path.join(current, child) for child in contents.folders]
        return False


def _contents(folder: Path) -> Contents:
    folders: list[str] = []
    tables: list[str] = []
    suffixes: Counter[str] = Counter()
    for entry in _shown(folder):
        if _is_folder(entry):
            folders.append(entry.name)
            continue
        suffixes[os.path.splitext(entry.name)[1].lower()] += 1
        if entry.name.endswith(TABLES):
            tables.append(entry.name)
    return Contents(sorted(folders), suffixes, sorted(tables))


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files inside, sorted, hidden ones left out.

    Raises:
        DataError: It may not be read.
    """
    folders: list[str] = []
    files: list[str] = []
    for entry in _shown(folder):
        (folders if _is_folder(entry) else files).append(entry.name)
    folders.sort()
    files.sort()
    return folders, files


def files_below(root: Path) -> Iterator[Path]:
    """Yield the files at any depth, hidden ones and folders left out; each real folder once.

    Raises:
        DataError: A folder may not be read.
    """
    pending, seen = [root], set[str]()
    while pending:
        current = pending.pop()
        real = os.path.realpath(current)
        if real in seen:
            continue
        seen.add(real)
        folders, files = list_folder(current)
        yield from (current / file for file in files)
        pending += [current / folder for folder in folders]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself is a file that cannot be read, and said later
        return False


def _shown(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what lies in a folder, hidden names left out."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name != "__MACOSX":
                    yield entry
    except PermissionError:
        raise DataError(
            f"Folder {folder} cannot be read: permission denied. Give this user the right to read "
            f"it, for example chmod -R u+rX '{folder}'."
        ) from None
    except OSError as error:
        raise DataError(f"Folder {folder} cannot be read: {error.strerror}.") from error
