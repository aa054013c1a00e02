"""What people hand over in Python, made plain: lazy columns, lists of pictures, data sets, splits.

Each becomes one of the forms that the readers know: a list, an array, a frame, a pyarrow Table;
or it is refused with the way to one of them. Nothing is known by its library, only by its face.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from headstart.cells import is_missing
from headstart.data.soft_labels import are_shares
from headstart.data.sources.samples import read_value
from headstart.errors import DataError, quoted
from headstart.preprocessing.arrays import image_array, is_tensor, to_numpy
from headstart.preprocessing.image_files import OTHER_SUFFIXES, READ_SUFFIXES
from headstart.preprocessing.memory import is_arrow_table, is_frame

PATH_ADVICE = (
    "For texts give what is in the files, [Path(path).read_text() for path in X]; for pictures "
    f"give paths that end in {', '.join(READ_SUFFIXES[:5])} …"
)


class PictureSamples:
    """Pictures in a list: paths, encoded bytes, PIL images, or arrays of several sizes.

    Args:
        values: One of these each, or None where there is none.
        names: What a person calls each of them.
    """

    def __init__(self, values: Sequence[Any], names: Sequence[str]) -> None:
        self.values, self.names = values, names

    def __len__(self) -> int:
        return len(self.values)

    def read(self, index: int) -> bytes | np.ndarray:
        """Return encoded bytes, or an array (H, W) or (H, W, C)."""
        value = self.values[index]
        if isinstance(value, Image.Image):
            return _pixels(value)
        if is_tensor(value) or isinstance(value, np.ndarray):
            array = to_numpy(value, self.names[index])
            if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[-1] in (1, 3, 4)):
                return array
            one: np.ndarray = image_array(array[None], self.names[index])[0]
            return one
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        return read_value(value, Path.cwd(), self.names[index])

    def name(self, index: int) -> str:
        """Return the path, or the position, for example ``X[17]``."""
        return self.names[index]


def plain(values: Any) -> Any:
    """Return a lazy column, a pyarrow column or a list of tensors of one number as a list.

    Everything else is returned as it is.
    """
    if is_arrow_table(values):
        return values
    if hasattr(values, "to_pylist"):
        return values.to_pylist()
    known = (str, bytes, list, tuple, np.ndarray, Mapping)
    if isinstance(values, known) or is_tensor(values) or hasattr(values, "to_numpy"):
        return values
    if isinstance(values, Sequence):  # a Column of datasets, a range
        return _named(list(values), values)
    if hasattr(values, "__next__") or isinstance(values, (set, frozenset)):
        raise DataError(
            f"A {type(values).__name__} was given, which has no order or can be read only once; "
            "expected a list or an array. Give list(…)."
        )
    return values


def _named(values: list[Any], column: Any) -> list[Any]:
    """Return the numbers of a Column of Hugging Face datasets under their classes' names."""
    features = getattr(getattr(column, "source", None), "features", None) or {}
    feature = features.get(getattr(column, "column_name", ""), None)
    names = getattr(feature, "names", None)
    if not names or not all(isinstance(v, int) and 0 <= v < len(names) for v in values):
        return values
    return [names[value] for value in values]


def single_column(y: Any) -> Any:
    """Return the column of a frame or table that has one; anything else as it is.

    Columns of shares that sum to one become one of dicts, as soft labels are written.

    Raises:
        DataError: The frame has several columns.
    """
    names = list(y.columns) if is_frame(y) else list(y.column_names) if is_arrow_table(y) else []
    if len(names) > 1:
        columns = [y[name].tolist() if is_frame(y) else y[name].to_pylist() for name in names]
        rows = list(zip(*columns, strict=True))
        if all(isinstance(one, float) for row in rows for one in row) and are_shares(rows):
            return [dict(zip(map(str, names), row, strict=True)) for row in rows]
        shown = ", ".join(str(name) for name in names[:4])
        raise DataError(
            f"y is a {type(y).__name__} of {len(names)} columns ({shown}); expected one target "
            f"each. Give one of them, y[{names[0]!r}]; where several labels apply give the 0/1 "
            "columns as an array, y.to_numpy(), with task='multi-label'."
        )
    if not names:
        return y
    return y[names[0]] if is_frame(y) else y.column(names[0])


def as_pictures(X: Any) -> PictureSamples | None:
    """Return a list of pictures as samples; None where X is none.

    Raises:
        DataError: X holds paths of other files.
    """
    is_objects = isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "OUT"
    if not isinstance(X, (list, tuple)) and not is_objects and not hasattr(X, "iloc"):
        return None
    values = list(X)
    first = next((v for v in values if not _is_nothing(v)), None)
    words = [v for v in values[:1000] if isinstance(v, (str, os.PathLike))]
    if isinstance(first, (str, os.PathLike)):
        is_path = [
            os.fspath(word).lower().endswith((*READ_SUFFIXES, *OTHER_SUFFIXES)) for word in words
        ]
        if not all(is_path):
            _refuse_paths(words)
            return None
    elif not _is_picture(first) or _are_alike(values):
        return None
    names = [
        os.fspath(v) if isinstance(v, (str, os.PathLike)) else f"X[{i}]"
        for i, v in enumerate(values)
    ]
    return PictureSamples(values, names)


def _is_nothing(value: Any) -> bool:
    return value is None or (not hasattr(value, "__len__") and is_missing(value))


def _is_picture(value: Any) -> bool:
    if isinstance(value, (Image.Image, bytes)):
        return True
    if isinstance(value, dict):
        return {"bytes", "path"} <= set(value)
    is_array = isinstance(value, np.ndarray) or is_tensor(value)
    return is_array and value.ndim in (2, 3) and min(value.shape) > 0


def _are_alike(values: Sequence[Any]) -> bool:
    """Return whether values are arrays of one shape, which are read as one array."""
    shapes = {tuple(v.shape) if hasattr(v, "shape") else None for v in values}
    shape = next(iter(shapes))
    return len(shapes) == 1 and shape is not None and (len(shape) == 2 or 4 not in shape[-1:])


def _refuse_paths(words: Sequence[Any]) -> None:
    """Refuse paths of files that are no pictures: learning from names alone is never meant."""
    first = words[0]
    is_object = isinstance(first, os.PathLike)
    name = os.fspath(first)
    if is_object or os.path.isfile(name):  # a text may be too long for a name
        raise DataError(
            f"X holds paths, the first is '{name}'; expected the samples. {PATH_ADVICE}"
        )


def _pixels(image: Image.Image) -> np.ndarray:
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("L", "RGB", "RGBA", "F") or upright.mode.startswith("I"):
        return np.asarray(upright)
    if upright.mode == "1":
        return np.asarray(upright.convert("L"))
    return np.asarray(upright.convert("RGBA" if upright.has_transparency_data else "RGB"))


def plain_source(source: Any, what: str = "source") -> Any:
    """Return a data set of another library as a pyarrow Table, a dict of them, or ``(X, y)``.

    A Hugging Face ``Dataset`` becomes a Table with its class names, a ``DatasetDict`` a dict of
    Tables, a PyTorch data set of pairs ``(X, y)``; anything else is returned as it is.

    Args:
        source: What was given.
        what: How the user would write it, for messages.

    Raises:
        DataError: It can only be iterated, changes its rows, or its items are no pairs.
    """
    if isinstance(source, Mapping):
        return {
            str(name): plain_source(part, f"{what}[{str(name)!r}]") for name, part in source.items()
        }
    if hasattr(source, "with_format") and hasattr(source, "features"):
        if not hasattr(source, "__len__"):
            raise DataError(
                f"A {type(source).__name__} can only be iterated, and splits need all rows. Load "
                f"it without streaming=True, or give Dataset.from_list(list({what}), "
                f"features={what}.features)."
            )
        if (getattr(source, "format", None) or {}).get("type") == "custom":
            raise DataError(
                f"A {type(source).__name__} with a transform was given, which changes rows when "
                f"they are asked for. Give {what}.with_format(None) for the rows as they are "
                f"stored, or Dataset.from_list(list({what})) for what the transform makes of them."
            )
        table = source.with_format("arrow")[:]
        facts = json.dumps({"info": {"features": source.features.to_dict()}})
        return table.replace_schema_metadata({b"huggingface": facts.encode()})
    if hasattr(source, "dataset") and hasattr(source, "batch_size"):
        raise DataError(
            f"A {type(source).__name__} gives batches, shuffled and augmented; expected the data "
            "itself. Give its data set, loader.dataset, without random transforms."
        )
    is_pairs = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    known = (str, bytes, list, tuple, np.ndarray)
    if isinstance(source, known) or is_tensor(source) or is_frame(source) or not is_pairs:
        return source
    return source if is_arrow_table(source) else _pairs(source)


def _pairs(dataset: Any) -> tuple[list[Any], list[Any]]:
    """Return the items of a PyTorch data set as inputs and targets."""
    kind = type(dataset).__name__
    items = [dataset[i] for i in range(len(dataset))]
    strange = next((item for item in items if not _is_pair(item)), None)
    if not items or strange is not None:
        what = f"an item is a {type(strange).__name__}" if items else "it is empty"
        raise DataError(
            f"A {kind} cannot be read: {what}; expected items (input, target). Give lists: "
            "load(([inputs …], [targets …]))."
        )
    names = getattr(dataset, "classes", None) or getattr(
        getattr(dataset, "dataset", None), "classes", None
    )
    targets = [_scalar(item[1]) for item in items]
    if isinstance(names, (list, tuple)) and all(
        isinstance(t, int) and 0 <= t < len(names) for t in targets
    ):
        targets = [str(names[t]) for t in targets]
    return [item[0] for item in items], targets


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2


def _scalar(value: Any) -> Any:
    is_one = hasattr(value, "item") and getattr(value, "size", None) is not None
    if is_tensor(value):
        return value.item() if value.numel() == 1 else value.tolist()
    return value.item() if is_one and np.size(value) == 1 else value


def joined(parts: Sequence[Any]) -> Any:
    """Return the inputs or targets of several splits as one, train's first.

    Raises:
        DataError: They are of different kinds.
    """
    kinds = {type(part).__name__ for part in parts}
    if len(kinds) > 1:
        raise DataError(
            f"The splits hold {' and '.join(sorted(kinds))}; expected the same kind in each."
        )
    first = parts[0]
    if is_frame(first) or hasattr(first, "iloc"):
        return import_module("pandas").concat(parts, ignore_index=True)
    if isinstance(first, (list, tuple)):
        return [value for part in parts for value in part]
    try:
        return np.concatenate([to_numpy(part, "X") for part in parts])
    except ValueError as error:
        raise DataError(f"The splits differ in shape ({error}); expected the same.") from error


def split_pairs(source: Any) -> dict[str, Any] | None:
    """Return splits given apart by name; None where the source is none of these forms.

    ``(train, test)`` or ``(train, val, test)``, each a pair ``(X, y)`` or a frame; or a dict with
    these names.
    """
    if isinstance(source, Mapping):
        return dict(source)
    if not isinstance(source, tuple) or len(source) not in (2, 3):
        return None
    are_pairs = all(isinstance(part, tuple) and len(part) == 2 for part in source)
    are_frames = all(is_frame(p) or is_arrow_table(p) for p in source)
    if len(source) == 2 and are_frames:  # X and y as frames; or two frames of the same columns
        first, second = (list(p.columns if is_frame(p) else p.column_names) for p in source)
        are_frames = first == second and len(first) > 1
    if not are_pairs and not are_frames:
        return None
    return dict(
        zip(
            ("train", "test") if len(source) == 2 else ("train", "val", "test"), source, strict=True
        )
    )


def table_pictures(table: Any, column: str | None) -> tuple[list[Any], list[str | None]]:
    """Return the images of a table, as paths or bytes, and the path of each where it names one.

    Args:
        table: An open table.
        column: The column of images in the training data, where it was said.

    Raises:
        DataError: No column, or more than one, holds images.
    """
    fits = [column] if column is not None and column in table.columns else []
    fits = fits or [name for name in table.columns if _holds_pictures(table.head(name))]
    if len(fits) != 1:
        found = f"columns {quoted(fits)} do" if fits else f"none of {quoted(table.columns)} does"
        raise DataError(
            f"{table.where} was given to a model of images; expected one column that holds images "
            f"or their paths, and {found}. Give a table with one such column, or the files."
        )
    values: list[Any] = []
    for value in table.values(fits[0]):
        if isinstance(value, dict):
            value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
        values.append(os.path.join(table.root, value) if isinstance(value, str) else value)
    return values, table.image_names(fits[0])


def _holds_pictures(head: Sequence[Any]) -> bool:
    values = [value for value in head if not _is_nothing(value)]
    return bool(values) and all(
        _is_picture(value)
        or (isinstance(value, str) and value.lower().endswith((*READ_SUFFIXES, *OTHER_SUFFIXES)))
        for value in values
    )
