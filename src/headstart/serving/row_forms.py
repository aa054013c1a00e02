"""Rows as people send them: of tables, and with the text or image that stands in each."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from headstart.bundles import Bundle
from headstart.errors import DataError
from headstart.preprocessing import Preprocess
from headstart.serving.bodies import (
    CSV,
    JSON,
    Named,
    RawInput,
    check_image,
    check_num_rows,
    checked_texts,
    read_csv,
    read_json,
)
from headstart.serving.limits import ServerLimits
from headstart.serving.refusals import bad_request
from headstart.serving.tensors import texts_of

_NUMBER_KINDS = "biuf"


def _row_names(num: int) -> list[str]:
    return [f"row {place + 1}" for place in range(num)]


def read_rows(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    """Return the rows of a JSON list of objects, or of a CSV."""
    if kind == CSV:
        table = read_csv(data, bundle)
        check_num_rows(table.num_rows, limits)
        return table, _row_names(table.num_rows)
    found = read_json(data)
    if isinstance(found, dict):
        inner = found.get("rows")
        found = inner if len(found) == 1 and isinstance(inner, list) else [found]
    if not isinstance(found, list):
        raise bad_request("Expected a JSON list of rows, each an object from column to value.")
    check_num_rows(len(found), limits)
    for place, row in enumerate(found):
        if not isinstance(row, dict) or any(isinstance(v, dict | list) for v in row.values()):
            raise bad_request(f"Row {place + 1} is no JSON object from columns to plain values.")
    return found, _row_names(len(found))


def column_inputs(preprocess: Preprocess) -> list[RawInput]:
    """Return the columns of a row, each an input of the protocol."""
    table = preprocess.rows
    assert table is not None
    datatypes = {"numeric": "FP64"}
    return [RawInput(c.name, datatypes.get(c.kind, "BYTES")) for c in table.spec.columns]


def row_tensors(arrays: Mapping[str, np.ndarray], bundle: Bundle, limits: ServerLimits) -> Named:
    """Return the rows of tensors, one a column."""
    import pyarrow as pa

    del bundle, limits  # the body's own is the limit of a cell
    table = pa.table({name: _cells(arrays, name) for name in arrays})
    return table, _row_names(table.num_rows)


def _cells(arrays: Mapping[str, np.ndarray], name: str) -> list[Any]:
    array = arrays[name]
    is_number = array.dtype.kind in _NUMBER_KINDS
    return array.ravel().tolist() if is_number else texts_of(arrays, name)


def example_row(preprocess: Preprocess) -> tuple[str, str]:
    """Return an example of a body: a row such as train's."""
    return JSON, orjson.dumps([_example_cells(preprocess)]).decode()


def _example_cells(preprocess: Preprocess) -> dict[str, Any]:
    """Return a row such as train's."""
    table = preprocess.rows
    assert table is not None
    row: dict[str, Any] = {}
    for column in table.spec.columns:
        known = [word for word in column.categories if word]
        row[column.name] = known[0] if known else round(column.mean[0], 4) if column.mean else 0
        if column.kind == "date":
            row[column.name] = "2026-01-31"
        if column.kind == "boolean":
            row[column.name] = True
    return row


# Texts and images with columns of their row ------------------------------------------------------


def read_joined_texts(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    """Return rows with a text each, of JSON or a CSV."""
    found, names = read_rows(kind, data, bundle, limits)
    for column in bundle.preprocess.main.columns:
        cells = _cells_of(found, column)
        checked_texts([cell for cell in cells if cell is not None], limits)
    return _checked_rows(found, bundle), names


def read_joined_images(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    """Return rows with an image each: JSON, the image's file in base64."""
    rows, names = read_rows(kind, data, bundle, limits)
    (column,) = bundle.preprocess.main.columns
    read = []
    for place, row in enumerate(rows):
        try:
            picture = b64decode(row.get(column) or "", validate=True)
        except (TypeError, ValueError):
            raise bad_request(f"'{column}' of row {place + 1} is no image in base64.") from None
        check_image(picture, limits)
        read.append({**row, column: picture})
    return _checked_rows(read, bundle), names


def _cells_of(rows: Any, column: str) -> list[Any]:
    if isinstance(rows, list):
        return [row.get(column) for row in rows]
    return rows.column(column).to_pylist() if column in rows.column_names else []


def _checked_rows(rows: Any, bundle: Bundle) -> Any:
    """Return rows, refused where they cannot be listed: a column that is missing, say."""
    try:
        bundle.preprocess.listed(rows)
    except DataError as error:
        raise bad_request(str(error)) from None
    return rows


def joined_inputs(preprocess: Preprocess) -> list[RawInput]:
    """Return the text or image of a row and its columns, each an input of the protocol."""
    mains = [RawInput(name, "BYTES") for name in preprocess.main.columns]
    return [*mains, *column_inputs(preprocess)]


def joined_text_tensors(
    arrays: Mapping[str, np.ndarray], bundle: Bundle, limits: ServerLimits
) -> Named:
    """Return rows of tensors, of which one, or two, hold texts."""
    for name in bundle.preprocess.main.columns:
        checked_texts(texts_of(arrays, name), limits)
    return row_tensors(arrays, bundle, limits)


def picture_rows(arrays: Mapping[str, np.ndarray], bundle: Bundle, limits: ServerLimits) -> Named:
    """Return rows of tensors, of which one holds the bytes of files."""
    (image,) = bundle.preprocess.main.columns
    columns = {
        name: images_of(arrays, name, limits) if name == image else _cells(arrays, name)
        for name in arrays
    }
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return rows, _row_names(len(rows))


def images_of(arrays: Mapping[str, np.ndarray], name: str, limits: ServerLimits) -> list[bytes]:
    """Return the files of a tensor of bytes. A text is none: it would name a file of the server.

    Raises:
        Refusal: If one is no image, or has too many pixels.
    """
    values = arrays[name].ravel().tolist()
    if not all(isinstance(value, bytes) for value in values):
        raise bad_request(f"'{name}' takes the bytes of files; send them as binary data.")
    for value in values:
        check_image(value, limits)
    return values


def example_joined(preprocess: Preprocess) -> tuple[str, str]:
    """Return an example of a body: a row with its text or image."""
    row = _example_cells(preprocess)
    what = "<base64 of a file>" if preprocess.size is not None else "Arrived late, works well."
    mains = dict.fromkeys(preprocess.main.columns, what)
    return JSON, orjson.dumps([{**mains, **row}]).decode()
