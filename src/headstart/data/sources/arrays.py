"""Read ``(X, y)``: images, texts or rows of numbers, as arrays, tensors, lists or a DataFrame.

Images are arrays of three or four axes; texts are lists or arrays of str; everything of one or two
axes is a table with the columns ``x0``, ``x1`` … Bytes (uint8) of two axes are refused: they are
as likely flattened images as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.cells import is_missing
from headstart.data.kinds import Recognised, recognise
from headstart.data.options import COLUMN_OPTIONS, ReadOptions
from headstart.data.paired_texts import as_pairs
from headstart.data.records import SPLIT_CODES, UNASSIGNED, Records
from headstart.data.soft_labels import are_shares
from headstart.data.sources.columns import FrameTable
from headstart.data.sources.handed import as_pictures, joined, plain, single_column
from headstart.data.sources.tables import read_tables
from headstart.data.sources.tagged import tagged_pair
from headstart.data.targets import read_targets
from headstart.errors import DataError, OptionError, did_you_mean, quoted
from headstart.preprocessing.arrays import EXPECTED, image_array, to_numpy
from headstart.preprocessing.memory import as_arrow, is_arrow_table
from headstart.preprocessing.pairs_given import USUAL
from headstart.preprocessing.rows import TableSamples, TextSamples
from headstart.preprocessing.samples import ArraySamples
from headstart.types import MODALITIES, Modality, Samples

MAX_ARRAY_COLUMNS = 1_000
TARGET = "target"


def read_pair(X: Any, y: Any, options: ReadOptions) -> Records:
    """Return the records of ``(X, y)``, whatever X holds.

    Args:
        X: Images, texts, or rows: an array, tensor, list, or a DataFrame.
        y: One target for each.
        options: Task, separator and kinds of columns, where they were said.

    Raises:
        DataError: Shapes or values fit nothing.
        OptionError: An option names a column that there is not.
    """
    X, y = plain(X), plain(single_column(plain(y)))
    _refuse_other_order(X, y)
    if is_arrow_table(X):
        X = X.to_pandas()
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return _read_frame(X, y, options)
    if (tagged := tagged_pair(X, y, options)) is not None:
        return read_tables([(tagged, None)], "lists", options)
    if (pairs := as_pairs(X)) is not None:
        names = [f"X[{i}]" for i in range(len(pairs))]
        found = _records("arrays", "text", TextSamples(pairs, names), y, options)
        return replace(found, sides=USUAL)
    if (pictures := as_pictures(X)) is not None:
        options.refuse("X holds images", "group", "separator")
        return _records("arrays", "image", pictures, y, options)
    texts = _as_texts(X)
    if texts is not None:
        names = [f"X[{i}]" for i in range(len(texts))]
        return _records("arrays", "text", TextSamples(texts, names), y, options)
    if hasattr(X, "toarray"):
        raise DataError(
            f"X is a sparse matrix of shape {X.shape}; expected a dense one. Give X.toarray(), or "
            "for texts the texts themselves: headstart counts their words."
        )
    array = to_numpy(X, "X")
    if not array.size:
        raise DataError(f"X is empty, of shape {array.shape}; expected samples. Give some.")
    if array.ndim in (1, 2) and array.dtype != np.uint8 and array.size:
        return _read_rows(array, y, options)
    if array.ndim == 2 and array.size:
        raise DataError(
            f"X has shape {array.shape} and holds bytes, which can be flattened images or numbers "
            f"of a table. For images reshape it to (N, H, W): {EXPECTED} For a table convert it: "
            "X.astype(float)."
        )
    options.refuse("X holds images", "group", "separator")
    return read_arrays(array, y, options=options)


def _refuse_other_order(X: Any, y: Any) -> None:
    """Refuse two pandas objects whose rows have the same names in another order."""
    first: Any = getattr(X, "index", None)
    second: Any = getattr(y, "index", None)
    if not (hasattr(first, "equals") and hasattr(second, "equals")):
        return
    if len(first) != len(second) or first.equals(second) or not first.is_unique:
        return
    if second.is_unique and first.isin(second).all():
        raise DataError(
            "X and y have the same index, in another order: by their places, the target of row "
            f"{first[0]} would be that of row {second[0]}. Expected the same order. Give "
            "y.loc[X.index]."
        )


def read_split_pairs(parts: Mapping[str, tuple[Any, Any]], options: ReadOptions) -> Records:
    """Return the records of pairs ``(X, y)`` given apart by split.

    Args:
        parts: ``train``, ``val`` and ``test``, each a pair.
        options: As for ``read_pair``.

    Raises:
        DataError: The splits hold different kinds or shapes, or fit nothing.
    """
    pairs = [(plain(X), plain(single_column(plain(y)))) for X, y in parts.values()]
    for name, (X, y) in zip(parts, pairs, strict=True):
        if len(X) != len(y):
            raise DataError(f"{name} has {len(X)} samples and {len(y)} targets; expected as many.")
    records = read_pair(joined([X for X, _ in pairs]), joined([y for _, y in pairs]), options)
    codes = [
        np.full(len(X), SPLIT_CODES[name], np.int8)
        for name, (X, _) in zip(parts, pairs, strict=True)
    ]
    return replace(records, splits=np.concatenate(codes))


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
    if options.beside:
        raise OptionError(
            f"--beside {' '.join(options.beside)} cannot be used: X has no columns with names. "
            "Give a DataFrame, which holds texts or images and the columns of their rows."
        )
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
        number_formats=found.number_formats if found else {},
        levels=found.levels if found else {},
        kept_columns=options.kept_columns,
        columns=list(found.kinds if found else ()),
    )


def _target_values(
    y: object, number: int, modality: Modality, options: ReadOptions
) -> Sequence[object]:
    """Return one target value for each of the N samples."""
    facts = MODALITIES[modality]
    if isinstance(y, (list, tuple)) and any(
        isinstance(v, (set, list, tuple)) and any(isinstance(item, str) for item in v) for v in y
    ):
        values: Sequence[object] = y
    else:
        array = to_numpy(y, "y")
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim == 2 and options.has_label_sets:
            values = _indicated(array)
        elif array.ndim == 2 and array.dtype.kind == "f" and are_shares(array.tolist()):
            values = array.tolist()  # soft labels, of which the reader of cells knows what to do
        elif array.ndim != 1:
            raise DataError(
                f"y has shape {array.shape}; expected one class per {facts.noun}, shape "
                f"({number},). For one-hot targets give y.argmax(axis=1); where several labels "
                "apply say task='multi-label'."
            )
        else:
            values = array.tolist()
    if len(values) != number:
        raise DataError(
            f"X has {number} {facts.nouns} and y {len(values)} targets; expected as many."
        )
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
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if len(values) != len(frame):
        raise DataError(f"X has {len(frame)} rows and y {len(values)} targets; expected as many.")
    joined = frame.assign(**{name: list(values)})
    return read_tables([(FrameTable(joined), None)], "DataFrame", replace(options, label=name))
