"""Read a source, whatever its form: an address, arrays, tables, splits given apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.data.options import COLUMN_OPTIONS, ReadOptions
from headstart.data.records import Records
from headstart.data.sources.aligned import Pair, find_aligned, find_partner, open_aligned
from headstart.data.sources.archives import ARCHIVE_SUFFIXES
from headstart.data.sources.array_files import read_arrays_file
from headstart.data.sources.arrays import read_pair, read_split_pairs
from headstart.data.sources.arrow_files import find_saved, read_saved
from headstart.data.sources.captions import TASK as CAPTIONED
from headstart.data.sources.captions import Found, find_captions, open_captions
from headstart.data.sources.class_titles import with_titles
from headstart.data.sources.columns import FrameTable, source_table
from headstart.data.sources.conll import find_conll, read_conll
from headstart.data.sources.folder import TABLE_SUFFIXES, read_folder
from headstart.data.sources.folder_tree import Tree
from headstart.data.sources.formats import (
    UNREAD,
    find_export,
    find_shards,
    open_lines,
    open_shard,
    open_table,
    unread,
)
from headstart.data.sources.handed import plain_source, split_pairs
from headstart.data.sources.headers import describe_header
from headstart.data.sources.hub import PREFIXES, read_hub, require_hub
from headstart.data.sources.image_labels import read_stated
from headstart.data.sources.named import (
    NAMED,
    is_named,
    read_named,
    unknown_source,
)
from headstart.data.sources.packaged import DIGITS_5K, EMBEDDED, digits_file
from headstart.data.sources.part_files import find_lone_table, find_parts, open_parts
from headstart.data.sources.rows_given import plain_rows
from headstart.data.sources.sheets import require_sheet
from headstart.data.sources.split_words import split_of
from headstart.data.sources.tables import find_split_files, read_table_files, read_tables
from headstart.data.sources.text_files import find_text_table
from headstart.errors import DataError, UnlabelledError, quoted
from headstart.types import Finding


def read_source(source: Any, options: ReadOptions) -> tuple[Records, str | None]:
    """Return the records of a source, and what to load it by again where that is possible."""
    if isinstance(source, (str, os.PathLike)):
        return _read_address(os.fspath(source), options)
    source = plain_source(plain_rows(source))
    if (parts := split_pairs(source)) is not None:
        return _read_splits(parts, options), None
    if isinstance(source, tuple) and len(source) == 2:
        options.refuse("(X, y) arrays have no columns", "group", "separator", *COLUMN_OPTIONS)
        return read_pair(*source, options), None
    options.refuse(
        "data in memory is no file",
        *("label", "image_column", "text", "group", "separator", *COLUMN_OPTIONS),
    )
    table = source_table(source)
    if table is None:
        raise DataError(
            f"Data of type {type(source).__name__} cannot be read; expected a path, a name such as "
            "'mnist', a DataFrame, a pyarrow Table, a tuple (X, y) of arrays or lists, or splits "
            "given apart, (train, val, test)."
        )
    name = "DataFrame" if isinstance(table, FrameTable) else "Table"
    return read_tables([(table, None)], name, options), None


def _read_splits(given: dict[str, Any], options: ReadOptions) -> Records:
    """Read splits given apart: pairs ``(X, y)``, DataFrames or pyarrow Tables."""
    parts: dict[str, Any] = {}
    for name, part in given.items():
        split = split_of(name)
        if split is None or split in parts:
            raise DataError(
                f"'{name}' of the dict given is no split of its own; expected the keys train, val "
                "and test. Leave it out, or give one part alone, source['train']."
            )
        parts[split] = plain_source(part)
    if "train" not in parts:
        raise DataError(
            f"The dict given has no 'train' (found: {quoted(list(given))}). Expected the splits "
            "train, val and test, or give columns as a DataFrame."
        )
    if all(isinstance(part, tuple) and len(part) == 2 for part in parts.values()):
        options.refuse("(X, y) arrays have no columns", "group", "separator", *COLUMN_OPTIONS)
        return read_split_pairs(parts, options)
    tables = [(source_table(part), split) for split, part in parts.items()]
    options.refuse(
        "data in memory is no file",
        *("label", "image_column", "text", "group", "separator", *COLUMN_OPTIONS),
    )
    found = [(table, split) for table, split in tables if table is not None]
    if len(found) < len(tables):
        kinds = sorted({type(part).__name__ for part in parts.values()})
        raise DataError(
            f"The splits are {' and '.join(kinds)}; expected DataFrames, pyarrow Tables or pairs "
            "(X, y), the same for each."
        )
    for table, split in found:
        table.where = f"{table.where} of {split}"
    return read_tables(found, "splits", options)


def refuse_missing(source: Any) -> None:
    """Refuse a word that is no path and no name, or whose package is missing; nothing is read.

    Args:
        source: As ``load`` takes it; what is no word is left to the reading.

    Raises:
        DataError: If it is none.
        PackageMissing: If a package is missing.
    """
    if not isinstance(source, str | os.PathLike):
        return
    address = os.fsdecode(source)
    path, exists = _there(address)
    if not exists and not address.startswith(PREFIXES) and not is_named(address):
        raise unknown_source(address, _siblings(path))
    if address == DIGITS_5K:
        digits_file()
    elif address.startswith(PREFIXES) and not exists:
        require_hub(address)
    else:
        require_sheet(path)


def _there(address: str) -> tuple[Path, bool]:
    """Return the path that an address may be, and whether it is there."""
    path = Path(address).expanduser()
    try:
        return path, path.exists()
    except (OSError, ValueError):  # a name too long for a path, a NUL
        return path, False


def _read_address(address: str, options: ReadOptions) -> tuple[Records, str]:
    """Read a name or a path. The names of the project come before paths: write ./digits for one."""
    path, exists = _there(address)
    is_name = address in EMBEDDED or address in NAMED
    if address.startswith(PREFIXES) and not exists:
        return read_hub(address, options), address
    if is_name or not exists:
        records = read_named(address, options)
        if records is None:
            raise unknown_source(address, _siblings(path))
        if exists:
            sentence = (
                f"'{address}' is the data set of that name; for the folder here write ./{address}."
            )
            records.findings.append(Finding("reading", "warning", (), sentence))
        if records.label is None:
            options.refuse(f"'{address}' has no columns", "encoding")
        return records, address
    absolute = str(path.absolute())
    return _read_path(path, address, options), absolute


def _of_classes(tree: Tree, name: str, options: ReadOptions) -> Records:
    """Read a folder a class; where it is none such, that is what is wrong, and no option."""
    why = f"{name} is a folder, whose class folders are the labels"
    try:
        records = read_folder(tree, name, options)
    except UnlabelledError:
        options.refuse(why, "group", "encoding")
        raise
    options.refuse(why, "group", "encoding")
    return records


def _read_path(path: Path, name: str, options: ReadOptions) -> Records:
    """Read a folder or file that is there, whatever its form."""
    if path.is_dir():
        if aligned := find_aligned(path):
            return _read_aligned(aligned, name, options)
        if tagged := find_conll(path):
            opened = [(read_conll(file, file.name, options), split) for file, split in tagged]
            return read_tables(opened, name, options)
        if captioned := find_captions(path, options):
            return _read_captioned(path, captioned, name, options)
        if files := find_split_files(path) or find_export(path):
            return read_table_files(list(files), name, options)
        if pieces := find_parts(path):
            opened_parts, findings = open_parts(pieces, name, options)
            records = read_tables(opened_parts, name, options, are_files=True)
            header = describe_header(opened_parts[0][0], options)
            records.findings.extend([*findings, *header])
            return records
        if parts := find_saved(path):
            saved, findings = read_saved(parts, name)
            records = read_tables(saved, name, options)
            records.findings.extend(findings)
            return records
        if shards := find_shards(path):
            tables = [(open_shard(file, file.name)[1], split) for file, split in shards]
            known = [(table, split) for table, split in tables if table is not None]
            if len(known) == len(tables):
                return read_tables(known, name, options)
        tree = Tree(path)  # each folder is looked into once, however many files it holds
        if (stated := read_stated(tree, name, options)) is not None:
            return with_titles(stated, path)
        if table_path := find_text_table(tree, options) or find_lone_table(path):
            return read_table_files([(table_path, None)], name, options)
        return with_titles(_of_classes(tree, name, options), path)
    low = path.name.lower()
    if (partner := find_partner(path)) is not None:
        return _read_aligned([(partner, None)], name, options)
    captioned_lines = open_captions(path, path.name, path.parent, options)
    if captioned_lines is not None:
        return read_tables([(captioned_lines, None)], name, options, are_files=True)
    if low.endswith(ARCHIVE_SUFFIXES):
        folder, table = open_shard(path, name)
        if table is not None:
            return read_tables([(table, None)], name, options)
        lone = [inside for inside in folder.iterdir() if not inside.name.startswith(".")]
        return _read_path(lone[0] if len(lone) == 1 else folder, name, options)
    if low.endswith(".npz"):
        options.refuse("arrays have no columns", "group")
        return read_arrays_file(path, name, options)
    # With its columns named, a file of any other name is taken for delimited text.
    if not low.endswith(TABLE_SUFFIXES) and (options.header is None or low.endswith(tuple(UNREAD))):
        lines = None if low.endswith(tuple(UNREAD)) else open_lines(path, path.name, options)
        if lines is None:
            raise unread(path, name)
        return read_tables([(lines, None)], name, options)
    return read_table_files([(path, None)], name, options)


def _read_captioned(folder: Path, files: Found, name: str, options: ReadOptions) -> Records:
    """Read the captions of a folder's images."""
    options, tables = replace(options, task=CAPTIONED), []
    for path, split in files:
        where = os.path.relpath(path, folder)
        root = folder if path.parent.name == "annotations" else path.parent
        table = open_captions(path, where, root, options) or open_table(path, where, options)
        tables.append((table, split))
    return read_tables(tables, name, options, are_files=True)


def _read_aligned(
    pairs: Sequence[tuple[Pair, str | None]], name: str, options: ReadOptions
) -> Records:
    """Read line-aligned files."""
    opened, findings = open_aligned(pairs, options)
    records = read_tables(opened, name, options)
    records.findings.extend(findings)
    return records


def _siblings(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return []
