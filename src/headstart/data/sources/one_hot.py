"""A column a class: of 0 and 1, as Roboflow writes them, or of shares that sum to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.cells import as_number
from headstart.data.options import DEFAULT_LABEL, ReadOptions
from headstart.data.roles import is_image_column, prose_kind
from headstart.data.soft_labels import SUM_ERROR, largest
from headstart.data.sources.columns import Table
from headstart.data.sources.listed import EditedTable
from headstart.errors import DataError, quoted
from headstart.tasks import CLASSIFICATION
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


def read_shares(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Read columns of shares that sum to one where the target is in none or in one of them.

    Raises:
        DataError: They are all that can be the target, and nobody asked for the largest.
    """
    if options.label is None and DEFAULT_LABEL in table.columns:
        return None
    if options.schema is not None and options.known_task != CLASSIFICATION.name:
        return None
    left = {options.group, options.text, options.image_column, *options.drop}
    free = [column for column in table.columns if column not in left]
    if options.label is None:
        read = read_soft(table, free, options)
        if read is None:
            return None
        hot, shares = read
        values = {DEFAULT_LABEL: list(hot.values)}
        made = EditedTable(table, None, values, target=DEFAULT_LABEL, dropped=shares)
        return made, [hot.finding]
    shares = _shares_of(free, table)
    if options.label not in shares:
        return None
    others = [column for column in shares if column != options.label]
    sentence = (
        f"Columns {quoted(shares)} of {table.where} sum to one in every row, so that the others "
        f"tell '{options.label}': leave them out with --drop {' '.join(others)}; --task "
        "classification without --label learns which of them is the largest."
    )
    return table, [Finding("leak", "warning", (), sentence)]


def read_soft(
    table: Table, columns: Sequence[str], options: ReadOptions
) -> tuple[OneHot, list[str]] | None:
    """Return the class of the largest share of each row, and the columns of shares; None for none.

    Raises:
        DataError: There are shares, and nobody asked for the largest.
    """
    shares = _shares_of(columns, table)
    if not shares:
        return None
    what = f"Columns {quoted(shares)} of {table.where}"
    if options.known_task != CLASSIFICATION.name:
        raise DataError(
            f"{what} sum to one in every row: soft labels, a share of each class. A sample is "
            "learned with the classes that apply, not with shares of them. Say --task "
            "classification to learn the class with the largest share of each; if another column "
            "is the target, name it with --label."
        )
    cells = [[as_number(v) or 0.0 for v in table.values(column)] for column in shares]
    rows = [list(row) for row in zip(*cells, strict=True)]
    classes, findings = largest(rows, f"Each row of {table.where}", shares)
    return OneHot(classes, findings[0]), shares


def _shares_of(columns: Sequence[str], table: Table) -> list[str]:
    """Return the longest run of columns whose numbers in [0, 1] sum to one in every row."""
    import numpy as np

    runs: list[list[str]] = [[]]
    for column in columns:
        head = [as_number(value) for value in table.head(column)]
        if head and all(n is not None and 0 <= n <= 1 for n in head):
            runs[-1].append(column)
        elif runs[-1]:
            runs.append([])
    for run in sorted(runs, key=len, reverse=True):
        if len(run) < 2:
            continue
        rows = np.array([[as_number(v) for v in table.head(c)] for c in run], float)
        sums = np.concatenate([np.zeros((1, rows.shape[1])), rows.cumsum(0)])
        for first, last in _stretches(sums):
            found = run[first:last]
            cells = np.array([[as_number(v) for v in table.values(c)] for c in found], float)
            is_soft = ((cells > 0) & (cells < 1)).any()
            if is_soft and bool((abs(cells.sum(0) - 1) < SUM_ERROR).all()):
                return found
    return []


def _stretches(sums: Any) -> list[tuple[int, int]]:
    """Return where stretches of at least two columns sum to one, the longest first.

    Args:
        sums: Of the first k columns, float64, shape (K + 1, N), growing with k.
    """
    import numpy as np

    found = []
    for first in range(len(sums) - 2):
        is_one = (np.abs(sums[first + 2 :] - sums[first] - 1) < SUM_ERROR).all(1)
        found += [(first, first + 2 + int(i)) for i in np.flatnonzero(is_one)]
    return sorted(found, key=lambda ends: ends[0] - ends[1])
