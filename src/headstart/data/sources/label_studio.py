"""Exports of Label Studio: JSON, JSON-MIN, CSV and TSV of projects with choices.

JSON has a record a task with all its annotations; the others a row an annotation. A cancelled
(skipped) annotation is no label, one marked as ground truth decides alone, and predictions are not
used. Left out: regions, ratings beside choices, relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headstart.cells import as_list, is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.answers import Sample, Tally, is_true, settled
from headstart.data.sources.files_beside import FilesBeside
from headstart.errors import DataError, quoted
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

OF_TOOL = frozenset(
    [
        "id",
        "annotation_id",
        "annotator",
        "created_at",
        "updated_at",
        "lead_time",
        "was_cancelled",
        "ground_truth",
        "agreement",
        "comments",
        "total_annotations",
        "inner_id",
        "file_upload",
        "meta",
    ]
)
VALUES = ("choices", "rating", "number", "taxonomy")


def read_tasks(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Read Label Studio's JSON: columns ``data`` and ``annotations``; None for other tables."""
    tasks = tasks_of(table)
    if tasks is None:
        return None
    target = _control([a for _, answers in tasks for a in answers or ()], table.where, options)
    tally, files, samples = Tally(), FilesBeside(table.root), []
    for number, (data, answers) in enumerate(tasks):
        cells = {key: files.near(value) for key, value in data.items() if key != target}
        sample = Sample(number, cells)
        given = standing(answers)
        for _ in range(len(answers or ()) - len(given)):
            tally.drop("cancelled annotations", f"record {number + 1}")
        labels = [_labels_of(a.get("result") or (), target) for a in deciding(given)]
        sample.answers = [found for found in labels if found is not None]
        if given or not answers:  # what was cancelled has been counted
            samples.append(sample)
    return settled(samples, table.where, table.root, target, tally)


def tasks_of(table: Table) -> list[tuple[dict[str, Any], Any]] | None:
    """Return the data and the annotations of each task; None for other tables."""
    name = next((c for c in ("annotations", "completions") if c in table.columns), None)
    if name is None or "data" not in table.columns:
        return None
    tasks = list(zip(table.values("data"), table.values(name), strict=True))
    return tasks if all(isinstance(data, dict) for data, _ in tasks) else None


def standing(answers: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the annotations of a task that nobody has cancelled."""
    return [a for a in answers or () if not is_true(a.get("was_cancelled"))]


def deciding(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of these the ones marked as ground truth, or all where none is."""
    return [a for a in given if is_true(a.get("ground_truth"))] or given


def _control(annotations: Sequence[dict[str, Any]], where: str, options: ReadOptions) -> str:
    """Return the name of the control whose values are the labels."""
    names: dict[str, str] = {}
    for annotation in annotations:
        for part in annotation.get("result") or ():
            if isinstance(part, dict) and part.get("from_name"):
                names.setdefault(str(part["from_name"]), str(part.get("type")))
    usable = [name for name, kind in names.items() if kind in VALUES]
    if options.label in usable:
        return str(options.label)
    trained = options.schema.label if options.schema else None
    if options.label is None and trained in usable:
        return str(trained)
    if options.label is None and len(usable) == 1:
        return usable[0]
    if not usable:
        kinds = quoted(sorted(set(names.values()))) if names else "none"
        raise DataError(
            f"{where} is an export of Label Studio without choices (results: {kinds}); expected "
            "results of the type 'choices', one a task. Export a project that classifies."
        )
    asked = f"'{options.label}' is none of the controls" if options.label else "several controls"
    raise DataError(
        f"{where} is an export of Label Studio with {asked} that could be the target: "
        f"{quoted(usable)}. Name one, for example --label {usable[0]}."
    )


def _labels_of(result: Sequence[Any], control: str) -> list[str] | None:
    """Return the labels of one annotation; None where it has none for this control."""
    found: list[str] = []
    for part in result:
        if not isinstance(part, dict) or part.get("from_name") != control:
            continue
        value = part.get("value") or {}
        for kind in VALUES:
            given = value.get(kind)
            if given is None:
                continue
            for one in given if isinstance(given, list) else [given]:
                found.append(" / ".join(map(str, one)) if isinstance(one, list) else str(one))
    return found or None


def read_rows(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Read JSON-MIN, CSV or TSV of Label Studio: a row an annotation; None for other tables."""
    marks = {"annotation_id", "annotator", "lead_time", "created_at", "updated_at"}
    if len(marks & set(table.columns)) < 3 or "annotation_id" not in table.columns:
        return None
    columns = {name: table.values(name) for name in table.columns}
    target = _choice_column(table, columns, options)
    tally, files = Tally(), FilesBeside(table.root)
    samples: dict[str, Sample] = {}
    data = [name for name in columns if name not in OF_TOOL and name != target]
    for number in range(table.num_rows):
        item = f"row {number + 1}"
        cells = {name: files.near(columns[name][number]) for name in data}
        key = str(columns["id"][number]) if "id" in columns else item
        sample = samples.setdefault(key, Sample(number, cells))
        if is_true(columns.get("was_cancelled", [False] * table.num_rows)[number]):
            tally.drop("cancelled annotations", item)
            continue
        value = columns[target][number]
        labels = as_list(value)
        labels = [] if labels is None and is_missing(value) else labels or [value]
        if labels:
            sample.answers.append([str(label) for label in labels])
    return settled(samples.values(), table.where, table.root, target, tally)


def _choice_column(table: Table, columns: dict[str, list[Any]], options: ReadOptions) -> str:
    """Return the column of the control: few different values, beside the task's own data."""
    named = options.target_among(table.columns)
    if named in columns:
        return named
    free = [name for name in columns if name not in OF_TOOL]
    few = []
    for name in free:
        present = [str(value) for value in columns[name] if not is_missing(value)]
        if present and 2 * len(set(present)) <= len(present):
            few.append(name)
    usual: list[str] = [c for c in ("choice", "choices", "sentiment", "class") if c in few]
    few = usual[:1] or few
    if options.label is None and len(few) == 1:
        return few[0]
    raise DataError(
        f"{table.where} is an export of Label Studio; which column holds the choices is not clear "
        f"(found: {quoted(free)}). Name it, for example --label {(few or free or ['choice'])[0]}."
    )
