"""Read text files whose lines name images, their classes and splits, as public data sets have them.

``train.txt`` with ``cat/1.jpg`` or ``cat/1`` a line (Food-101, DTD), ``1.jpg 3`` (ImageNet), ``1
3 1 2`` (Oxford Pets), ``val_annotations.txt`` with boxes behind the class (Tiny ImageNet); and the
numbered files of CUB-200: ``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.data.sources.file_names import class_in_name
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.split_words import split_within, splits_among
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError, quoted

SUFFIXES = (".txt", ".lst")
ANY_SPLIT = re.compile(r"(image_?)?(labels?|annotations?|list|annots?)", re.IGNORECASE)
NUMBER = re.compile(r"-?\d+(\.\d+)?")
ENOUGH = 0.9  # of the lines must name a file
FIRST_LINES = 100


@dataclass(frozen=True)
class Labelled:
    """Images with their labels.

    Attributes:
        paths: As the file names them.
        labels: One label, or a list of labels, for each; None where the folder is the class.
        where: The file.
        folder: The folder that paths start from, relative to the root.
        split: Of all of them; None where it is not stated.
    """

    paths: list[str]
    labels: list[Any]
    where: str
    folder: str = ""
    split: str | None = None


def read_numbered(root: Path, places: Sequence[str], beside: FilesBeside) -> list[Labelled]:
    """Return what the numbered files of CUB-200 state: a part a split; nothing without them."""
    for place in places:
        files = {name.lower(): name for name in list_folder(root / place)[1]}
        if not {"images.txt", "image_class_labels.txt"} <= files.keys():
            continue

        def read(file: str, place: str = place, files: dict[str, str] = files) -> dict[str, str]:
            where = os.path.join(place, files[file])
            pairs = (line.split(None, 1) for line in lines_of(root / where, where) if line.strip())
            return {pair[0]: pair[-1].strip() for pair in pairs}

        paths, classes = read("images.txt"), read("image_class_labels.txt")
        if lacking := [number for number in paths if number not in classes]:
            raise DataError(
                f"{os.path.join(place, 'image_class_labels.txt')} says no class of image "
                f"{lacking[0]} of images.txt ({len(lacking):,} such). Complete it, or remove them."
            )
        names = read("classes.txt") if "classes.txt" in files else {}
        sides = read("train_test_split.txt") if "train_test_split.txt" in files else {}
        where = os.path.join(place, "images.txt")
        every = [
            (number, beside.find(path) or path, names.get(classes[number], classes[number]))
            for number, path in paths.items()
        ]
        parts = []
        for side, split in (("1", "train"), ("0", "test")) if sides else ((None, None),):
            rows = [(path, label) for n, path, label in every if sides.get(n) == side]
            parts.append(Labelled([p for p, _ in rows], [c for _, c in rows], where, "", split))
        return [part for part in parts if part.paths]
    return []


def read_text_lists(
    root: Path, places: Mapping[str, str | None], beside: FilesBeside
) -> list[Labelled]:
    """Return what the lists in the first of some folders that has any state, a part a file.

    Args:
        root: The folder.
        places: Folders to look in, each with the split it is, or None.
        beside: The images.

    Raises:
        DataError: Several lists give one split other labels.
    """
    for place, of_place in places.items():
        parts: list[Labelled] = []
        files = [f for f in list_folder(root / place)[1] if f.lower().endswith(SUFFIXES)]
        words: dict[str, str] = dict(splits_among(os.path.splitext(file)[0] for file in files))
        for file in files:
            stem, where = os.path.splitext(file)[0], os.path.join(place, file)
            split = words.get(stem) or split_within(stem)
            if split is None and not ANY_SPLIT.fullmatch(stem):
                continue
            rows = _rows(lines_of(root / where, where), place, beside)
            if rows:
                paths, labels = [path for path, _ in rows], [label for _, label in rows]
                parts.append(Labelled(paths, labels, where, place, split or of_place or None))
        if parts:
            return _one_a_split(parts)
    return []


def _one_a_split(parts: list[Labelled]) -> list[Labelled]:
    """Return the parts of which no two are of one split: of ``train1``, ``train2`` … the first."""
    by_split: dict[str | None, list[Labelled]] = {}
    for part in parts:
        by_split.setdefault(part.split, []).append(part)
    kept = []
    for split, same in by_split.items():
        stems = {re.sub(r"\d+", "", os.path.basename(part.where)) for part in same}
        if len(same) > 1 and len(stems) > 1:
            raise DataError(
                f"Lists {quoted([part.where for part in same])} all name the "
                f"{split or 'same'} images. Keep one of them, and move the others elsewhere."
            )
        kept.append(same[0])
    return kept


def _rows(
    lines: Sequence[str], place: str, beside: FilesBeside
) -> list[tuple[str, str | None]] | None:
    """Return path and label of each line; None where the lines have another form."""
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    cut = [_cut(line, place, beside) for line in lines[:FIRST_LINES]]
    if not lines or sum(found is not None for found in cut) < ENOUGH * len(cut):
        return None
    cut += [_cut(line, place, beside) for line in lines[FIRST_LINES:]]
    rows = [found or (line.split()[0], "") for found, line in zip(cut, lines, strict=True)]
    if not any(rest for _, rest in rows):
        return [(path, None) for path, _ in rows]
    words = [rest.split() for _, rest in rows]
    # a box, or numbers of other kinds: not the 717 of a Boeing
    has_more = all(
        len(parts) > (1 if parts[0].isdigit() else 2) and all(map(NUMBER.fullmatch, parts[1:]))
        for parts in words
    )
    if not has_more:
        return [(path, rest.strip('"')) for path, rest in rows]
    return _by_name([(path, parts[0]) for (path, _), parts in zip(rows, words, strict=True)])


def _by_name(rows: list[tuple[str, str]]) -> list[tuple[str, str | None]]:
    """Return numbered labels as the beginnings of the file names, where these say the same."""
    pairs = {(label, class_in_name(path) or "") for path, label in rows}
    numbers, names = {number for number, _ in pairs}, {name for _, name in pairs}
    is_same = len(pairs) == len(numbers) == len(names) and "" not in names
    is_numbered = all(number.isdigit() for number in numbers)
    return [(path, class_in_name(path) if is_same and is_numbered else c) for path, c in rows]


def _cut(line: str, place: str, beside: FilesBeside) -> tuple[str, str] | None:
    """Return the file that a line names, and what stands behind it."""
    if found := beside.find(line.strip('"'), below=place):
        return found, ""
    match = re.fullmatch(r"\"?(.+?\.\w{3,5})\"?\s*[\s,;]\s*(\S.*)", line)
    if match is not None and beside.is_sample(match[1]):
        return beside.find(match[1], below=place) or match[1], match[2]
    parts = re.split(r"[\s,;]+", line, maxsplit=1)
    found = beside.find(parts[0], below=place) if len(parts) == 2 else None
    return (found, parts[1]) if found else None


def with_folders(part: Labelled, label_of: Mapping[str, str]) -> Labelled:
    """Return a part whose labels are the class folders, where the list says none, or numbers.

    Args:
        part: Of a list.
        label_of: The class of each image by its path, as its folder says it.
    """
    is_open = all(label is None or str(label).isdigit() for label in part.labels)
    if not is_open or not all(path in label_of for path in part.paths):
        return part
    return replace(part, labels=[label_of[path] for path in part.paths])


def lines_of(path: Path, where: str) -> list[str]:
    """Return the lines of a text file; DataError where it is none."""
    return read_text_bytes(path, where, None).decode().splitlines()
