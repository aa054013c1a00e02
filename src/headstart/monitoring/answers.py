"""What is kept of an answer: how sure it is and which classes it names, or its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.tasks import Task
from headstart.types import Ragged, Rows, Schema


@dataclass(frozen=True)
class KeptAnswers:
    """The answers to N samples.

    Attributes:
        numbers: Confidence where there are classes, else the value, float32, shape (N,).
        flags: 1 of each class that is named, uint8, shape (N, K); None where there are none.
    """

    numbers: np.ndarray
    flags: np.ndarray | None

    @property
    def counts(self) -> np.ndarray:
        """How often each class is named, int64, shape (K,); empty where there are none."""
        if self.flags is None:
            return np.empty(0, np.int64)
        found: np.ndarray = self.flags.sum(axis=0, dtype=np.int64)
        return found


def joined_answers(parts: Sequence[KeptAnswers]) -> KeptAnswers:
    """Return the answers of all parts, one part after the other; at least one part."""
    flags = [one.flags for one in parts if one.flags is not None]
    numbers = np.concatenate([one.numbers for one in parts])
    return KeptAnswers(numbers, np.concatenate(flags) if flags else None)


def answers_of(task: Task, outputs: Rows) -> KeptAnswers:
    """Return what is kept of a model's outputs.

    Confidence is the probability of the class that is named; where a sample may have any number of
    them, the mean over all of how sure each is to be named or not. Of texts whose words are told of
    it is the mean over the words, and named is every tag that a word has; of answers that are found
    it is the probability of what is said. Of several targets it is the mean over those with
    classes, and named is one of each, and each number above train's mean; where all are numbers,
    the value is their mean in train's units.

    Args:
        task: What is told.
        outputs: Probabilities or values, shape (N, K); of words ragged.
    """
    if task.finds_texts:
        sure = task.confidence(outputs)
        assert sure is not None
        return KeptAnswers(sure.astype(np.float32), None)
    if isinstance(outputs, Ragged):
        return _of_words(task, outputs)
    plain = np.asarray(outputs, np.float32).reshape(len(outputs), -1)
    if task.parts:
        return _of_parts(task, plain)
    if not task.has_classes:
        return KeptAnswers(plain[:, 0], None)
    if task.is_exclusive:
        flags = np.zeros(plain.shape, np.uint8)
        flags[np.arange(len(plain)), plain.argmax(axis=1)] = 1
        return KeptAnswers(plain.max(axis=1), flags)
    decided = np.asarray(task.decisions(plain), np.uint8)
    return KeptAnswers(np.maximum(plain, 1 - plain).mean(axis=1), decided)


def names_of(schema: Schema, task: Task) -> tuple[str, ...]:
    """Return what stands for each flag of an answer, in words."""
    if not task.parts:
        return schema.classes
    found: list[str] = []
    for part, own in zip(task.parts, schema.parts, strict=True):
        found += [f"{part.label}: {name}" for name in own.classes or (f"above {part.mean:g}",)]
    return tuple(found)


def _of_parts(task: Task, outputs: np.ndarray) -> KeptAnswers:
    flags, sure, values = [], [], []
    ends = np.cumsum([part.width for part in task.parts])
    for part, own in zip(task.parts, np.split(outputs, ends[:-1], axis=1), strict=True):
        if part.num_classes:
            flags.append(np.eye(part.num_classes, dtype=np.uint8)[own.argmax(axis=1)])
            sure.append(own.max(axis=1))
        else:
            flags.append((own > part.mean).astype(np.uint8))
            values.append((own[:, 0] - part.mean) / part.scale)
    numbers = np.asarray(np.mean(sure or values, axis=0, dtype=np.float32))
    return KeptAnswers(numbers, np.concatenate(flags, axis=1) if sure else None)


def _of_words(task: Task, outputs: Ragged) -> KeptAnswers:
    """Return what is kept of N texts, each with probabilities (T, K) of its words, T at least 1."""
    tags = task.decisions(outputs)
    assert isinstance(tags, Ragged)
    starts = outputs.offsets[:-1] - outputs.offsets[0]
    rows = np.repeat(np.arange(len(outputs)), outputs.lengths)
    sure = outputs.whole[np.arange(len(tags.whole)), tags.whole]
    means = np.add.reduceat(sure, starts) / outputs.lengths
    flags = np.zeros((len(outputs), outputs.flat.shape[1]), np.uint8)
    flags[rows, tags.whole] = 1
    return KeptAnswers(means.astype(np.float32), flags)
