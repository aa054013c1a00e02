"""Lists of classes for images in the order of their names: ImageNet's ground truth, others refused.

``ILSVRC2012_validation_ground_truth.txt`` holds a number a line, of the image of that number in
``ILSVRC2012_val_00000001.JPEG`` …; the numbers are those of ``meta.mat`` in its development kit,
and not places in a sorted list of synsets. Any other list whose lines are as many as the images
could follow another order of names, or of a camera: it is never guessed.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.sources.folder import is_image
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.label_names import ClassNames, names_beside
from headstart.data.sources.list_files import SUFFIXES, Labelled, lines_of
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError

GROUND_TRUTH = re.compile(r"ILSVRC\d{4}_\w*ground_truth\.txt", re.IGNORECASE)
FILE_NUMBER = re.compile(r".*?(\d+)\.\w+")
KINDS = (*SUFFIXES, ".json", ".npy")


def read_ground_truth_lists(
    root: Path, flat: Mapping[str, str], places: Sequence[str], known: Sequence[str] = ()
) -> tuple[list[Labelled], str]:
    """Return the images of ground truth lists of ILSVRC with their classes, and what to say of it.

    Args:
        root: The folder.
        flat: Folders of images without class folders, each with its split, or empty.
        places: Folders in which lists may lie.
        known: Class folders, where there are some: their names are WordNet's ids, or numbers.

    Raises:
        DataError: A list has another number of lines than there are images, or the images are not
            numbered from one on.
    """
    everywhere = [*places, *(os.path.join(place, "data") for place in places)]
    for place in dict.fromkeys(everywhere):
        for file in _files(root / place):
            if not GROUND_TRUTH.fullmatch(file):
                continue
            where = os.path.join(place, file)
            lines = [line.strip() for line in lines_of(root / where, where) if line.strip()]
            folder = _folder_of(root, flat, file)
            if folder is None:
                continue
            paths = _numbered_images(root, folder, len(lines), where)
            named = _stated_names(root, everywhere, known)
            labels = lines if named is None else [named.by_label.get(n, n) for n in lines]
            says = (
                f", their names from '{named.where}'"
                if named
                else "; its numbers are those of meta.mat of the development kit, not places in a "
                "list of synsets: put that file beside for their names"
            )
            part = Labelled(paths, labels, where, folder, flat[folder] or None)
            return [part], f"The classes come from '{where}', line 1 for image number 1{says}."
    return [], ""


def refuse_ordered_lists(root: Path, flat: Mapping[str, str], places: Sequence[str]) -> None:
    """Refuse a list of as many classes as there are images, which says no name of an image.

    Raises:
        DataError: There is one; it says how to give the names.
    """
    images = {folder: _images(root, folder) for folder in flat}
    counts = {len(files): folder for folder, files in images.items() if len(files) > 1}
    for place in places:
        for file in _files(root / place):
            labels = _lone_labels(root / place / file)
            folder = counts.get(len(labels))
            if folder is None or 2 * len(set(labels)) > len(labels):
                continue
            where = os.path.join(place, file)
            shown = images[folder]
            raise DataError(
                f"'{where}' holds {len(labels):,} classes, as many as there are images in "
                f"'{folder or '.'}/', and no name of an image: nothing says which line is which "
                f"image, whether '{shown[0]}', '{shown[1]}' … stand for its first lines or others "
                "do. Write a CSV with the columns image and label beside the images, a row for "
                "each, and remove the list."
            )


def _files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [file for file in list_folder(folder)[1] if file.lower().endswith(KINDS)]


def _images(root: Path, folder: str) -> list[str]:
    return [file for file in list_folder(root / folder)[1] if is_image(file)]


def _folder_of(root: Path, flat: Mapping[str, str], file: str) -> str | None:
    """Return the folder of images that a ground truth is of: of its split, or the only one."""
    side = "test" if "test" in file.lower() else "val"
    likely = [folder for folder, split in flat.items() if split == side]
    likely = likely or [folder for folder, split in flat.items() if not split]
    return likely[0] if len(likely) == 1 and _images(root, likely[0]) else None


def _numbered_images(root: Path, folder: str, number: int, where: str) -> list[str]:
    """Return the images of a folder by their numbers, which go from 1 to ``number``."""
    files = _images(root, folder)
    found = {int(match[1]): file for file in files if (match := FILE_NUMBER.fullmatch(file))}
    if len(files) != number or sorted(found) != list(range(1, number + 1)):
        raise DataError(
            f"'{where}' holds {number:,} lines, for images numbered from 1 to {number:,}; "
            f"'{folder or '.'}/' holds {len(files):,} images, such as '{files[0]}'. Give all of "
            "them under their own names, or a CSV with the columns image and label."
        )
    return [os.path.join(folder, found[n]) for n in range(1, number + 1)]


def _stated_names(root: Path, places: Sequence[str], known: Sequence[str]) -> ClassNames | None:
    """Return the names of the numbers: of ``meta.mat``, or of a list that numbers them itself."""
    for place in places:
        if (root / place / "meta.mat").is_file():
            where = os.path.join(place, "meta.mat")
            try:
                rows = _synsets(root / where)
            except (
                Exception
            ) as error:  # MatReadError, KeyError, NotImplementedError: as the damage is
                raise DataError(
                    f"'{where}' cannot be read ({error}); expected the synsets of ILSVRC's "
                    "development kit. Take it from there, or remove it: the classes are numbers "
                    "then."
                ) from error
            is_by_id = bool({wordnet for wordnet, _ in rows.values()} & set(known))
            named = {n: (pair[0] if is_by_id else pair[1]) for n, pair in rows.items()}
            return ClassNames(_all_different(named, rows), where)
    for found in names_beside(root, [p for p in places if (root / p).is_dir()]):
        if "1" in found.by_label and "0" not in found.by_label:
            return ClassNames(found.by_label, found.where)
    return None


def _all_different(named: Mapping[str, str], rows: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return names of which those that occur twice say WordNet's id: there are two cranes."""
    counts = Counter(named.values())
    return {
        number: name if counts[name] == 1 else f"{name} ({rows[number][0]})"
        for number, name in named.items()
    }


def _synsets(path: Path) -> dict[str, tuple[str, str]]:
    """Return WordNet's id and the first name of each class by its number."""
    from scipy.io import loadmat

    table = loadmat(path, squeeze_me=True)["synsets"].reshape(-1)
    rows = zip(table["ILSVRC2012_ID"], table["WNID"], table["words"], strict=True)
    return {str(int(n)): (str(i), str(words).split(",")[0].strip()) for n, i, words in rows}


def _lone_labels(path: Path) -> Sequence[Any]:
    """Return the entries of a file that holds one word or number each; none of any other."""
    low = path.name.lower()
    try:
        if low.endswith(".npy"):
            import numpy as np

            array = np.load(path, mmap_mode="r", allow_pickle=False)
            is_list = array.ndim == 1 and array.dtype.kind in "iuU"
            return list(map(str, array.tolist())) if is_list else []
        if low.endswith(".json"):
            found = json.loads(read_text_bytes(path, path.name, None))
            is_list = isinstance(found, list) and all(isinstance(v, (str, int)) for v in found)
            return list(map(str, found)) if is_list else []
        lines = [line.strip() for line in lines_of(path, path.name) if line.strip()]
    except (OSError, ValueError, DataError):
        return []
    return lines if all(re.fullmatch(r"\w[\w -]{0,60}", line) for line in lines) else []
