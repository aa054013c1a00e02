"""A target column as a source gives it, what a task makes of it, and the names of classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from headstart.cells import shown
from headstart.columnar import array_from, counted, different, mapped
from headstart.types import Finding, Rows, Schema, TaskName

# What may stand between the labels of one cell, likeliest first.
SEPARATORS = (";", "|", ",", "/", "#")
_AROUND = " \t\n\r\f\v\u00a0\u2007\u202f\u3000\u200b\u200c\u200d\u2060\ufeff"
Place: TypeAlias = Callable[[int], str]
# Gives numbered labels their names: labels → labels, classes, note.
Naming: TypeAlias = Callable[[Sequence[str]], tuple[Sequence[str], tuple[str, ...], str | None]]


@dataclass(frozen=True)
class TargetColumn:
    """One value for each sample, and what is known of them.

    Attributes:
        values: Strings, numbers, lists; whatever the source holds.
        what: What the column is called in messages, for example ``"Column 'label'"``.
        place: Says where the value of an index stands, for example ``row 3 of reviews.csv``.
        separator: What stands between the labels of one cell, where it was said.
        naming: Gives numbered classes their names, where the data states them.
    """

    values: Sequence[object]
    what: str
    place: Place
    separator: str | None = None
    naming: Naming | None = None

    def named(self, labels: Sequence[str]) -> tuple[Sequence[str], tuple[str, ...], list[Finding]]:
        """Return labels under the names of their classes, all classes in order, and findings."""
        if self.naming is None:
            return labels, order_classes(set(different(labels))), []
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
        parts: Of several targets the schema of each.
    """

    task: TaskName
    values: Rows
    classes: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)
    parts: tuple[Schema, ...] = ()


def order_classes(names: set[str]) -> tuple[str, ...]:
    """Return class names sorted; by value where all of them are whole numbers."""
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def tidy_labels(labels: Sequence[str], what: str) -> tuple[Sequence[str], list[Finding]]:
    r"""Return class names as they are meant, and a finding where several spellings are one class.

    Blanks around a name (and marks of no width) mean nothing, composed and decomposed letters are
    the same, bytes that no one can print are written as ``\\xe9``, and ``1.0`` is ``1`` where all
    are whole numbers or the class ``1`` is there, too. Capitals and blanks inside are kept.

    Args:
        labels: Names of images, texts, rows or class folders, all by one rule.
        what: What holds them, for example ``"Column 'label'"``.
    """
    spellings = counted(labels)
    tidied = {
        spelling: unicodedata.normalize("NFC", shown(spelling)).strip(_AROUND)
        for spelling in spellings
    }
    names = set(tidied.values())
    is_whole = all(re.fullmatch(r"-?\d+(\.0+)?", name) for name in names)
    for spelling, name in tidied.items():
        whole = re.fullmatch(r"(-?\d+)\.0+", name)
        if whole and (is_whole or whole[1] in names):
            tidied[spelling] = "0" if whole[1] == "-0" else whole[1]
    findings = []
    several: dict[str, list[str]] = {}
    for spelling in sorted(spellings):
        several.setdefault(tidied[spelling], []).append(spelling)
    merged = {name: found for name, found in several.items() if len(found) > 1}
    if merged:
        name, found = next(iter(merged.items()))
        written = " and ".join(f"{spelling!a} ({spellings[spelling]:,})" for spelling in found[:3])
        more = f"; likewise {len(merged) - 1:,} more" if len(merged) > 1 else ""
        sentence = f"{what} writes the class '{name}' as {written}, read as one class{more}."
        findings.append(Finding("classes", "note", (), sentence))
    if alike := _alike_but_for_case(set(tidied.values())):
        listed = ", ".join(f"'{name}'" for name in alike[:4])
        sentence = (
            f"{what} has classes that differ in capitals, blanks or quotes alone: {listed}. Each "
            "is a class of its own; if they mean the same, write them alike."
        )
        findings.append(Finding("classes", "warning", (), sentence))
    return mapped(labels, tidied.__getitem__), findings


def _alike_but_for_case(names: set[str]) -> list[str]:
    """Return the classes that another one equals but for capitals, blanks, hyphens and quotes."""
    alike: dict[str, list[str]] = {}
    for name in sorted(name for name in names if not re.fullmatch(r"-?[\d.,]+", name)):
        alike.setdefault(re.sub(r"[\s_\-'\"`]+", "", name.casefold()) or name, []).append(name)
    return [name for found in alike.values() if len(found) > 1 for name in found]


def encode_targets(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return int64 targets, shape (N,), for class names."""
    index = {name: position for position, name in enumerate(classes)}
    return array_from(labels, index.__getitem__, np.int64)
