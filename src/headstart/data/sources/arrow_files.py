"""Arrow and Feather files, and the folders that ``save_to_disk`` of Hugging Face datasets writes.

They are mapped into memory, so that images in them stay on the disk.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.data.sources.columns import ArrowTable, Table
from headstart.data.sources.split_words import split_of
from headstart.errors import DataError, first_line, quoted
from headstart.types import Finding

ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")


def read_arrow(path: Path, where: str) -> ArrowTable:
    """Return the table in an Arrow file or stream.

    Raises:
        DataError: It is damaged, or a Feather file of version 1.
    """
    return ArrowTable(_open(path, where), where, path.parent)


def _open(path: Path, where: str) -> Any:
    import pyarrow as pa

    if path.stat().st_size == 0:
        raise DataError(f"{where} is empty (0 bytes). Expected a table.")
    try:
        source = pa.memory_map(str(path))
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{where} cannot be read as Arrow: {first_line(error)} Write the file again, for "
            "example with to_feather or to_parquet."
        ) from error


def find_saved(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the data sets that ``save_to_disk`` put into a folder, each with its split's name."""
    if (folder / "dataset_dict.json").is_file():
        try:
            names = json.loads((folder / "dataset_dict.json").read_text())["splits"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(
                f"{folder / 'dataset_dict.json'} cannot be read; expected the names of the splits. "
                "Save the data set again with save_to_disk."
            ) from error
        return [(folder / str(name), str(name)) for name in names]
    is_saved = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return [(folder, None)] if is_saved else []


def read_saved(
    parts: list[tuple[Path, str | None]], name: str
) -> tuple[list[tuple[Table, str | None]], list[Finding]]:
    """Return the tables of a saved data set, and what is not used of it.

    Raises:
        DataError: A file of it is missing or damaged, or there is no train split.
    """
    tables: list[tuple[Table, str | None]] = []
    findings = []
    for folder, split in parts:
        word = split_of(split) if split else None
        if split and word is None:
            findings.append(Finding("unused", "note", (), f"Split '{split}' is not used."))
            continue
        tables.append((_read_part(folder, f"{name} ({split})" if split else name), word))
    if len(parts) > 1 and not any(word == "train" for _, word in tables):
        found = quoted([str(split) for _, split in parts])
        raise DataError(
            f"{name} has no train split (found: {found}). Give the folder of one split, for "
            f"example {parts[0][0]}."
        )
    return tables, findings


def _read_part(folder: Path, where: str) -> ArrowTable:
    import pyarrow as pa

    try:
        state = json.loads((folder / "state.json").read_text())
        files = [folder / str(one["filename"]) for one in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder / 'state.json'} cannot be read; expected the names of the data's files. Save "
            "the data set again with save_to_disk."
        ) from error
    if missing := [file.name for file in files if not file.is_file()]:
        raise DataError(f"{folder} lacks {quoted(missing)}. Copy the whole folder.")
    opened = [_open(file, str(file)) for file in files]
    return ArrowTable(pa.concat_tables(opened), where, folder)
