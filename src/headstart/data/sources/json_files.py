"""Files that are one JSON value, and JSON lines whose cells are of several kinds.

Rows in a list, whatever the list is called; columns, as pandas writes them; a name for each file;
the classification exports of FiftyOne and datumaro, and COCO where it is about whole images. Left
out: boxes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.data.sources.listed import ListTable, from_rows
from headstart.data.sources.questions import squad_rows
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError, quoted

LISTS = (
    "data",
    "records",
    "rows",
    "items",
    "samples",
    "examples",
    "tasks",
    "results",
    "annotations",
)


def read_json(path: Path, where: str, encoding: str | None) -> ListTable:
    """Return the table that a JSON file holds: one value, or a row in each line.

    Raises:
        DataError: It is no JSON, or none of the forms that are known.
    """
    text = read_text_bytes(path, where, encoding).decode()
    try:
        value = json.loads(text)
    except ValueError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or not lines[0].strip().endswith("}"):
            raise DataError(
                f"{where} is no JSON: {error}. Expected a list of objects, one a "
                "sample; correct it."
            ) from error
        value = read_json_lines(text, where)
    if isinstance(value, dict) and set(value) > {"text"} and not _is_nested(value):
        value = [value] if "label" in value else value
    return _table_of(value, where, path.parent)


def read_json_lines(text: str, where: str) -> list[Any]:
    """Return the values of JSON lines.

    Raises:
        DataError: A line is no JSON.
    """
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise DataError(
                f"Line {number:,} of {where} is no JSON: {error}. Expected one object a line; "
                "correct it."
            ) from error
    return rows


def _is_nested(value: Mapping[str, Any]) -> bool:
    return any(isinstance(cell, (dict, list)) for cell in value.values())


def _table_of(value: Any, where: str, root: Path) -> ListTable:
    if isinstance(value, list) and value:
        if all(isinstance(part, list) and part and isinstance(part[0], dict) for part in value):
            value = [row for part in value for row in part]  # Label Studio: a list a file
        if all(isinstance(row, dict) for row in value):
            return from_rows(value, where, root)
        if all(isinstance(row, list) and len(row) == 2 for row in value):
            return from_rows(map(_pair, value), where, root)
    if isinstance(value, dict) and value:
        for read in (squad_rows, _fiftyone, _datumaro, _coco, _in_list, _columns, _by_key):
            if (table := read(value, where, root)) is not None:
                return table
    if not value and isinstance(value, (list, dict)):
        raise DataError(f"{where} holds nothing but brackets. Expected one object a sample.")
    shown = type(value).__name__ if not isinstance(value, dict) else quoted(list(value), limit=6)
    raise DataError(
        f"{where} is JSON of a form that is not known (found: {shown}). Expected a list of objects "
        'such as {"text": …, "label": …}, one a sample; write it so, or as CSV.'
    )


def _pair(row: list[Any]) -> dict[str, Any]:
    """Return a row of ``[text, {"cats": …}]``, as spaCy 2 had them, or of ``[text, label]``."""
    return {"text": row[0], **(row[1] if isinstance(row[1], dict) else {"label": row[1]})}


def _fiftyone(value: dict[str, Any], where: str, root: Path) -> ListTable | None:
    """Read ``labels.json`` of FiftyOneImageClassificationDataset; the images lie in ``data/``."""
    labels = value.get("labels")
    if "classes" not in value or not isinstance(labels, dict):
        return None
    names = [str(name) for name in value["classes"] or ()]
    folder = root / "data" if (root / "data").is_dir() else root
    files = {file.relative_to(folder).with_suffix("").as_posix(): file for file in _files(folder)}
    rows = []
    for key, label in labels.items():
        label = label.get("label") if isinstance(label, dict) else label
        if label is None:
            continue
        each = [
            names[one] if isinstance(one, int) and 0 <= one < len(names) else str(one)
            for one in (label if isinstance(label, list) else [label])
        ]
        file = files.get(str(key), root / str(key))
        rows.append({"image": os.path.relpath(file, root), "label": each})
    return from_rows(rows, where, root, target="label")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _datumaro(value: dict[str, Any], where: str, root: Path) -> ListTable | None:
    """Read the JSON of datumaro: items with annotations of the type ``label``."""
    items = value.get("items")
    if "categories" not in value or not isinstance(items, list):
        return None
    stated = (value["categories"] or {}).get("label") or {}
    names = [str(one["name"]) for one in stated.get("labels") or ()]
    rows = []
    for item in items:
        found = [a for a in item.get("annotations") or () if a.get("type") == "label"]
        media = item.get("image") or item.get("media") or {}
        image = media.get("path") or f"{item.get('id')}.jpg"
        base = root.parent if root.name == "annotations" else root
        near = (base / "images" / Path(where).stem / image, base / "images" / image, base / image)
        file = next((path for path in near if path.is_file()), near[-1])
        labels = [names[a["label_id"]] for a in found if 0 <= a["label_id"] < len(names)]
        rows.append({"image": os.path.relpath(file, root), "label": labels})
    return from_rows(rows, where, root, target="label")


def _coco(value: dict[str, Any], where: str, root: Path) -> ListTable | None:
    """Read COCO whose annotations name the classes of whole images: iNaturalist, camera traps.

    Raises:
        DataError: They are boxes.
    """
    if not {"images", "annotations", "categories"} <= set(value):
        return None
    told = value["annotations"]
    if not told or any(one.get("bbox") or one.get("segmentation") for one in told):
        raise DataError(
            f"{where} is COCO, whose annotations are boxes, not classes of whole images. Cut the "
            "boxes out into a folder per class, or write a CSV with the columns image and label."
        )
    names = {one["id"]: str(one["name"]) for one in value["categories"]}
    labels: dict[object, list[str]] = {one["id"]: [] for one in value["images"]}
    for one in told:
        labels[one["image_id"]].append(names[one["category_id"]])
    places = (root, root / "images", root / Path(where).stem, root.parent, root.parent / "images")
    rows = []
    for image in value["images"]:
        near = [place / image["file_name"] for place in places]
        file = next((path for path in near if path.is_file()), near[0])
        rows.append({"image": os.path.relpath(file, root), "label": labels[image["id"]]})
    return from_rows(rows, where, root, target="label")


def _in_list(value: dict[str, Any], where: str, root: Path) -> ListTable | None:
    if {"columns", "data"} <= set(value) and isinstance(value["data"], list):
        names = [str(name) for name in value["columns"]]
        return from_rows([dict(zip(names, row, strict=True)) for row in value["data"]], where, root)
    lists = [
        key
        for key, rows in value.items()
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
    ]
    key = next((key for key in LISTS if key in lists), lists[0] if len(lists) == 1 else None)
    return None if key is None else from_rows(value[key], where, root)


def _columns(value: dict[str, Any], where: str, root: Path) -> ListTable | None:
    """Read columns as lists of one length, or as pandas' ``{"0": …}``."""
    cells = list(value.values())
    if all(isinstance(cell, list) for cell in cells) and len({len(cell) for cell in cells}) == 1:
        return ListTable(value, where, root)
    if not all(isinstance(cell, dict) and cell for cell in cells):
        return None
    if all(list(cell) == list(cells[0]) for cell in cells) and all(k.isdigit() for k in cells[0]):
        return ListTable({key: list(cell.values()) for key, cell in value.items()}, where, root)
    return from_rows(cells, where, root)  # a row under each key


def _by_key(value: dict[str, Any], where: str, root: Path) -> ListTable | None:
    """Read ``{"a.jpg": "cat", …}``: a label for each file, or for each text."""
    plain = [v for v in value.values() if isinstance(v, (str, int)) or _is_labels(v)]
    if len(plain) < len(value) or len(value) < 2:
        return None
    is_files = all(Path(key).suffix for key in value)
    name = "image" if is_files else "text"
    return ListTable({name: list(value), "label": list(value.values())}, where, root)


def _is_labels(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
