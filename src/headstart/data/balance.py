"""How many samples each class has, and what a user should know of it before anything is trained."""

from __future__ import annotations

import numpy as np

from headstart.data.records import NOUNS, SPLIT_CODES, Records
from headstart.errors import quoted
from headstart.types import Finding

FEW_PER_CLASS = 10
FEW_IMAGES = 100
IMBALANCE_RATIO = 3  # largest to smallest class: from here on val shows it (docs/experiments.md)
GRAVE_RATIO = 10


def describe_splits(records: Records, splits: np.ndarray) -> list[Finding]:
    """Return what a user should know of these splits."""
    findings = []
    noun = NOUNS[records.modality][1]
    num_train = int((splits == SPLIT_CODES["train"]).sum())
    if num_train < FEW_IMAGES:
        sentence = f"Only {num_train} {noun} to train on; figures will have wide intervals."
        findings.append(Finding("few", "warning", (), sentence))
    task, names = records.asks, records.classes
    if not task.has_classes:
        return findings
    train, val, test = (
        class_counts(records, splits == SPLIT_CODES[name]) for name in ("train", "val", "test")
    )
    what = task.words.several.capitalize()
    noun = "words" if task.tells_words else noun  # which are what has a tag, and are counted
    asked = task.asked_classes(names)
    tiny = [f"'{names[i]}' ({train[i]})" for i in asked if train[i] < FEW_PER_CLASS]
    if tiny:
        more = f" and {len(tiny) - 5} more" if len(tiny) > 5 else ""
        sentence = (
            f"{what} with fewer than {FEW_PER_CLASS} training {noun}: {', '.join(tiny[:5])}{more}."
        )
        findings.append(Finding("few", "warning", (), sentence))
    findings += _imbalance(records, train, val)
    absent = [names[i] for i in asked if test[i] == 0]
    if absent:
        sentence = f"{what} without test {noun}, so without test figures: {quoted(absent)}."
        findings.append(Finding("untested", "warning", (), sentence))
    return findings


def _imbalance(records: Records, train: np.ndarray, val: np.ndarray) -> list[Finding]:
    """Return that classes are imbalanced, what ``imbalance=auto`` does about it, and what helps."""
    most, least = int(train.argmax()), int(train.argmin())
    if not records.asks.is_exclusive or not train[least]:
        return []
    ratio = train[most] / train[least]
    if ratio < IMBALANCE_RATIO:
        return []
    names, noun = records.classes, NOUNS[records.modality][1]
    in_val = f"; {val[least]} in val" if val.any() else ""
    sentence = (
        f"Classes are imbalanced: '{names[most]}' has {train[most]} training {noun}, "
        f"'{names[least]}' {train[least]} ({ratio:.0f} times fewer{in_val}). --imbalance auto "
        "leaves the loss as it is, so that the rare ones may be found less often: the report shows "
        "the recall of each class. --imbalance weights finds more of them, and is wrong more often."
    )
    severity = "warning" if ratio >= GRAVE_RATIO else "note"
    return [Finding("imbalance", severity, (), sentence)]  # type: ignore[arg-type]


def class_counts(records: Records, chosen: np.ndarray) -> np.ndarray:
    """Return how many of the chosen samples, a mask, each class has."""
    return records.asks.class_counts(records.targets[chosen], len(records.classes))
