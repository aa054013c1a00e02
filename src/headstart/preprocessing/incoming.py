"""What a user hands to ``predict`` as a plain list: texts, or images in any form they come in.

People hand over what they have: a DataFrame that training took, a pandas column, PIL images, an
array of floats. Each becomes what training makes of it, or is refused with a sentence; nothing is
iterated blindly, because iterating a DataFrame gives the names of its columns. Rows of a table are
read in ``for_tables``, which knows their columns. Files are read by ``recipes.predict``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.cells import is_missing, shown
from headstart.errors import DataError, quoted
from headstart.preprocessing.arrays import image_array, is_tensor, to_numpy
from headstart.preprocessing.memory import NamedColumns, memory_table

IMAGES = "paths, encoded bytes, PIL images, or arrays of whole numbers or of floats in [0, 1]"


def listed_texts(values: Any, column: str | None) -> list[Any]:
    """Return texts as a list; what is no text but may be missing or empty is left to the reader.

    Args:
        values: A list, a pandas column, or a table.
        column: The column of the training data that held the texts, or None.

    Raises:
        DataError: The values are of another kind, or a table lacks the column.
    """
    if (table := memory_table(values, "the pyarrow Table")) is not None:
        return text_column(table, column)
    texts = _listed(values, "texts (str)")
    wrong = (bytes, Mapping, np.ndarray, os.PathLike)
    strange = next((value for value in texts if isinstance(value, wrong)), None)
    if isinstance(strange, os.PathLike):
        raise DataError(
            f"The path '{strange}' was given to a model of texts; expected str. Give what is in "
            "the file, Path(…).read_text(), or let 'headstart predict' or headstart.predict read "
            "it."
        )
    if strange is not None:
        raise DataError(
            f"A {type(strange).__name__} was given to a model of texts; expected str. Give a "
            "list of texts."
        )
    return texts


def text_column(table: NamedColumns, input_column: str | None) -> list[str]:
    """Return the texts of a table: the column that the model was trained on, else ``text``.

    Args:
        table: A table, from a file or in memory.
        input_column: The column of the training data that held the texts, or None.

    Raises:
        DataError: It has neither column.
    """
    trained = input_column or "text"
    column = trained if trained in table.columns else "text"
    if column not in table.columns:
        raise DataError(
            f"Column '{trained}' is missing in {table.where} (found: {quoted(table.columns)}); "
            f"expected the texts there, as in the training data, or in a column 'text'. Rename the "
            f"column."
        )
    # a missing text is an empty one, which is refused by its number, and not the word "None"
    return ["" if is_missing(value) else str(value) for value in table.values(column)]


def listed_images(values: Any) -> list[Any]:
    """Return images as a list of paths, bytes, PIL images and arrays (H, W[, C])."""
    if memory_table(values) is not None:
        raise DataError(
            f"A {type(values).__name__} was given to a model of images; expected a list of "
            f"{IMAGES}. Give the column that holds them."
        )
    if (isinstance(values, np.ndarray) and values.dtype != object) or is_tensor(values):
        return _stacked(to_numpy(values, "The array of images"))
    return [_image(value, i) for i, value in enumerate(_listed(values, IMAGES))]


def image_names(listed: list[Any]) -> list[str]:
    """Return the path of each image, or its number from 1 where it has none."""
    return [
        shown(str(value)) if isinstance(value, (str, os.PathLike)) else f"image {i + 1}"
        for i, value in enumerate(listed)
    ]


def _stacked(array: np.ndarray) -> list[np.ndarray]:
    """Return the images of one array (N, H, W[, C]), read as training reads it."""
    if array.ndim and len(array) == 0:
        return []
    if array.ndim == 3 and array.shape[2] in (3, 4):
        raise DataError(
            f"The array of images has shape {array.shape}, which looks like one image in colour; "
            "expected (N, H, W), (N, H, W, C) or (N, C, H, W). Put one image into a list."
        )
    # uint8 with the channels last is read image by image, where RGBA is fine, too
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] in (1, 3, 4):
        return list(array)
    return list(image_array(array, "The array of images"))


def _image(value: Any, place: int) -> Any:
    """Return one image of a list; arrays of floats and tensors as training reads them."""
    if isinstance(value, (str, bytes, os.PathLike)) or _is_picture(value):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if is_tensor(value):
        value = to_numpy(value, f"Image {place + 1}")
    if not isinstance(value, np.ndarray):
        raise DataError(
            f"Image {place + 1} is a {type(value).__name__}; expected {IMAGES}. Convert it, or "
            "leave it out."
        )
    is_last = value.ndim == 3 and value.shape[2] in (1, 3, 4)
    if value.dtype == np.uint8 and (value.ndim != 3 or is_last):
        return value  # what does not fit is refused by name when it is decoded
    image: np.ndarray = image_array(value[None], f"Image {place + 1} (as one of N)")[0]
    return image


def _is_picture(value: Any) -> bool:
    """Return whether a value is an image of Pillow: which is imported wherever there is one."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def _listed(values: Any, expected: str) -> list[Any]:
    """Return several samples as a list, and refuse one alone."""
    one = (str, bytes, os.PathLike, Mapping)
    try:
        if isinstance(values, one) or _is_picture(values):
            raise TypeError
        # the cells of a pyarrow column are wrapped
        return list(values.to_pylist() if hasattr(values, "to_pylist") else values)
    except TypeError:
        raise DataError(
            f"Expected a list of samples, not one {type(values).__name__}: {expected}. Put it into "
            "a list."
        ) from None
