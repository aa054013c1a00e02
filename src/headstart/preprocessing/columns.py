"""Fit the preprocessing of a table on train, and apply it anywhere: rows → numbers and codes.

scikit-learn does the fitting (median, mean and deviation, quantiles, categories); what it found
goes into a ``TableSpec`` of plain values, and ``to_cells`` applies that in NumPy. So a run folder
needs no pickled scikit-learn object, and training, evaluation and serving share one function. A
test holds it equal to scikit-learn's own transform.

What each kind of column becomes, in the order of the columns:

- numeric: one number, a missing one replaced by train's median, then standardised;
- boolean: 0 or 1, a missing one replaced by the more frequent, not standardised;
- date: days since 1970-01-01, month (1 to 12), weekday (0 is Monday), and the hour where train has
  times of day, standardised; a missing date counts as train's median day;
- each of these is followed by a 0/1 that says "missing" where train lacks values;
- categorical: a code; category i has i + 1, and 0 is everything else: categories train has once or
  not at all, and of more than 255 all but the 254 most frequent. A missing cell is the category
  ``""``. A category by another spelling is the one that train spells so, where there is one only:
  ``1.0`` is ``1`` (programs write whole numbers with a point as soon as a cell of their column is
  empty), ``BERLIN`` is ``Berlin``, ``1067`` is ``01067``. Where the data states an order
  of its categories, the place of each is a number, too.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from headstart.errors import DataError
from headstart.preprocessing.dates import example, swapped
from headstart.preprocessing.rows import TableSamples
from headstart.types import Column, ColumnKind, Dataset, TableSpec

MAX_CATEGORIES = 255
MIN_FREQUENCY = 2
NUM_BINS = 32
NUM_DATE_PARTS = 3  # and the hour, where train has times
MISSING = ""
# Words that pandas reads as missing unless told otherwise.
READ_AS_MISSING = ("NA", "N/A", "n/a", "NULL", "null", "None", "#N/A N/A", "#NA")
SEEN = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
DATE_PARTS = ("days", "month", "weekday", "hour")
# by the rows of train: how they are read, and what was fitted so
_fitted: WeakKeyDictionary[TableSamples, tuple[object, TableSpec]] = WeakKeyDictionary()
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0*)?")  # 007 is a code, not a number


def fit_columns(dataset: Dataset) -> TableSpec:
    """Return the preprocessing of a table, fitted on its train split alone.

    What was fitted is kept as long as the rows are: every start of a search reads the same, and a
    thousand columns take seconds.

    Args:
        dataset: A table.

    Raises:
        DataError: It is no table.
    """
    samples = dataset.train.samples
    if not isinstance(samples, TableSamples) or dataset.column_kinds is None:
        raise DataError(
            f"{dataset.name} holds {dataset.schema.modality} samples; expected a table. Only "
            "tables have columns to prepare."
        )
    given = (
        dict(dataset.column_kinds),
        dict(dataset.date_formats),
        dict(dataset.number_formats),
        dict(dataset.levels),
    )
    former = _fitted.get(samples)
    if former is None or former[0] != given:
        former = _fitted[samples] = given, _fit_all(dataset, samples, dataset.column_kinds)
    return former[1]


def _fit_all(dataset: Dataset, samples: TableSamples, kinds: Mapping[str, ColumnKind]) -> TableSpec:
    table, formats = samples.columns(), dataset.date_formats
    columns = [
        replace(
            _fit(name, kind, table.column(name)),
            date_format=formats.get(name, ""),
            number_format=dataset.number_formats.get(name, ""),
        )
        if (levels := dataset.levels.get(name)) is None
        else _fit_order(name, levels, table.column(name))
        for name, kind in kinds.items()
    ]
    return TableSpec(tuple(columns))


def _fit(name: str, kind: ColumnKind, column: Any) -> Column:
    has_missing = column.null_count > 0
    if kind == "categorical":
        return Column(name, kind, categories=_categories(column), has_missing=has_missing)
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import QuantileTransformer, StandardScaler

    values = first_numbers(column, kind).reshape(-1, 1)
    if np.isnan(values).all():
        values = np.zeros_like(values)
    if kind == "boolean":
        fill = SimpleImputer(strategy="most_frequent").fit(values).statistics_[0]
        return Column(name, kind, float(fill), (0.0,), (1.0,), has_missing=has_missing)
    fill = float(SimpleImputer(strategy="median").fit(values).statistics_[0])
    filled = np.where(np.isnan(values), fill, values)
    parts = filled
    if kind == "date":
        has_hours = bool((filled != np.floor(filled)).any())
        parts = _date_parts(filled[:, 0], NUM_DATE_PARTS + has_hours)
    scaler = StandardScaler().fit(parts)
    edges: tuple[float, ...] = ()
    known = values[~np.isnan(values)].reshape(-1, 1)
    if kind == "numeric":
        number = min(NUM_BINS + 1, len(known))
        quantiles = QuantileTransformer(n_quantiles=number, subsample=len(known)).fit(known)
        edges = tuple(np.unique(quantiles.quantiles_[:, 0]).tolist())
    return Column(
        name,
        kind,
        fill,
        tuple(scaler.mean_.tolist()),
        tuple(scaler.scale_.tolist()),
        edges if len(edges) > 1 else (),
        has_missing=has_missing,
        seen=tuple(np.nanquantile(values[:, 0], SEEN).tolist()),
        is_whole=kind == "numeric" and bool((known % 1 == 0).all()),
    )


def _fit_order(name: str, levels: tuple[str, ...], column: Any) -> Column:
    from sklearn.preprocessing import StandardScaler

    fitted = replace(_fit(name, "categorical", column), levels=levels)
    ranks = ranks_of(fitted, words_of(column)[:, 0].tolist())
    known = ranks[~np.isnan(ranks)]
    scaler = StandardScaler().fit((known if len(known) else np.zeros(1)).reshape(-1, 1))
    mean, scale = tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist())
    return replace(fitted, mean=mean, scale=scale)


def ranks_of(column: Column, words: Sequence[str]) -> np.ndarray:
    """Return the place of each word among the levels of a column, float64; NaN where it has none.

    Args:
        column: A categorical one with levels.
        words: Cells, the missing ones as ``""``.
    """
    place = {word: float(i) for i, word in enumerate(column.levels)}
    ordered = replace(column, categories=column.levels)
    found = {w: place.get(other_spelling(ordered, w), math.nan) for w in dict.fromkeys(words)}
    return np.fromiter((found[word] for word in words), np.float64, len(words))


def _categories(column: Any) -> tuple[str, ...]:
    """Return the categories that have a code, sorted."""
    from sklearn.preprocessing import OrdinalEncoder

    words = words_of(column)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        min_frequency=MIN_FREQUENCY,
        max_categories=MAX_CATEGORIES,
    ).fit(words)
    rare = encoder.infrequent_categories_[0]
    rare = set() if rare is None else set(rare.tolist())
    frequent = [str(word) for word in encoder.categories_[0].tolist() if word not in rare]
    return tuple(frequent)


def words_of(column: Any) -> np.ndarray:
    """Return a categorical column as objects, shape (N, 1), the missing ones as ``""``."""
    cells = [MISSING if word is None else word for word in column.to_pylist()]
    return np.array(cells, dtype=object).reshape(-1, 1)


def codes_of(column: Column, words: Sequence[str]) -> np.ndarray:
    """Return the code of each word, int64, shape (N,): 0 where it is no category of the column.

    Args:
        column: A categorical one.
        words: Cells, the missing ones as ``""``.
    """
    code = {word: i + 1 for i, word in enumerate(column.categories)}
    found = {word: code.get(other_spelling(column, word), 0) for word in dict.fromkeys(words)}
    return np.fromiter((found[word] for word in words), np.int64, len(words))


def other_spelling(column: Column, word: str) -> str:
    """Return the one category that a word writes in another way; else the word itself.

    A cell that programs take for missing (``None``, ``NA``) is train's one such category, and the
    other way round: pandas reads the category ``None`` of a CSV file as nothing.

    Args:
        column: A categorical one.
        word: A cell, ``""`` where it is missing.
    """
    if word in column.categories:
        return word
    alike = _spellings(column.categories)
    for spelled in _foldings(word, is_known=False):
        if len(known := alike.get(spelled, [])) == 1:
            return known[0]
    return word


@lru_cache(maxsize=64)
def _spellings(categories: tuple[str, ...]) -> dict[str, list[str]]:
    """Return for each folded form the categories that have it."""
    alike: dict[str, list[str]] = {}
    for word in categories:
        for spelled in dict.fromkeys(_foldings(word, is_known=True)):
            alike.setdefault(spelled, []).append(word)
    return alike


def _foldings(word: str, *, is_known: bool) -> list[str]:
    """Return what stays of a word without case, width, blanks; of a known code without zeros.

    Programs lose leading zeros, none puts them there.
    """
    if word == MISSING or word in READ_AS_MISSING:
        return ["missing cell"]
    folded = " ".join(unicodedata.normalize("NFKC", word).casefold().split())
    foldings = [f"word {folded}", f"word {re.sub(r'[ _-]+', ' ', folded).strip()}"]
    if whole := _WHOLE.fullmatch(folded):
        return [f"number {whole[1]}", *(() if is_known else (f"zeros {whole[1]}",))]
    if is_known and folded.isascii() and folded.isdigit():
        return [*foldings, f"zeros {folded.lstrip('0') or '0'}"]
    return foldings


def first_numbers(column: Any, kind: ColumnKind) -> np.ndarray:
    """Return float64, shape (N,): numbers, 0/1, or days since 1970-01-01; NaN where missing."""
    import pyarrow as pa

    if kind == "date":
        micros = column.cast(pa.int64()).cast(pa.float64(), safe=False)
        days = micros.to_numpy(zero_copy_only=False) / (24 * 3600 * 1e6)
        return np.asarray(days, np.float64)
    if kind == "boolean":
        column = column.cast(pa.uint8())
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _date_parts(days: np.ndarray, number: int) -> np.ndarray:
    """Return the first parts of a date, float64, shape (N, number), of days since 1970-01-01."""
    whole = np.floor(days).astype("datetime64[D]")
    months = (whole.astype("datetime64[M]").astype(np.int64)) % 12 + 1
    weekdays = (whole.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    hours = 24 * (days - np.floor(days))
    return np.stack([days, months, weekdays, hours][:number], axis=1).astype(np.float64)


def check_columns(spec: TableSpec, dataset: Dataset) -> None:
    """Refuse a table whose columns were read as something else than the model was trained on.

    Args:
        spec: The fitted columns.
        dataset: A table, perhaps another than they were fitted on.

    Raises:
        DataError: One is not among the inputs, holds another kind, or writes days and months the
            other way round, where one of the two readings may be mistaken.
    """
    kinds = dataset.column_kinds or {}
    for column in spec.columns:
        name, kind = column.name, kinds.get(column.name)
        if kind is None or (kind != column.kind and {kind, column.kind} != {"numeric", "boolean"}):
            found = f"was read as {kind}" if kind else "is missing, or was left out"
            remedy = "Leave its option out; or" if kind else "Add it; if it is there,"
            remedy += " load the data in Python with preprocess=run.preprocess."
            raise DataError(
                f"Column '{name}' of {dataset.name} {found}; expected {column.kind}, as in the "
                f"model's training data. {remedy}"
            )
        date_format = dataset.date_formats.get(name, "")
        if date_format != column.date_format and date_format == swapped(column.date_format):
            raise DataError(
                f"Column '{name}' of {dataset.name} was read as dates such as "
                f"{example(date_format)}; expected dates such as {example(column.date_format)}, as "
                f"in the model's training data. Write them as {example('')}, or load the data in "
                "Python with preprocess=run.preprocess."
            )


def to_cells(
    spec: TableSpec, table: Any, look: Callable[[Column, Any], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, float32 (N, F), and the codes, int64 (N, G), of rows.

    Args:
        spec: The fitted columns.
        table: A pyarrow Table that holds them in the canonical form of their kinds.
        look: Is shown each column as it was read: words, the missing ones as ``""``, or float64,
            shape (N,), NaN where missing.
    """
    numbers: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    for column in spec.columns:
        cells = table.column(column.name)
        if column.kind == "categorical":
            words = words_of(cells)[:, 0].tolist()
            if look is not None:
                look(column, words)
            codes.append(codes_of(column, words))
            if column.levels:  # what has no place counts as the middle
                ranks = (ranks_of(column, words) - column.mean[0]) / column.scale[0]
                numbers.append(np.nan_to_num(ranks, nan=0.0)[:, None])
            continue
        values = first_numbers(cells, column.kind)
        if look is not None:
            look(column, values)
        missing = np.isnan(values)
        filled = np.where(missing, column.fill, values)
        is_date = column.kind == "date"
        parts = _date_parts(filled, len(column.mean)) if is_date else filled[:, None]
        numbers.append((parts - np.asarray(column.mean)) / np.asarray(column.scale))
        if column.has_missing:
            numbers.append(missing[:, None])
    N = table.num_rows
    joined = np.concatenate(numbers, axis=1) if numbers else np.empty((N, 0))
    stacked = np.stack(codes, axis=1) if codes else np.empty((N, 0), np.int64)
    return joined.astype(np.float32), stacked


def feature_names(spec: TableSpec) -> list[str]:
    """Return a name for each of the F numbers, then one for each of the G codes.

    Args:
        spec: The fitted columns.

    Example:
        >>> feature_names(TableSpec((Column("born", "date"), Column("sex", "categorical"))))
        ['born (days)', 'born (month)', 'born (weekday)', 'sex']
    """
    numbers: list[str] = []
    for column in spec.columns:
        if column.kind == "categorical":
            numbers += [f"{column.name} (order)"] if column.levels else []
            continue
        is_date, number = column.kind == "date", len(column.mean) or NUM_DATE_PARTS
        parts: Sequence[str] = DATE_PARTS[:number] if is_date else ()
        numbers += [f"{column.name} ({part})" for part in parts] or [column.name]
        numbers += [f"{column.name} is missing"] if column.has_missing else []
    return numbers + [column.name for column in spec.columns if column.kind == "categorical"]
