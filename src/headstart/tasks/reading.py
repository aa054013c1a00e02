"""A target column as a source gives it, what a task makes of it, and the names of classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from headstart.types import Finding, Rows, TaskName

# What may stand between the labels of one cell, likeliest first.
SEPARATORS = (";", "|", ",", "/", "#")
Place: TypeAlias = Callable[[int], str]
# Gives numbered labels their names: labels → labels, classes, note.
Naming: TypeAlias = Callable[[list[str]], tuple[list[str], tuple[str, ...], str | None]]


@dataclass(frozen=True)
class TargetColumn:
    """One value for each sample, and what is known of them.

    Attributes:
        values: Strings, numbers, lists; whatever the source holds.
        what: What the column is called in messages, for example ``"Column 'label'"``.
        place: Says where the value of an index stands, for example ``row 3 of reviews.csv``.
        is_said: Whether the user has said the task, or a model has: then nothing is doubted.
        is_tidied: Whether blanks around class names, and the ``.0`` of a CSV file, mean nothing.
        separator: What stands between the labels of one cell, where it was said.
        naming: Gives numbered classes their names, where the data states them.
    """

    values: Sequence[object]
    what: str
    place: Place
    is_said: bool = False
    is_tidied: bool = True
    separator: str | None = None
    naming: Naming | None = None

    def named(self, labels: list[str]) -> tuple[list[str], tuple[str, ...], list[Finding]]:
        """Return labels under the names of their classes, all classes in order, and findings."""
        if self.naming is None:
            return labels, order_classes(set(labels)), []
        found, classes, note = self.naming(labels)
        return found, classes, [Finding("classes", "note", (), note)] if note else []


@dataclass(frozen=True)
class Targets:
    """A target column, read.

    Attributes:
        task: What it asks for.
        values: As ``Split.targets``.
        classes: Class names in order; empty where the task has none.
        findings: What a user should know of it.
    """

    task: TaskName
    values: Rows
    classes: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)


def order_classes(names: set[str]) -> tuple[str, ...]:
    """Return class names sorted; by value where all of them are whole numbers."""
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def encode_targets(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return int64 targets, shape (N,), for class names."""
    index = {name: position for position, name in enumerate(classes)}
    return np.fromiter(map(index.__getitem__, labels), np.int64, len(labels))
