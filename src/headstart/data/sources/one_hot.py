"""Columns of 0 and 1, one a class: ``filename, cat, dog, owl``, as Roboflow writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.cells import as_number
from headstart.data.options import DEFAULT_LABEL, ReadOptions
from headstart.data.roles import is_image_column, prose_kind
from headstart.data.sources.columns import Table
from headstart.data.sources.listed import EditedTable
from headstart.errors import quoted
from headstart.types import Finding

IDS = ("id", "idx", "index", "unnamed: 0", "__index_level_0__", "")
FIRST = ("filename", "file_name", "image", "image_path", "path")


@dataclass(frozen=True)
class OneHot:
    """Labels in several columns.

    Attributes:
        values: For each row the class, or the list of its classes.
        finding: How they were read.
    """

    values: list[object]
    finding: Finding


def read_one_hot(table: Table, columns: Sequence[str], options: ReadOptions) -> OneHot | None:
    """Return the labels where all of at least two columns hold 0 and 1 only; otherwise None.

    A row with exactly one 1 everywhere makes classes, anything else sets of labels.
    """
    if len(columns) < 2 or not all(_is_binary(table.head(column)) for column in columns):
        return None
    cells = {column: table.values(column) for column in columns}
    if not all(_is_binary(values) for values in cells.values()):
        return None
    rows = [
        [c for c in columns if as_number(_tidy(cells[c][i])) == 1] for i in range(table.num_rows)
    ]
    is_one = all(len(row) == 1 for row in rows) and not options.has_label_sets
    how = "each row has exactly one: classes" if is_one else "rows have any number: label sets"
    sentence = f"Columns {quoted(columns)} of {table.where} hold 0 and 1, and {how}."
    values: list[object] = [row[0] for row in rows] if is_one else list(rows)
    return OneHot(values, Finding("classes", "note", (), sentence))


def read_indicators(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Read images or texts beside a column of 0 or 1 a class; None for tables of other forms."""
    if options.label is not None or DEFAULT_LABEL in table.columns:
        return None
    if options.schema is not None and options.schema.facts.is_plain_column:
        return None
    images = [c for c in table.columns if c.strip().lower() in FIRST or _are_images(table, c)]
    texts = [] if images else [c for c in table.columns if prose_kind(table.head(c))]
    inputs = images or (texts if len(texts) == 1 or options.text in texts else [])
    ids = [c for c in table.columns if c.strip().lower() in IDS]
    left = {"split", options.group, *options.drop, *inputs, *ids}
    names = [column for column in table.columns if column not in left]
    hot = read_one_hot(table, names, options) if inputs else None
    if hot is None:
        return None
    labels = {DEFAULT_LABEL: list(hot.values)}
    replaced = EditedTable(table, None, labels, target=DEFAULT_LABEL, dropped=names)
    return replaced, [hot.finding]


def _are_images(table: Table, column: str) -> bool:
    return is_image_column(table.head(column))


def _is_binary(values: Sequence[object]) -> bool:
    return bool(values) and all(as_number(_tidy(value)) in (0, 1) for value in values)


def _tidy(value: object) -> object:
    return int(value) if isinstance(value, bool) else value
