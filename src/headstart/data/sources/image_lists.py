"""Read what JSON files, lists and the ``.txt`` beside each image say of the classes of images."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder import is_image, list_samples
from headstart.data.sources.folder_tree import Tree, list_folder
from headstart.data.sources.label_names import ClassNames, are_numbers_of, names_beside
from headstart.data.sources.layouts import FolderLayout
from headstart.data.sources.list_files import (
    Labelled,
    lines_of,
    read_numbered,
    read_text_lists,
    with_folders,
)
from headstart.data.sources.ordered_lists import (
    read_ground_truth_lists,
    refuse_ordered_lists,
)
from headstart.data.sources.split_words import split_of
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError, quoted
from headstart.preprocessing.image_files import IMAGE_SUFFIXES

WHOLE = 0.98  # sides of a box that is the whole image
FILE_KEYS = ("file_name", "filename", "file", "image", "path", "img", "name", "image_id", "id")
LABEL_KEYS = ("label", "labels", "class", "class_name", "category", "target", "class_id", "tags")


@dataclass(frozen=True)
class Lists:
    """All that was found, the names of the classes, and the sentence that says so.

    Names that hold none say that the labels are meant as they are, whatever lies beside.
    """

    parts: list[Labelled]
    names: ClassNames | None
    sentence: str


def find_lists(tree: Tree, layout: FolderLayout, beside: FilesBeside) -> Lists | None:
    """Return the labels that files other than tables state; None where none does.

    Args:
        tree: The folder, and what is below.
        layout: What the folders below it mean.
        beside: The images in them.

    Raises:
        DataError: A file cannot be read, or holds boxes of objects rather than classes of images.
    """
    root, places = tree.root, _places(tree, layout)
    if parts := read_numbered(root, list(places), beside):
        return _described(root, parts, places)
    known = sorted({part.label for part in layout.classes})
    truth, sentence = read_ground_truth_lists(root, layout.flat, list(places), known)
    parts = read_text_lists(root, places, beside)
    if layout.classes:
        parts = truth or parts or _json_parts(root, places, beside)
        return _with_class_folders(root, layout, parts, places) if parts else None
    if truth:
        return Lists(truth, ClassNames({}, truth[0].where), sentence)
    parts = _json_parts(root, places, beside) or [p for p in parts if None not in p.labels]
    if parts := parts or _yolo_parts(root, layout):
        return _described(root, parts, places)
    refuse_ordered_lists(root, layout.flat, list(places))
    return None


def _places(tree: Tree, layout: FolderLayout) -> dict[str, str | None]:
    """Return where lists may lie, each with its split: beside images, above, in ``meta``."""
    places: dict[str, str | None] = {f: split or None for f, split in layout.flat.items()}
    for folder, split in layout.flat.items():  # val/val_annotations.txt of val/images
        above = os.path.dirname(folder)
        places |= {above: split or None} if split and above not in ("", layout.top) else {}
    for place in (layout.top, ""):
        places.setdefault(place, None)
    samples = {part.folder.split("/")[0] for part in layout.classes} | {*layout.flat}
    for place in dict.fromkeys((layout.top, "")):
        inside = [os.path.join(place, child) for child in tree.look(place).folders]
        known = [folder for folder in inside if folder not in samples]
        known = [f for f in known if not tree.has_samples(f, IMAGE_SUFFIXES)]
        places |= {folder: None for folder in known if folder not in places}
    return places


def _with_class_folders(
    root: Path,
    layout: FolderLayout,
    parts: list[Labelled],
    places: Mapping[str, str | None],
) -> Lists | None:
    """Return lists of splits of class folders, or of a split beside those that have folders."""
    has_splits = any(part.split for part in layout.classes)
    if has_splits and any(part.group for part in layout.classes):
        return None
    of_folders = list_samples(root, layout.classes, IMAGE_SUFFIXES)
    label_of = dict(zip(of_folders.paths, of_folders.labels, strict=True))
    parts = [with_folders(part, label_of) for part in parts]
    parts = [part for part in parts if part.split and None not in part.labels]
    if not has_splits:
        is_whole = any(part.split == "train" for part in parts) and len(parts) > 1
        return _described(root, parts, places) if is_whole else None
    flat = set(filter(None, layout.flat.values()))
    known = set(label_of.values())
    listed = [p for p in parts if p.split in flat and set(map(str, p.labels)) <= known]
    if not listed:
        return None
    for split in dict.fromkeys(part.split for part in layout.classes):
        folders = [part for part in layout.classes if part.split == split]
        found = list_samples(root, folders, IMAGE_SUFFIXES)
        where = f"the folders of {split}"
        listed.insert(0, Labelled(found.paths, list(found.labels), where, "", split))
    return _described(root, listed, places)


def _described(root: Path, parts: list[Labelled], places: Iterable[str]) -> Lists:
    """Return parts with the sentence on them, and the names of numbered classes."""
    where = quoted(list(dict.fromkeys(part.where for part in parts)), limit=4)
    labels = {str(label) for part in parts for label in part.labels}
    named = None
    if all(label.isdigit() for label in labels):
        for found in names_beside(root, list(places)):
            names = found.by_number
            if names and are_numbers_of(labels, names):
                named = ClassNames({str(i): name for i, name in enumerate(names)}, found.where)
                break
    said = f", their names from '{named.where}'" if named else ""
    return Lists(parts, named, f"The classes come from {where}{said}.")


def _json_parts(
    root: Path, places: Mapping[str, str | None], beside: FilesBeside
) -> list[Labelled]:
    """Return the JSON files that say the class of each image."""
    parts: list[Labelled] = []
    for place, of_place in places.items():
        for file in list_folder(root / place)[1]:
            if not file.lower().endswith(".json"):
                continue
            where = os.path.join(place, file)
            try:
                content = json.loads(read_text_bytes(root / place / file, where, None))
            except ValueError:
                continue
            if pairs := _json_pairs(content, beside):
                split = of_place or split_of(os.path.splitext(file)[0])
                paths = [beside.find(path, below=place) or path for path, _ in pairs]
                parts.append(Labelled(paths, [b for _, b in pairs], where, place, split))
    return parts


def _json_pairs(content: Any, beside: FilesBeside) -> list[tuple[str, Any]]:
    """Return path and label of each entry of a JSON file, none where it has another form."""
    if isinstance(content, Mapping):
        if isinstance(content.get("labels"), (list, Mapping)) and not _is_file(next(iter(content))):
            return _json_pairs(content["labels"], beside)
        if content and all(_is_file(key) for key in content):
            return [(k, _label_of(v)) for k, v in content.items() if _label_of(v) is not None]
        by_class = [(file, label) for label, files in content.items() for file in _listed(files)]
        firsts = [file for file, _ in by_class[:100]]
        is_list = all(_listed(files) for files in content.values())
        if is_list and (all(map(_is_file, firsts)) or beside.are_named(firsts)):
            return by_class
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


def _listed(value: object) -> list[str]:
    is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return value if is_list and isinstance(value, list) else []


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
            if os.path.isfile(path) and (label := _yolo_class(path, where)) is not None:
                paths.append(file)
                labels.append(label)
        if paths:
            where = os.path.join(texts, "*.txt")
            parts.append(Labelled(paths, labels, where, folder, split or None))
    return parts


def _yolo_class(path: Path, where: str) -> str | None:
    """Return the class of the boxes of a file that all are the whole image."""
    found = set()
    for line in lines_of(path, where):
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
