"""All rows of one or several tables: where each stands, and the columns that are inputs.

Rows are samples of their own, or stand beside the texts or images of their table, and are then
learned from together with these.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headstart.columnar import joined
from headstart.data.kinds import Recognised, recognise
from headstart.data.options import ReadOptions
from headstart.data.records import Records
from headstart.data.roles import Roles, need_column, no_inputs, takes_columns
from headstart.data.sources.columns import Table
from headstart.data.sources.listed import row_number
from headstart.errors import DataError, quoted
from headstart.preprocessing.rows import RowNames, TableSamples
from headstart.types import Finding


@dataclass(frozen=True)
class Rows:
    """All rows of one or several tables, and where each of them stands.

    Attributes:
        tables: The tables, one after the other.
    """

    tables: Sequence[Table]

    def place(self, index: int) -> str:
        """Return where a row stands, for example ``row 3 of reviews.csv``."""
        for table in self.tables:
            if index < table.num_rows:
                return f"row {row_number(table, index)} of {table.where}"
            index -= table.num_rows
        raise IndexError(index)

    def names(self) -> RowNames:
        """Return what a person calls each row."""
        several = len(self.tables) > 1
        wheres = [f"{table.where} " if several else "" for table in self.tables]
        counts = [table.num_rows for table in self.tables]
        return RowNames(wheres, counts, numbers=[getattr(t, "numbers", None) for t in self.tables])

    def cells(self, column: str, role: str, option: str) -> Sequence[Any]:
        """Return a column of all tables; DataError where one lacks it."""
        for table in self.tables:
            need_column(table, column, role, option)
        return joined(table.cells(column) for table in self.tables)


def table_samples(
    rows: Rows,
    reference: Table,
    columns: Sequence[str],
    taken: Collection[str | None],
    options: ReadOptions,
) -> tuple[TableSamples, Recognised]:
    """Return the rows with the columns that can be inputs, and what these hold.

    Args:
        rows: All tables.
        reference: The one whose columns count: train's.
        columns: Of it.
        taken: Columns that have a meaning of their own.
        options: What the user said.

    Raises:
        DataError: A table lacks one, a cell does not fit its column, or no column is left.
    """
    import pyarrow

    parts: list[Any] = []
    for table in rows.tables:
        for column in columns:
            if column not in table.columns:
                raise DataError(
                    f"Column '{column}' of {reference.where} is missing in {table.where} (found: "
                    f"{quoted(table.columns)}). Add it, or leave it out with --drop {column}."
                )
        parts.append(table.arrow(columns))
    found = recognise(parts, options, rows.place)
    pyarrow.default_memory_pool().release_unused()  # what only reading needed
    if not found.kinds:
        raise no_inputs(reference.where, reference.columns)
    names = [column for table in rows.tables for column in table.columns]
    if extra := [c for c in dict.fromkeys(names) if c not in {*reference.columns, *taken}]:
        sentence = f"Columns that {reference.where} lacks are not used: {quoted(extra)}."
        found.findings.append(Finding("unused", "note", (), sentence))
    return TableSamples(found.table, rows.names()), found


def rows_beside(
    records: Records,
    rows: Rows,
    reference: Table,
    roles: Roles,
    naming: Collection[str],
    options: ReadOptions,
) -> Records:
    """Return records of texts or images with the rows that are learned from beside them.

    Args:
        records: Of the texts or images.
        rows: All tables.
        reference: The one whose columns count.
        roles: Says which columns stand beside.
        naming: Columns that say the target in other words, which are never learned from.
        options: What the user said.

    Raises:
        DataError: Something is told of the words of a text, or in writing, or as ``table_samples``.
    """
    columns = [column for column in roles.beside if column not in naming]
    if not columns:
        return records
    if not takes_columns(records.task):
        raise DataError(
            f"Columns beside {records.schema.facts.nouns} ({quoted(columns)}) help to tell a class "
            f"or a number of a sample, and {records.name} asks for {records.task}. Leave --beside "
            "out."
        )
    samples, found = table_samples(rows, reference, columns, (*reference.columns,), options)
    named = tuple(c for c in columns if c in {*options.beside, *options.kept_columns})
    table = replace(
        records,
        samples=samples,
        modality="table",
        sides=(),
        groups=None,
        findings=[],
        column_kinds=found.kinds,
        date_formats=found.date_formats,
        number_formats=found.number_formats,
        levels=found.levels,
        kept_columns=named,
    )
    return replace(records, findings=[*records.findings, *found.findings], beside=table)
