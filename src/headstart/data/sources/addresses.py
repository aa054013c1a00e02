"""Tables of pictures at addresses of a store, whose files lie near the table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from headstart.cells import is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.files_beside import FilesBeside
from headstart.data.sources.folder import is_image
from headstart.data.sources.listed import EditedTable
from headstart.errors import DataError
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

ADDRESS = re.compile(r"(s3|gs|gcs|az|azureml|abfss?|wasbs?|https?|AmlDatastore|hdfs)://", re.I)


def find_pictures(table: Table, options: ReadOptions, findings: list[Finding]) -> Table:
    """Return the table with addresses of pictures as paths of the files near it.

    Raises:
        DataError: None of the files lies near the table.
    """
    is_other = options.schema is not None and not options.schema.facts.is_file
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
        files = FilesBeside(table.root)
        paths = [files.near(value) for value in table.values(column)]
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
