"""Read a folder with a folder per class, with or without train/val/test folders above."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headstart.data.records import (
    SPLIT_CODES,
    SPLIT_WORDS,
    UNASSIGNED,
    Records,
    encode_targets,
    order_classes,
)
from headstart.data.samples import FileSamples
from headstart.errors import DataError, quoted

# Names that mean an image. Whether it can be read is found out from its bytes: a TIFF is listed
# as a bad sample with its reason rather than left out without a word.
READ_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif")
OTHER_SUFFIXES = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".svg")
IMAGE_SUFFIXES = frozenset(READ_SUFFIXES + OTHER_SUFFIXES)
TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".jsonl", ".ndjson")


def read_folder(root: Path, name: str) -> Records:
    """Return the records of an image folder.

    Files are read in sorted order. Names that start with a dot are skipped, and files whose
    suffix is not an image's are skipped and counted in a note. A class folder may have folders
    inside.

    Args:
        root: The folder.
        name: What the user called it.

    Raises:
        DataError: The folder is empty, is not laid out in classes, or may not be read.
    """
    folders, files = _list(root)
    split_folders = _split_folders(root, folders)
    if split_folders:
        classes_of = {
            (split, child): os.path.join(folder, child)
            for folder, split in split_folders.items()
            for child in _list(root / folder)[0]
        }
    else:
        classes_of = {("", child): child for child in folders}
    paths: list[str] = []
    labels: list[str] = []
    codes: list[int] = []
    skipped: Counter[str] = Counter()
    empty: list[str] = []
    for (split, label), folder in classes_of.items():
        found = list(_images_below(root, folder, skipped))
        if not found:
            empty.append(folder)
        paths += found
        labels += [label] * len(found)
        codes += [SPLIT_CODES[split] if split else UNASSIGNED] * len(found)
    if not paths:
        raise DataError(_no_images(name, root, folders, files))
    notes = _notes(skipped, empty, [f for f in folders if split_folders and f not in split_folders])
    classes = order_classes(set(labels))
    return Records(
        name=name,
        samples=FileSamples(root, paths),
        targets=encode_targets(labels, classes),
        classes=classes,
        splits=np.array(codes, np.int8),
        origin="folder",
        notes=notes,
    )


def _split_folders(root: Path, folders: list[str]) -> dict[str, str]:
    """Return the folders that are splits, with the split each is; empty when they are classes.

    ``train`` is a split when it holds folders and no images, and when every folder beside it is a
    split too or there is a test or val folder; otherwise it is a class about trains.
    """
    splits = {
        folder: SPLIT_WORDS[folder.lower()] for folder in folders if folder.lower() in SPLIT_WORDS
    }
    train = [folder for folder, split in splits.items() if split == "train"]
    if not train or (len(splits) == 1 and len(folders) > 1):
        return {}
    inside, files = _list(root / train[0])
    if not inside or any(_is_image(file) for file in files):
        return {}
    if len(set(splits.values())) < len(splits):
        raise DataError(
            f"{root} has two folders for one split ({quoted(sorted(splits))}); expected one each "
            "of train, val and test. Merge or rename them."
        )
    return splits


def _list(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files inside, sorted, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            shown = [e for e in entries if not e.name.startswith(".") and e.name != "__MACOSX"]
            folders = sorted(e.name for e in shown if e.is_dir())
            files = sorted(e.name for e in shown if not e.is_dir())
    except PermissionError:
        raise DataError(
            f"Folder {folder} cannot be read: permission denied. Give this user the right to read "
            f"it, for example chmod -R u+rX '{folder}'."
        ) from None
    except OSError as error:
        raise DataError(f"Folder {folder} cannot be read: {error.strerror}.") from error
    return folders, files


def _images_below(root: Path, folder: str, skipped: Counter[str]) -> Iterator[str]:
    """Yield image paths relative to ``root``; links are followed, each real folder once."""
    pending, seen = [folder], set()
    while pending:
        current = pending.pop()
        state = os.stat(root / current)
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        folders, files = _list(root / current)
        for file in files:
            if _is_image(file):
                yield os.path.join(current, file)
            else:
                skipped[os.path.splitext(file)[1].lower() or file] += 1
        pending += [os.path.join(current, child) for child in reversed(folders)]


def _is_image(file: str) -> bool:
    return os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES


def _no_images(name: str, root: Path, folders: list[str], files: list[str]) -> str:
    """Say what is in a folder that holds no class folders with images."""
    expected = "Expected a folder per class with images inside."
    tables = [file for file in files if file.lower().endswith(TABLE_SUFFIXES)]
    num_images = sum(_is_image(file) for file in files)
    if not folders and not files:
        return f"Folder {name} is empty. {expected}"
    if tables:
        return f"Folder {name} holds no class folders with images, but a table. {expected} " + (
            f"To read the table, give its path: {os.path.join(root, tables[0])}"
        )
    if num_images:
        return (
            f"Folder {name} holds {num_images} images but no class folders. {expected} "
            "Move them, or give a CSV with the columns image and label."
        )
    found = quoted([*(f"{folder}/" for folder in folders), *files], limit=5)
    return f"Folder {name} holds no images (found: {found}). {expected}"


def _notes(skipped: Counter[str], empty: list[str], ignored: list[str]) -> list[str]:
    notes = []
    if skipped:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in skipped.most_common(5))
        notes.append(f"Skipped files that are not images by their name: {kinds}.")
    if empty:
        notes.append(f"Skipped folders without images: {quoted(empty)}.")
    if ignored:
        notes.append(f"Skipped folders beside the splits: {quoted(ignored)}.")
    return notes
