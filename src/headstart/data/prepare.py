"""The one door from samples to what a network takes: pixels, tokens, terms or cells.

``prepare`` serves a split of a data set, ``prepare_values`` what a user hands to ``predict``; both
use the same functions underneath, so that a sample looks the same to the model in either place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from headstart import events
from headstart.data.assembly import check_bad_share
from headstart.data.columnfit import check_columns, to_cells, unseen_categories
from headstart.data.given import as_samples, sample_names
from headstart.data.images import decode_one
from headstart.data.inputs import Cells, Terms, Tokens
from headstart.data.kinds import canonical
from headstart.data.pixels import Pixels, decode
from headstart.data.rows import TableSamples, TextSamples, text_fault
from headstart.data.sources.columns import as_arrow
from headstart.data.sources.samples import UnreadableImage, take
from headstart.errors import DataError, did_you_mean, quoted
from headstart.types import (
    BadSample,
    Dataset,
    Finding,
    ImageSpec,
    Inputs,
    Rows,
    Spec,
    SplitName,
    TableSpec,
    TextSpec,
    Tokenizer,
    Vectorizer,
)

TEXTS_AT_ONCE = 1_000
EMPTY_TOKENS = "the tokenizer leaves nothing of it"
NO_TARGETS = np.empty(0, np.int64)


def prepare(
    dataset: Dataset,
    split_name: SplitName,
    spec: Spec,
    *,
    tokenizer: Tokenizer | None = None,
    vectorizer: Vectorizer | None = None,
    indices: np.ndarray | None = None,
) -> Inputs:
    """Return a split as the inputs of an encoder.

    Args:
        dataset: The data.
        split_name: Which split.
        spec: The preprocessing of the encoder.
        tokenizer: Its tokenizer, where the spec asks for tokens.
        vectorizer: Its vectorizer, where the spec asks for terms.
        indices: Positions in the split, shape (N,), or None for all.

    Raises:
        DataError: The spec is for another kind of data or of columns, or too many samples cannot
            be used.

    Example:
        >>> from headstart.data import load
        >>> spec = ImageSpec(8, 1, (0.5,), (0.5,), "bilinear", 8, 1)
        >>> len(prepare(load("digits-8x8"), "test", spec))
        359
    """
    split = dataset.split(split_name)
    _check_modality(dataset, spec)
    if isinstance(spec, ImageSpec):
        return decode(dataset, split_name, spec, indices=indices)
    chosen = np.arange(len(split)) if indices is None else np.asarray(indices, np.int64)
    samples = split.samples if indices is None else take(split.samples, chosen)
    targets, ids = split.targets[chosen], split.ids[chosen]
    if isinstance(spec, TableSpec):
        assert isinstance(samples, TableSamples)
        check_columns(spec, dataset)
        table = samples.columns()
        # what train has too rarely is no news: val and test may bring what it never had
        findings = [] if split_name == "train" else unseen_categories(spec, table, samples.names)
        return Cells(*to_cells(spec, table), targets, ids, samples.names, (), findings)
    assert isinstance(samples, TextSamples)
    inputs = _read_texts(
        samples, targets, ids, spec, tokenizer, vectorizer, f"tokenize {split_name}"
    )
    if inputs.bad_samples:
        known = list(dataset.bad_samples)
        total = len(known) + len(dataset.train) + len(dataset.val) + len(dataset.test)
        bad = [*inputs.bad_samples, *known]
        check_bad_share(dataset.name, bad, total, dataset.max_bad_fraction, "texts")
    return inputs


def prepare_values(
    values: Any,
    spec: Spec,
    *,
    tokenizer: Tokenizer | None = None,
    vectorizer: Vectorizer | None = None,
    input_column: str | None = None,
    names: Sequence[str] | None = None,
) -> Inputs:
    """Return what a user hands to ``predict`` as the inputs of an encoder; without targets.

    Args:
        values: Images (paths, encoded bytes, PIL images, or arrays of uint8 or of floats in
            [0, 1]), texts (a list, or a DataFrame or pyarrow Table with their column), or rows: a
            list of dicts, a DataFrame or a pyarrow Table. Columns that the model does not know are
            ignored.
        spec: The preprocessing of the encoder.
        tokenizer: Its tokenizer, where the spec asks for tokens.
        vectorizer: Its vectorizer, where the spec asks for terms.
        input_column: The column of the training data that held the texts; ``text`` is taken, too.
        names: What to call each image or text, N of them; paths and "text 1", "image 1" … when not
            given.

    Returns:
        The inputs; what cannot be used is listed in ``bad_samples``.

    Raises:
        DataError: The values are of another kind, a column is missing, or a cell does not fit.

    Example:
        >>> from headstart.types import Column
        >>> spec = TableSpec((Column("rooms", "numeric", mean=(5.0,), scale=(2.0,)),))
        >>> prepare_values([{"rooms": 9}], spec).arrays(np.array([0]))[0]
        array([[2.]], dtype=float32)
    """
    if isinstance(spec, TableSpec):
        return _read_rows(values, spec)
    given = as_samples(values, spec, input_column)
    called = sample_names(given, spec) if names is None else list(names)
    if isinstance(spec, TextSpec):
        ids = np.arange(len(given), dtype=np.int64)
        samples = TextSamples(given, called)
        return _read_texts(samples, NO_TARGETS, ids, spec, tokenizer, vectorizer, "tokenize")
    return _read_images(given, called, spec)


def _check_modality(dataset: Dataset, spec: Spec) -> None:
    wanted = {ImageSpec: "image", TextSpec: "text", TableSpec: "table"}[type(spec)]
    if dataset.schema.modality != wanted:
        raise DataError(
            f"{dataset.name} holds {dataset.schema.modality} samples, but the model reads {wanted} "
            f"samples. Give {wanted} data, or a start for {dataset.schema.modality} data."
        )


def _read_images(values: list[Any], called: Sequence[str], spec: ImageSpec) -> Pixels:
    images, names, bad = [], [], []
    for value, name in zip(values, called, strict=True):
        try:
            images.append(decode_one(value, spec))
            names.append(name)
        except UnreadableImage as error:
            bad.append(BadSample(name, error.reason))
    shape = (0, spec.decode_size, spec.decode_size, spec.decode_channels)
    joined = np.stack(images) if images else np.empty(shape, np.uint8)
    return Pixels(joined, NO_TARGETS, np.arange(len(joined)), names, tuple(bad))


def _read_texts(
    samples: TextSamples,
    targets: Rows,
    ids: np.ndarray,
    spec: TextSpec,
    tokenizer: Tokenizer | None,
    vectorizer: Vectorizer | None,
    task: str,
) -> Tokens | Terms:
    """Return texts as tokens or terms; those that cannot be used are left out and listed."""
    faults = {i: why for i, text in enumerate(samples.texts) if (why := text_fault(text))}
    good = np.delete(np.arange(len(samples)), list(faults))
    texts = [samples.texts[i] for i in good.tolist()]

    def keep(chosen: np.ndarray) -> tuple[Rows, np.ndarray, list[str], list[BadSample]]:
        bad = [BadSample(samples.names[i], faults[i]) for i in sorted(faults)]
        kept_targets = targets if len(targets) == 0 else targets[chosen]
        return kept_targets, ids[chosen], [samples.names[i] for i in chosen], bad

    if spec.kind == "terms":
        if vectorizer is None:
            raise ValueError("A spec of terms needs its vectorizer.")
        return Terms(vectorizer.transform(texts), *keep(good))
    if tokenizer is None:
        raise ValueError("A spec of tokens needs its tokenizer.")
    parts: list[np.ndarray] = []
    full: list[np.ndarray] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        tokens, lengths = tokenizer.encode(texts[start : start + TEXTS_AT_ONCE])
        parts += tokens
        full.append(np.asarray(lengths, np.int64))
        done = min(start + TEXTS_AT_ONCE, len(texts))
        events.emit("task", name=task, done=done, total=len(texts))
    lengths = np.array([len(part) for part in parts], np.int64)
    cut = (np.concatenate(full) if full else lengths) - lengths
    filled = lengths > 0
    faults |= dict.fromkeys(good[~filled].tolist(), EMPTY_TOKENS)
    flat = np.concatenate([np.empty(0, np.int32), *parts]).astype(np.int32)
    return Tokens(
        flat,
        np.concatenate([[0], np.cumsum(lengths[filled])]).astype(np.int64),
        tokenizer.pad_id,
        spec.max_length,
        *keep(good[filled]),
        num_truncated=int((cut[filled] > 0).sum()),
        num_tokens_cut=int(cut[filled].sum()),
    )


def _read_rows(values: Any, spec: TableSpec) -> Cells:
    """Return rows in any form as cells, and say what of them is unknown or not used."""
    import pyarrow as pa

    read, found, num_rows = _row_columns(values)
    if num_rows == 0:
        raise DataError("The table has no rows; expected one a sample. Give at least one row.")
    wanted = [column.name for column in spec.columns]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"Column{'s' if len(missing) > 1 else ''} {quoted(missing)} {_are(missing)} missing in "
            f"the rows (found: {quoted(found)}).{did_you_mean(missing[0], found)} The model was "
            "trained with it; add it. Single cells may be empty."
        )
    columns = {}
    for column in spec.columns:
        given = read(column.name)
        columns[column.name] = canonical(
            given, column.kind, column.name, lambda i: f"row {i + 1}", column.date_format
        )
    table = pa.table(columns)
    names = [f"row {i + 1}" for i in range(num_rows)]
    findings = unseen_categories(spec, table, names)
    extra = [name for name in found if name not in wanted]
    if extra:
        sentence = f"Columns that the model does not know are ignored: {quoted(extra)}."
        findings.append(Finding("unused", "note", (), sentence))
    numbers, codes = to_cells(spec, table)
    return Cells(numbers, codes, NO_TARGETS, np.arange(num_rows), names, (), findings)


def _are(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _row_columns(values: Any) -> tuple[Callable[[str], Any], list[str], int]:
    """Return what reads a column, the columns there are, and the number of rows."""
    if hasattr(values, "iloc") and hasattr(values, "columns"):
        keys = {str(column): column for column in values.columns}
        return lambda name: as_arrow(values[keys[name]]), list(keys), len(values)
    if hasattr(values, "column_names") and hasattr(values, "schema"):
        return values.column, list(values.column_names), int(values.num_rows)
    if isinstance(values, Mapping):
        raise DataError("Expected a list of rows, not one row. Put it into a list.")
    rows = list(values)
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"Row {i + 1} is a {type(row).__name__}; expected a dict from column name to value "
                "(or give a DataFrame or a pyarrow Table)."
            )
    found = list(dict.fromkeys(name for row in rows for name in row))

    def read(name: str) -> Any:
        for i, row in enumerate(rows):
            if name not in row:
                raise DataError(
                    f"Column '{name}' is missing in row {i + 1} (found: {quoted(list(row))}). Give "
                    "every row the same columns; a cell that is not known may be None."
                )
        return as_arrow([row[name] for row in rows])

    return read, found, len(rows)
