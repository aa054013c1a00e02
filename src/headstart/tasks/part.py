"""One of several targets of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from headstart.tasks.task import Task


@dataclass(frozen=True)
class TargetPart:
    """One of several targets.

    Attributes:
        label: Its column.
        task: What it asks for.
        num_classes: How many classes it has; 0 for a number.
        mean: Of a number, train's mean: what a loss sees has it taken off.
        scale: Train's spread, by which the rest is divided.
    """

    label: str
    task: Task
    num_classes: int
    mean: float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """How many numbers a model gives for it."""
        return self.num_classes or 1

    def present(self, column: np.ndarray) -> np.ndarray:
        """Return those of its targets that are there, as its own task has them.

        Args:
            column: float, shape (N,), NaN for what is lacking.
        """
        own: np.ndarray = column[np.isfinite(column)]
        return own.astype(np.int64) if self.num_classes else own
