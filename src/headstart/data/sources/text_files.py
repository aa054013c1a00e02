"""Tables beside text files: a column names the files, and what is in them are the inputs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from headstart.cells import is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.columns import Table
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder import TABLE_SUFFIXES, TEXT_SUFFIXES
from headstart.data.sources.folder_tree import Tree, list_folder
from headstart.data.sources.layouts import find_layout
from headstart.data.sources.listed import EditedTable
from headstart.data.sources.split_columns import find_split_column
from headstart.data.sources.split_words import split_of
from headstart.data.sources.text_source import read_text_bytes
from headstart.errors import DataError
from headstart.types import Finding

Parts = list[tuple[Table, str | None]]
MOST_FOLDERS = 100


def find_text_table(tree: Tree, options: ReadOptions) -> Path | None:
    """Return the one table in a folder of text files that have no class folders; else None.

    Args:
        tree: The folder, and what is below.
        options: What the user said.
    """
    root, layout = tree.root, find_layout(tree, TEXT_SUFFIXES)
    if layout.classes or not layout.flat or options.image_column:
        return None
    for folder in dict.fromkeys((layout.top, "")):
        files = [f for f in list_folder(root / folder)[1] if f.lower().endswith(TABLE_SUFFIXES)]
        if len(files) == 1:
            return root / folder / files[0]
    return None


def read_named_texts(
    parts: Parts, options: ReadOptions
) -> tuple[Parts, ReadOptions, list[Finding]]:
    """Return tables with the contents of text files in place of their names, and what was found.

    Args:
        parts: Tables of files, each with the split it is, or None.
        options: What the user said; in what is returned, the column of texts is named.

    Raises:
        DataError: A file cannot be read.
    """
    first = parts[0][0]
    if options.image_column or options.kept_columns:
        return parts, options, []
    beside = FilesBeside(first.root, TEXT_SUFFIXES)
    taken = {options.label, options.group, *options.drop}
    free = [options.text] if options.text else [c for c in first.columns if c not in taken]
    column = next((c for c in free if c in first.columns and _name_texts(first, c, beside)), None)
    if column is None or not all(column in table.columns for table, _ in parts):
        return parts, options, []
    made: Parts = []
    example = ""
    for table, split in parts:
        paths = [beside.of_split(split).find(value) for value in table.values(column)]
        example = example or next((path for path in paths if path), "")
        texts = [None if path is None else _content(table.root, path, options) for path in paths]
        columns = {column: texts} | ({} if split else _splits(table, paths))
        made.append((EditedTable(table, None, columns), split))
    sentence = f"Column '{column}' names the text files beside {first.where}, such as {example}."
    return made, replace(options, text=column), [Finding("reading", "note", (), sentence)]


def _name_texts(table: Table, column: str, beside: FilesBeside) -> bool:
    head = [value for value in table.head(column) if not is_missing(value)]
    is_path = [isinstance(v, str) and v.lower().endswith(tuple(TEXT_SUFFIXES)) for v in head]
    if not head or (any(is_path) and not all(is_path)):
        return False
    # ids are looked for where texts lie near: a table may lie in a folder of everything
    return (all(is_path) or _are_near(beside.root)) and beside.are_named(head)


def _are_near(root: Path) -> bool:
    """Return whether text files lie in a folder or in one of the first folders inside."""
    pending = [""]
    for place in range(MOST_FOLDERS):
        if place >= len(pending):
            break
        try:
            folders, files = list_folder(root / pending[place])
        except DataError:
            continue  # what may not be read names nothing
        if any(os.path.splitext(file)[1].lower() in TEXT_SUFFIXES for file in files):
            return True
        pending += folders if place == 0 else []
    return False


def _content(root: Path, path: str, options: ReadOptions) -> str:
    try:
        return read_text_bytes(root / path, path, options.encoding).decode()
    except OSError as error:
        raise DataError(
            f"{root / path} cannot be read: {error.strerror}. Give this user the right to read it, "
            "or remove its row."
        ) from error


def _splits(table: Table, paths: list[str | None]) -> dict[str, list[str | None]]:
    """Return the split of each file's folder, where all folders are splits."""
    if find_split_column(table.columns, table.values, (), table.head).name:
        return {}
    found = [split_of(path.split(os.sep)[0]) if path else None for path in paths]
    return {"split": found} if all(found) and len(set(found)) > 1 else {}
