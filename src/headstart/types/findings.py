"""What is found of data, as records: what it is, how grave, of which samples, and its sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# What a finding is about. How the data was read: ``reading``, ``columns`` (how many of each kind),
# ``task``, ``classes``, ``unused`` (a column, file or split). What is wrong with samples or
# columns: ``unreadable``, ``missing``, ``unlabelled``, ``constant``, ``identifier``, ``leak``,
# ``truncated``, ``unseen`` (a category that train did not have), ``copies`` (the same sample
# again), ``contradiction`` (the same sample with two labels), ``time`` (days between those learned
# from are tested), ``near copies`` (nearly the same sample again), ``group`` (what belongs together
# is on both sides), ``doubtful label``, ``shortcut`` (a column that tells the answer without
# knowing the case), ``drift`` (test is unlike train), ``size``. What is wrong with numbers of
# samples: ``few``, ``imbalance``, ``untested``. ``learned``: samples that the model has seen in
# training. ``pretraining``: what a start has learned.
FindingKind = Literal[
    "reading",
    "columns",
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
    "pretraining",
]
# ``note``: good to know. ``warning``: something is lost, or a figure may say less than it seems to.
# ``error``: a figure would not mean what it says.
Severity = Literal["note", "warning", "error"]

MAX_ITEMS = 100
# What sentences count, one and several; what comes behind says the same of one.
_SEVERAL = {
    **{f"{one}s": one for one in ("row", "image", "text", "sample", "item", "column", "label")},
    **{
        f"{one}s": one
        for one in ("group", "file", "token", "part", "cell", "value", "folder", "run")
    },
    **{f"{one}s": one for one in ("link", "page", "pair", "feature", "minute", "second", "step")},
    **{
        "classes": "class",
        "copies": "copy",
        "categories": "category",
        "epochs": "epoch",
        "entries": "entry",
    },
}
_VERBS = {"are": "is", "were": "was", "have": "has", "hold": "holds", "differ": "differs"}
_ONE = re.compile(
    r"(?:(?<=^)|(?<=[\s(]))1 ((?:[a-z]+ing |usable |different |other |more |unlabelled )*)"
    rf"({'|'.join(_SEVERAL)})(?![\w'/\\])( (?:{'|'.join(_VERBS)})\b)?(?! of (?:one|the))"
)


def in_number(sentence: str) -> str:
    """Return a sentence in which one thing is one: ``1 row is``, not ``1 rows are``.

    Sentences are written for several, since most findings are; names in quotes stay as they are.

    Example:
        >>> in_number("Only 1 training rows to learn from; 1 images are left out, of 1,001 rows.")
        'Only 1 training row to learn from; 1 image is left out, of 1,001 rows.'
    """

    def single(match: re.Match[str]) -> str:
        verb = f" {_VERBS[match[3].strip()]}" if match[3] else ""
        return f"1 {match[1]}{_SEVERAL[match[2]]}{verb}"

    return _ONE.sub(single, sentence)


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
        object.__setattr__(self, "sentence", in_number(self.sentence))

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
