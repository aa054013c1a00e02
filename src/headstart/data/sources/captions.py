"""Images with captions: tables of both, Flickr's ``captions.txt``, COCO's JSON, ``metadata.jsonl``.

What comes out is a table with a row an image: all of its captions, of however many rows, are one
cell (``Captions``), so that whatever is said of an image stays on one side of the split. Recognised
without being asked are columns of the names below beside a column of images, where no column is
called label; every other column of captions is named with ``--text``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cells import as_list, is_missing
from headstart.data.options import DEFAULT_LABEL, ReadOptions
from headstart.data.roles import is_image_column
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.listed import EditedTable, ListTable, from_rows, row_number
from headstart.data.sources.split_columns import refuse_torn
from headstart.data.sources.split_words import split_of, split_within
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError, OptionError, quoted
from headstart.tasks import RETRIEVAL, find_task
from headstart.types import Finding
from headstart.types.captions import Captions

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

TASK = RETRIEVAL.name
IMAGE, CAPTION, CAPTIONS = "image", "caption", "captions"
NAMES = (CAPTION, CAPTIONS, "alt_text", "图说", "图片说明")
_PLAIN = ("text", "sentence", "sentences", "comment", "description")  # where it is asked for
_IMAGES = (IMAGE, "file_name", "filename", "image_name", "image_path", "path", "file", "img")
_FILES = re.compile(r"captions\.(txt|csv|tsv|jsonl|parquet)|.*\.token\.txt|metadata\.\w+", re.I)
_JSON = re.compile(r".*captions.*\.json", re.I)
_NUMBERED = re.compile(r"(.+)#\d+\t(.*)")  # 1000268201.jpg#0<TAB>A child …
_SPLITS = ("train", "val", "test")
Read = tuple["Table", list[Finding]] | None
Found = list[tuple[Path, str | None]]


def find_captions(folder: Path, options: ReadOptions) -> Found | None:
    """Return the files of a folder that hold captions of its images, each with its split.

    Args:
        folder: With images in it, or below.
        options: Say whether a label is asked for, which these do not have.
    """
    said = options.known_task
    if options.label or (said is not None and not find_task(said).matches_texts):
        return None
    known = {place: _names_in(folder / place) for place in ("", "annotations", *_SPLITS)}
    coco = [
        (folder / place / name, split_within(Path(name).stem))
        for place in ("", "annotations")
        for name in known[place]
        if _JSON.fullmatch(name) and _holds_coco(folder / place / name)
    ]
    if coco:
        return coco
    found: Found = []
    for place in ("", *_SPLITS):
        named = [name for name in known[place] if _FILES.fullmatch(name)]
        named = [name for name in named if _holds_captions(folder / place / name, options)]
        if named:
            found.append((folder / place / sorted(named)[0], split_of(place) if place else None))
    return found or None


def open_captions(path: Path, where: str, root: Path, options: ReadOptions) -> Table | None:
    """Open a file of captions that is no table by its suffix; None for other files.

    Args:
        path: The file.
        where: What to call it.
        root: The folder that the images are in, or below.
        options: The encoding, where it was said.

    Raises:
        DataError: It holds captions of images that it does not name.
    """
    low = path.name.lower()
    if low.endswith(".json"):
        return _open_coco(path, where, root)
    if not low.endswith(".txt"):
        return None
    rows = _lines(path, where, options)
    return None if rows is None else from_rows(rows, where, root, target=None)


def read_captions(table: Table, options: ReadOptions) -> Read:
    """Read a table of images with captions: a row an image; None for other tables.

    Raises:
        DataError: A caption or an image is missing, by its place.
        OptionError: Captions are asked for, and no column holds them.
    """
    columns = _columns(table, options)
    if columns is None:
        return None
    image, caption = columns
    names, cells = table.image_names(image), table.cells(caption)
    values = table.head(image) and table.cells(image)
    known: dict[str, int] = {}
    places, texts, firsts = list[int](), list[list[str]](), list[int]()
    for number, (name, cell, value) in enumerate(zip(names, cells, values, strict=True)):
        place = f"row {row_number(table, number):,} of {table.where}"
        if is_missing(value) or (isinstance(value, str) and not value.strip()):
            raise DataError(
                f"Column '{image}' is empty in {place}; expected an image for each caption. Fill "
                "it in, or leave the row out."
            )
        said = _texts(cell, caption, place)
        key = f"row {number}" if name is None else name
        if key not in known:
            known[key] = len(places)
            places.append(number)
            texts.append([])
        firsts.append(places[known[key]])
        texts[known[key]] += [text for text in said if text not in texts[known[key]]]
    refuse_torn(table, firsts, (image, caption, options.group, *options.drop), "image")
    told = [Captions(each) for each in texts]
    made = EditedTable(table, places, {CAPTIONS: told}, target=CAPTIONS, dropped=_gone(caption))
    return made, _said(image, caption, told)


def caption_options(tables: Sequence[Table], options: ReadOptions) -> ReadOptions | None:
    """Return the options of tables of images with captions; None for other tables.

    Args:
        tables: Settled, all of one data set.
        options: What the user said.

    Raises:
        DataError: Some hold captions and others none.
    """
    are_read = [_is_read(table) for table in tables]
    if not any(are_read):
        return None
    if not all(are_read):
        one, other = (tables[are_read.index(is_read)].where for is_read in (True, False))
        raise DataError(
            f"{one} holds images with captions and {other} holds none; expected the same of all "
            "files. Give them in one form."
        )
    image = _image_column(tables[0], options)
    return replace(options, label=CAPTIONS, image_column=image, text=None, task=TASK)


def _is_read(table: Table) -> bool:
    is_there = CAPTIONS in table.columns
    return is_there and any(isinstance(value, Captions) for value in table.head(CAPTIONS))


def _columns(table: Table, options: ReadOptions) -> tuple[str, str] | None:
    """Return the columns of images and of captions; None where these are other data."""
    known = options.known_task
    if known is not None and not find_task(known).matches_texts:
        return None
    is_asked = known is not None or (options.image_column is not None and bool(options.text))
    if not is_asked and (options.label or options.text or DEFAULT_LABEL in table.columns):
        return None
    if known is None and is_asked and (options.label or DEFAULT_LABEL in table.columns):
        raise OptionError(
            f"--image-column {options.image_column} and --text {options.text} contradict each "
            f"other where {table.where} has a label; expected one kind of input. Leave one out, or "
            f"say --task {TASK} to learn which texts and images belong together."
        )
    image = _image_column(table, options)
    names = (*NAMES, *_PLAIN) if is_asked else NAMES
    caption = options.text or options.label or _among(names, table.columns)
    if image is None or caption is None or caption not in table.columns or caption == image:
        if known is None:
            return None
        raise OptionError(
            f"{table.where} has no column of images with one of captions (found: "
            f"{quoted(table.columns)}); --task {known} expects both. Name them with --image-column "
            "and --text."
        )
    return image, caption


def _image_column(table: Table, options: ReadOptions) -> str | None:
    """Return the column that holds or names images; None where none does."""
    trained = options.preprocess.columns if options.preprocess else ()
    for said in (options.image_column, *trained[:1]):
        if said is not None and said in table.columns:
            return said
    likely = [column for column in table.columns if is_image_column(table.head(column))]
    if len(likely) == 1:
        return likely[0]
    named = _among(_IMAGES, likely or table.columns)
    if named is not None and not likely:
        there = FilesBeside(table.root)
        named = named if any(there.find(value) for value in table.head(named)) else None
    return named


def _among(names: Sequence[str], columns: Sequence[str]) -> str | None:
    low = {column.strip().lower(): column for column in columns}
    return next((low[name] for name in names if name in low), None)


def _gone(caption: str) -> list[str]:
    return [] if caption == CAPTIONS else [caption]


def _texts(cell: object, column: str, place: str) -> list[str]:
    """Return the captions of a cell: one, or a list.

    Raises:
        DataError: It holds none.
    """
    listed = list(cell.texts) if isinstance(cell, Captions) else as_list(cell)
    found = [cell] if listed is None else listed
    texts = [str(text).strip() for text in found if isinstance(text, str) and not is_missing(text)]
    if not texts or not all(texts) or len(texts) < len(found):
        held = "empty" if listed is None and is_missing(cell) else repr(str(cell)[:40])
        raise DataError(
            f"Column '{column}' holds no caption in {place} ({held}); expected a text "
            "for every image. Write one, or leave the row out."
        )
    return texts


def _said(image: str, caption: str, told: Sequence[Captions]) -> list[Finding]:
    """Return what a user should know of it."""
    num = sum(len(one.texts) for one in told)
    sentence = (
        f"Column '{caption}' holds captions of the images in column '{image}': {num:,} of "
        f"{len(told):,} images, --task {TASK}. All captions of an image stay on one side of the "
        "split."
    )
    return [Finding("reading", "note", (), sentence)]


def _names_in(folder: Path) -> list[str]:
    return list_folder(folder)[1] if folder.is_dir() else []


def _holds_captions(path: Path, options: ReadOptions) -> bool:
    """Return whether a file of a likely name holds captions, and no label."""
    if path.suffix.lower() == ".txt":
        return _lines(path, path.name, options, most=1) is not None
    try:
        from headstart.data.sources.columns import read_table

        columns = [name.lower() for name in read_table(path, path.name, options).columns]
    except DataError:
        return False  # whoever reads it as a table says what is wrong with it
    wanted = (options.text,) if options.text else (*NAMES, "text")
    is_named = any(name in columns for name in _IMAGES) or bool(options.image_column)
    return is_named and DEFAULT_LABEL not in columns and any(name in columns for name in wanted)


def _lines(
    path: Path, where: str, options: ReadOptions, most: int | None = None
) -> list[dict[str, Any]] | None:
    """Return the rows of a file of lines, ``image,caption`` or ``image#0<TAB>caption``, or None."""
    text = read_text_bytes(path, where, options.encoding).decode()
    lines = [line for line in text.splitlines() if line.strip()]
    lines = lines if most is None else lines[: 1 + most]
    if lines and all(_NUMBERED.fullmatch(line) for line in lines):
        parts = [_NUMBERED.fullmatch(line) for line in lines]
        return [{IMAGE: part[1], CAPTION: part[2]} for part in parts if part is not None]
    if not lines or lines[0].strip().lower().replace(" ", "") != f"{IMAGE},{CAPTION}":
        return None
    rows = csv.reader(io.StringIO("\n".join(lines[1:])))
    # a comma that nobody has quoted is one of the caption
    return [{IMAGE: row[0], CAPTION: ",".join(row[1:])} for row in rows if row]


def _holds_coco(path: Path) -> bool:
    try:
        return _coco(json.loads(path.read_bytes())) is not None
    except (OSError, ValueError):
        return False


def _coco(value: object) -> Mapping[str, Any] | None:
    if not isinstance(value, dict):
        return None
    images, told = value.get("images"), value.get("annotations")
    if not isinstance(images, list) or not isinstance(told, list) or not told:
        return None
    return value if all(isinstance(one, dict) and CAPTION in one for one in told[:10]) else None


def _open_coco(path: Path, where: str, root: Path) -> ListTable | None:
    """Return a row a caption of COCO's JSON.

    Raises:
        DataError: A caption is of an image that is not listed.
    """
    try:
        value = _coco(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None
    if value is None:
        return None
    names = {one.get("id"): one.get("file_name") for one in value["images"]}
    rows = []
    for one in value["annotations"]:
        name = names.get(one.get("image_id"))
        if not isinstance(name, str):
            raise DataError(
                f"Caption {one.get('id')} of {where} is of image {one.get('image_id')}, which "
                "'images' does not list; expected its 'file_name' there. Add it, or leave the "
                "caption out."
            )
        rows.append({IMAGE: os.path.normpath(name), CAPTION: one.get(CAPTION)})
    return from_rows(rows, where, root, target=None)
