"""Tables that a user gives to be predicted: files, and folders of one table in parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import DataError
from headstart.recipes.findings import tell_findings

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table
    from headstart.recipes.run import Run


def is_table(word: str) -> bool:
    """Return whether a word names a table file, there or missing, or is a folder of parts."""
    from headstart.data.sources.folder import TABLE_SUFFIXES
    from headstart.data.sources.part_files import find_parts

    try:
        if os.path.isdir(word):
            return bool(find_parts(Path(word)))
    except ValueError:  # a NUL: a text
        return False
    return word.lower().endswith(TABLE_SUFFIXES)


def given_tables(
    run: Run, word: str, encoding: str | None, *, is_told: bool = True
) -> list[tuple[Table, list[str]]]:
    """Return what a word stands for, read as the training data was, and the name of each row.

    Args:
        run: What is to predict.
        word: A table file, or a folder of parts.
        encoding: How its bytes stand for characters, where that is known.
        is_told: Whether it is said that a folder is read as one table.

    Raises:
        DataError: It does not exist, cannot be read, or holds no rows.
    """
    from headstart.data.options import ReadOptions
    from headstart.data.sources.folder import TABLE_SUFFIXES
    from headstart.data.sources.formats import open_table
    from headstart.data.sources.part_files import find_parts, open_parts

    source = run.data.get("source") or {}
    header = tuple(source["header"]) if source.get("header") else None
    options = ReadOptions(header=header, encoding=encoding)
    if os.path.isdir(word) and (parts := find_parts(Path(word))):
        tables, findings = open_parts(parts, word, options)
        if is_told:
            tell_findings(findings)
        return [(t, _row_names(os.path.join(word, t.where), t)) for t, _ in tables]
    if not os.path.isfile(word):
        is_there = "is a folder" if os.path.isdir(word) else "does not exist"
        raise DataError(
            f"{word} {is_there}; expected a table that ends in {', '.join(TABLE_SUFFIXES)}, or a "
            "folder of the parts of one. Check the path."
        )
    table = open_table(Path(word), word, options)
    if table.num_rows == 0:
        raise DataError(f"{word} has a header and no rows; expected one row a sample. Add them.")
    return [(table, _row_names(word, table))]


def _row_names(word: str, table: Table) -> list[str]:
    return [f"{word} row {i + 1}" for i in range(table.num_rows)]
