"""Folders that stand for one table in parts, as Spark, Dask, BigQuery and Snowflake write them.

``out.csv/part-00000-….csv`` beside ``_SUCCESS``; ``data-000000000001.parquet``; folders that name
a column and its value (``country=AT/part-0.parquet``), or a split (``train/part-0.parquet``).
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from headstart.data.options import ReadOptions
from headstart.data.sources.columns import Table
from headstart.data.sources.folder import TABLE_SUFFIXES
from headstart.data.sources.folder_tree import list_folder
from headstart.data.sources.formats import open_table
from headstart.data.sources.listed import EditedTable
from headstart.data.sources.split_words import split_of, splits_among
from headstart.errors import DataError, quoted
from headstart.types import Finding

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".jsonl", ".ndjson", ".json", ".parquet")
PART = re.compile(r"part[-_.]?(r-)?\d+", re.IGNORECASE)
NOTHING = "__HIVE_DEFAULT_PARTITION__"
MARKERS = re.compile(r"[_.].*|readme.*|licen[cs]e.*|.*\.(md|crc)", re.IGNORECASE)

Part = tuple[Path, "str | None", dict[str, "str | None"]]


def find_parts(folder: Path) -> list[Part]:
    """Return the files of a table in parts, each with its split and what its folders say of it.

    Args:
        folder: Any folder.

    Returns:
        Nothing where a folder is none such.
    """
    folders, files = list_folder(folder)
    if not files and len(folders) > 1 and set(words := splits_among(folders)) == {*folders}:
        parts = {name: _parts(folder / name, {}) for name in folders}
        if all(parts.values()) and "train" in words.values():
            return [(path, words[n], said) for n, found in parts.items() for path, _, said in found]
    return _parts(folder, {})


def _parts(folder: Path, said: dict[str, str | None]) -> list[Part]:
    folders, files = list_folder(folder)
    tables = [name for name in files if not MARKERS.fullmatch(name)]
    if folders and not tables and all("=" in name.strip("=") for name in folders):
        inside = [_parts(folder / name, {**said, **_value(name)}) for name in folders]
        return [part for parts in inside for part in parts] if all(inside) else []
    tables = [name for name in tables if (folder / name).stat().st_size]  # Spark writes empty ones
    suffixes = {next((s for s in SUFFIXES if name.lower().endswith(s)), "") for name in tables}
    if folders or not tables or len(suffixes) > 1 or "" in suffixes:
        return []
    are_parts = all(PART.match(name) for name in tables)
    is_series = len(tables) > 1 and len({re.sub(r"\d+", "", name) for name in tables}) == 1
    is_series = is_series and all(re.search(r"\d", name) for name in tables)
    is_lone = len(tables) == 1 and bool(said)
    if not (are_parts or is_series or is_lone):
        return []
    return [(folder / name, None, said) for name in tables]


def find_lone_table(folder: Path) -> Path | None:
    """Return the one table that a folder holds beside what only tells of it; None of any other.

    A table that is called a test holds what nobody has labels for, or is not learned from.

    Args:
        folder: Any folder.
    """
    folders, files = list_folder(folder)
    told = [name for name in files if not MARKERS.fullmatch(name)]
    if folders or len(told) != 1 or not told[0].lower().endswith(TABLE_SUFFIXES):
        return None
    stem = told[0].partition(".")[0]
    return None if split_of(stem) == "test" else folder / told[0]


def _value(name: str) -> dict[str, str | None]:
    column, _, value = name.partition("=")
    return {unquote(column): None if value == NOTHING else unquote(value)}


def _where(path: Path, split: str | None, said: dict[str, str | None]) -> str:
    """Return the path of a part from the folder of the whole table."""
    above = len(said) + (split is not None)
    return "/".join(path.parts[-1 - above :])


def open_parts(
    parts: list[Part], name: str, options: ReadOptions
) -> tuple[list[tuple[Table, str | None]], list[Finding]]:
    """Return the tables of the parts that hold rows, and how they were read.

    Raises:
        DataError: A part cannot be read, or their columns differ.
    """
    tables: list[tuple[Table, str | None]] = []
    for path, split, said in parts:
        table = open_table(path, _where(path, split, said), options)
        if table.num_rows == 0:
            continue
        if said:
            values: dict[str, list[object]] = {c: [v] * table.num_rows for c, v in said.items()}
            table = EditedTable(table, None, values)
        tables.append((table, split))
    if not tables:
        raise DataError(f"{name} holds {len(parts)} parts of a table without a row. Add rows.")
    first = tables[0][0]
    for table, _ in tables:
        if set(table.columns) != set(first.columns):
            raise DataError(
                f"{name} is a table in {len(tables)} parts, whose columns differ: {first.where} "
                f"has {quoted(first.columns, limit=4)}, {table.where} has "
                f"{quoted(table.columns, limit=4)}. If the parts have no header, as Spark writes "
                "them unless told, name the columns with --header; if not, give one part's path."
            )
    said_of = sorted({column for _, _, said in parts for column in said})
    columns = f", with {quoted(said_of)} from the names of its folders" if said_of else ""
    sentence = f"{name} is read as one table in {len(tables):,} parts{columns}."
    return tables, [Finding("reading", "note", (), sentence)]
