"""Which reader opens a file: one row a suffix."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from headstart.data.options import ReadOptions
from headstart.data.sources.archives import read_shards, unpack
from headstart.data.sources.arrow_files import ARROW_SUFFIXES, read_arrow
from headstart.data.sources.columns import Table, read_table
from headstart.data.sources.conll import is_called_conll, is_conll, read_conll, refuse_other
from headstart.data.sources.cvat import read_cvat, read_docbin
from headstart.data.sources.delimited import TooLargeError
from headstart.data.sources.folder import FORMAT_SUFFIXES
from headstart.data.sources.json_files import read_json, read_json_lines
from headstart.data.sources.lines import read_lines
from headstart.data.sources.listed import from_rows
from headstart.data.sources.sheets import (
    SHEETS,
    STATISTICS,
    read_arff,
    read_sheet,
    read_statistics,
)
from headstart.data.sources.split_words import split_of
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError, OptionError

Open = Callable[[Path, str, ReadOptions], Table]
FORMATS: dict[str, Open] = {
    ".json": lambda path, where, options: read_json(path, where, options.encoding),
    ".arff": lambda path, where, options: read_arff(path, where),
    ".xml": lambda path, where, options: read_cvat(path, where),
    ".spacy": lambda path, where, options: read_docbin(path, where),
    **dict.fromkeys(SHEETS, lambda path, where, options: read_sheet(path, where, options.header)),
    **dict.fromkeys(STATISTICS, lambda path, where, options: read_statistics(path, where)),
    **dict.fromkeys(ARROW_SUFFIXES, lambda path, where, options: read_arrow(path, where)),
}
MANIFEST = re.compile(r".*\.manifest", re.IGNORECASE)
LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
# What is known and not read, and the one step that works.
UNREAD = {
    ".xls": "Save it as .xlsx or CSV.",
    ".ods": "Save it as .xlsx or CSV.",
    ".rds": "In R: arrow::write_parquet(readRDS(file), 'data.parquet').",
    ".rdata": "In R: arrow::write_parquet(frame, 'data.parquet').",
    ".pkl": "It may run code when it is read. In Python give load the object itself.",
    ".pickle": "It may run code when it is read. In Python give load the object itself.",
    ".h5": "In Python give (X, y) of the arrays in it.",
    ".hdf5": "In Python give (X, y) of the arrays in it.",
    ".mat": "In Python give (X, y) of scipy.io.loadmat(file).",
    ".npy": "In Python give (X, y) of numpy.load(file), or save both with numpy.savez.",
    ".tfrecord": "Write the images into a folder per class, or a Parquet file.",
    ".lmdb": "Write the images into a folder per class, or a Parquet file.",
    ".db": "Export the table as CSV.",
    ".sqlite": "Export the table as CSV.",
    ".orc": "In Python: pyarrow.parquet.write_table(pyarrow.orc.read_table(file), 'data.parquet').",
    ".avro": "Convert it to Parquet.",
    ".7z": "Unpack it and give the folder.",
    ".rar": "Unpack it and give the folder.",
}


def suffix_of(path: Path) -> str:
    """Return the last suffix in lower case."""
    return path.suffix.lower()


def open_table(path: Path, where: str, options: ReadOptions) -> Table:
    """Open a table file of any format.

    Args:
        path: The file.
        where: What to call it in messages.
        options: Header and encoding, where they were said.

    Raises:
        DataError: The file is damaged, may not be read, is of another kind, or needs a package.
    """
    suffix = suffix_of(path)
    if suffix in FORMATS:
        try:
            if path.stat().st_size == 0:
                raise DataError(f"{where} is empty (0 bytes). Expected a table.")
            with open(path, "rb"):  # a reader would call it damaged
                pass
            return FORMATS[suffix](path, where, options)
        except PermissionError:
            raise DataError(
                f"{where} cannot be read: permission denied. Give this user the right to read it."
            ) from None
    try:
        return read_table(path, where, options)
    except TooLargeError:
        raise
    except DataError:
        # arrow takes one kind of cell a column; annotations have lists here and words there
        if not path.name.lower().endswith(LINES) or not path.stat().st_size:
            raise
        try:
            text = read_text_bytes(path, where, options.encoding).decode()
            rows = read_json_lines(text, where)
        except DataError:
            rows = []
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise
        return from_rows(rows, where, path.parent)


def refuse_header(path: Path, options: ReadOptions) -> None:
    """Refuse names of columns for a file that has them whatever is in its first row.

    Raises:
        OptionError: They were said.
    """
    suffix = suffix_of(path)
    if options.header and (suffix == ".parquet" or suffix in FORMATS) and suffix not in SHEETS:
        raise OptionError(
            f"{path.name} names its columns itself; --header {' '.join(options.header[:8])} is "
            "for files without a header. Leave it out."
        )


def open_lines(path: Path, where: str, options: ReadOptions) -> Table | None:
    """Open a file whose name says nothing by its first lines; None where they are not known."""
    if MANIFEST.fullmatch(path.name):
        text = read_text_bytes(path, where, options.encoding).decode()
        return from_rows(read_json_lines(text, where), where, path.parent)
    lines = read_lines(path, where, options.encoding)
    if lines is None and is_conll(path):
        return read_conll(path, where, options)
    if lines is None and is_called_conll(path.name):
        refuse_other(path, where)
    return lines


def find_export(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the annotation files of a folder as FiftyOne and datumaro write it; empty for others.

    FiftyOne: ``labels.json`` beside ``data``; datumaro: a file a split in ``annotations``.
    """
    if (folder / "labels.json").is_file() and (folder / "data").is_dir():
        return [(folder / "labels.json", None)]
    inside = folder / "annotations"
    if not inside.is_dir() or not (folder / "images").is_dir():
        return []
    files = sorted(path for path in inside.iterdir() if suffix_of(path) == ".json")
    words = [split_of(path.stem) for path in files]
    return list(zip(files, words, strict=True)) if "train" in words or len(files) == 1 else []


def find_shards(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the tars of a folder that holds nothing else but their index, each with its split."""
    files = [p for p in sorted(folder.iterdir()) if not p.name.startswith((".", "_"))]
    tars = [path for path in files if path.is_file() and suffix_of(path) == ".tar"]
    others = [
        p for p in files if p not in tars and (p.is_dir() or suffix_of(p) not in (".json", ".md"))
    ]
    if not tars or others:
        return []
    found = []
    for path in tars:
        word = re.match(r"(?:.*[-_.])?([a-z]+)[-_.]?[\d-]*\.tar$", path.name.lower())
        found.append((path, split_of(word[1]) if word else None))
    return found


def open_shard(path: Path, where: str) -> tuple[Path, Table | None]:
    """Unpack an archive: the folder it is, and the table where it is a WebDataset."""
    folder = unpack(path, where)
    return folder, read_shards(folder, where)


def unread(path: Path, address: str) -> DataError:
    """Return the error for a file that is not read, with the one step that works."""
    step = UNREAD.get(suffix_of(path))
    if step is not None:
        return DataError(f"{address} is of a format that is not read. {step}")
    return DataError(
        f"{address} is not a table that can be read; expected a folder, an archive, or a file "
        "ending in .csv, .tsv, .parquet, .jsonl, .json, "
        f"{', '.join(FORMAT_SUFFIXES[1:])} or .npz. A text file without a header row can be read "
        "under any name when --header names its columns."
    )
