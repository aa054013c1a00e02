"""Regions of texts in Label Studio's JSON: spans with a label each, as ``tagged`` reads them.

A task with several annotations counts once: by the one marked as ground truth, else by its first;
cancelled ones are no annotations, and tasks without any are left out. Left out: relations, regions
of images and sound, labels of the whole text beside regions (``label_studio``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headstart.data.options import ReadOptions
from headstart.data.sources.label_studio import VALUES, deciding, standing, tasks_of
from headstart.data.sources.listed import ListTable
from headstart.data.sources.tagged import Read, read_tagged
from headstart.errors import DataError
from headstart.tasks import find_task
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

_REGIONS = ("labels", "hypertextlabels")
_SHOWN = 60  # characters


def read_regions(table: Table, options: ReadOptions) -> Read:
    """Read Label Studio's JSON whose results are regions of a text; None for other tables.

    Raises:
        DataError: No text of a task has a region where the export says so.
    """
    tasks = tasks_of(table)
    if tasks is None:
        return None
    kept = [next(iter(deciding(standing(answers))), None) for _, answers in tasks]
    results = [part for one in kept for part in (one or {}).get("result") or ()]
    kinds = {str(part.get("type")) for part in results if isinstance(part, dict)}
    is_asked = options.known_task is not None and find_task(options.known_task).tells_words
    if not kinds & {*_REGIONS} or (kinds & {*VALUES} and not is_asked):
        return None
    rows, numbers = [], []
    for number, ((data, _), annotation) in enumerate(zip(tasks, kept, strict=True)):
        if annotation is not None:
            where = f"record {number + 1:,} of {table.where}"
            rows.append(_row(data, annotation.get("result") or (), where))
            numbers.append(number)
    made = ListTable(
        {"text": [text for text, _ in rows], "spans": [spans for _, spans in rows]},
        table.where,
        table.root,
        numbers=numbers,
    )
    read = read_tagged(made, options)
    if read is None:
        return None
    found, findings = read
    several = sum(len(standing(answers)) > 1 for _, answers in tasks)
    if several:
        said = f"{several:,} texts have several annotations: the ground truth counts, or the first."
        findings = [*findings, Finding("reading", "note", (), said)]
    left = len(tasks) - len(rows)
    if left:
        said = f"{left:,} texts have no annotation, or a cancelled one: left out."
        findings = [*findings, Finding("reading", "note", (), said)]
    return found, findings


def _row(
    data: Mapping[str, Any], result: Sequence[Any], where: str
) -> tuple[str, list[dict[str, Any]]]:
    """Return a text and its spans: the text in which every region stands where it says.

    Raises:
        DataError: There is none.
    """
    regions = [
        part["value"]
        for part in result
        if isinstance(part, dict) and part.get("type") in _REGIONS and part.get("value")
    ]
    texts = [v for v in data.values() if isinstance(v, str)]
    fitting = [text for text in texts if all(_stands(region, text) for region in regions)]
    if not fitting:
        shown = next((str(one.get("text"))[:_SHOWN] for one in regions), "")
        raise DataError(
            f"No text of {where} has its regions where they say (the first is '{shown}'); expected "
            "'start' and 'end' to count the characters of a text in 'data'. Export the project "
            "again as JSON, its texts as plain text."
        )
    spans = [
        {"start": one["start"], "end": one["end"], "label": label}
        for one in regions
        for label in one.get("labels") or one.get("hypertextlabels") or ()
    ]
    return max(fitting, key=len), spans


def _stands(region: Mapping[str, Any], text: str) -> bool:
    start, end = region.get("start"), region.get("end")
    if not isinstance(start, int) or not isinstance(end, int):
        return False
    said = region.get("text")
    return said is None or text[start:end] == said
