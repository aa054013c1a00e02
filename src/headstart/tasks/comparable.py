"""How a task holds predictors of the same items against one another."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from headstart.errors import OptionError
from headstart.evaluation import ItemSums
from headstart.tasks.plain import TextColumn, array_of
from headstart.types import Comparison, Rows, Schema


class Comparable(ABC):
    """What is asked of a task where several predictors are compared."""

    name: str

    @abstractmethod
    def compare(
        self,
        before: str,
        before_decisions: Rows,
        after: str,
        after_decisions: Rows,
        targets: Rows,
        *,
        seed: int = 0,
        groups: np.ndarray | None = None,
    ) -> Comparison:
        """Compare two predictors on the same items.

        Args:
            before: Name of the first.
            before_decisions: As ``decisions`` gives them.
            after: Name of the second.
            after_decisions: The same of the second.
            targets: As in ``Split``, N at least 1.
            seed: Seed of the bootstrap.
            groups: As for ``scores``.

        Raises:
            OptionError: The three have different shapes, other types than the task has, or are
                empty.
        """

    def compared(self, logits: Rows) -> Rows:
        """Return of logits what two computations of a network are compared by: all of it.

        Args:
            logits: Of a model.
        """
        return logits

    def item_sums(
        self, decisions: Rows, targets: Rows, schema: Schema, losses: np.ndarray
    ) -> ItemSums | None:
        """Return what each item adds to figures that are compared; None where there are none.

        Args:
            decisions: As ``decisions`` gives them.
            targets: As in ``Split``.
            schema: Gives the classes.
            losses: Of each item, as ``predictions.parquet`` has them, shape (N,).
        """
        return None

    def item_errors(self, decisions: Rows, targets: Rows) -> np.ndarray:
        """Return how wrong each item is, float64, shape (N,): 0 or 1; of numbers, by how far.

        Args:
            decisions: As ``decisions`` gives them.
            targets: As in ``Split``.
        """
        wrong = array_of(decisions) != array_of(targets)
        errors: np.ndarray = wrong if wrong.ndim == 1 else wrong.any(axis=1)
        return errors.astype(np.float64)

    def item_gains(self, before: Rows, after: Rows, targets: Rows) -> np.ndarray:
        """Return by how much each item is less wrong by ``after``, float64, shape (N,).

        Args:
            before: As ``decisions`` gives them.
            after: The same of the second.
            targets: As in ``Split``.
        """
        gains: np.ndarray = self.item_errors(before, targets) - self.item_errors(after, targets)
        return gains

    def read_item_column(self, column: TextColumn | np.ndarray, schema: Schema) -> Rows:
        """Return the targets or decisions that a column of ``predictions.parquet`` holds.

        Args:
            column: As ``item_columns`` has given target or prediction.
            schema: Gives the classes.

        Raises:
            OptionError: It is no column of this task.
        """
        raise OptionError(f"Items of a {self.name} cannot be read. Compare runs of another task.")

    @abstractmethod
    def mistake(self, targets: Rows, outputs: Rows, schema: Schema) -> dict[str, object]:
        """Return target and prediction of one wrong item; see ``Task``."""

    def mistakes(
        self, targets: Rows, outputs: Rows, places: np.ndarray, schema: Schema
    ) -> list[dict[str, object]]:
        """Return what ``mistake`` says of some items.

        Args:
            targets: Of all items.
            outputs: The same: where items are held against one another, all of them count.
            places: Which are wanted, int64.
            schema: Gives the classes.
        """
        each = [slice(place, place + 1) for place in places.tolist()]
        return [self.mistake(targets[one], outputs[one], schema) for one in each]

    def item_words(self, value: str | float) -> str | float:
        """Return what ``predictions.parquet`` holds of a target or prediction, for a person.

        Args:
            value: Of one item.
        """
        return value

    def recalled(self, decisions: Rows, losses: np.ndarray, targets: Rows) -> Rows:
        """Return decisions that a file has told, with what its losses tell of them.

        Args:
            decisions: As ``read_item_column`` gives them.
            losses: The column ``loss`` of the same items, float32, shape (N,).
            targets: As ``read_item_column`` gives them.
        """
        return decisions
