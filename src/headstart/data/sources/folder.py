"""Read a folder with a folder per class, with or without train/val/test folders above.

The samples are images, or, where there are none, text files: the layout of aclImdb.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headstart.data.options import ReadOptions
from headstart.data.records import (
    SPLIT_CODES,
    SPLIT_WORDS,
    UNASSIGNED,
    Records,
)
from headstart.data.sources.delimited import read_text_bytes
from headstart.data.sources.samples import FileSamples
from headstart.errors import DataError, OptionError, quoted
from headstart.preprocessing.rows import TextSamples
from headstart.tasks import (
    CLASSIFICATION,
    encode_targets,
    find_task,
    order_classes,
    tidy_labels,
)
from headstart.types import Finding

# Names that mean an image. Whether it can be read is found out from its bytes: a TIFF is listed
# as a bad sample with its reason rather than left out without a word.
READ_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif")
OTHER_SUFFIXES = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".svg")
IMAGE_SUFFIXES = frozenset(READ_SUFFIXES + OTHER_SUFFIXES)
TABLE_SUFFIXES = (
    *(".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"),
    *(".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
)
TEXT_SUFFIXES = frozenset({".txt"})
NO_CLASSES = ("unsup",)  # aclImdb: reviews without a label


def read_folder(root: Path, name: str, options: ReadOptions) -> Records:
    """Return the records of a folder of images, or of text files.

    Files are read in sorted order. Names that start with a dot are skipped, and files whose
    suffix is not an image's are skipped and counted in a note. A class folder may have folders
    inside. Where no class folder holds an image, but some hold ``.txt`` files, these are the
    samples.

    Args:
        root: The folder.
        name: What the user called it.
        options: Task, and encoding of text files, where they were said.

    Raises:
        DataError: The folder is empty, is not laid out in classes, or may not be read.
        OptionError: A task was said that does not take one class a sample.
    """
    task = CLASSIFICATION if options.task == "auto" else find_task(options.task)
    if not task.is_exclusive:
        raise OptionError(
            f"task is '{options.task}', but the class folders of {name} give one class a sample. "
            "Leave it out, or give a table."
        )
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
    every = list(classes_of)
    listing = _list_samples(root, classes_of, IMAGE_SUFFIXES)
    is_text = not listing.paths and any(suffix in TEXT_SUFFIXES for suffix in listing.skipped)
    if is_text:
        classes_of = {key: path for key, path in classes_of.items() if key[1] not in NO_CLASSES}
        listing = _list_samples(root, classes_of, TEXT_SUFFIXES)
    if not listing.paths:
        raise DataError(_no_images(name, root, folders, files))
    findings = listing.findings("texts" if is_text else "images")
    if is_text and (left := sorted({c for _, c in every if c in NO_CLASSES})):
        sentence = f"Skipped folders of samples without a label: {quoted(left)}."
        findings.append(Finding("unused", "note", (), sentence))
    if ignored := [f for f in folders if split_folders and f not in split_folders]:
        sentence = f"Skipped folders beside the splits: {quoted(ignored)}."
        findings.append(Finding("unused", "warning", (), sentence))
    labels, merged = tidy_labels(listing.labels, f"Folder {name}")
    findings += merged
    classes = order_classes(set(labels))
    samples = FileSamples(root, listing.paths)
    return Records(
        name=name,
        samples=_read_texts(samples, root, options.encoding) if is_text else samples,
        targets=encode_targets(labels, classes),
        classes=classes,
        splits=np.array(listing.codes, np.int8),
        origin="folder",
        task=task.name,
        findings=findings,
        modality="text" if is_text else "image",
    )


@dataclass
class _Listing:
    """The sample files of class folders: paths, labels and split codes, and what was skipped."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)

    def findings(self, noun: str) -> list[Finding]:
        """Return what was skipped."""
        sentences = []
        if self.skipped:
            kinds = ", ".join(f"{n} {suffix}" for suffix, n in self.skipped.most_common(5))
            sentences.append(f"Skipped files that are not {noun} by their name: {kinds}.")
        if self.empty:
            sentences.append(f"Skipped folders without {noun}: {quoted(self.empty)}.")
        return [Finding("unused", "note", (), sentence) for sentence in sentences]


def _list_samples(
    root: Path, classes_of: dict[tuple[str, str], str], suffixes: Collection[str]
) -> _Listing:
    """Return the files with these suffixes below the class folders."""
    listing = _Listing()
    for (split, label), folder in classes_of.items():
        found = list(_files_below(root, folder, suffixes, listing.skipped))
        if not found:
            listing.empty.append(folder)
        listing.paths += found
        listing.labels += [label] * len(found)
        listing.codes += [SPLIT_CODES[split] if split else UNASSIGNED] * len(found)
    return listing


def _read_texts(files: FileSamples, root: Path, encoding: str | None) -> TextSamples:
    """Return the contents of text files; what is unusable among them is found out later."""
    texts = []
    for path in files.names:
        try:
            texts.append(read_text_bytes(root / path, path, encoding).decode())
        except OSError as error:
            raise DataError(
                f"{root / path} cannot be read: {error.strerror}. Give this user the right to read "
                "it, or remove it."
            ) from error
    return TextSamples(texts, [files.name(i) for i in range(len(files))])


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
    if not inside or any(is_image(file) for file in files):
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


def _files_below(
    root: Path, folder: str, suffixes: Collection[str], skipped: Counter[str]
) -> Iterator[str]:
    """Yield sample paths relative to ``root``; links are followed, each real folder once."""
    pending, seen = [folder], set()
    while pending:
        current = pending.pop()
        state = os.stat(root / current)
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        folders, files = _list(root / current)
        for file in files:
            suffix = os.path.splitext(file)[1].lower()
            if suffix in suffixes:
                yield os.path.join(current, file)
            else:
                skipped[suffix or file] += 1
        pending += [os.path.join(current, child) for child in reversed(folders)]


def is_image(file: str) -> bool:
    """Return whether a file is an image by its name; whether it can be read its bytes tell."""
    return os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES


def _no_images(name: str, root: Path, folders: list[str], files: list[str]) -> str:
    """Say what is in a folder that holds no class folders with images."""
    expected = "Expected a folder per class with images or .txt files inside."
    tables = [file for file in files if file.lower().endswith(TABLE_SUFFIXES)]
    num_images = sum(is_image(file) for file in files)
    if not folders and not files:
        return f"Folder {name} is empty. {expected}"
    if tables:
        return f"Folder {name} holds no class folders with images, but a table. {expected} " + (
            "Tables called train, val and test are read together. To read the table, give its "
            f"path: {os.path.join(root, tables[0])}"
        )
    if num_images:
        return (
            f"Folder {name} holds {num_images} images but no class folders. {expected} "
            "Move them, or give a CSV with the columns image and label."
        )
    found = quoted([*(f"{folder}/" for folder in folders), *files], limit=5)
    return f"Folder {name} holds no images (found: {found}). {expected}"
