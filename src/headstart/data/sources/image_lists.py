"""Read what JSON files, lists and the ``.txt`` beside each image say of the classes of images."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.sources.delimited import read_text_bytes
from headstart.data.sources.folder import is_image
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.layouts import FolderLayout
from headstart.data.sources.split_words import split_of, splits_among
from headstart.errors import DataError, quoted

NAME_FILES = ("classes.txt", "labels.txt", "synsets.txt", "class_names.txt", "obj.names")
YAML_FILES = ("data.yaml", "data.yml", "dataset.yaml")
NUMBERED_LINE = re.compile(r"(\d+)[\s,:;]+(\S.*)")
WORDNET_LINE = re.compile(r"n\d{8}[\s,]+(\S.*)")
WHOLE = 0.98  # sides of a box that is the whole image
FILE_KEYS = ("file_name", "filename", "file", "image", "path", "img", "name", "image_id", "id")
LABEL_KEYS = ("label", "labels", "class", "class_name", "category", "target", "class_id", "tags")


@dataclass(frozen=True)
class ClassNames:
    """What the numbers of classes stand for.

    Attributes:
        names: By number, from 0.
        where: The file that says so.
    """

    names: list[str]
    where: str


@dataclass(frozen=True)
class Labelled:
    """Images with their labels.

    Attributes:
        paths: As the file names them.
        labels: One label, or a list of labels, for each.
        where: The file.
        folder: The folder that paths start from, relative to the root.
        split: Of all of them; None where it is not stated.
    """

    paths: list[str]
    labels: list[Any]
    where: str
    folder: str = ""
    split: str | None = None


@dataclass(frozen=True)
class Lists:
    """All that was found, the names of the classes, and the sentence that says so."""

    parts: list[Labelled]
    names: ClassNames | None
    sentence: str


def find_lists(root: Path, layout: FolderLayout) -> Lists | None:
    """Return the labels that files other than tables state; None where none does.

    Raises:
        DataError: A file cannot be read, or holds boxes of objects rather than classes of images.
    """
    places = list(dict.fromkeys([*layout.flat, layout.top, ""]))
    names = read_class_names(root, places)
    for parts in (_json_parts(root, layout, places), _text_parts(root, layout, places)):
        if parts:
            return _described(parts, names)
    if parts := _yolo_parts(root, layout):
        return _described(parts, names)
    return None


def _described(parts: list[Labelled], names: ClassNames | None) -> Lists:
    where = quoted(list(dict.fromkeys(part.where for part in parts)), limit=4)
    labels = [label for part in parts for label in part.labels]
    is_number = all(isinstance(v, int) or (isinstance(v, str) and v.isdigit()) for v in labels)
    if names is not None and not (is_number and all(int(v) < len(names.names) for v in labels)):
        names = None
    named = f", their names from '{names.where}'" if names else ""
    return Lists(parts, names, f"The classes come from {where}{named}.")


def read_class_names(root: Path, folders: Sequence[str]) -> ClassNames | None:
    """Return the names of numbered classes that a list or a ``data.yaml`` gives.

    Args:
        root: The folder.
        folders: Where to look, relative to it, the first that has one first.
    """
    for folder in dict.fromkeys(folders):
        files = list_folder(root / folder)[1] if os.path.isdir(root / folder) else []
        for file in sorted(files, key=lambda f: f.lower()):
            path = root / folder / file
            where = os.path.join(folder, file)
            if file.lower() in NAME_FILES:
                lines = [line.strip() for line in _lines(path, where) if line.strip()]
                if lines and not any(is_image(line.split()[0]) for line in lines):
                    return ClassNames(_names_of(lines), where)
            is_yaml = file.lower() in YAML_FILES
            if is_yaml and (found := _yaml_names("\n".join(_lines(path, where)))):
                return ClassNames(found, where)
    return None


def _names_of(lines: list[str]) -> list[str]:
    numbered = [NUMBERED_LINE.fullmatch(line) for line in lines]
    if all(numbered):
        pairs = {int(m[1]): m[2].strip() for m in numbered if m}
        if sorted(pairs) == list(range(len(lines))):
            return [pairs[i] for i in range(len(lines))]
        if sorted(pairs) == list(range(1, len(lines) + 1)):  # no class has the number 0
            return ["0", *(pairs[i + 1] for i in range(len(lines)))]
    nouns = [WORDNET_LINE.fullmatch(line) for line in lines]
    return [m[1] for m in nouns if m] if all(nouns) else lines


def _yaml_names(text: str) -> list[str]:
    """Return ``names: [a, b]`` or the lines below ``names:`` of a YAML file."""
    inline = re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if inline:
        return [word.strip().strip("'\"") for word in inline[1].split(",") if word.strip()]
    block = re.search(r"^names:[ \t]*\n((?:[ \t]*(?:-|\d+:)[ \t]*.+\n?)+)", text, re.MULTILINE)
    lines = block[1].splitlines() if block else []
    return [re.sub(r"^\s*(-|\d+:)\s*", "", line).strip().strip("'\"") for line in lines]


def _text_parts(root: Path, layout: FolderLayout, places: Sequence[str]) -> list[Labelled]:
    """Return the lists ``train.txt``, ``val.txt``, … whose lines are a path and a label."""
    parts = []
    for place in places:
        files = [f for f in list_folder(root / place)[1] if f.lower().endswith((".txt", ".lst"))]
        words = splits_among(os.path.splitext(file)[0] for file in files)
        for file in files:
            stem = os.path.splitext(file)[0]
            where = os.path.join(place, file)
            is_known = stem in words or stem.lower() in ("labels", "annotations", "list", "label")
            pairs = _pairs(_lines(root / place / file, where)) if is_known else None
            if pairs:
                folder = layout.flat.get(place)
                split = words.get(stem) or folder or None
                paths, labels = [a for a, _ in pairs], [b for _, b in pairs]
                parts.append(Labelled(paths, labels, where, place, split))
        if parts:
            return parts
    return []


def _pairs(lines: Sequence[str]) -> list[tuple[str, str]] | None:
    """Return path and label of each line; None where a line has another form."""
    pairs = []
    for line in filter(str.strip, lines):
        match = re.fullmatch(r"\s*\"?(.+?\.\w{3,5})\"?\s*[\s,;]\s*(\S.*?)\s*", line)
        if match is None or not is_image(match[1]):
            return None
        pairs.append((match[1], match[2].strip('"')))
    return pairs


def _json_parts(root: Path, layout: FolderLayout, places: Sequence[str]) -> list[Labelled]:
    """Return the JSON files that say the class of each image."""
    parts: list[Labelled] = []
    for place in places:
        for file in list_folder(root / place)[1]:
            if not file.lower().endswith(".json"):
                continue
            where = os.path.join(place, file)
            try:
                content = json.loads(read_text_bytes(root / place / file, where, None))
            except ValueError:
                continue
            if pairs := _json_pairs(content):
                split = layout.flat.get(place) or split_of(os.path.splitext(file)[0])
                paths, labels = [a for a, _ in pairs], [b for _, b in pairs]
                parts.append(Labelled(paths, labels, where, place, split))
    return parts


def _json_pairs(content: Any) -> list[tuple[str, Any]]:
    """Return path and label of each entry of a JSON file, none where it has another form."""
    if isinstance(content, Mapping):
        if isinstance(content.get("labels"), (list, Mapping)) and not _is_file(next(iter(content))):
            return _json_pairs(content["labels"])
        if content and all(_is_file(key) for key in content):
            return [(k, _label_of(v)) for k, v in content.items() if _label_of(v) is not None]
        if content and all(
            isinstance(v, list) and v and all(map(_is_file, v)) for v in content.values()
        ):
            return [(file, label) for label, files in content.items() for file in files]
        return []
    if not isinstance(content, list) or not content:
        return []
    if all(isinstance(e, list) and len(e) == 2 and _is_file(e[0]) for e in content):
        return [(e[0], _label_of(e[1])) for e in content if _label_of(e[1]) is not None]
    pairs = []
    for entry in content:
        if not isinstance(entry, Mapping):
            return []
        file = next((entry[k] for k in FILE_KEYS if _is_file(entry.get(k))), None)
        if file is None or _label_of(entry) is None:
            return []
        pairs.append((file, _label_of(entry)))
    return pairs


def _is_file(value: object) -> bool:
    return isinstance(value, str) and is_image(value)


def _label_of(value: Any) -> Any:
    """Return a label, or a list of labels, in a JSON value; None where it holds none."""
    if isinstance(value, Mapping):
        found = next((value[key] for key in LABEL_KEYS if key in value), None)
        return None if isinstance(found, Mapping) else _label_of(found)
    if isinstance(value, list):
        return [str(v) for v in value] if all(isinstance(v, (str, int)) for v in value) else None
    return str(value) if isinstance(value, (str, int)) else None


def _yolo_parts(root: Path, layout: FolderLayout) -> list[Labelled]:
    """Return the classes in the ``.txt`` of YOLO that stands for each image.

    Raises:
        DataError: They hold boxes of objects: headstart tells classes of whole images.
    """
    parts = []
    for folder, split in layout.flat.items():
        images = [file for file in list_folder(root / folder)[1] if is_image(file)]
        texts = folder
        if not any(os.path.isfile(root / folder / f"{os.path.splitext(f)[0]}.txt") for f in images):
            texts = re.sub(r"(^|/)images(/|$)", r"\1labels\2", folder)
        paths, labels = [], []
        for file in images:
            path = root / texts / f"{os.path.splitext(file)[0]}.txt"
            where = os.path.join(texts, path.name)
            if texts and os.path.isfile(path) and (label := _yolo_class(path, where)) is not None:
                paths.append(file)
                labels.append(label)
        if paths:
            where = f"{texts}/*.txt"
            parts.append(Labelled(paths, labels, where, folder, split or None))
    return parts


def _yolo_class(path: Path, where: str) -> str | None:
    """Return the class of the boxes of a file that all are the whole image."""
    found = set()
    for line in _lines(path, where):
        cells = line.split()
        try:
            numbers = [float(cell) for cell in cells[1:]]
        except ValueError:
            return None
        if not cells or not cells[0].isdigit() or len(numbers) not in (0, 4):
            return None
        if numbers and min(numbers[2:]) < WHOLE:
            raise DataError(
                f"{where} holds boxes of objects ('{line.strip()}'), as YOLO writes them for "
                "detection; headstart tells the class of a whole image. Cut the objects out into a "
                "folder per class, or give a CSV with the columns image and label."
            )
        found.add(cells[0])
    return found.pop() if len(found) == 1 else None


def _lines(path: Path, where: str) -> list[str]:
    return read_text_bytes(path, where, None).decode().splitlines()
