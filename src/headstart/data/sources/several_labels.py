"""Several target columns of one table: each read as its own task asks, gaps allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.cells import is_missing
from headstart.columnar import array_from, taken
from headstart.data.options import ReadOptions
from headstart.data.targets import MANY_VALUES, read_targets
from headstart.errors import DataError, HeadstartError, OptionError, quoted
from headstart.tasks import MULTI_LABEL, REGRESSION, TASKS, Targets, find_task
from headstart.tasks.multi_task import made_of
from headstart.tasks.part import TargetPart
from headstart.tasks.reading import Naming, Place
from headstart.types import Finding, Modality, Schema

FEWEST = 3  # samples of a class: one for each side of a split
_OF_ONE = ("--separator", f"--task {MULTI_LABEL.name}")  # what none of several targets can be


def _of_parts() -> list[str]:
    """Return the tasks that one of several targets can have."""
    return [name for name, known in TASKS.items() if known.can_be_part]


@dataclass(frozen=True)
class SaidLabel:
    """A target column as it was said.

    Attributes:
        column: Its name.
        task: What it asks for, where that was said: ``stars:regression``.
    """

    column: str
    task: str | None = None


def read_labels(columns: Collection[str], options: ReadOptions) -> list[SaidLabel]:
    """Return the target columns where several are said; else none.

    Args:
        columns: Of the table.
        options: What the user said.

    Raises:
        OptionError: One is said twice, or with a task that no part can have.
    """
    said = []
    for label in options.labels_among(columns):
        column, colon, asked = label.rpartition(":")
        if label in columns or not colon:
            said.append(SaidLabel(label))
            continue
        if not (asked in TASKS and find_task(asked).can_be_part):
            raise OptionError(
                f"--label {label} asks for task '{asked}'; expected one of {quoted(_of_parts())} "
                "for one of several targets. Correct it, or leave it out."
            )
        said.append(SaidLabel(column, asked))
    names = [one.column for one in said]
    if len(set(names)) < len(names):
        raise OptionError(f"--label names a column twice ({quoted(names)}). Name each once.")
    if said and (options.said_task or options.separator):
        given = "--separator" if options.separator else f"--task {options.task}"
        raise OptionError(
            f"{given} cannot be said of several targets at once; expected it of each, such as "
            f"--label {names[0]}:{REGRESSION.name},{names[1]}. Leave it out."
        )
    return said


def read_said(
    cells: Callable[[str], Sequence[object]],
    said: str | Sequence[SaidLabel],
    options: ReadOptions,
    modality: Modality,
    place: Place,
    naming: Naming,
) -> Targets:
    """Return the targets in the column, or the columns, that were said.

    Args:
        cells: The cells of a column.
        said: Its name, or several with what was said of each.
        options: What else the user said.
        modality: Of the inputs.
        place: Says where the value of an index stands.
        naming: Gives numbered classes of a single target their names.
    """
    if not isinstance(said, str):
        columns = [cells(one.column) for one in said]
        return read_several(columns, said, options, modality, place)
    what = f"Column '{said}'"
    return read_targets(cells(said), options, modality, what=what, place=place, naming=naming)


def read_several(
    cells: Sequence[Sequence[object]],
    labels: Sequence[SaidLabel],
    options: ReadOptions,
    modality: Modality,
    place: Place,
) -> Targets:
    """Return the targets in several columns, shape (N, T), NaN for what a sample lacks.

    Args:
        cells: Of each column.
        labels: What was said of them.
        options: Of a model to evaluate: its schema, whose classes these are then.
        modality: Of the inputs.
        place: Says where the value of an index stands.

    Raises:
        DataError: A column is empty, or a value none that its task can use.
    """
    known = options.schema.parts if options.schema and options.schema.parts else ()
    columns, parts, schemas, findings = [], [], [], list[Finding]()
    for number, (values, label) in enumerate(zip(cells, labels, strict=True)):
        own = known[number] if known else None
        found, places = _read_one(values, label, options, modality, own, place)
        column = np.full(len(values), np.nan)
        column[places] = _placed(found, own, label, place, places)
        classes = own.classes if own else found.classes
        columns.append(column)
        schemas.append(Schema(modality, found.task, classes, label.column))
        parts.append(TargetPart(label.column, find_task(found.task), len(classes)))
        findings += [
            replace(one, sentence=_of_this_label(one.sentence, label.column))
            for one in found.findings
        ]
        if len(places) < len(values):
            gaps = len(values) - len(places)
            sentence = (
                f"{gaps:,} of {len(values):,} samples have no '{label.column}': they count for the "
                "other targets alone."
            )
            findings.append(Finding("unlabelled", "note", (), sentence))
    rows = np.stack(columns, axis=1)
    bare = np.flatnonzero(~np.isfinite(rows).any(axis=1))
    if len(bare):
        raise DataError(
            f"{len(bare):,} samples have none of the targets ({quoted([p.label for p in parts])}), "
            f"such as {place(int(bare[0]))}. Remove them."
        )
    task = made_of(parts) if options.schema is None else find_task(options.schema.task)
    said = ", ".join(f"'{p.label}' {p.task.name}" for p in parts)
    findings.append(Finding("task", "note", (), f"Several targets: {said}."))
    return Targets(task.name, rows, (), findings, tuple(schemas))


def _read_one(
    values: Sequence[object],
    label: SaidLabel,
    options: ReadOptions,
    modality: Modality,
    own: Schema | None,
    place: Place,
) -> tuple[Targets, np.ndarray]:
    """Return the targets of a column that are there, and where they stand."""
    places = np.flatnonzero(~array_from(values, is_missing, bool))
    if not len(places):
        remedy = "Leave it out of --label" if own is None else "Give rows in which it is known"
        raise DataError(f"Column '{label.column}' is empty in every row. {remedy}.")
    asked = replace(options, label=label.column, task=label.task or "auto", schema=own)
    try:
        found = read_targets(
            taken(values, places),
            asked,
            modality,
            what=f"Column '{label.column}'",
            place=lambda i: place(int(places[i])),
        )
    except HeadstartError as error:
        raise type(error)(_of_this_label(str(error), label.column)) from error
    if not find_task(found.task).can_be_part:
        raise OptionError(
            f"Column '{label.column}' asks for {found.task}, which cannot be one of several "
            f"targets yet; expected {quoted(_of_parts())}. Leave it out of --label."
        )
    if own is None and len(found.classes) > MANY_VALUES:
        counts = np.unique(np.asarray(found.values), return_counts=True)[1]
        if 2 * int((counts < FEWEST).sum()) > len(counts):
            raise DataError(
                f"Column '{label.column}' holds {len(counts):,} different values in "
                f"{len(places):,} rows, most of them in fewer than {FEWEST}; expected classes or "
                "numbers. Leave it out of --label."
            )
    return found, places


def _of_this_label(sentence: str, column: str) -> str:
    """Return a sentence whose advice says the task of this column, among others, or alone."""
    alone = f"learn '{column}' alone with"
    for option in _OF_ONE:
        sentence = sentence.replace(f"say {option}", f"{alone} {option}")
    if alone in sentence:
        return sentence
    return sentence.replace("--task ", f"--label …,{column}:")


def _placed(
    found: Targets, own: Schema | None, label: SaidLabel, place: Place, places: np.ndarray
) -> np.ndarray:
    """Return targets as floats, classes by their places in the model's own order, if there is one.

    Raises:
        DataError: A class is none of the model's.
    """
    values = np.asarray(found.values, np.float64)
    if own is None or not own.classes:
        return values
    order = np.array([own.classes.index(c) if c in own.classes else -1 for c in found.classes])
    moved: np.ndarray = order[np.asarray(found.values, np.int64)]
    if (moved < 0).any():
        first = int(np.flatnonzero(moved < 0)[0])
        strange = found.classes[int(np.asarray(found.values)[first])]
        raise DataError(
            f"Column '{label.column}' holds '{strange}' in {place(int(places[first]))}, which the "
            f"model does not know; expected one of {quoted(own.classes)}. Correct or remove it."
        )
    return moved.astype(np.float64)
