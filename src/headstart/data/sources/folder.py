"""Read a folder with a folder per class, with or without train/val/test folders above.

The samples are images, or, where there are none, text files: the layout of aclImdb.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headstart.data.options import ReadOptions
from headstart.data.records import NOUNS, SPLIT_CODES, UNASSIGNED, Records
from headstart.data.sources.file_names import class_in_name, classes_in_names
from headstart.data.sources.folder_tree import Tree, list_folder
from headstart.data.sources.layouts import (
    MIN_GROUPS,
    ClassFolder,
    FolderLayout,
    find_layout,
)
from headstart.data.sources.samples import FileSamples
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError, OptionError, UnlabelledError, quoted
from headstart.preprocessing.image_files import IMAGE_SUFFIXES
from headstart.preprocessing.rows import TextSamples
from headstart.tasks import (
    CLASSIFICATION,
    encode_targets,
    find_task,
    order_classes,
    tidy_labels,
)
from headstart.types import Finding

# Formats with a reader of their own, a row each in ``formats``.
BINARY_SUFFIXES = (
    *(".arrow", ".feather", ".ipc", ".xlsx", ".xlsm", ".spacy"),
    *(".sav", ".zsav", ".por", ".dta", ".xpt", ".sas7bdat"),
)
FORMAT_SUFFIXES = (".json", ".arff", ".xml", *BINARY_SUFFIXES)
TABLE_SUFFIXES = (
    *(".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"),
    *(".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
    *FORMAT_SUFFIXES,
)
TEXT_SUFFIXES = frozenset({".txt"})


def read_folder(tree: Tree, name: str, options: ReadOptions) -> Records:
    """Return the records of a folder of images, or of text files.

    Files are read in sorted order. Names that start with a dot are skipped, and files whose
    suffix is not an image's are skipped and counted in a note. A class folder may have folders
    inside. Where no class folder holds an image, but some hold ``.txt`` files, these are the
    samples.

    Args:
        tree: The folder, and what is below.
        name: What the user called it.
        options: Task, and encoding of text files, where they were said.

    Raises:
        DataError: The folder is empty, is not laid out in classes, or may not be read.
        OptionError: A task was said that does not take one class a sample.
    """
    task = find_task(options.said_task or CLASSIFICATION.name)
    if not task.is_exclusive:
        raise OptionError(
            f"task is '{options.task}', but the class folders of {name} give one class a sample. "
            "Leave it out, or give a table."
        )
    root, is_text = tree.root, False
    layout = find_layout(tree, IMAGE_SUFFIXES, options.group)
    if not layout.flat and not tree.has_samples("", IMAGE_SUFFIXES):
        is_text = tree.has_samples("", TEXT_SUFFIXES)
        layout = find_layout(tree, TEXT_SUFFIXES, options.group) if is_text else layout
    noun = NOUNS["text" if is_text else "image"][1]
    suffixes = TEXT_SUFFIXES if is_text else IMAGE_SUFFIXES
    listing = list_samples(root, layout.classes, suffixes)
    stated: list[Finding] = []
    if not listing.paths:
        if is_text and layout.flat.keys() <= {layout.top}:
            layout.flat.clear()  # a readme is no sample
        listing, stated = _read_names(root, name, layout, suffixes)
    findings = [*layout.findings, *stated, *listing.findings(noun)]
    findings += [] if options.group else listing.may_be_groups(noun)
    findings += _unlabelled(root, layout, suffixes, noun, is_named=bool(stated))
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
        groups=listing.groups if any(listing.groups) else None,
        task=task.name,
        findings=findings,
        modality="text" if is_text else "image",
    )


@dataclass
class Listing:
    """The sample files of class folders: paths, labels and split codes, and what was skipped."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    inner: Counter[str] = field(default_factory=Counter)  # samples of each folder in a class folder
    loops: list[str] = field(default_factory=list)  # links out of a class folder into others

    def add(
        self, paths: list[str], labels: list[str], split: str, group: str | None = None
    ) -> None:
        """Add the files of one folder."""
        self.paths += paths
        self.labels += labels
        self.codes += [SPLIT_CODES[split] if split else UNASSIGNED] * len(paths)
        self.groups += [group or ""] * len(paths)

    def may_be_groups(self, noun: str) -> list[Finding]:
        """Return that most samples lie in folders inside their class folder, which may be groups.

        Nothing is said where groups are known, where splits are given, or where a folder holds one
        sample each.
        """
        if any(self.groups) or any(code != UNASSIGNED for code in self.codes):
            return []
        found, number = sorted(self.inner), self.inner.total()
        if len(found) < MIN_GROUPS or number < max(0.9 * len(self.paths), 1.5 * len(found)):
            return []
        sentence = (
            f"The class folders hold {len(found):,} folders inside ({quoted(found, limit=3)}), "
            f"with {number / len(found):.0f} {noun} each. If each is one patient, animal or the "
            "like, say --group folder: otherwise the same one is learned from and tested, and the "
            "figures flatter."
        )
        return [Finding("leak", "warning", (), sentence)]

    def findings(self, noun: str) -> list[Finding]:
        """Return what was skipped."""
        sentences = []
        if self.skipped:
            kinds = ", ".join(f"{n} {suffix}" for suffix, n in self.skipped.most_common(5))
            sentences.append(f"Skipped files that are not {noun} by their name: {kinds}.")
        if self.empty:
            sentences.append(f"Skipped folders without {noun}: {quoted(self.empty)}.")
        findings = [Finding("unused", "note", (), sentence) for sentence in sentences]
        if self.loops:
            sentence = (
                f"Skipped {len(self.loops)} links inside class folders that lead to the folder "
                f"above or to another class: {quoted(self.loops, limit=3)}. What they lead to is "
                "read where it lies; to read it as this class, copy the files."
            )
            findings.append(Finding("unused", "warning", self.loops, sentence))
        return findings


def list_samples(root: Path, classes: Sequence[ClassFolder], suffixes: Collection[str]) -> Listing:
    """Return the files with these suffixes below the class folders."""
    listing = Listing()
    labels = {os.path.realpath(root / part.folder): part.label for part in classes}
    for part in classes:
        others = [folder for folder, label in labels.items() if label != part.label]
        found = list(
            _files_below(root, part.folder, suffixes, listing.skipped, others, listing.loops)
        )
        if not found:
            listing.empty.append(part.folder)
        listing.add(found, [part.label] * len(found), part.split, part.group)
        begins = len(os.path.join(part.folder, ""))
        inside = (path[begins:].partition("/") for path in found)
        listing.inner.update(folder for folder, slash, _ in inside if slash)
    return listing


def _read_names(
    root: Path, name: str, layout: FolderLayout, suffixes: Collection[str]
) -> tuple[Listing, list[Finding]]:
    """Return the samples of flat folders whose file names begin with their class.

    Raises:
        DataError: They do not; it says what was seen, and how labels can be given.
    """
    listing, noun = Listing(), "texts" if suffixes is TEXT_SUFFIXES else "images"
    found = {
        folder: list(_files_below(root, folder, suffixes, listing.skipped))
        for folder in layout.flat
    }
    learned = [
        f for folder in layout.flat if layout.flat[folder] in ("", "train") for f in found[folder]
    ]
    classes = classes_in_names(learned)
    if not classes:
        told = _no_classes(name, root, {k: len(v) for k, v in found.items()}, noun)
        raise UnlabelledError(told) if any(found.values()) else DataError(told)
    for folder, files in found.items():
        labels = [class_in_name(file) for file in files]
        if set(labels) <= classes:
            listing.add(files, [str(label) for label in labels], layout.flat.pop(folder))
    example = os.path.basename(learned[0])
    sentence = (
        f"The classes come from the file names, such as '{example}' → '{class_in_name(example)}': "
        f"{quoted(sorted(classes))}. If these are none, make a folder per class, or give a CSV "
        f"with the columns {noun[:-1]} and label."
    )
    return listing, [Finding("classes", "warning", (), sentence)]


def _unlabelled(
    root: Path, layout: FolderLayout, suffixes: Collection[str], noun: str, *, is_named: bool
) -> list[Finding]:
    """Return which folders hold samples that are not used because nothing says their class."""
    findings = []
    if names := sorted({os.path.basename(folder) for folder in layout.unlabelled}):
        sentence = f"Skipped folders of samples without a label: {quoted(names)}."
        findings.append(Finding("unlabelled", "note", (), sentence))
    for folder, split in layout.flat.items():
        files = list(_files_below(root, folder, suffixes, Counter()))
        lacks = "no class in their names" if is_named else "no class folders inside"
        sentence = (
            f"Folder '{folder}/' is not used: its {len(files)} {noun} have no labels ({lacks}"
            f"{f'; it is the {split} split' if split else ''}). To use them, make a folder per "
            "class inside; what a model makes of them, predict says."
        )
        findings.append(Finding("unlabelled", "warning", files, sentence))
    return findings


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


def _files_below(
    root: Path,
    folder: str,
    suffixes: Collection[str],
    skipped: Counter[str],
    others: Sequence[str] = (),
    loops: list[str] | None = None,
) -> Iterator[str]:
    """Yield sample paths relative to ``root``; links are followed, each real folder once.

    Links that lead into ``others``, or to what holds one of them, are added to ``loops`` instead.
    """
    pending, seen = [folder], set()
    while pending:
        current = pending.pop()
        state = os.stat(root / current)
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        folders, files = list_folder(root / current)
        for file in files:
            suffix = os.path.splitext(file)[1].lower()
            if suffix in suffixes:
                yield os.path.join(current, file)
            else:
                skipped[suffix or file] += 1
        inside = [os.path.join(current, child) for child in reversed(folders)]
        for child in inside:
            if loops is not None and _leads_elsewhere(root / child, others):
                loops.append(child)
            else:
                pending.append(child)


def _leads_elsewhere(path: Path, others: Sequence[str]) -> bool:
    """Return whether a path is a link to one of some folders, into one, or to what holds one."""
    if not os.path.islink(path):
        return False
    real = os.path.realpath(path)
    return any(f"{o}/".startswith(f"{real}/") or f"{real}/".startswith(f"{o}/") for o in others)


def is_image(file: str) -> bool:
    """Return whether a file is an image by its name; whether it can be read its bytes tell."""
    return os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES


def _table_below(root: Path) -> str | None:
    """Return the first table in the folders of a folder."""
    for folder, _, files in os.walk(root):
        for file in sorted(files):
            if file.lower().endswith(TABLE_SUFFIXES) and not file.startswith("."):
                return os.path.join(folder, file)
    return None


def _no_classes(name: str, root: Path, counts: dict[str, int], noun: str) -> str:
    """Say what is in a folder of which nothing says the classes."""
    folders, files = list_folder(root)
    expected = "Expected a folder per class with images or .txt files inside."
    tables = [file for file in files if file.lower().endswith(TABLE_SUFFIXES)]
    if not folders and not files:
        return f"Folder {name} is empty. {expected}"
    if tables:
        return f"Folder {name} holds no class folders with images, but a table. {expected} " + (
            "Tables called train, val and test are read together. To read the table, give its "
            f"path: {os.path.join(root, tables[0])}"
        )
    if any(counts.values()):
        where = ", ".join(f"{n} in '{folder}/'" for folder, n in counts.items() if folder and n)
        number = sum(counts.values())
        return (
            f"Folder {name} holds {number} {noun} but no class folders"
            f"{f' ({where})' if where else ''}, and no file that says their classes. {expected} "
            f"Move them, or give a CSV with the columns {noun[:-1]} and label."
        )
    if below := _table_below(root):
        return f"Folder {name} holds no class folders with images, but a table. {expected} " + (
            f"To read the table, give its path: {below}"
        )
    found = quoted([*(f"{folder}/" for folder in folders), *files], limit=5)
    inside = Counter[str]()
    for folder in folders:
        inside += Tree(root).look(folder).suffixes
    if inside:
        shown = ", ".join(
            f"{number:,} {suffix or 'without one'}" for suffix, number in inside.most_common(3)
        )
        expected = (
            f"Inside are files of kinds that are not read ({shown}). {expected} Convert them, for "
            "example to PNG or to text."
        )
    return f"Folder {name} holds no images (found: {found}). {expected}"
