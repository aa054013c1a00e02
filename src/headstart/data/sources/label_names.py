"""What labels stand for: names in a file's metadata, or in a list, YAML or JSON file beside it.

A list gives names by line (``cat``), by number (``0 cat``) or by WordNet id (``n02123045 tabby``);
a JSON file by number, by the label itself (``{"21": "fire lily"}``), or numbers by name; a label
map of TensorFlow (``.pbtxt``) by number.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.sources.folder import is_image
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError

# fmt: off
LISTS = (
    "labels.txt", "classes.txt", "class_names.txt", "label_names.txt", "synsets.txt", "obj.names",
    "synset_words.txt", "loc_synset_mapping.txt", "words.txt",
)
MAPS = (
    "id2label.json", "label_names.json", "class_names.json", "label_map.json", "config.json",
    "cat_to_name.json", "labels.json", "class_index.json", "imagenet_class_index.json",
    "classes.json", "idx_to_class.json", "class_to_idx.json", "categories.json",
    "class_indices.json", "index_to_name.json", "index_to_class.json", "idx2label.json",
    "label2id.json", "label_to_id.json", "labels_map.json",
)
PROTOBUFS = ("label_map.pbtxt", "labelmap.pbtxt", "labels.pbtxt")
# fmt: on
YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
KEYS = ("id2label", "label_names", "class_names", "classes", "names")
LABELS = ("label", "labels", "class", "target", "y")
MAX_BYTES = 16 * 2**20  # words.txt of WordNet has 82,000 lines
NUMBERED_LINE = re.compile(r"(\d+)[\s,:;]+(\S.*)")
KEYED_LINE = re.compile(r"(n\d{8})(?:[\s,]+(\S.*))?")
ITEM = re.compile(r"item\s*\{(.*?)\}", re.DOTALL)  # of TensorFlow's label maps
WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ClassNames:
    """What the labels of a data set stand for.

    Attributes:
        by_label: Name by label as it is written: ``"0"``, ``"n02123045"``.
        where: The file that says so, relative to the root.
    """

    by_label: dict[str, str]
    where: str

    @property
    def by_number(self) -> list[str] | None:
        """The names by number from 0, where the numbers that have names are without a gap."""
        named = {int(key): name for key, name in self.by_label.items() if key.isdigit()}
        first = min(named, default=-1)
        if first not in (0, 1) or sorted(named) != list(range(first, first + len(named))):
            return None
        # where they are counted from 1, no class has the number 0
        return [*(["0"] if first else []), *(named[number] for number in sorted(named))]

    def for_labels(self, labels: Collection[str]) -> dict[str, str] | None:
        """Return a name for each label, no two alike; None where one has none.

        Args:
            labels: The different labels.
        """
        found = {label: self.by_label.get(label, "") for label in labels}
        if not all(found.values()):
            return None
        counts = Counter(found.values())  # ImageNet has two kinds of crane
        return {
            label: name if counts[name] == 1 else f"{name} ({label})"
            for label, name in found.items()
        }


def are_numbers_of(labels: Collection[str], names: Sequence[str]) -> bool:
    """Return whether labels are numbers of these names, counted from 0 or from 1.

    Args:
        labels: The different labels, as they are written.
        names: By number from 0.
    """
    if not all(label.isdigit() for label in labels):
        return False
    numbers = {int(label) for label in labels}
    return max(numbers, default=0) < len(names) + (0 not in numbers)


def names_in(metadata: Mapping[bytes, bytes] | None, column: str) -> list[str] | None:
    """Return the names in the metadata of an Arrow schema; None where it states none.

    Known are a ``ClassLabel`` of Hugging Face datasets, also of lists, the ``StringIndexer`` of
    Spark, and the keys ``id2label``, ``label_names``, ``class_names`` and ``classes``.
    """
    stated = metadata or {}
    readers = (
        (b"huggingface", _of_datasets),
        (b"org.apache.spark.sql.parquet.row.metadata", _of_spark),
    )
    for key, read in readers:
        try:
            names = read(json.loads(stated[key]), column)
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
            continue  # not written by that program, or not such a column
        if names:
            return names
    for key_text in KEYS if column in LABELS else ():
        if (raw := stated.get(key_text.encode())) is not None:
            try:
                return _listed(json.loads(raw))
            except ValueError:
                return None
    return None


def _of_datasets(value: Any, column: str) -> list[str] | None:
    feature = value["info"]["features"][column]
    if isinstance(feature, list):  # as datasets 1 wrote lists
        feature = {"feature": feature[0]}
    return _listed(feature.get("names") or feature["feature"]["names"])


def _of_spark(value: Any, column: str) -> list[str] | None:
    field = next(one for one in value["fields"] if one["name"] == column)
    return _listed(field["metadata"]["ml_attr"]["vals"])


def _listed(value: Any) -> list[str] | None:
    """Return names by number: of a list, or of a map from number to name or back."""
    if isinstance(value, list) and value and not any(isinstance(v, (list, dict)) for v in value):
        return [str(name) for name in value]
    if not isinstance(value, dict) or not value:
        return None
    if all(isinstance(number, int) for number in value.values()):
        value = {number: name for name, number in value.items()}
    try:
        pairs = sorted((int(number), str(name)) for number, name in value.items())
    except ValueError:
        return None
    is_whole = [number for number, _ in pairs] == list(range(len(pairs)))
    return [name for _, name in pairs] if is_whole else None


def names_beside(root: Path, folders: Sequence[str] = ("",)) -> Iterator[ClassNames]:
    """Yield the names that the files of some folders give, those of the likeliest file first.

    Args:
        root: What the folders are relative to.
        folders: Where to look, in this order.
    """
    for folder in dict.fromkeys(folders):
        try:
            files = {file.lower(): file for file in list_folder(root / folder)[1]}
        except DataError:
            continue  # said where the samples are read
        for known in (*LISTS, *YAMLS, *MAPS, *PROTOBUFS):
            if known not in files:
                continue
            where = os.path.join(folder, files[known])
            if (root / where).stat().st_size > MAX_BYTES:
                continue
            try:
                text = read_text_bytes(root / where, where, None).decode()
                named = _read_names(known, text)
            except (OSError, ValueError, DataError):
                continue  # not a file of names
            if named:
                yield ClassNames(named, where)


def column_names(root: Path, where: str, column: str) -> list[str] | None:
    """Return the names by number in a file beside a table file.

    Args:
        root: The folder of the table.
        where: The table's name; a table that is no file has none beside it.
        column: Only columns called label, or the like, are meant by such files.
    """
    if column not in LABELS or not (root / Path(where).name).is_file():
        return None
    return next((names for found in names_beside(root) if (names := found.by_number)), None)


def _read_names(file: str, text: str) -> dict[str, str] | None:
    """Return the names by label in the content of a file."""
    if file in LISTS:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        is_list = len(set(lines)) == len(lines) > 1 and not any(map(_names_an_image, lines))
        return _of_lines(lines, is_vocabulary=file == "words.txt") if is_list else None
    if file in YAMLS:
        return _by_place(_yaml_names(text))
    if file in PROTOBUFS:
        return {m["id"]: m["name"] for m in map(_item, ITEM.findall(text)) if m}
    value = json.loads(text)
    if isinstance(value, dict):
        value = next((value[key] for key in KEYS if key in value), value)
    return _of_map(value)


def _item(text: str) -> dict[str, str] | None:
    """Return number and name of an item of a label map; what is shown goes before its name."""
    number = re.search(r"\bid\s*:\s*(\d+)", text)
    names = dict(re.findall(r"\b(name|display_name)\s*:\s*['\"](.*?)['\"]", text))
    name = names.get("display_name") or names.get("name")
    return {"id": number[1], "name": name} if number and name else None


def _names_an_image(line: str) -> bool:
    return is_image(line.split()[0])


def _of_lines(lines: Sequence[str], *, is_vocabulary: bool) -> dict[str, str] | None:
    numbered = [NUMBERED_LINE.fullmatch(line) for line in lines]
    if all(numbered):
        pairs = {int(m[1]): m[2].strip() for m in numbered if m}
        first = min(pairs)
        if first in (0, 1) and sorted(pairs) == list(range(first, first + len(lines))):
            return {str(number): name for number, name in pairs.items()}
    keyed = [KEYED_LINE.fullmatch(line) for line in lines]
    if not all(keyed) or not any(m[2] for m in keyed if m):
        return None if is_vocabulary else _by_place(lines)
    named = {m[1]: _first(m[2] or m[1]) for m in keyed if m}
    # the lists of a competition also number its classes by their order; WordNet's words do not
    return named if is_vocabulary else named | _by_place([m[2] or m[1] for m in keyed if m])


def _first(names: str) -> str:
    """Return the first of several names of a class: ``tench, Tinca tinca``."""
    return names.split(",")[0].strip()


def _by_place(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _of_map(value: Any) -> dict[str, str] | None:
    """Return the names in JSON: a list, a map by number or label, or the map the other way."""
    pairs = list(value.items()) if isinstance(value, dict) else []
    if pairs and all(
        isinstance(v, list) and len(v) == 2 and WORDNET.fullmatch(str(v[0])) for _, v in pairs
    ):
        named = {str(v[0]): str(v[1]).replace("_", " ") for _, v in pairs}
        return named | {key: named[str(v[0])] for key, v in pairs}
    if (names := _listed(value)) is not None:
        return _by_place(names)
    if not pairs:
        return None
    if all(isinstance(number, int) for _, number in pairs):
        return {str(number): str(name) for name, number in pairs}
    is_plain = all(isinstance(v, str) and v and not is_image(v) for _, v in pairs)
    is_plain = is_plain and not any(is_image(key) for key in value)
    return (
        {key: _first(v) if WORDNET.fullmatch(key) else v for key, v in pairs} if is_plain else None
    )


def _yaml_names(text: str) -> list[str]:
    """Return ``names: [a, b]`` or the lines below ``names:`` of a YAML file."""
    inline = re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if inline:
        return [word.strip().strip("'\"") for word in inline[1].split(",") if word.strip()]
    block = re.search(r"^names:[ \t]*\n((?:[ \t]*(?:-|\d+:)[ \t]*.+\n?)+)", text, re.MULTILINE)
    lines = block[1].splitlines() if block else []
    return [re.sub(r"^\s*(-|\d+:)\s*", "", line).strip().strip("'\"") for line in lines]
