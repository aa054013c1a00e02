"""Make a ``Dataset`` of records: inspect every sample, leave out the unusable, split, hash.

The same way for images, texts and tables; what differs is how a sample is inspected, and that the
columns of a table are surveyed once it is known which rows are train's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.data.balance import describe_splits
from headstart.data.copies import Copies, describe_copies, find_copies
from headstart.data.fingerprint import Inspection, fingerprint, inspect_samples
from headstart.data.fix_lists import Fixes
from headstart.data.fixes import (
    Placed,
    describe_fixes,
    place_fixes,
    settle_sides,
    without_left_out,
)
from headstart.data.identity import Identity, sample_ids, without
from headstart.data.image_look import ImageLook, look_at_images, num_channels, of_pages
from headstart.data.options import SplitWay
from headstart.data.records import NOUNS, SPLIT_CODES, UNASSIGNED, Records
from headstart.data.split import assign_splits, check_groups, only_held_out, only_test
from headstart.data.survey import is_identifier, survey
from headstart.data.times import MixedDays, describe_times, mixed_days, time_of
from headstart.errors import DataError
from headstart.preprocessing.bad_samples import check_bad_share, first_few
from headstart.preprocessing.rows import TableSamples
from headstart.preprocessing.samples import take
from headstart.tasks import CLASSIFICATION
from headstart.types import (
    MODALITIES,
    BadSample,
    ColumnKind,
    Dataset,
    Finding,
    FindingKind,
    Samples,
    Split,
    SplitName,
)

SIDES: tuple[SplitName, ...] = ("train", "val", "test")
ROWS_LOOKED_AT = 50_000


@dataclass(frozen=True)
class Assembly:
    """How records become a data set.

    Attributes:
        for_test: Whether a model is to be evaluated on it: then nothing is asked for that only
            learning needs.
        split: How splits are drawn that the data does not bring.
        dates: Columns that the user has said to hold dates.
        fixes: What to leave out, and what to put on which side.
        refused: Takes what forbids learning from it, which is then not raised; None raises it.
        is_bare: Whether nothing says labels, and nobody asks for them.
    """

    for_test: bool = False
    split: SplitWay = "random"
    dates: tuple[str, ...] = ()
    fixes: Fixes | None = None
    refused: list[Finding] | None = None
    is_bare: bool = False


PLAIN = Assembly()


@dataclass(frozen=True)
class Divided:
    """The side of each sample.

    Attributes:
        splits: int8, shape (N,).
        origin: How each split came to be.
        drawn: Those that the data did not bring.
        findings: What is to be said of them.
        mixed: Of rows that stand in time, the days that they mix; None where they mix none.
    """

    splits: np.ndarray
    origin: dict[str, str]
    drawn: tuple[SplitName, ...] = ()
    findings: Sequence[Finding] = ()
    mixed: MixedDays | None = None


def assemble(
    records: Records,
    val_fraction: float,
    test_fraction: float,
    max_bad_fraction: float,
    seed: int,
    how: Assembly = PLAIN,
) -> Dataset:
    """Return the data set that records make: inspected, without the unusable, split, hashed.

    Args:
        records: All samples of the source.
        val_fraction: Share of train that becomes val where the data brings none.
        test_fraction: Share that becomes test where the data brings none.
        max_bad_fraction: Share of unusable samples above which this stops.
        seed: Of the split.
        how: What else was said of it.

    Raises:
        DataError: Too many samples are unusable, or the data cannot be split or learned from.
    """
    several = NOUNS[records.modality][1]
    if len(records.targets) == 0:
        raise DataError(f"{records.name} holds no samples. Expected labelled {several}.")
    rows = None if records.beside is None else records.beside.samples
    inspection = inspect_samples(records.samples, rows, f"read {records.name}")
    records, inspection, bad = _leave_out_bad(records, inspection, max_bad_fraction, how.refused)
    records, inspection, given, fixed = _fix(records, inspection, how.fixes)
    findings, identity = [*records.findings, *fixed], inspection.identity
    alone = None if inspection.alone is None else sample_ids(inspection.alone)
    copies = find_copies(*_compared(records, identity))
    shares = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed}
    divided = _divide(records, copies, given, how, shares)
    splits, mixed = divided.splits, divided.mixed
    findings += [*divided.findings, *_left_out(bad, len(bad) + len(splits), several, how.refused)]
    ids = sample_ids(identity.exact)
    samples, kinds, found = _surveyed(records, splits, copies, how)
    beside = None if records.beside is None else _surveyed(records.beside, splits, copies, how)
    looked = _look(records, inspection, splits, for_test=how.for_test)
    findings += [*found, *(beside[2] if beside else ()), *looked.findings]
    contents, groups = _contents(records, identity, copies, kinds), _group_codes(records)

    def part(code: int) -> Split:
        chosen = np.flatnonzero(splits == code)
        kept, rows = take(samples, chosen), None if beside is None else take(beside[0], chosen)
        told, own = (None if each is None else each[chosen] for each in (groups, alone))
        return Split(kept, records.targets[chosen], ids[chosen], contents[chosen], told, rows, own)

    train, schema = part(SPLIT_CODES["train"]), records.schema
    if beside is not None:
        schema = replace(schema, beside=tuple(beside[1] or ()))
    if not how.for_test:
        schema = replace(schema, task=records.asks.settled(train.targets).name)
    table, known = (records.beside or records), (beside[1] if beside else kinds) or {}
    return Dataset(
        name=records.name,
        schema=schema,
        train=train,
        val=part(SPLIT_CODES["val"]),
        test=part(SPLIT_CODES["test"]),
        fingerprint=fingerprint(
            ids, identity.exact, records.targets, splits, list(records.classes), _kind(records)
        ),
        split_origin=divided.origin,
        drawn_splits=divided.drawn,
        bad_samples=tuple(bad),
        findings=tuple(findings),
        input_column=records.input_column,
        image_size=_median_size(records, inspection),
        image_channels=_num_channels(records, looked),
        image_cut=looked.cut,
        grey_levels=looked.levels,
        column_kinds=kinds,
        beside_kinds=beside[1] if beside else None,
        date_formats={n: f for n, f in table.date_formats.items() if n in known},
        number_formats={n: f for n, f in table.number_formats.items() if n in known},
        levels={n: f for n, f in table.levels.items() if n in known},
        max_bad_fraction=max_bad_fraction,
        alike_by_chance=copies.by_chance,
        time_column=mixed.column if mixed and mixed.column in (kinds or ()) else None,
    )


@contextmanager
def _noting(
    refused: list[Finding] | None, kind: FindingKind, items: Sequence[str] = ()
) -> Iterator[list[Finding]]:
    """Surround what may refuse to learn from the data, and note it where it is not to be raised.

    Args:
        refused: Takes what is noted; None raises it.
        kind: What it would be about.
        items: Samples that it would be about.

    Yields:
        What was noted here.
    """
    noted: list[Finding] = []
    try:
        yield noted
    except DataError as error:
        if refused is None:
            raise
        noted.append(Finding(kind, "error", items, str(error)))
        refused.extend(noted)


def _fix(
    records: Records, inspection: Inspection, fixes: Fixes | None
) -> tuple[Records, Inspection, tuple[Placed, np.ndarray] | None, list[Finding]]:
    """Return what a list of fixes leaves in, the list with those places, and what is to be said."""
    if fixes is None:
        return records, inspection, None, []
    placed = place_fixes(fixes, records, sample_ids(inspection.identity.exact))
    stayed, places = without_left_out(placed, records)
    told = describe_fixes(placed, records)
    return stayed, inspection.take(places), (placed, places), [told]


def _divide(
    records: Records,
    copies: Copies,
    given: tuple[Placed, np.ndarray] | None,
    how: Assembly,
    shares: Mapping[str, Any],
) -> Divided:
    """Return the splits, how each came to be, which were drawn, and what is to be said of them.

    Args:
        records: The samples.
        copies: What is the same among them.
        given: A list of fixes, and the places of the samples that it left in.
        how: What was said of the assembly.
        shares: Of val and test, and the seed.
    """
    if how.for_test:
        return Divided(*only_test(records))
    if how.is_bare:
        held = only_held_out(records, shares["val_fraction"], shares["seed"], copies)
        return Divided(*held, ("val",), describe_copies(records, copies, held[0]))
    if how.refused is not None:
        with _noting(how.refused, "group") as torn:
            check_groups(records)
        shares = {**shares, "may_tear": bool(torn)}
    with _noting(how.refused, "classes") as refusing:
        times = time_of(records, how.dates) if how.split == "time" else None
        with _by_list(given, NOUNS[records.modality][1]):
            splits, origin = assign_splits(records, **shares, copies=copies, times=times)
        splits = splits if given is None else settle_sides(*given, records, copies, splits)
    if refusing:
        splits, origin = _undrawn(records)
    mixed = mixed_days(records, splits, how.split)
    findings = describe_copies(records, copies, splits)
    if refusing:
        return Divided(splits, origin, (), findings, mixed)
    findings += [*describe_times(mixed), *describe_splits(records, splits)]
    drawn = tuple(name for name in SIDES if SPLIT_CODES[name] not in records.splits)
    return Divided(splits, origin, drawn, findings, mixed)


@contextmanager
def _by_list(given: tuple[Placed, np.ndarray] | None, several: str) -> Iterator[None]:
    """Surround the split, and name the list of fixes where it is refused for what that left out."""
    try:
        yield
    except DataError as error:
        if given is None or not len(given[0].left_out):
            raise
        raise DataError(
            f"{error} The list '{given[0].fixes.path}' leaves out {len(given[0].left_out):,} "
            f"{several}: change its actions, or take the whole class out of the data."
        ) from None


def _undrawn(records: Records) -> tuple[np.ndarray, dict[str, str]]:
    """Return the splits of data that none can be drawn of, as ``assign_splits``: its own."""
    splits = np.where(records.splits == UNASSIGNED, 0, records.splits).astype(np.int8)
    given = [name for name in SIDES if SPLIT_CODES[name] in records.splits]
    return splits, {"train": "no split can be drawn", **dict.fromkeys(given, records.origin)}


def _group_codes(records: Records) -> np.ndarray | None:
    """Return a number for the group of each sample, int64, shape (N,); None without groups."""
    if records.groups is None:
        return None
    codes = np.unique(np.asarray(records.groups), return_inverse=True)[1]
    return codes.reshape(-1).astype(np.int64)


def _left_out(
    bad: Sequence[BadSample], total: int, several: str, refused: Sequence[Finding] | None
) -> list[Finding]:
    """Return which samples cannot be used, if any, and they were not too many."""
    if not bad or any(found.kind == "unreadable" for found in refused or ()):
        return []
    sentence = f"{len(bad)} of {total} {several} left out: {first_few(bad)}."
    return [Finding("unreadable", "warning", [b.name for b in bad], sentence)]


def _surveyed(
    records: Records, splits: np.ndarray, copies: Copies, how: Assembly
) -> tuple[Samples, dict[str, ColumnKind] | None, list[Finding]]:
    """Return samples and kinds of the columns that stay, and what is to be said of them."""
    samples, kinds = records.samples, records.column_kinds
    if not isinstance(samples, TableSamples) or kinds is None or how.for_test:
        return samples, kinds, []
    with _noting(how.refused, "constant"):
        kept, found = survey(records, splits == SPLIT_CODES["train"], copies.is_copy)
        return samples.select(kept), {name: kinds[name] for name in kept}, found
    return samples, kinds, []


def _compared(records: Records, identity: Identity) -> tuple[Samples, Identity, list[str]]:
    """Return what ``find_copies`` takes: of a table, rows without the columns that number them."""
    samples, kinds = records.samples, records.column_kinds
    if not isinstance(samples, TableSamples) or kinds is None:
        return samples, identity, []
    names = list(kinds)
    looked_at = np.linspace(0, len(samples) - 1, min(len(samples), ROWS_LOOKED_AT)).astype(np.int64)
    numbering = []
    for name in names:
        column = samples.column(name)
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
    records: Records,
    inspection: Inspection,
    max_bad_fraction: float,
    refused: list[Finding] | None,
) -> tuple[Records, Inspection, list[BadSample]]:
    """Return records and inspection of the usable samples, and the others with their reasons."""
    bad = [BadSample(records.samples.name(i), reason) for i, reason in inspection.reasons.items()]
    if not bad:
        return records, inspection, []
    noun = NOUNS[records.modality][1]
    noting = refused if len(bad) < len(records.targets) else None  # of nothing nothing is found
    with _noting(noting, "unreadable", [each.name for each in bad]):
        check_bad_share(records.name, bad, len(records.targets), max_bad_fraction, noun)
    kept = np.setdiff1d(np.arange(len(records.targets)), list(inspection.reasons))
    return records.take(kept), inspection.take(kept), bad


def _look(
    records: Records, inspection: Inspection, splits: np.ndarray, *, for_test: bool
) -> ImageLook:
    """Return what is to be known of the training images, where samples are images.

    Of images that a model is evaluated on, how many pages they have.
    """
    if not MODALITIES[records.modality].is_looked_at:
        return ImageLook()
    if for_test:
        everyone = np.arange(len(records.targets))
        return ImageLook(of_pages(records.samples, inspection.sizes[:, 2], everyone))
    trained = np.flatnonzero(splits == SPLIT_CODES["train"])
    return look_at_images(records.samples, inspection.sizes, trained)


def _kind(records: Records) -> tuple[str, ...]:
    """Return modality and task, as the fingerprint takes them."""
    kind = (records.modality, records.task)
    return () if kind == ("image", CLASSIFICATION.name) else kind


def _median_size(records: Records, inspection: Inspection) -> tuple[int, int] | None:
    if not MODALITIES[records.modality].is_looked_at:
        return None
    height, width, _ = np.median(inspection.sizes, axis=0)
    return int(height), int(width)


def _num_channels(records: Records, looked: ImageLook) -> int | None:
    is_seen = MODALITIES[records.modality].is_looked_at
    return num_channels(records.samples, records.targets, looked) if is_seen else None
