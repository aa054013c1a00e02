"""What is kept of an answer: how sure it is and which classes it names, or its number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.tasks import Task


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


def answers_of(task: Task, outputs: np.ndarray) -> KeptAnswers:
    """Return what is kept of a model's outputs.

    Confidence is the probability of the class that is named; where a sample may have any number of
    them, the mean over all of how sure each is to be named or not.

    Args:
        task: What is told.
        outputs: Probabilities or values, shape (N, K).
    """
    plain = np.asarray(outputs, np.float32).reshape(len(outputs), -1)
    if not task.has_classes:
        return KeptAnswers(plain[:, 0], None)
    if task.is_exclusive:
        flags = np.zeros(plain.shape, np.uint8)
        flags[np.arange(len(plain)), plain.argmax(axis=1)] = 1
        return KeptAnswers(plain.max(axis=1), flags)
    decided = np.asarray(task.decisions(plain), np.uint8)
    return KeptAnswers(np.maximum(plain, 1 - plain).mean(axis=1), decided)
