"""What a task is asked about how sure its answers are, and what it decides because of that."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from headstart.types import Deciding, Rows, Schema

UNKNOWN = "unknown"  # what is said where a model is not sure enough


@dataclass(frozen=True, eq=False)
class Question:
    """A question of yes or no that a model's answers rank the items by.

    Attributes:
        name: Of the class or label.
        scores: Its probability, float64, shape (N,).
        is_positive: Whether an item is of it, bool, shape (N,).
    """

    name: str
    scores: np.ndarray
    is_positive: np.ndarray


class Certain(ABC):
    """What is asked of a task about certainty; a task without probabilities says nothing.

    Attributes:
        deciding: How answers are made of outputs.
    """

    deciding: Deciding

    def deciding_by(self, deciding: Deciding) -> Self:
        """Return the same task, whose answers are made in another way."""
        return replace(self, deciding=deciding)  # type: ignore[type-var]

    def tuned(self, outputs: Rows, targets: Rows) -> Deciding:
        """Return how answers are made where val settles it unasked; as they are for most tasks.

        Args:
            outputs: Of val, as ``outputs`` gives them.
            targets: As in ``Split``.
        """
        return self.deciding

    def questions(self, outputs: Rows, targets: Rows, schema: Schema) -> Sequence[Question]:
        """Return the questions that items are ranked by: of two classes that of the second.

        Args:
            outputs: As ``outputs`` gives them.
            targets: As in ``Split``.
            schema: Gives the classes.
        """
        return ()

    def certainty(self, outputs: Rows, targets: Rows) -> tuple[np.ndarray, np.ndarray] | None:
        """Return how sure each answer is, and whether it is right; None without probabilities.

        Of several labels every decision is an answer of its own, item by item.

        Args:
            outputs: As ``outputs`` gives them.
            targets: As in ``Split``.
        """
        return None

    def confidence(self, outputs: Rows) -> np.ndarray | None:
        """Return how probable an answer is as a whole, shape (N,); None without probabilities.

        Args:
            outputs: As ``outputs`` gives them.
        """
        return None

    def leads(self, outputs: Rows) -> np.ndarray | None:
        """Return by how much each answer leads the next one, shape (N,); None where none does.

        Args:
            outputs: As ``outputs`` gives them.
        """
        return None

    def misfits(self, outputs: Rows, targets: Rows) -> np.ndarray | None:
        """Return how ill targets fit outputs, for conformal bounds, shape (N,); None for no such.

        Args:
            outputs: As ``outputs`` gives them.
            targets: As in ``Split``.
        """
        return None

    def set_sizes(self, outputs: Rows) -> np.ndarray | None:
        """Return how many classes the set of each item holds, shape (N,); None of numbers.

        Args:
            outputs: As ``outputs`` gives them.
        """
        return None
