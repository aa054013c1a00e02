"""Exports of Prodigy (``db-out``, JSONL): binary answers to a label, and choices.

Only what was accepted is a label. A binary question names one label: a rejected one says only that
this label is wrong. Where a file asks about one label alone, rejecting it is the other class.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from headstart.cells import is_missing
from headstart.data.options import ReadOptions
from headstart.data.sources.answers import Sample, Tally, settled
from headstart.data.sources.files_beside import FilesBeside
from headstart.types import Finding

if TYPE_CHECKING:
    from headstart.data.sources.columns import Table

OF_TOOL = frozenset(
    [
        "_input_hash",
        "_task_hash",
        "_view_id",
        "_session_id",
        "_annotator_id",
        "_timestamp",
        "_is_binary",
        "answer",
        "accept",
        "options",
        "label",
        "meta",
        "config",
        "style",
        "tokens",
        "priority",
        "score",
        "_session",
        "_task",
    ]
)
ANSWERS = frozenset({"accept", "reject", "ignore"})


def read_answers(table: Table, options: ReadOptions) -> tuple[Table, list[Finding]] | None:
    """Read a Prodigy export; None for other tables."""
    if "answer" not in table.columns:
        return None
    marks = {"_input_hash", "_task_hash", "_view_id", "accept"} & set(table.columns)
    answers = table.values("answer")
    if not marks or not {str(answer) for answer in answers} <= ANSWERS:
        return None
    if options.label not in (None, "label", "accept"):
        return None
    columns = {name: table.values(name) for name in table.columns}
    is_choice = "accept" in columns and ("options" in columns or "label" not in columns)
    is_choice = is_choice and options.label != "label"
    if not is_choice and "label" not in columns:
        return None
    read = _choices if is_choice else _binary
    tally = Tally()
    samples, said = read(table, columns, tally)
    target = options.label or ("accept" if is_choice else "label")
    found, findings = settled(samples, table.where, table.root, target, tally)
    return found, [*said, *findings]


def _samples(table: Table, columns: dict[str, list[Any]]) -> tuple[list[str], dict[str, Sample]]:
    """Return the sample that each row is about, and the samples."""
    hashes = columns.get("_input_hash") or range(table.num_rows)
    keys = [f"row {i}" if is_missing(key) else str(key) for i, key in enumerate(hashes)]
    data = [name for name in columns if name not in OF_TOOL]
    files, samples = FilesBeside(table.root), dict[str, Sample]()
    for number, key in enumerate(keys):
        cells = {name: files.near(columns[name][number]) for name in data}
        samples.setdefault(key, Sample(number, cells))
    return keys, samples


def _choices(
    table: Table, columns: dict[str, list[Any]], tally: Tally
) -> tuple[list[Sample], list[Finding]]:
    keys, samples = _samples(table, columns)
    for number, (key, answer) in enumerate(zip(keys, columns["answer"], strict=True)):
        if answer == "accept":
            chosen = columns["accept"][number]
            chosen = [] if chosen is None else chosen
            samples[key].answers.append(
                [str(one) for one in (chosen if isinstance(chosen, list) else [chosen])]
            )
        else:
            tally.drop(f"{answer}{'d' if answer[-1] == 'e' else 'ed'} answers", f"row {number + 1}")
    counted = [sample for sample in samples.values() if sample.answers]
    return counted, []


def _binary(
    table: Table, columns: dict[str, list[Any]], tally: Tally
) -> tuple[list[Sample], list[Finding]]:
    keys, samples = _samples(table, columns)
    votes: dict[tuple[str, str], Counter[str]] = {}
    for key, label, answer in zip(keys, columns["label"], columns["answer"], strict=True):
        if not is_missing(label):
            votes.setdefault((key, str(label)), Counter())[str(answer)] += 1
    asked = {label for _, label in votes}
    lone = next(iter(asked)) if len(asked) == 1 else None
    accepted: dict[str, list[str]] = {}
    for (key, label), count in votes.items():
        item = f"row {samples[key].number + 1}"
        if count["accept"] > count["reject"]:
            accepted.setdefault(key, []).append(label)
        elif count["accept"] and count["accept"] == count["reject"]:
            tally.drop("answers accepted as often as rejected", item)
        elif count["reject"] and lone is not None:
            accepted.setdefault(key, []).append(f"not {lone}")
        else:
            tally.drop("rejected answers" if count["reject"] else "ignored answers", item)
    for key, labels in accepted.items():
        samples[key].answers.append(labels)
    findings = []
    if lone is not None and any(c["reject"] > c["accept"] for c in votes.values()):
        sentence = f"'{lone}' is the only label asked about: rejected is the class 'not {lone}'."
        findings.append(Finding("classes", "note", (), sentence))
    return [samples[key] for key in accepted], findings
