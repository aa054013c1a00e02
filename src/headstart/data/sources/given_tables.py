"""Tables that a user gives to be predicted: files, and folders of one table in parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.options import ReadOptions
from headstart.data.sources.folder import TABLE_SUFFIXES
from headstart.data.sources.formats import open_table
from headstart.data.sources.part_files import find_parts, open_parts
from headstart.errors import DataError
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table


def is_table(word: str) -> bool:
    """Return whether a word names a table file, there or missing, or is a folder of parts."""
    try:
        if os.path.isdir(word):
            return bool(find_parts(Path(word)))
    except ValueError:  # a NUL: a text
        return False
    return word.lower().endswith(TABLE_SUFFIXES)


def has_parts(word: str, endings: tuple[str, ...]) -> bool:
    """Return whether a word is a folder of a table in parts that end so."""
    parts = find_parts(Path(word)) if os.path.isdir(word) else []
    return any(path.name.lower().endswith(endings) for path, _, _ in parts)


@dataclass(frozen=True)
class AsTrained:
    """How the data was read that a model learned from.

    Attributes:
        column: The column of texts, or None where there was none.
        second_column: Of pairs of texts the column of the second ones, or None.
        of_turns: Whether samples are conversations.
        image_column: The column of images, or None.
        header: Names of columns that the file itself does not have, or None.
        encoding: How bytes stand for characters, or None where that is found.
        tell: Told that a folder is read as one table; None where nobody is.
    """

    column: str | None = None
    second_column: str | None = None
    of_turns: bool = False
    image_column: str | None = None
    header: tuple[str, ...] | None = None
    encoding: str | None = None
    tell: Callable[[Sequence[Finding]], None] | None = None

    def open_tables(self, word: str) -> list[tuple[Table, list[str]]]:
        """Return what a word stands for, read as the training data was, and the name of each row.

        Args:
            word: A table file, or a folder of parts.

        Raises:
            DataError: It does not exist, cannot be read, or holds no rows.
        """
        options = ReadOptions(header=self.header, encoding=self.encoding)
        if os.path.isdir(word) and (parts := find_parts(Path(word))):
            tables, findings = open_parts(parts, word, options)
            if self.tell is not None:
                self.tell(findings)
            return [(t, _row_names(os.path.join(word, t.where), t)) for t, _ in tables]
        if not os.path.isfile(word):
            is_there = "is a folder" if os.path.isdir(word) else "does not exist"
            raise DataError(
                f"{word} {is_there}; expected a table that ends in {', '.join(TABLE_SUFFIXES)}, or "
                "a folder of the parts of one. Check the path."
            )
        table = open_table(Path(word), word, options)
        if table.num_rows == 0:
            raise DataError(
                f"{word} has a header and no rows; expected one row a sample. Add them."
            )
        return [(table, _row_names(word, table))]


def _row_names(word: str, table: Table) -> list[str]:
    return [f"{word} row {i + 1}" for i in range(table.num_rows)]
