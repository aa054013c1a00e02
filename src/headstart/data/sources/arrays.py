"""Read ``(X, y)``: images, texts or rows of numbers, as arrays, tensors, lists or a DataFrame.

Images are arrays of three or four axes; texts are lists or arrays of str; everything of one or two
axes is a table with the columns ``x0``, ``x1`` … Bytes (uint8) of two axes are refused: they are
as likely flattened images as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.cells import is_missing
from headstart.data.kinds import Recognised, recognise
from headstart.data.options import COLUMN_OPTIONS, ReadOptions
from headstart.data.records import UNASSIGNED, Records
from headstart.data.rows import TableSamples, TextSamples
from headstart.data.sources.columns import FrameTable, as_arrow
from headstart.data.sources.samples import ArraySamples
from headstart.data.sources.tables import read_tables
from headstart.data.targets import read_targets
from headstart.errors import DataError, OptionError, did_you_mean, quoted
from headstart.types import Modality, Samples

EXPECTED = (
    "Expected uint8 in 0..255, or floats in [0, 1], of shape (N, H, W), (N, H, W, C) or "
    "(N, C, H, W) with C 1 or 3."
)
MAX_ARRAY_COLUMNS = 1_000
TARGET = "target"


def read_pair(X: object, y: object, options: ReadOptions) -> Records:
    """Return the records of ``(X, y)``, whatever X holds.

    Args:
        X: Images, texts, or rows: an array, tensor, list, or a DataFrame.
        y: One target for each.
        options: Task, separator and kinds of columns, where they were said.

    Raises:
        DataError: Shapes or values fit nothing.
        OptionError: An option names a column that there is not.
    """
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return _read_frame(X, y, options)
    texts = _as_texts(X)
    if texts is not None:
        names = [f"X[{i}]" for i in range(len(texts))]
        return _records("arrays", "text", TextSamples(texts, names), y, options)
    array = to_numpy(X, "X")
    if array.ndim in (1, 2) and array.dtype != np.uint8 and array.size:
        return _read_rows(array, y, options)
    if array.ndim == 2 and array.size:
        raise DataError(
            f"X has shape {array.shape} and holds bytes, which can be flattened images or numbers "
            f"of a table. For images reshape it to (N, H, W): {EXPECTED} For a table convert it: "
            "X.astype(float)."
        )
    options.refuse("X holds images", "separator")
    return read_arrays(array, y, options=options)


def read_arrays(
    images: object, targets: object, name: str = "arrays", options: ReadOptions | None = None
) -> Records:
    """Return the records of images with their targets.

    Args:
        images: uint8, or floats in [0, 1]; shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1
            or 3; array or tensor.
        targets: Classes, shape (N,); or, where the task was said, several labels or numbers.
        name: What to call the source.
        options: Task and separator, where they were said.

    Raises:
        DataError: The shapes or the values are others.
    """
    X = image_array(to_numpy(images, "X"))
    samples = ArraySamples(X, [f"X[{i}]" for i in range(len(X))])
    return _records(name, "image", samples, targets, options or ReadOptions())


def _records(
    name: str,
    modality: Modality,
    samples: Samples,
    y: object,
    options: ReadOptions,
    found: Recognised | None = None,
) -> Records:
    values = _target_values(y, len(samples), modality, options)
    targets = read_targets(values, options, modality, what="y", place=lambda i: f"y[{i}]")
    return Records(
        name=name,
        samples=samples,
        targets=targets.values,
        classes=targets.classes,
        splits=np.full(len(samples), UNASSIGNED, np.int8),
        origin="arrays",
        findings=[*targets.findings, *(found.findings if found else ())],
        modality=modality,
        task=targets.task,
        column_kinds=found.kinds if found else None,
        date_formats=found.date_formats if found else {},
        kept_columns=options.kept_columns,
        columns=list(found.kinds if found else ()),
    )


def _target_values(
    y: object, number: int, modality: Modality, options: ReadOptions
) -> Sequence[object]:
    """Return one target value for each of the N samples."""
    if isinstance(y, (list, tuple)) and any(
        isinstance(v, (set, list, tuple)) and any(isinstance(item, str) for item in v) for v in y
    ):
        values: Sequence[object] = y
    else:
        array = to_numpy(y, "y")
        if array.ndim == 2 and array.shape[1] == 1 and modality != "image":
            array = array[:, 0]
        if array.ndim == 2 and options.has_label_sets:
            values = _indicated(array)
        elif array.ndim != 1:
            noun = {"image": "image", "text": "text", "table": "row"}[modality]
            raise DataError(
                f"y has shape {array.shape}; expected one class per {noun}, shape ({number},). "
                "For one-hot targets give y.argmax(axis=1); where several labels apply say "
                "task='multi-label'."
            )
        else:
            values = array.tolist()
    if len(values) != number:
        noun = {"image": "images", "text": "texts", "table": "rows"}[modality]
        raise DataError(f"X has {number} {noun} and y {len(values)} targets; expected as many.")
    return values


def _indicated(array: np.ndarray) -> list[object]:
    """Return the positions of the ones of each row, as label names."""
    strange = np.argwhere((array != 0) & (array != 1))
    if len(strange):
        row, column = strange[0].tolist()
        raise DataError(
            f"y holds {array[row, column]} in y[{row}, {column}]; expected 0 or 1, whether a label "
            "applies. Give lists of label names otherwise."
        )
    return [[str(place) for place in np.flatnonzero(row)] for row in array]


def _as_texts(X: Any) -> list[Any] | None:
    """Return X as a list where it holds texts: its first value that is not missing is a str."""
    if isinstance(X, np.ndarray) and (X.ndim != 1 or X.dtype.kind not in "UTO"):
        return None
    if not isinstance(X, (list, tuple, np.ndarray)) and not hasattr(X, "to_numpy"):
        return None
    values = list(X)
    scalars = (v for v in values if isinstance(v, (str, bytes)) or not hasattr(v, "__len__"))
    first = next((v for v in scalars if isinstance(v, str) or not is_missing(v)), None)
    return values if isinstance(first, str) else None


def _read_rows(array: np.ndarray, y: object, options: ReadOptions) -> Records:
    """Return the rows of an array of one or two axes as a table."""
    import pyarrow as pa

    if array.dtype.kind not in "biufOUM":
        raise DataError(
            f"X holds {array.dtype}; expected real numbers, words or dates. Convert it, for "
            "example to its magnitude."
        )
    array = array.reshape(len(array), -1)
    if array.shape[1] > MAX_ARRAY_COLUMNS:
        raise DataError(
            f"X has shape {array.shape}: more than {MAX_ARRAY_COLUMNS:,} columns are rather "
            f"flattened images. For images reshape it: {EXPECTED} For a table give a DataFrame."
        )
    names = [f"x{i}" for i in range(array.shape[1])]
    for option in COLUMN_OPTIONS:
        for column in getattr(options, option):
            if column not in names:
                raise OptionError(
                    f"Column '{column}' of --{option} is missing in X (found: {quoted(names)})."
                    f"{did_you_mean(column, names)} Correct it."
                )
    cells = {
        name: as_arrow(array[:, i] if array.dtype != object else array[:, i].tolist())
        for i, name in enumerate(names)
        if name not in options.drop
    }
    found = recognise([pa.table(cells)], options, lambda i: f"X[{i}]")
    if not found.kinds:
        raise DataError(
            f"X holds a {type(array.flat[0]).__name__} in X[0]; expected numbers or words. Give "
            "rows of several columns as a DataFrame or a pyarrow Table."
        )
    samples = TableSamples(found.table, [f"X[{i}]" for i in range(len(array))])
    return _records("arrays", "table", samples, y, options, found)


def _read_frame(frame: Any, y: Any, options: ReadOptions) -> Records:
    """Return a DataFrame of inputs with its targets, as one table."""
    name = str(getattr(y, "name", None) or TARGET)
    if name in [str(column) for column in frame.columns]:
        raise DataError(
            f"X has a column '{name}', which is also the name of y. Rename y, or drop the column."
        )
    values = to_numpy(y, "y") if not isinstance(y, list) else y
    if len(values) != len(frame):
        raise DataError(f"X has {len(frame)} rows and y {len(values)} targets; expected as many.")
    joined = frame.assign(**{name: list(values)})
    return read_tables([(FrameTable(joined), None)], "DataFrame", replace(options, label=name))


def image_array(X: np.ndarray, what: str = "X") -> np.ndarray:
    """Return uint8 images, shape (N, H, W, C), without a copy where they are that already.

    Args:
        X: uint8, or floats in [0, 1]; shape (N, H, W), (N, H, W, C) or (N, C, H, W).
        what: What to call X in messages.

    Raises:
        DataError: Shape, dtype or range are others.
    """
    if X.ndim not in (3, 4) or 0 in X.shape:
        raise DataError(f"{what} has shape {X.shape}. {EXPECTED}")
    if X.ndim == 3:
        X = X[..., None]
    else:
        is_last, is_first = X.shape[3] in (1, 3), X.shape[1] in (1, 3)
        if is_last and is_first:
            raise DataError(
                f"{what} has shape {X.shape}, which can be read with the channels first or last. "
                "Give grey images as (N, H, W)."
            )
        if not (is_last or is_first):
            raise DataError(
                f"{what} has shape {X.shape}, so no axis of 1 or 3 channels. {EXPECTED}"
            )
        if is_first:
            X = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    if X.dtype == np.uint8:
        return X
    if not np.issubdtype(X.dtype, np.floating):
        raise DataError(
            f"{what} holds {X.dtype}. {EXPECTED} Convert it, for example .astype('uint8')."
        )
    return _float_to_uint8(X, what)


def _float_to_uint8(X: np.ndarray, what: str) -> np.ndarray:
    pixels = np.empty(X.shape, np.uint8)
    for start in range(0, len(X), 1024):  # so that no second float copy of everything exists
        part = X[start : start + 1024]
        low, high = float(part.min()), float(part.max())
        if not (low >= 0 and high <= 1):  # also NaN
            bad = "NaN" if np.isnan(low) or np.isnan(high) else f"{low:.4g} to {high:.4g}"
            raise DataError(
                f"{what} holds floats from {start} on that are not in [0, 1] ({bad}). {EXPECTED} "
                "Undo the normalisation, or convert to uint8."
            )
        pixels[start : start + 1024] = np.rint(part * 255).astype(np.uint8)
    return pixels


def is_tensor(value: Any) -> bool:
    """Return whether a value is a torch tensor, known by its face."""
    return hasattr(value, "detach") and hasattr(value, "cpu")


def to_numpy(values: Any, what: str) -> np.ndarray:
    """Return an array of an array, a tensor on any device, a pandas column, or a list."""
    if is_tensor(values):
        tensor = values.detach().cpu()
        return np.asarray(tensor.numpy())
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{what} is no array: its parts differ in shape ({error}). {EXPECTED} "
            "For images of several sizes give a folder or a table."
        ) from error
