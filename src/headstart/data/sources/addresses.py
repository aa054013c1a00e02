"""Tables of pictures: those at addresses of a store, and columns that say which labels apply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headstart.cells import as_number, is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.answers import near
from headstart.data.sources.folder import is_image
from headstart.data.sources.listed import EditedTable
from headstart.errors import DataError
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

ADDRESS = re.compile(r"(s3|gs|gcs|az|azureml|abfss?|wasbs?|https?|AmlDatastore|hdfs)://", re.I)
FIRST = ("filename", "file_name", "image", "image_path", "path")


def find_pictures(table: Table, options: ReadOptions, findings: list[Finding]) -> Table:
    """Return the table with addresses of pictures as paths of the files near it.

    Raises:
        DataError: None of the files lies near the table.
    """
    is_other = options.schema is not None and options.schema.modality != "image"
    if options.text or options.kept_columns or is_other:
        return table
    for column in table.columns:
        if column in options.drop or options.image_column not in (None, column):
            continue
        head = [value for value in table.head(column) if not is_missing(value)]
        if not head or not all(isinstance(v, str) and ADDRESS.match(v) for v in head):
            continue
        if not all(is_image(str(value).partition("?")[0]) for value in head):
            continue
        values = table.values(column)
        paths = [near(value, table.root) for value in values]
        found = [isinstance(p, str) and (table.root / p).is_file() for p in paths]
        if not any(found):
            raise DataError(
                f"Column '{column}' of {table.where} holds addresses such as {head[0]}, and no "
                f"such file lies beside the table. Download the pictures into {table.root} or a "
                "folder 'images' in it; they are found by their names. If they are not the inputs, "
                f"say --drop {column}."
            )
        sentence = f"Column '{column}' holds addresses; the files are taken from beside the table."
        findings.append(Finding("reading", "note", (), sentence))
        target = getattr(table, "target", None)
        table = EditedTable(table, None, {column: paths}, target=target)
    return table


def read_indicators(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Read a column of file names and one of 0 or 1 a class, as Roboflow's ``_classes.csv``."""
    first = table.columns[0] if table.columns else ""
    if options.label is not None or first not in FIRST or "label" in table.columns:
        return None
    names = [name for name in table.columns[1:] if name not in ("split", *options.drop)]
    if len(names) < 2:
        return None
    columns = [[as_number(value) for value in table.values(name)] for name in names]
    if not all(set(column) <= {0.0, 1.0} for column in columns):
        return None
    if options.schema is not None and options.schema.modality == "table":
        return None
    tidy = [name.strip() for name in names]
    rows = zip(*columns, strict=True)
    labels = [[n for n, v in zip(tidy, row, strict=True) if v == 1] for row in rows]
    sentence = f"Columns of 0 and 1 are read as labels: {', '.join(tidy[:10])}."
    edited = EditedTable(table, None, {"label": labels}, target="label")
    return edited, [Finding("task", "note", (), sentence)]
