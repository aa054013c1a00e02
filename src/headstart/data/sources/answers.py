"""What annotators have answered: which answers count, what several say together, what is told.

Tools write a line or record for each answer, with its state beside it: submitted, rejected,
ignored, cancelled. An answer that was not given is no label, and a sample that several people have
labelled is one sample: what most of them say, or, where as many say one thing as another, nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.data.sources.listed import ListTable, from_rows
from headstart.types import Finding

COUNTED = frozenset(
    [
        "accept",
        "accepted",
        "approve",
        "approved",
        "submitted",
        "complete",
        "completed",
        "validated",
        "reviewed",
        "done",
        "confirmed",
        "ok",
        "correct",
        "valid",
        "labeled",
        "labelled",
        "annotated",
    ]
)
REJECTED = frozenset(
    [
        "reject",
        "rejected",
        "ignore",
        "ignored",
        "discard",
        "discarded",
        "skip",
        "skipped",
        "cancel",
        "cancelled",
        "canceled",
        "declined",
        "invalid",
        "deleted",
        "flagged",
    ]
)
UNDECIDED = frozenset(
    ["pending", "draft", "default", "in_progress", "open", "todo", "unlabeled", "unlabelled", "new"]
)


def is_true(value: object) -> bool:
    """Return whether a flag is set: true, 1, or one of these as a word."""
    return str(value).strip().lower() in ("true", "1", "1.0", "yes")


@dataclass
class Sample:
    """One sample and what was answered of it.

    Attributes:
        number: Its row or record in the file, from 0.
        cells: Its columns.
        answers: The labels that each annotator whose answer counts has given.
    """

    number: int
    cells: dict[str, Any]
    answers: list[list[str]] = field(default_factory=list)


@dataclass
class Tally:
    """What became of answers and samples, to be told."""

    dropped: Counter[str] = field(default_factory=Counter)
    items: list[str] = field(default_factory=list)

    def drop(self, why: str, item: str) -> None:
        """Count a sample or an answer that is left out."""
        self.dropped[why] += 1
        self.items.append(item)

    def findings(self, where: str) -> list[Finding]:
        """Return one finding a reason."""
        if not self.dropped:
            return []
        parts = ", ".join(f"{number:,} {why}" for why, number in self.dropped.most_common())
        sentence = f"Left out of {where}: {parts}."
        return [Finding("unlabelled", "warning", self.items, sentence)]


def majority(answers: Sequence[Sequence[str]]) -> list[str] | None:
    """Return the set of labels that most annotators gave; None where two sets are as frequent.

    Example:
        >>> majority([["a"], ["b"], ["a"]]), majority([["a"], ["b"]])
        (['a'], None)
    """
    counts = Counter(tuple(sorted(set(labels))) for labels in answers)
    ranked = counts.most_common(2)
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return None
    return list(ranked[0][0])


def settled(
    samples: Iterable[Sample], where: str, root: Path, target: str, tally: Tally
) -> tuple[ListTable, list[Finding]]:
    """Return a table with one row a sample, its labels a list in the column ``target``.

    Args:
        samples: With their answers.
        where: What a person calls the file.
        root: The folder that paths start from.
        target: What to call the column of labels.
        tally: What was left out so far.
    """
    rows, numbers, several, apart = [], [], 0, 0
    for sample in samples:
        item = f"record {sample.number + 1}"
        if not sample.answers:
            tally.drop("without an answer", item)
            continue
        labels = majority(sample.answers)
        several += len(sample.answers) > 1
        apart += len({tuple(sorted(set(a))) for a in sample.answers}) > 1
        if labels is None:
            tally.drop("whose annotators disagree as often as they agree", item)
            continue
        rows.append({**sample.cells, target: labels})
        numbers.append(sample.number)
    findings = tally.findings(where)
    if several:
        sentence = (
            f"{several:,} samples of {where} were labelled more than once: what most annotators "
            f"say is the label; they differ on {apart:,}."
        )
        findings.append(Finding("reading", "note", (), sentence))
    columns = {target: None, **dict.fromkeys(key for row in rows for key in row)}
    complete = [{key: row.get(key) for key in columns} for row in rows]
    table = from_rows(complete, where, root, target=target, numbers=numbers)
    return table, findings
