"""Samples as people send them, of each modality: which bodies are taken, and what they become.

One row a modality in ``FORMS``. Whatever the form, a sample ends at ``Preprocess.read``, as those
of ``predict`` do. Nothing is fetched from an address, and no form of a browser is taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from headstart.bundles import Bundle
from headstart.errors import DataError, quoted
from headstart.preprocessing import Preprocess
from headstart.preprocessing.pairs_given import USUAL, listed_pairs
from headstart.serving.bodies import (
    CSV,
    IMAGES,
    JSON,
    TEXT,
    Named,
    RawInput,
    check_image,
    check_num_rows,
    checked_texts,
    decoded,
    read_csv,
    read_json,
)
from headstart.serving.covering import (
    Covered,
    cover_cells,
    cover_joined,
    cover_pairs,
    cover_patches,
    cover_words,
)
from headstart.serving.limits import ServerLimits
from headstart.serving.refusals import bad_request
from headstart.serving.row_forms import (
    column_inputs,
    example_joined,
    example_row,
    images_of,
    joined_inputs,
    joined_text_tensors,
    picture_rows,
    read_joined_images,
    read_joined_texts,
    read_rows,
    row_tensors,
)
from headstart.serving.tensors import texts_of
from headstart.types import Modality, Schema, TextPair, rows_of


@dataclass(frozen=True)
class Form:
    """How samples of a modality are sent.

    Attributes:
        modality: Which.
        types: Content types of bodies.
        read: A body of one of them to samples.
        inputs: What the protocol calls samples as they are.
        from_tensors: These, by name, as ``one_a_row`` has them, to samples.
        example: Content type and body of an example, for people.
        counts: Rows of a body, as far as that can be told without reading it.
        cover: A single sample to it with each of its parts covered.
        is_pair: Whether a sample is two texts.
        is_joined: Whether it is a text or an image with columns of its row.
        brief: Bytes that are read sooner than a thread is woken for it.
    """

    modality: Modality
    types: tuple[str, ...]
    read: Callable[[str, bytes, Bundle, ServerLimits], Named]
    inputs: Callable[[Preprocess], list[RawInput]]
    from_tensors: Callable[[Mapping[str, np.ndarray], Bundle, ServerLimits], Named]
    example: Callable[[Preprocess], tuple[str, str]]
    counts: Callable[[str, bytes], int]
    cover: Callable[[Any, Bundle], Covered]
    is_pair: bool = False
    is_joined: bool = False
    brief: int = 0


# Images ------------------------------------------------------------------------------------------


def _read_image(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    del kind, bundle  # the bytes say what they are
    check_image(data, limits)
    return [data], ["image"]


def _image_tensors(arrays: Mapping[str, np.ndarray], bundle: Bundle, limits: ServerLimits) -> Named:
    del bundle  # all are read alike
    values = images_of(arrays, "image", limits)
    return values, [f"image {place + 1}" for place in range(len(values))]


# Texts -------------------------------------------------------------------------------------------


def _read_texts(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    texts: Any
    if kind == TEXT:
        texts = [decoded(data)]
    elif kind == CSV:
        texts = bundle.preprocess.listed(read_csv(data, bundle))
    else:
        found = read_json(data)
        named = {*bundle.preprocess.columns, "text"}
        if isinstance(found, dict):
            if found.keys() - {*named, "texts"} or len(found) != 1:
                raise bad_request("Expected a JSON object with 'text' or 'texts'.")
            found = found.get("texts", [found])
        if not isinstance(found, list):
            raise bad_request("Expected a JSON list of texts.")
        texts = [_of_row(one, named) for one in found]
    check_num_rows(len(texts), limits)
    texts = checked_texts(texts, limits)
    return texts, [f"text {place + 1}" for place in range(len(texts))]


def _of_row(row: Any, named: set[str]) -> Any:
    """Return the text of a row as tables have them; what is no row stays as it is."""
    if not isinstance(row, dict):
        return row
    texts = [row[name] for name in named if name in row]
    return texts[0] if len(texts) == 1 else None


def _text_tensors(arrays: Mapping[str, np.ndarray], bundle: Bundle, limits: ServerLimits) -> Named:
    del bundle  # all are read alike
    texts = checked_texts(texts_of(arrays, "text"), limits)
    return texts, [f"text {place + 1}" for place in range(len(texts))]


# Pairs of texts -----------------------------------------------------------------------------------


def _read_pairs(kind: str, data: bytes, bundle: Bundle, limits: ServerLimits) -> Named:
    sides = bundle.preprocess.columns or USUAL
    found: Any = read_csv(data, bundle) if kind == CSV else read_json(data)
    if isinstance(found, dict):
        inner = found.get("pairs")
        found = inner if len(found) == 1 and isinstance(inner, list) else [found]
    if kind != CSV and not isinstance(found, list):
        raise bad_request(f"Expected a JSON list of pairs, each an object with {quoted(sides)}.")
    try:
        pairs = listed_pairs(found, sides)
    except DataError as error:
        raise bad_request(str(error)) from None
    check_num_rows(len(pairs), limits)
    checked_texts([side for pair in pairs for side in (pair.first, pair.second)], limits)
    return pairs, [f"pair {place + 1}" for place in range(len(pairs))]


def _pair_inputs(preprocess: Preprocess) -> list[RawInput]:
    return [RawInput(name, "BYTES") for name in preprocess.columns or USUAL]


def _pair_tensors(arrays: Mapping[str, np.ndarray], bundle: Bundle, limits: ServerLimits) -> Named:
    del bundle  # all are read alike
    first, second = (checked_texts(texts_of(arrays, name), limits) for name in arrays)
    pairs = [TextPair(one, other) for one, other in zip(first, second, strict=True)]
    return pairs, [f"pair {place + 1}" for place in range(len(pairs))]


def _example_pair(preprocess: Preprocess) -> tuple[str, str]:
    texts = ("Two dogs run on a beach.", "Animals are outside.")
    pair = dict(zip(preprocess.columns or USUAL, texts, strict=True))
    return JSON, orjson.dumps([pair]).decode()


# Counting ----------------------------------------------------------------------------------------


def _one(kind: str, data: bytes) -> int:
    del kind, data
    return 1


def _several(kind: str, data: bytes) -> int:
    """Return about how many rows a body has: places are held by it before anything is read."""
    marks = {CSV: b"\n", JSON: b"},"}
    return 1 if kind not in marks else 1 + data.count(marks[kind])


FORMS: dict[str, Form] = {
    "files": Form(
        "image",
        IMAGES,
        _read_image,
        lambda preprocess: [RawInput("image", "BYTES")],
        _image_tensors,
        lambda preprocess: ("image/png", "@picture.png"),
        _one,
        cover_patches,
    ),
    "words": Form(
        "text",
        (TEXT, JSON, CSV),
        _read_texts,
        lambda preprocess: [RawInput("text", "BYTES")],
        _text_tensors,
        lambda preprocess: (TEXT, "Arrived late, works well."),
        _several,
        cover_words,
        brief=1024,
    ),
    "pairs": Form(
        "text",
        (JSON, CSV),
        _read_pairs,
        _pair_inputs,
        _pair_tensors,
        _example_pair,
        _several,
        cover_pairs,
        is_pair=True,
    ),
    "texts in rows": Form(
        "text",
        (JSON, CSV),
        read_joined_texts,
        joined_inputs,
        joined_text_tensors,
        example_joined,
        _several,
        cover_joined,
        is_joined=True,
    ),
    "images in rows": Form(
        "image",
        (JSON,),
        read_joined_images,
        joined_inputs,
        picture_rows,
        example_joined,
        _several,
        cover_joined,
        is_joined=True,
    ),
    "rows": Form(
        "table",
        (JSON, CSV),
        read_rows,
        column_inputs,
        row_tensors,
        example_row,
        _several,
        cover_cells,
    ),
}


def form_of(schema: Schema) -> Form:
    """Return how samples of a schema are sent."""
    forms = rows_of(FORMS, schema.modality).values()
    if schema.beside:
        return next(form for form in forms if form.is_joined)
    return next(f for f in forms if f.is_pair == bool(schema.sides) and not f.is_joined)


def one_a_row(
    tensors: Mapping[str, np.ndarray], inputs: Sequence[RawInput]
) -> dict[str, np.ndarray]:
    """Return samples as the protocol sends them, a value a row, in the order of the model's inputs.

    Args:
        tensors: By name, in whatever order a client has named them.
        inputs: Of the model, of these names.

    Raises:
        Refusal: If one has several values a row, which would pass for one row.
    """
    for name, array in tensors.items():
        if array.size != len(array):
            raise bad_request(
                f"'{name}' has the shape {list(array.shape)}; expected a value a row, [rows] or "
                "[rows, 1].",
                "inputs",
            )
    return {one.name: tensors[one.name] for one in inputs}
