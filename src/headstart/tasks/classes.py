"""What the tasks share that tell named classes: how answers are written for people."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import UnlabelledError
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
        found = []
        for name, probabilities, label in zip(names, array_of(outputs), labels, strict=True):
            each = tuple(float(p) for p in probabilities)
            found.append(Prediction(name, label, max(each), each))
        return found

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
