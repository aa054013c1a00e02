"""Make a ``Dataset`` of records: inspect every sample, leave out the unusable, split, hash.

The same way for images, texts and tables; what differs is how a sample is inspected, and that the
columns of a table are surveyed once it is known which rows are train's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from headstart.data.balance import describe_splits
from headstart.data.copies import Copies, describe_copies, find_copies
from headstart.data.fingerprint import (
    Inspection,
    fingerprint,
    inspect,
    inspect_rows,
    inspect_texts,
)
from headstart.data.identity import Identity, sample_ids, without
from headstart.data.image_look import look_at_images
from headstart.data.records import NOUNS, SPLIT_CODES, Records
from headstart.data.split import assign_splits, only_test
from headstart.data.survey import is_identifier, survey
from headstart.data.times import SplitWay, describe_times, time_of
from headstart.errors import DataError
from headstart.preprocessing.bad_samples import check_bad_share, first_few
from headstart.preprocessing.images import decode_one
from headstart.preprocessing.rows import TableSamples, TextSamples
from headstart.preprocessing.samples import ArraySamples, UnreadableImage, take
from headstart.tasks import CLASSIFICATION
from headstart.types import (
    BadSample,
    ColumnKind,
    Dataset,
    Finding,
    ImageSpec,
    Ragged,
    Rows,
    Samples,
    Schema,
    Split,
)

SAMPLES_LOOKED_AT = 64  # of all, and of each class, but no more than MOST_LOOKED_AT together
LEAST_OF_A_CLASS, MOST_LOOKED_AT = 2, 4096
ROWS_LOOKED_AT = 50_000


def assemble(
    records: Records,
    val_fraction: float,
    test_fraction: float,
    max_bad_fraction: float,
    seed: int,
    *,
    for_test: bool = False,
    split: SplitWay = "random",
    dates: tuple[str, ...] = (),
) -> Dataset:
    """Return the data set that records make: inspected, without the unusable, split, hashed.

    Args:
        records: All samples of the source.
        val_fraction: Share of train that becomes val where the data brings none.
        test_fraction: Share that becomes test where the data brings none.
        max_bad_fraction: Share of unusable samples above which this stops.
        seed: Of the split.
        for_test: Whether a model is to be evaluated on it: then nothing is asked for that only
            learning needs.
        split: How splits are drawn that the data does not bring.
        dates: Columns that the user has said to hold dates.

    Raises:
        DataError: Too many samples are unusable, or the data cannot be split or learned from.
    """
    several = NOUNS[records.modality][1]
    if len(records.targets) == 0:
        raise DataError(f"{records.name} holds no samples. Expected labelled {several}.")
    inspection = _inspect(records)
    records, inspection, bad = _leave_out_bad(records, inspection, max_bad_fraction)
    identity, findings = inspection.identity, list(records.findings)
    copies = find_copies(*_compared(records, identity))
    if for_test:
        splits, origin = only_test(records)
    else:
        times = time_of(records, dates) if split == "time" else None
        shares = {"val_fraction": val_fraction, "test_fraction": test_fraction}
        splits, origin = assign_splits(records, **shares, seed=seed, copies=copies, times=times)
        findings += describe_copies(records, copies, splits)
        findings += describe_times(records, splits, split)
        findings += describe_splits(records, splits)
    findings += _left_out(bad, len(bad) + len(splits), several)
    is_first_kind = (records.modality, records.task) == ("image", CLASSIFICATION.name)
    ids = sample_ids(identity.exact)
    samples, kinds = records.samples, records.column_kinds
    if isinstance(samples, TableSamples) and kinds is not None and not for_test:
        kept, found = survey(records, splits == SPLIT_CODES["train"], copies.is_copy)
        samples, kinds = samples.select(kept), {name: kinds[name] for name in kept}
        findings += found
    contents = _contents(records, identity, copies, kinds)
    groups, is_image = _group_codes(records), records.modality == "image"
    findings += [] if for_test else _look(records, inspection, splits)

    def part(code: int) -> Split:
        chosen = np.flatnonzero(splits == code)
        told = None if groups is None else groups[chosen]
        kept = take(samples, chosen)
        return Split(kept, records.targets[chosen], ids[chosen], contents[chosen], told)

    return Dataset(
        name=records.name,
        schema=Schema(records.modality, records.task, records.classes, records.label),
        train=part(SPLIT_CODES["train"]),
        val=part(SPLIT_CODES["val"]),
        test=part(SPLIT_CODES["test"]),
        fingerprint=fingerprint(
            ids,
            identity.exact,
            records.targets,
            splits,
            list(records.classes),
            () if is_first_kind else (records.modality, records.task),
        ),
        split_origin=origin,
        bad_samples=tuple(bad),
        findings=tuple(findings),
        input_column=records.input_column,
        image_size=_median_size(inspection.sizes) if is_image else None,
        image_channels=_num_channels(samples, records.targets) if is_image else None,
        column_kinds=kinds,
        date_formats={n: f for n, f in records.date_formats.items() if n in (kinds or ())},
        number_formats={n: f for n, f in records.number_formats.items() if n in (kinds or ())},
        max_bad_fraction=max_bad_fraction,
        alike_by_chance=copies.by_chance,
    )


def _group_codes(records: Records) -> np.ndarray | None:
    """Return a number for the group of each sample, int64, shape (N,); None without groups."""
    if records.groups is None:
        return None
    codes = np.unique(np.asarray(records.groups), return_inverse=True)[1]
    return codes.reshape(-1).astype(np.int64)


def _left_out(bad: Sequence[BadSample], total: int, several: str) -> list[Finding]:
    """Return which samples cannot be used, if any."""
    if not bad:
        return []
    sentence = f"{len(bad)} of {total} {several} left out: {first_few(bad)}."
    return [Finding("unreadable", "warning", [b.name for b in bad], sentence)]


def _inspect(records: Records) -> Inspection:
    task = f"read {records.name}"
    if isinstance(records.samples, TextSamples):
        return inspect_texts(records.samples, task)
    if isinstance(records.samples, TableSamples):
        return inspect_rows(records.samples, task)
    return inspect(records.samples, task)


def _compared(records: Records, identity: Identity) -> tuple[Samples, Identity, list[str]]:
    """Return what ``find_copies`` takes: of a table, rows without the columns that number them."""
    samples, kinds = records.samples, records.column_kinds
    if not isinstance(samples, TableSamples) or kinds is None:
        return samples, identity, []
    names = list(kinds)
    looked_at = np.linspace(0, len(samples) - 1, min(len(samples), ROWS_LOOKED_AT)).astype(np.int64)
    numbering = []
    for name in names:
        column = samples.table.column(name)
        if kinds[name] == "categorical":  # a share of different words: a part of the rows tells it
            column = column.take(looked_at)
        if name not in records.kept_columns and is_identifier(name, kinds[name], column):
            numbering.append(name)
    if not numbering or len(numbering) == len(names):
        return samples, identity, names
    kept = [name for name in names if name not in numbering]
    return samples, without(identity, samples.table, numbering), kept


def _contents(
    records: Records,
    identity: Identity,
    copies: Copies,
    kinds: Mapping[str, ColumnKind] | None,
) -> np.ndarray:
    """Return what each sample is: of rows, by the columns that stay."""
    samples, former = records.samples, records.column_kinds
    if not isinstance(samples, TableSamples) or former is None or kinds == former:
        return identity.content
    if set(copies.columns) == set(kinds or ()):
        return copies.contents
    gone = [name for name in former if name not in (kinds or ())]
    return without(identity, samples.table, gone).content


def _leave_out_bad(
    records: Records, inspection: Inspection, max_bad_fraction: float
) -> tuple[Records, Inspection, list[BadSample]]:
    """Return records and inspection of the usable samples, and the others with their reasons."""
    bad = [BadSample(records.samples.name(i), reason) for i, reason in inspection.reasons.items()]
    if not bad:
        return records, inspection, []
    noun = NOUNS[records.modality][1]
    check_bad_share(records.name, bad, len(records.targets), max_bad_fraction, noun)
    kept = np.setdiff1d(np.arange(len(records.targets)), list(inspection.reasons))
    groups = records.groups
    records = replace(
        records,
        samples=take(records.samples, kept),
        targets=records.targets[kept],
        splits=records.splits[kept],
        groups=None if groups is None else [groups[i] for i in kept],
    )
    return records, Inspection(inspection.identity.take(kept), inspection.sizes[kept], {}), bad


def _look(records: Records, inspection: Inspection, splits: np.ndarray) -> list[Finding]:
    """Return what is to be said of the training images, where samples are images."""
    if records.modality != "image":
        return []
    trained = np.flatnonzero(splits == SPLIT_CODES["train"])
    return look_at_images(records.samples, inspection.sizes, trained)


def _median_size(sizes: np.ndarray) -> tuple[int, int]:
    height, width = np.median(sizes, axis=0)
    return int(height), int(width)


def _num_channels(samples: Samples, targets: Rows) -> int:
    """Return 1 when the samples looked at are all grey, also where they are stored as RGB.

    Some of every class are looked at: where one class of many is coloured, colour is what tells it.
    """
    if isinstance(samples, ArraySamples) and samples.images.shape[3] == 1:
        return 1
    spec = ImageSpec(32, 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 32, 3)
    for i in _some_of_each(targets):
        try:
            pixels = decode_one(samples.read(i), spec)
        except UnreadableImage:
            continue  # truncated: named when everything is decoded
        if (pixels != pixels[..., :1]).any():
            return 3
    return 1


def _some_of_each(targets: Rows) -> list[int]:
    """Return places of samples spread over all, and over each class, the firsts of all first."""
    num = len(targets)
    spread: list[int] = np.unique(np.linspace(0, num - 1, SAMPLES_LOOKED_AT).astype(int)).tolist()
    if isinstance(targets, Ragged) or targets.dtype.kind == "f":
        return spread
    if targets.ndim == 1:
        groups = [np.flatnonzero(targets == k) for k in np.unique(targets)]
    else:
        groups = [np.flatnonzero(column) for column in targets.T]
    each = max(LEAST_OF_A_CLASS, min(SAMPLES_LOOKED_AT, MOST_LOOKED_AT // max(1, len(groups))))
    chosen = [
        group[np.unique(np.linspace(0, len(group) - 1, each).astype(int))].tolist()
        for group in groups
        if len(group)
    ]
    in_turn = (i for turn in zip_longest(*chosen) for i in turn if i is not None)
    return list(dict.fromkeys([*spread, *in_turn]))
