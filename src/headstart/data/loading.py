"""Load labelled data, whatever form it has, into one ``Dataset``.

The way: find the reader → records → read every sample once (hash, header) → leave out what cannot
be used → split → fingerprint. A truncated image is found only when it is decoded, later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.arrays import read_arrays
from headstart.data.columns import ArrowTable, FrameTable
from headstart.data.fingerprint import Inspection, fingerprint, inspect, sample_ids
from headstart.data.folder import TABLE_SUFFIXES, read_folder
from headstart.data.images import decode_one
from headstart.data.named import EMBEDDED, NAMED, read_named, unknown_source
from headstart.data.records import SPLIT_CODES, Records
from headstart.data.samples import ArraySamples, UnreadableImage, take
from headstart.data.split import assign_splits, describe_splits
from headstart.data.tables import find_split_files, read_table_files, read_tables
from headstart.errors import DataError, OptionError
from headstart.types import BadSample, Dataset, ImageSpec, Samples, Schema, Split

SAMPLES_LOOKED_AT = 64


def load(
    source: object,
    *,
    label: str | None = None,
    image_column: str | None = None,
    group: str | None = None,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
    max_bad_fraction: float = 0.01,
    seed: int = 0,
) -> Dataset:
    """Load labelled images and split them into train, val and test.

    The data's own splits are kept. Otherwise test is drawn first and val from what is left, both
    stratified by class. Samples that cannot be used are left out and listed.

    Args:
        source: A folder with a folder per class (with or without train, val and test above), a
            CSV, Parquet or JSONL file, a folder of such files named train, val and test, a name
            such as ``digits`` or ``mnist``, a pandas DataFrame, a pyarrow Table, or ``(X, y)``
            arrays or tensors.
        label: Column with the classes; ``label`` when not given.
        image_column: Column with image paths or bytes; found by itself when only one fits.
        group: Column whose equal values stay on one side of the split, for example ``patient``.
        val_fraction: Share of train that becomes val when the data brings none, between 0 and 1.
        test_fraction: Share that becomes test when the data brings none, between 0 and 1.
        max_bad_fraction: Share of unusable images above which loading stops, 0 to 1.
        seed: Seed of the split.

    Returns:
        The data set; images are decoded later, by ``decode``.

    Raises:
        DataError: The source does not exist, cannot be read, or cannot be learned from.
        OptionError: An option is out of range or does not apply to this kind of source.

    Example:
        >>> data = load("digits-8x8")
        >>> len(data.schema.classes), len(data.train) + len(data.val) + len(data.test)
        (10, 1797)
    """
    began = time.monotonic()
    _check_options(val_fraction, test_fraction, max_bad_fraction, seed)
    records, address = _read(source, label=label, image_column=image_column, group=group)
    options: dict[str, object] = {
        "label": label,
        "image_column": image_column,
        "group": group,
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "max_bad_fraction": max_bad_fraction,
        "seed": seed,
    }
    dataset = _build(records, val_fraction, test_fraction, max_bad_fraction, seed)
    return replace(
        dataset,
        source=None if address is None else {"source": address, **options},
        load_seconds=time.monotonic() - began,
    )


def _build(
    records: Records,
    val_fraction: float,
    test_fraction: float,
    max_bad_fraction: float,
    seed: int,
) -> Dataset:
    """Return the data set that records make: inspected, without the unusable, split, hashed."""
    if len(records.targets) == 0:
        raise DataError(f"{records.name} holds no samples. Expected labelled images.")
    inspection = inspect(records.samples, f"read {records.name}")
    records, inspection, bad = _leave_out_bad(records, inspection, max_bad_fraction)
    splits, origin = assign_splits(
        records, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed
    )
    notes = [*records.notes, *describe_splits(records, splits)]
    if bad:
        notes.append(f"{len(bad)} of {len(bad) + len(splits)} images left out: {_first_few(bad)}.")
    names = [records.samples.name(i) for i in range(len(splits))]
    ids = sample_ids(inspection.digests, names)

    def part(code: int) -> Split:
        chosen = np.flatnonzero(splits == code)
        return Split(take(records.samples, chosen), records.targets[chosen], ids[chosen])

    return Dataset(
        name=records.name,
        schema=Schema("image", "classification", records.classes, records.label),
        train=part(SPLIT_CODES["train"]),
        val=part(SPLIT_CODES["val"]),
        test=part(SPLIT_CODES["test"]),
        fingerprint=fingerprint(
            ids, inspection.digests, records.targets, splits, list(records.classes)
        ),
        split_origin=origin,
        bad_samples=tuple(bad),
        notes=tuple(notes),
        image_size=_median_size(inspection.sizes),
        image_channels=_num_channels(records.samples),
        max_bad_fraction=max_bad_fraction,
    )


def check_bad_share(
    name: str, bad: list[BadSample], num_total: int, max_bad_fraction: float
) -> None:
    """Stop when more samples are unusable than the user allows.

    Args:
        name: Of the data set.
        bad: The unusable samples.
        num_total: All samples, usable or not.
        max_bad_fraction: The limit, a share.

    Raises:
        DataError: The limit is exceeded.
    """
    if len(bad) > max_bad_fraction * num_total:
        raise DataError(
            f"{len(bad)} of {num_total} images of {name} ({len(bad) / num_total:.1%}) cannot be "
            f"used, more than the limit of {max_bad_fraction:.4g}: {_first_few(bad)}. Repair or "
            "remove them, or allow more with --max-bad-fraction."
        )


def _first_few(bad: list[BadSample]) -> str:
    shown = "; ".join(f"{sample.name}: {sample.reason}" for sample in bad[:3])
    return shown + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")


def _check_options(
    val_fraction: float, test_fraction: float, max_bad_fraction: float, seed: int
) -> None:
    problems = [
        f"{name} is {value}; expected a number between 0 and 1, both excluded."
        for name, value in (("val_fraction", val_fraction), ("test_fraction", test_fraction))
        if not 0 < value < 1
    ]
    if not 0 <= max_bad_fraction <= 1:
        problems.append(f"max_bad_fraction is {max_bad_fraction}; expected a share from 0 to 1.")
    if seed < 0:
        problems.append(f"seed is {seed}; expected 0 or more.")
    if problems:
        raise OptionError(" ".join(problems))


def _read(
    source: Any, *, label: str | None, image_column: str | None, group: str | None
) -> tuple[Records, str | None]:
    """Return the records of a source, and what to load it by again where that is possible."""
    given: Mapping[str, str | None] = {
        "--label": label,
        "--image-column": image_column,
        "--group": group,
    }
    if isinstance(source, (str, os.PathLike)):
        return _read_address(os.fspath(source), given)
    if isinstance(source, tuple) and len(source) == 2:
        _refuse_column_options("(X, y) arrays have no columns", given)
        return read_arrays(*source), None
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        table: FrameTable | ArrowTable = FrameTable(source)
    elif hasattr(source, "column_names") and hasattr(source, "schema"):
        table = ArrowTable(source, "the Table", Path.cwd())
    else:
        raise DataError(
            f"Data of type {type(source).__name__} cannot be read; expected a path, a name such as "
            "'mnist', a DataFrame, a pyarrow Table, or a tuple (X, y) of arrays."
        )
    name = "DataFrame" if isinstance(table, FrameTable) else "Table"
    records = read_tables(
        [(table, None)], name, label=label, image_column=image_column, group=group
    )
    return records, None


def _read_address(address: str, given: Mapping[str, str | None]) -> tuple[Records, str]:
    """Read a name or a path. The names of the project come before paths: write ./digits for one."""
    columns = {
        "label": given["--label"],
        "image_column": given["--image-column"],
        "group": given["--group"],
    }
    path = Path(address).expanduser()
    is_name = address in EMBEDDED or address in NAMED
    try:
        exists = path.exists()
    except OSError:  # a name too long for a path, a NUL
        exists = False
    if is_name or not exists:
        records = read_named(address, **columns)
        if records is None:
            raise unknown_source(address, _siblings(path))
        if exists:
            records.notes.append(
                f"'{address}' is the data set of that name; for the folder here write ./{address}."
            )
        if records.label is None:
            _refuse_column_options(f"'{address}' has no columns", given)
        return records, address
    absolute = str(path.absolute())
    if path.is_dir():
        if files := find_split_files(path):
            return read_table_files(list(files), address, **columns), absolute
        _refuse_column_options(f"{address} is a folder, whose class folders are the labels", given)
        return read_folder(path, address), absolute
    if not path.name.lower().endswith(TABLE_SUFFIXES):
        raise DataError(
            f"{address} is not a table that can be read; expected a folder or a file ending in "
            ".csv, .tsv, .parquet or .jsonl."
        )
    return read_table_files([(path, None)], address, **columns), absolute


def _siblings(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return []


def _refuse_column_options(why: str, given: Mapping[str, str | None]) -> None:
    used = [f"{option} {value}" for option, value in given.items() if value is not None]
    if used:
        raise OptionError(
            f"{' and '.join(used)} cannot be used: {why}. Leave it out, or give a table."
        )


def _leave_out_bad(
    records: Records, inspection: Inspection, max_bad_fraction: float
) -> tuple[Records, Inspection, list[BadSample]]:
    """Return records and inspection of the usable samples, and the others with their reasons."""
    bad = [BadSample(records.samples.name(i), reason) for i, reason in inspection.reasons.items()]
    if not bad:
        return records, inspection, []
    check_bad_share(records.name, bad, len(records.targets), max_bad_fraction)
    kept = np.setdiff1d(np.arange(len(records.targets)), list(inspection.reasons))
    groups = records.groups
    records = replace(
        records,
        samples=take(records.samples, kept),
        targets=records.targets[kept],
        splits=records.splits[kept],
        groups=None if groups is None else [groups[i] for i in kept],
    )
    return records, Inspection(inspection.digests[kept], inspection.sizes[kept], {}), bad


def _median_size(sizes: np.ndarray) -> tuple[int, int]:
    height, width = np.median(sizes, axis=0)
    return int(height), int(width)


def _num_channels(samples: Samples) -> int:
    """Return 1 when the samples looked at are all grey, also where they are stored as RGB."""
    if isinstance(samples, ArraySamples) and samples.images.shape[3] == 1:
        return 1
    spec = ImageSpec(32, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 32, 3)
    for i in np.unique(np.linspace(0, len(samples) - 1, SAMPLES_LOOKED_AT).astype(int)):
        try:
            pixels = decode_one(samples.read(int(i)), spec)
        except UnreadableImage:
            continue  # truncated: named when everything is decoded
        if (pixels != pixels[..., :1]).any():
            return 3
    return 1
