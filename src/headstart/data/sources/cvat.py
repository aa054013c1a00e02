"""CVAT's XML (``CVAT for images 1.1``), tags of images alone, and spaCy's binary ``DocBin``."""

from __future__ import annotations

import importlib
from pathlib import Path
from xml.etree import ElementTree

from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.listed import ListTable, from_rows
from headstart.data.sources.split_words import split_of
from headstart.errors import DataError, PackageMissing, first_line
from headstart.extras import install_command


def read_cvat(path: Path, where: str) -> ListTable:
    """Return the images of a CVAT export with their tags; shapes are not used.

    Raises:
        DataError: It is no such XML, or no image has a tag.
    """
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"{where} declares entities, which may be of any size, and is not read.")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"{where} is no whole XML: {error}. Export it again.") from error
    rows, files = [], FilesBeside(path.parent)
    for image in root.iter("image"):
        labels = [str(tag.get("label")) for tag in image.findall("tag")]
        row = {"image": files.near(image.get("name")), "label": labels}
        split = split_of(image.get("subset") or "")
        rows.append({**row, "split": split} if split else row)
    if not any(row["label"] for row in rows):
        raise DataError(
            f"{where} has no images with tags; expected 'CVAT for images 1.1' of a task with tags. "
            "Boxes and polygons are no classes of whole images: cut them out, or add tags."
        )
    if not all("split" in row for row in rows):
        rows = [{"image": row["image"], "label": row["label"]} for row in rows]
    return from_rows(rows, where, path.parent, target="label")


def read_docbin(path: Path, where: str) -> ListTable:
    """Return the texts of a ``.spacy`` file with their categories, else with their entities.

    Raises:
        DataError: spaCy is not installed, or the file is damaged.
    """
    try:
        spacy = importlib.import_module("spacy")
        tokens = importlib.import_module("spacy.tokens")
    except ImportError:
        raise PackageMissing(
            f"{where} is read through the package spacy, which is not installed. Install it: "
            f"{install_command('spacy')}; or write the texts and their cats as JSONL."
        ) from None
    try:
        documents = list(tokens.DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab))
    except Exception as error:  # zlib.error, ValueError, msgpack's own: as the damage is
        raise DataError(f"{where} is no DocBin: {first_line(error)}. Write it again.") from error
    if any(document.cats for document in documents):
        rows: list[dict[str, object]] = [{"text": d.text, "cats": dict(d.cats)} for d in documents]
    else:
        rows = [
            {
                "text": document.text,
                "spans": [
                    {"start": one.start_char, "end": one.end_char, "label": one.label_}
                    for one in document.ents
                ],
            }
            for document in documents
            if document.has_annotation("ENT_IOB")  # one without has not been looked at
        ]
    if not rows:
        raise DataError(
            f"{where} holds {len(documents):,} texts without categories and without entities; "
            "expected doc.cats or doc.ents. Write what people have said of them into it."
        )
    return from_rows(rows, where, path.parent)
