"""Samples as people send them, of each modality: which bodies are taken, and what they become.

One row a modality in ``FORMS``. Whatever the form, a sample ends at ``Preprocess.read``, as those
of ``predict`` do. Nothing is fetched from an address, and no form of a browser is taken apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from headstart.bundles import Bundle
from headstart.errors import DataError, quoted
from headstart.preprocessing import Preprocess, TablePreprocess, UnreadableImage
from headstart.preprocessing.images import read_header
from headstart.preprocessing.pairs_given import USUAL, listed_pairs
from headstart.serving.covering import Covered, cover_cells, cover_pairs, cover_patches, cover_words
from headstart.serving.limits import ServerLimits
from headstart.serving.protocol import refuse_twice
from headstart.serving.refusals import Refusal, bad_request
from headstart.serving.tensors import texts_of
from headstart.types import Modality, Schema, TextPair, rows_of

Named = tuple[Any, list[str]]  # samples, and what to call each of them
_JSON, _CSV, _TEXT = "application/json", "text/csv", "text/plain"
_IMAGES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif", "image/tiff")
_CHARSETS = ("", "utf-8", "utf8", "us-ascii")
_NUMBER_KINDS = "biuf"


@dataclass(frozen=True)
class RawInput:
    """One input of the Open Inference Protocol that takes samples as they are.

    Attributes:
        name: Its name.
        datatype: Of the protocol, as it is best sent.
    """

    name: str
    datatype: str


@dataclass(frozen=True)
class Form:
    """How samples of a modality are sent.

    Attributes:
        modality: Which.
        types: Content types of bodies.
        read: A body of one of them to samples.
        inputs: What the protocol calls samples as they are.
        from_tensors: These, by name, to samples.
        example: Content type and body of an example, for people.
        counts: Rows of a body, as far as that can be told without reading it.
        cover: A single sample to it with each of its parts covered.
        is_pair: Whether a sample is two texts.
        brief: Bytes that are read sooner than a thread is woken for it.
    """

    modality: Modality
    types: tuple[str, ...]
    read: Callable[[str, bytes, Bundle, ServerLimits], Named]
    inputs: Callable[[Preprocess], list[RawInput]]
    from_tensors: Callable[[Mapping[str, np.ndarray], ServerLimits], Named]
    example: Callable[[Preprocess], tuple[str, str]]
    counts: Callable[[str, bytes], int]
    cover: Callable[[Any, Bundle], Covered]
    is_pair: bool = False
    brief: int = 0


def content_type(header: str) -> str:
    """Return the type of a body without its parameters.

    Raises:
        Refusal: If it has characters other than UTF-8.
    """
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in _CHARSETS:
            raise Refusal(415, "The charset is not read; expected utf-8.", "charset")
    return kind


def checked_texts(texts: Sequence[Any], limits: ServerLimits) -> list[str]:
    """Return texts of a request.

    Raises:
        Refusal: If one is no text, or too long.
    """
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise bad_request(f"Text {place + 1} is no JSON string.")
        if len(text) > limits.characters:
            raise Refusal(
                413,
                f"Text {place + 1} has {len(text):,} characters; expected at most "
                f"{limits.characters:,}.",
                "characters",
            )
    return list(texts)


def _check_rows(number: int, limits: ServerLimits) -> None:
    if number < 1:
        raise bad_request("The request has no rows.")
    if number > limits.rows:
        raise Refusal(
            413,
            f"The request has {number:,} rows; expected at most {limits.rows:,}. Send several.",
            "rows",
        )


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise bad_request("The body is no UTF-8.") from None


def _json(data: bytes) -> Any:
    try:
        found = orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError):
        raise bad_request("The body is no JSON.") from None
    refuse_twice(data)
    return found


def _csv(data: bytes, bundle: Bundle) -> Any:
    """Return the table of a CSV, by the reader that ``predict`` has."""
    from headstart.data.sources.given_tables import AsTrained

    header = bundle.record.reading.get("header")
    how = AsTrained(header=tuple(header) if header else None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "body.csv"
        path.write_bytes(data)
        try:
            ((table, _),) = how.open_tables(str(path))
        except DataError as error:
            raise bad_request(str(error).replace(str(path), "The body")) from None
        import pyarrow as pa

        return pa.table({name: list(table.values(name)) for name in table.columns})


# Images ------------------------------------------------------------------------------------------


def _read_image(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    del kind, bundle  # the bytes say what they are
    _check_image(data, limits)
    return [data], ["image"]


def _check_image(data: bytes, limits: ServerLimits) -> None:
    try:
        header = read_header(data)
    except UnreadableImage as error:
        raise bad_request(f"The image cannot be used: {error.reason}.", "image") from None
    pixels = header.height * header.width
    if pixels > limits.pixels:
        raise Refusal(
            413,
            f"The image has {pixels:,} pixels; expected at most {limits.pixels:,}.",
            "pixels",
        )


def _image_tensors(arrays: Mapping[str, np.ndarray], limits: ServerLimits) -> Named:
    values = arrays["image"].ravel().tolist()
    if not all(isinstance(value, bytes) for value in values):
        raise bad_request("'image' takes the bytes of files; send them as binary data.")
    for value in values:
        _check_image(value, limits)
    return values, [f"image {place + 1}" for place in range(len(values))]


# Texts -------------------------------------------------------------------------------------------


def _read_texts(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    texts: Any
    if kind == _TEXT:
        texts = [_decoded(data)]
    elif kind == _CSV:
        texts = bundle.preprocess.listed(_csv(data, bundle))
    else:
        found = _json(data)
        named = {*bundle.preprocess.columns, "text"}
        if isinstance(found, dict):
            if found.keys() - {*named, "texts"} or len(found) != 1:
                raise bad_request("Expected a JSON object with 'text' or 'texts'.")
            found = found.get("texts", [found])
        if not isinstance(found, list):
            raise bad_request("Expected a JSON list of texts.")
        texts = [_of_row(one, named) for one in found]
    _check_rows(len(texts), limits)
    texts = checked_texts(texts, limits)
    return texts, [f"text {place + 1}" for place in range(len(texts))]


def _of_row(row: Any, named: set[str]) -> Any:
    """Return the text of a row as tables have them; what is no row stays as it is."""
    if not isinstance(row, dict):
        return row
    texts = [row[name] for name in named if name in row]
    return texts[0] if len(texts) == 1 else None


def _text_tensors(arrays: Mapping[str, np.ndarray], limits: ServerLimits) -> Named:
    texts = checked_texts(texts_of(arrays, "text"), limits)
    return texts, [f"text {place + 1}" for place in range(len(texts))]


# Pairs of texts -----------------------------------------------------------------------------------


def _read_pairs(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    sides = bundle.preprocess.columns or USUAL
    found: Any = _csv(data, bundle) if kind == _CSV else _json(data)
    if isinstance(found, dict):
        inner = found.get("pairs")
        found = inner if len(found) == 1 and isinstance(inner, list) else [found]
    if kind != _CSV and not isinstance(found, list):
        raise bad_request(f"Expected a JSON list of pairs, each an object with {quoted(sides)}.")
    try:
        pairs = listed_pairs(found, sides)
    except DataError as error:
        raise bad_request(str(error)) from None
    _check_rows(len(pairs), limits)
    checked_texts([side for pair in pairs for side in (pair.first, pair.second)], limits)
    return pairs, [f"pair {place + 1}" for place in range(len(pairs))]


def _pair_inputs(preprocess: Preprocess) -> list[RawInput]:
    return [RawInput(name, "BYTES") for name in preprocess.columns or USUAL]


def _pair_tensors(arrays: Mapping[str, np.ndarray], limits: ServerLimits) -> Named:
    first, second = (checked_texts(texts_of(arrays, name), limits) for name in arrays)
    if len(first) != len(second):
        raise bad_request(
            f"The inputs have {len(first)} and {len(second)} texts, expected as many."
        )
    pairs = [TextPair(one, other) for one, other in zip(first, second, strict=True)]
    return pairs, [f"pair {place + 1}" for place in range(len(pairs))]


def _example_pair(preprocess: Preprocess) -> tuple[str, str]:
    texts = ("Two dogs run on a beach.", "Animals are outside.")
    pair = dict(zip(preprocess.columns or USUAL, texts, strict=True))
    return _JSON, orjson.dumps([pair]).decode()


# Tables ------------------------------------------------------------------------------------------


def _read_rows(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    if kind == _CSV:
        table = _csv(data, bundle)
        _check_rows(table.num_rows, limits)
        return table, [f"row {place + 1}" for place in range(table.num_rows)]
    found = _json(data)
    if isinstance(found, dict):
        inner = found.get("rows")
        found = inner if len(found) == 1 and isinstance(inner, list) else [found]
    if not isinstance(found, list):
        raise bad_request("Expected a JSON list of rows, each an object from column to value.")
    _check_rows(len(found), limits)
    for place, row in enumerate(found):
        if not isinstance(row, dict) or any(isinstance(v, dict | list) for v in row.values()):
            raise bad_request(f"Row {place + 1} is no JSON object from columns to plain values.")
    return found, [f"row {place + 1}" for place in range(len(found))]


def _column_inputs(preprocess: Preprocess) -> list[RawInput]:
    assert isinstance(preprocess, TablePreprocess)
    datatypes = {"numeric": "FP64"}
    return [RawInput(c.name, datatypes.get(c.kind, "BYTES")) for c in preprocess.spec.columns]


def _row_tensors(arrays: Mapping[str, np.ndarray], limits: ServerLimits) -> Named:
    import pyarrow as pa

    del limits  # the body's own is the limit of a cell
    columns = {}
    for name, array in arrays.items():
        if array.ndim > 2 or array.size != len(array):
            raise bad_request(f"'{name}' is a column; expected the shape [rows] or [rows, 1].")
        is_number = array.dtype.kind in _NUMBER_KINDS
        columns[name] = array.ravel().tolist() if is_number else texts_of(arrays, name)
    table = pa.table(columns)
    return table, [f"row {place + 1}" for place in range(table.num_rows)]


def _example_row(preprocess: Preprocess) -> tuple[str, str]:
    assert isinstance(preprocess, TablePreprocess)
    row: dict[str, Any] = {}
    for column in preprocess.spec.columns:
        known = [word for word in column.categories if word]
        row[column.name] = known[0] if known else round(column.mean[0], 4) if column.mean else 0
        if column.kind == "date":
            row[column.name] = "2026-01-31"
        if column.kind == "boolean":
            row[column.name] = True
    return _JSON, orjson.dumps([row]).decode()


# Counting ----------------------------------------------------------------------------------------


def _one(kind: str, data: bytes) -> int:
    del kind, data
    return 1


def _several(kind: str, data: bytes) -> int:
    """Return about how many rows a body has: places are held by it before anything is read."""
    marks = {_CSV: b"\n", _JSON: b"},"}
    return 1 if kind not in marks else 1 + data.count(marks[kind])


FORMS: dict[str, Form] = {
    "files": Form(
        "image",
        _IMAGES,
        _read_image,
        lambda preprocess: [RawInput("image", "BYTES")],
        _image_tensors,
        lambda preprocess: ("image/png", "@picture.png"),
        _one,
        cover_patches,
    ),
    "words": Form(
        "text",
        (_TEXT, _JSON, _CSV),
        _read_texts,
        lambda preprocess: [RawInput("text", "BYTES")],
        _text_tensors,
        lambda preprocess: (_TEXT, "Arrived late, works well."),
        _several,
        cover_words,
        brief=1024,
    ),
    "pairs": Form(
        "text",
        (_JSON, _CSV),
        _read_pairs,
        _pair_inputs,
        _pair_tensors,
        _example_pair,
        _several,
        cover_pairs,
        is_pair=True,
    ),
    "rows": Form(
        "table",
        (_JSON, _CSV),
        _read_rows,
        _column_inputs,
        _row_tensors,
        _example_row,
        _several,
        cover_cells,
    ),
}


def form_of(schema: Schema) -> Form:
    """Return how samples of a schema are sent."""
    forms = rows_of(FORMS, schema.modality).values()
    return next(form for form in forms if form.is_pair == bool(schema.sides))
