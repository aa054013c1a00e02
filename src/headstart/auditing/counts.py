"""How many samples each class has; what rare ones mean is told where the data is read."""

from __future__ import annotations

import numpy as np

from headstart.auditing.audit import Audit, Audited, AuditTools
from headstart.data.records import NOUNS
from headstart.tasks import find_task
from headstart.types import Dataset, Finding, SplitName

SHOWN = 3


def has_classes(dataset: Dataset) -> bool:
    """Return whether there is anything to count."""
    return find_task(dataset.schema.task).has_classes and len(dataset.schema.classes) > 0


def class_counts(dataset: Dataset) -> dict[SplitName, np.ndarray]:
    """Return how many samples each class has in each split: int64, shape (K,)."""
    task, number = find_task(dataset.schema.task), len(dataset.schema.classes)
    names: tuple[SplitName, ...] = ("train", "val", "test")
    return {name: task.class_counts(dataset.split(name).targets, number) for name in names}


def audit_counts(dataset: Dataset, tools: AuditTools) -> list[Audited]:
    """Tell the largest and the smallest classes of train.

    Args:
        dataset: Of a task with classes.
        tools: Not asked for anything.
    """
    counts, classes = class_counts(dataset)["train"], dataset.schema.classes
    task = find_task(dataset.schema.task)
    several = "words" if task.tells_words else NOUNS[dataset.schema.modality][1]
    order = np.argsort(-counts, kind="stable")
    if len(classes) <= 2 * SHOWN:
        shown = ", ".join(f"'{classes[i]}' {counts[i]:,}" for i in order.tolist())
    else:
        ends = [order[:SHOWN].tolist(), order[-SHOWN:].tolist()]
        shown = " … ".join(", ".join(f"'{classes[i]}' {counts[i]:,}" for i in end) for end in ends)
    what = task.words.one if len(classes) == 1 else task.words.several
    sentence = f"Training {several} of {len(classes):,} {what}: {shown}."
    return [Audited(Finding("classes", "note", (), sentence))]


AUDIT = Audit("classes", "How many samples has each class?", has_classes, audit_counts)
