"""Images of which nothing says a label, as a ``Dataset`` whose targets mean nothing.

What labels need is left out: no test split is drawn and no class is looked for. What images need is
as in ``load``: the header of every file is read, what cannot be used is named, copies stay on one
side of what is learned from and what is held out.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.assembly import Assembly, assemble
from headstart.data.groups import with_groups
from headstart.data.options import ReadOptions
from headstart.data.records import UNASSIGNED, Records
from headstart.data.sources.arrays import read_pair
from headstart.data.sources.folder import is_image
from headstart.data.sources.given_tables import AsTrained, is_table
from headstart.data.sources.handed import table_pictures
from headstart.data.sources.samples import FileSamples, ValueSamples
from headstart.errors import DataError
from headstart.tasks import CLASSIFICATION
from headstart.types import Dataset, Finding, Samples


def load_bare(
    source: object,
    *,
    val_fraction: float = 0.15,
    max_bad_fraction: float = 0.01,
    seed: int = 0,
    image_column: str | None = None,
    group: str | None = None,
) -> Dataset:
    """Load images without labels; some are held out as val, none is test.

    Args:
        source: A folder (all images below it), a table with a column of images, or arrays.
        val_fraction: Share that is held out, between 0 and 1.
        max_bad_fraction: Share of unusable images above which loading stops.
        seed: Of the draw.
        image_column: Column with image paths or bytes, where a table has several.
        group: What stays on one side, as ``load`` takes it.

    Raises:
        DataError: There are no images, too many cannot be used, or fewer than two differ.
    """
    began = time.monotonic()
    records = with_groups(_read(source, image_column), group)
    how = Assembly(is_bare=True)
    dataset = assemble(records, val_fraction, 0.0, max_bad_fraction, seed, how)
    return replace(dataset, load_seconds=time.monotonic() - began)


def _read(source: object, image_column: str | None) -> Records:
    """Return all images of a source."""
    if not isinstance(source, str | os.PathLike):
        X: Any = source
        records = read_pair(X, np.zeros(len(X), np.int64), ReadOptions())
        return replace(records, classes=())
    name = os.fspath(source)
    path = Path(name).expanduser()
    if is_table(str(path)):
        return _records(name, _of_table(path, image_column), image_column)
    files = sorted(
        str((Path(folder) / file).relative_to(path))
        for folder, _, names in os.walk(path, followlinks=False)
        for file in names
        if is_image(file) and not file.startswith(".")
    )
    skipped = sum(len(names) for _, _, names in os.walk(path)) - len(files)
    told = f"Skipped by their names, as no images: {skipped} files."
    findings = [Finding("unused", "note", (), told)] if skipped else []
    return _records(name, FileSamples(path, files), None, findings)


def _of_table(path: Path, column: str | None) -> Samples:
    """Return the images of a table's one column of them."""
    values: list[object] = []
    called: list[str] = []
    for table, rows in AsTrained().open_tables(str(path)):
        pictures, names = table_pictures(table, column)
        values += pictures
        called += [name or row for name, row in zip(names, rows, strict=True)]
    return ValueSamples(values, called, path.parent)


def _records(
    name: str, samples: Samples, column: str | None, findings: list[Finding] | None = None
) -> Records:
    """Return images as records without classes.

    Raises:
        DataError: There are none.
    """
    if not len(samples):
        raise DataError(f"{name} holds no images; expected some to learn from. Check the path.")
    return Records(
        name=name,
        samples=samples,
        targets=np.zeros(len(samples), np.int64),
        classes=(),
        splits=np.full(len(samples), UNASSIGNED, np.int8),
        origin="files",
        task=CLASSIFICATION.name,
        input_column=column,
        findings=findings or [],
    )
