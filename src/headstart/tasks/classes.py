"""What the tasks share that tell named classes: how answers are written for people."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import UnlabelledError
from headstart.evaluation import class_misfits
from headstart.tasks.certain import UNKNOWN
from headstart.tasks.plain import array_of
from headstart.tasks.task import Task
from headstart.types import Prediction, Rows, Schema


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassTask(Task):
    """A task whose outputs are probabilities of named classes, shape (N, K)."""

    has_classes: bool = True

    @abstractmethod
    def class_names(self, rows: Rows, schema: Schema) -> list[str]:
        """Return what a person calls targets or decisions, one text a row."""

    def check_learnable(self, name: str, targets: Rows, classes: Sequence[str]) -> None:
        """Refuse fewer than two classes."""
        if len(classes) < 2:
            found = f"one class only ('{classes[0]}')" if classes else "no class"
            raise UnlabelledError(
                f"{name} has {found}; classification needs at least two. "
                "Check that the classes stand where they are looked for: in a folder per class, or "
                "in the label column of a table."
            )

    def predictions(self, names: Sequence[str], outputs: Rows, schema: Schema) -> list[Prediction]:
        """Return one record a sample, with the probabilities of all classes."""
        labels = self.class_names(self.decisions(outputs), schema)
        told, sets = self.told_probability(outputs).tolist(), self.class_sets(outputs)
        sure = self.confidence(outputs).tolist()
        least, found = self.deciding.least, []
        for place, (name, probabilities) in enumerate(zip(names, array_of(outputs), strict=True)):
            each = tuple(float(p) for p in probabilities)
            possible = () if sets is None else _named(sets[place], schema)
            is_unknown = least is not None and sure[place] < least
            label, guess = (UNKNOWN, labels[place]) if is_unknown else (labels[place], None)
            found.append(Prediction(name, label, told[place], each, possible=possible, guess=guess))
        return found

    def told_probability(self, outputs: Rows) -> np.ndarray:
        """Return the probability that an answer is told with, float64, shape (N,)."""
        highest: np.ndarray = array_of(outputs).max(axis=1).astype(np.float64)
        return highest

    @abstractmethod
    def confidence(self, outputs: Rows) -> np.ndarray:
        """Return how probable the answer is as a whole, float64, shape (N,)."""

    def class_sets(self, outputs: Rows) -> np.ndarray | None:
        """Return which classes the set of each item holds, bool, shape (N, K); None without one."""
        bound = self.deciding.bound
        return None if bound is None else self.class_misfits(outputs) <= bound

    def class_misfits(self, outputs: Rows) -> np.ndarray:
        """Return how ill each class fits, 0 for those that are answered, float64, shape (N, K)."""
        return class_misfits(array_of(outputs), self.decided(outputs))

    @abstractmethod
    def decided(self, outputs: Rows) -> np.ndarray:
        """Return which classes are answered, bool, shape (N, K)."""

    def set_sizes(self, outputs: Rows) -> np.ndarray | None:
        """Return how many classes the set of each item holds, int64, shape (N,)."""
        sets = self.class_sets(outputs)
        return None if sets is None else np.asarray(sets.sum(axis=1))

    def item_columns(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, Any]:
        """Return target and prediction by name, and the probabilities."""
        probabilities = array_of(outputs)
        return {
            "target": self.class_names(targets, schema),
            "prediction": self.class_names(self.decisions(outputs), schema),
            "probability": probabilities.max(axis=1).astype(np.float32),
            "probabilities": list(probabilities.astype(np.float32)),
        }

    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return target and prediction by name, and how sure the model was."""
        return {
            "target": self.class_names(targets, schema)[0],
            "prediction": self.class_names(self.decisions(outputs), schema)[0],
            "probability": float(self.badness(targets, outputs)[0]),
        }


def _named(held: np.ndarray, schema: Schema) -> tuple[str, ...]:
    """Return the names of the classes that a mask holds."""
    return tuple(schema.classes[k] for k in np.flatnonzero(held))
