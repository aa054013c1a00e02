"""What is found of data, as records: what it is, how grave, of which samples, and its sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# What a finding is about. How the data was read: ``reading``, ``task``, ``classes``, ``unused`` (a
# column, file or split). What is wrong with samples or columns: ``unreadable``, ``missing``,
# ``unlabelled``, ``constant``, ``identifier``, ``leak``, ``truncated``, ``unseen`` (a category that
# train did not have), ``copies`` (the same sample again), ``contradiction`` (the same sample with
# two labels), ``time`` (days between those learned from are tested), ``near copies`` (nearly the
# same sample again), ``group`` (what belongs together is on both sides), ``doubtful label``,
# ``shortcut`` (a column that tells the answer without knowing the case), ``drift`` (test is unlike
# train), ``size``. What is wrong with numbers of samples: ``few``, ``imbalance``, ``untested``.
# ``learned``: samples that the model has seen in training.
FindingKind = Literal[
    "reading",
    "task",
    "classes",
    "unused",
    "unreadable",
    "missing",
    "unlabelled",
    "constant",
    "identifier",
    "leak",
    "truncated",
    "unseen",
    "copies",
    "contradiction",
    "time",
    "near copies",
    "group",
    "doubtful label",
    "shortcut",
    "drift",
    "size",
    "few",
    "imbalance",
    "untested",
    "learned",
]
# ``note``: good to know. ``warning``: something is lost, or a figure may say less than it seems to.
# ``error``: a figure would not mean what it says.
Severity = Literal["note", "warning", "error"]

MAX_ITEMS = 100


@dataclass(frozen=True)
class Finding:
    """One thing that a reader of the figures should know of the data.

    Attributes:
        kind: What it is about.
        severity: How grave it is.
        items: Names of the samples concerned, the first hundred; empty where it is not about
            single samples, or they are not known.
        sentence: What a person reads; a note is its sentence.

    Example:
        >>> found = Finding("unreadable", "warning", ("cat/3.jpg",), "1 of 20 images left out.")
        >>> Finding(**found.to_json()) == found
        True
    """

    kind: FindingKind
    severity: Severity
    items: Sequence[str]
    sentence: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items[:MAX_ITEMS]))

    def __str__(self) -> str:
        return self.sentence

    def to_json(self) -> dict[str, object]:
        """Return the record that ``data.json`` keeps."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "items": list(self.items),
            "sentence": self.sentence,
        }
