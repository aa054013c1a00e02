"""The test items of several finished runs in one order, or a sentence on what differs.

An item is known by its id, which is made of its content: the same photo under another name is the
same item, and runs on two data sets that hold the same test items can be compared. The row that a
text or image stands in is a part of what it is where a run learns from it: a run on other columns,
or on none, knows the same item by the id that it has without its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.comparing.finished import FinishedRun
from headstart.errors import DataError, RunFolderError
from headstart.tasks import TextColumn
from headstart.types import Ragged, Rows

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "predictions.parquet"
ALONE = "id_alone"

Written = TextColumn | np.ndarray  # a column as the file holds it


@dataclass(frozen=True, eq=False)
class Answers:
    """What one run says of the N test items.

    Attributes:
        run: It.
        written: As its file has it.
        decisions: As its task gives them.
        losses: float32, shape (N,).
    """

    run: FinishedRun
    written: Written
    decisions: Rows
    losses: np.ndarray


@dataclass(frozen=True, eq=False)
class CommonItems:
    """The N test items that several runs were tested on.

    Attributes:
        ids: int64, shape (N,).
        names: What a person calls each; a pyarrow array.
        written: Their targets as the first run's file has them.
        targets: As the task reads them.
        groups: int64, shape (N,), the same for items that belong together; or None.
        answers: One a run.
    """

    ids: np.ndarray
    names: pa.ChunkedArray
    written: Written
    targets: Rows
    groups: np.ndarray | None = None
    answers: tuple[Answers, ...] = ()

    def named(self, place: int) -> str:
        """Return what a person calls an item."""
        return str(self.names[place].as_py())


@dataclass(frozen=True, eq=False)
class Known:
    """By what a run knows its N test items.

    Attributes:
        run: It.
        ids: int64, shape (N,).
        alone: int64, shape (N,), of texts or images without the rows that they stand in; None where
            no row is part of an item.
    """

    run: FinishedRun
    ids: np.ndarray
    alone: np.ndarray | None = None


def shown(column: Written, place: int) -> str | float:
    """Return what a column holds of an item."""
    if isinstance(column, TextColumn):
        return column.different[int(column.codes[place])]
    return float(column[place])


def common_items(runs: Sequence[FinishedRun]) -> CommonItems:
    """Read what runs say of their test items, and put all into the order of the first.

    Args:
        runs: At least one.

    Raises:
        DataError: They were tested on other items, or targets differ; naming what does.
        RunFolderError: A file is missing or damaged.
        OptionError: A class is named that a run does not know.
    """
    first, answers, groups = runs[0], list[Answers](), None
    schema, task = first.schema, first.task
    for other in runs[1:]:
        _refuse_other_kind(first, other)
    items: CommonItems | None = None
    known: Known | None = None
    for run in runs:
        table = _read(run)
        own = Known(run, table["id"].to_numpy(), _numbers(table, ALONE, None))
        targets = _column(table, "target")
        if items is None or known is None:
            wanted = task.read_item_column(targets, schema)
            items, known = CommonItems(own.ids, table["name"], targets, wanted), own
        places = _places(known, own)
        if run is not first:
            _refuse_other_targets(first, run, items.written, _taken(targets, places), items)
        said = _taken(_column(table, "prediction"), places)
        losses, told = (_numbers(table, name, places) for name in ("loss", "group"))
        assert losses is not None
        decisions = task.recalled(task.read_item_column(said, schema), losses, items.targets)
        answers.append(Answers(run, said, decisions, losses))
        groups = told if groups is None else groups
    if groups is None:
        _refuse_lost_groups(runs)
    assert items is not None
    return replace(items, groups=groups, answers=tuple(answers))


def items_digest(run: FinishedRun) -> str | None:
    """Return a number of the test items with their targets, the same in any order; or None.

    Of texts and images that stand in rows the rows are left out: runs that learn from other columns
    beside them were tested on the same items. None where no file tells the items.
    """
    try:
        table = _read(run)
    except RunFolderError:
        return None
    ids = table["id"].to_numpy() if ALONE not in table.column_names else table[ALONE].to_numpy()
    order = ids.argsort(kind="stable")
    targets = _taken(_column(table, "target"), order)
    digest = blake2b(np.ascontiguousarray(ids[order]).tobytes(), digest_size=8)
    if isinstance(targets, TextColumn):
        names = sorted(targets.different)
        places = {name: place for place, name in enumerate(names)}
        digest.update("\0".join(names).encode(errors="surrogatepass"))
        coded = np.array([places[name] for name in targets.different], np.int64)
        targets = coded[targets.codes]
    digest.update(np.ascontiguousarray(targets).tobytes())
    return digest.hexdigest()


def _read(run: FinishedRun) -> pa.Table:
    """Return the columns that are compared; texts of which few are different once each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run.path / FILE
    try:
        with pq.ParquetFile(path, read_dictionary=["target", "prediction"]) as file:
            there = set(file.schema_arrow.names)
            wanted = ["id", "name", "target", "prediction", "loss", "group", ALONE]
            table = file.read([name for name in wanted if name in there])
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{run.path} has no {FILE}; expected a finished run, with a row for each test item. "
            "Run the training again with --overwrite."
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise RunFolderError(
            f"{path} is damaged ({error}); expected what headstart wrote. Run the training again "
            "with --overwrite."
        ) from error
    missing = [name for name in wanted[:-2] if name not in there]
    if missing:
        raise RunFolderError(
            f"{path} has no column '{missing[0]}'; expected what headstart wrote. Run the training "
            "again with --overwrite."
        )
    return table


def _numbers(table: pa.Table, name: str, places: np.ndarray | None) -> np.ndarray | None:
    """Return a column of numbers in the order of the first run; None where there is none."""
    if name not in table.column_names:
        return None
    column: np.ndarray = table[name].to_numpy()
    return column if places is None else column[places]


def _column(table: pa.Table, name: str) -> Written:
    """Return a column as a task reads it."""
    import pyarrow as pa

    column = table[name]
    if not pa.types.is_dictionary(column.type):
        if pa.types.is_string(column.type):
            column = column.dictionary_encode()
        else:
            numbers: np.ndarray = column.to_numpy()
            return numbers
    whole: Any = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    return TextColumn(whole.dictionary.to_pylist(), whole.indices.to_numpy().astype(np.int64))


def _taken(column: Written, places: np.ndarray | None) -> Written:
    """Return a column in the order of the first run."""
    if places is None:
        return column
    if isinstance(column, TextColumn):
        return TextColumn(column.different, column.codes[places])
    return np.asarray(column[places])


def _refuse_other_kind(first: FinishedRun, other: FinishedRun) -> None:
    """Refuse runs that tell something else, or of other samples."""
    own, its = first.schema, other.schema
    if own.kind != its.kind:
        raise DataError(
            f"{first.path} is {own.kind} and {other.path} is {its.kind}; expected runs on the same "
            "test items. Compare runs on the same data."
        )
    unknown = [name for name in its.classes if name not in own.classes]
    missing = [name for name in own.classes if name not in its.classes]
    if unknown or missing:
        name = (unknown or missing)[0]
        knows, lacks = (other, first) if unknown else (first, other)
        raise DataError(
            f"{knows.path} knows the class '{name}' and {lacks.path} does not; expected runs with "
            "the same classes. Compare runs on the same data."
        )


def _places(first: Known, other: Known) -> np.ndarray | None:
    """Return where each item of the first run stands in another; None where the order is its own.

    Raises:
        DataError: They are not the same items.
        RunFolderError: A row is part of an item, and no file tells what stands in it.
    """
    pairs = [(first.ids, other.ids)]
    if set(first.run.schema.beside) != set(other.run.schema.beside):
        _refuse_lost_ids([first, other])
        mine, its = (one.ids if one.alone is None else one.alone for one in (first, other))
        pairs.append((mine, its))
    for ids, own in pairs:
        if len(ids) == len(own) and np.array_equal(ids, own):
            return None
        shared = len(np.intersect1d(ids, own))
        if shared == len(ids) == len(own):
            order = own.argsort()
            return np.asarray(order[own.searchsorted(ids, sorter=order)])
    is_same_data = first.run.data["fingerprint"] == other.run.data["fingerprint"]
    why = "of the same data" if is_same_data else _what_differs(first.run, other.run)
    raise DataError(
        f"{first.run.path} was tested on {len(ids):,} items and {other.run.path} on {len(own):,}, "
        f"{why}; {shared:,} of them are the same. Expected the same test items. Make the second "
        f"run with --from {first.run.path} and what is to differ, such as --start."
    )


def _what_differs(first: FinishedRun, run: FinishedRun) -> str:
    """Return in words how the data of two runs differ."""
    one, other = (str(each.data.get("name")) for each in (first, run))
    if Path(one).name != Path(other).name:  # a file may be named from here or from the root
        return f"of '{one}' and '{other}'"
    ours, theirs = (each.data.get("source") or {} for each in (first, run))
    told = [
        f"{name} {ours.get(name)!r} and {theirs.get(name)!r}"
        for name in dict.fromkeys([*ours, *theirs])
        if name != "source" and ours.get(name) != theirs.get(name)
    ]
    if told:
        return f"of the same source read with {', '.join(told)}"
    return f"of data that has changed (fingerprints {first.data['fingerprint'][:8]} and " + (
        f"{run.data['fingerprint'][:8]})"
    )


def _refuse_other_targets(
    first: FinishedRun, run: FinishedRun, ours: Written, theirs: Written, items: CommonItems
) -> None:
    """Refuse runs whose test items have other labels."""
    task, schema = first.task, first.schema
    mine, its = (task.read_item_column(each, schema) for each in (ours, theirs))
    differs = _differ(mine, its)
    if not differs.any():
        return
    place = int(differs.argmax())
    raise DataError(
        f"Test item '{items.named(place)}' is '{shown(ours, place)}' in {first.path} and "
        f"'{shown(theirs, place)}' in {run.path}, and so differ {int(differs.sum()):,} of "
        f"{len(differs):,}; expected the same labels. Compare runs on the same labels."
    )


def _differ(mine: Rows, its: Rows) -> np.ndarray:
    """Return which targets are not the same, bool, shape (N,); of words rows of any length."""
    if isinstance(mine, Ragged):
        pairs = zip(mine, its, strict=True)
        return np.array([not np.array_equal(own, other) for own, other in pairs], bool)
    own, other = np.asarray(mine), np.asarray(its)
    # of several targets what both lack is the same
    differs = (own != other) & ~((own != own) & (other != other))
    found: np.ndarray = differs.reshape(len(mine), -1).any(axis=1)
    return found


def _refuse_lost_groups(runs: Sequence[FinishedRun]) -> None:
    """Refuse runs whose items are in groups that no file tells."""
    grouped = [run for run in runs if run.metrics["test"].get("num_groups") is not None]
    if grouped:
        raise RunFolderError(
            f"{grouped[0].path} counts groups of test items, and its {FILE} does not say which: a "
            "former version wrote it. Run the training again with --overwrite."
        )


def _refuse_lost_ids(runs: Sequence[Known]) -> None:
    """Refuse runs whose rows are a part of their items, where no file tells them without."""
    for one in runs:
        if one.run.schema.beside and one.alone is None:
            raise RunFolderError(
                f"{one.run.path} learns from columns beside, and its {FILE} does not say what its "
                "items are without them: a former version wrote it. Run the training again with "
                "--overwrite."
            )
