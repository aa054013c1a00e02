"""Rows and columns as Python programs hold them: dicts of columns, lists of records, Bunches.

Each becomes a pyarrow Table or ``(X, y)``, which the other readers know; anything else is returned
as it is. Nothing is known by its library, only by its face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from headstart.data.sources.split_words import split_of
from headstart.errors import DataError
from headstart.preprocessing.arrays import is_tensor
from headstart.preprocessing.memory import as_arrow, is_frame

SHOWN = 4


def plain_rows(source: Any) -> Any:
    """Return columns by name, a list of records or pairs, or a Bunch of scikit-learn made plain.

    Raises:
        DataError: Columns differ in length, records are of several kinds, or there are four parts.
    """
    if isinstance(source, Mapping):
        if _is_bunch(source):
            return _of_bunch(source)
        return _of_columns(source) if _is_columns(source) else source
    if isinstance(source, tuple) and len(source) == 4:
        raise DataError(
            "A tuple of four parts was given, as train_test_split returns them; expected each "
            "split with its targets. Give {'train': (X_train, y_train), 'test': (X_test, y_test)}."
        )
    if isinstance(source, list):
        return _of_list(source)
    return source


def _is_columns(source: Mapping[Any, Any]) -> bool:
    names = [str(name) for name in source]
    return (
        bool(names)
        and not any(split_of(name) for name in names)
        and all(_is_column(values) for values in source.values())
    )


def _is_column(values: Any) -> bool:
    is_array = isinstance(values, np.ndarray) or is_tensor(values)
    if is_array:
        return bool(values.ndim == 1)
    return isinstance(values, (list, tuple)) or (hasattr(values, "iloc") and not is_frame(values))


def _of_columns(source: Mapping[Any, Any]) -> Any:
    import pyarrow as pa

    lengths = {str(name): len(values) for name, values in source.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"'{n}' {length:,}" for n, length in list(lengths.items())[:SHOWN])
        raise DataError(
            f"The columns given differ in length ({shown}); expected one value a row in each. "
            "Correct the lists."
        )
    return pa.table({str(name): _arrow(values) for name, values in source.items()})


def _arrow(values: Any) -> Any:
    is_array = isinstance(values, np.ndarray) or is_tensor(values)
    return as_arrow(values.tolist() if is_array else list(values))


def _of_list(source: list[Any]) -> Any:
    """Return records as a Table, pairs as ``(X, y)``; other lists as they are."""
    if not source:
        raise DataError("An empty list was given; expected samples. Give (X, y), or records.")
    if all(isinstance(row, Mapping) for row in source):
        names = dict.fromkeys(str(key) for row in source for key in row)
        return _of_columns({name: [row.get(name) for row in source] for name in names})
    if all(isinstance(row, (tuple, list)) and len(row) == 2 for row in source):
        return [sample for sample, _ in source], [target for _, target in source]
    kinds = sorted({type(row).__name__ for row in source})
    raise DataError(
        f"A list of {' and '.join(kinds[:SHOWN])} was given, without targets; expected pairs "
        "[(sample, target), …], records [{'text': …, 'label': …}, …], or both apart, "
        "(samples, targets)."
    )


def _is_bunch(source: Mapping[Any, Any]) -> bool:
    return "data" in source and "target" in source and source["target"] is not None


def _of_bunch(bunch: Mapping[Any, Any]) -> tuple[Any, Any]:
    """Return inputs and targets of what scikit-learn's loaders give, its classes by name."""
    X, y, names = bunch["data"], bunch["target"], bunch.get("target_names")
    columns = bunch.get("feature_names")
    is_named = isinstance(X, np.ndarray) and X.shape[1:] == (len(columns or ()),)
    if is_named and columns is not None and find_spec("pandas"):
        X = import_module("pandas").DataFrame(X, columns=[str(name) for name in columns])
    numbers = np.asarray(y)
    if names is not None and _are_places(numbers, names):
        y = [str(names[number]) for number in numbers.tolist()]
    return X, y


def _are_places(numbers: np.ndarray, names: Sequence[Any]) -> bool:
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not len(numbers):
        return False
    return bool(numbers.min() >= 0 and numbers.max() < len(names))
