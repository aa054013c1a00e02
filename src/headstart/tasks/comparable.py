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

    def item_gains(self, before: Rows, after: Rows, targets: Rows) -> np.ndarray:
        """Return what each item gains, float64, shape (N,): 1 where only ``after`` has it right.

        Args:
            before: As ``decisions`` gives them.
            after: The same of the second.
            targets: As in ``Split``.

        Returns:
            Below zero where it is lost; of numbers, by how much ``after`` is nearer.
        """
        first, second, wanted = map(array_of, (before, after, targets))
        right, right_after = first == wanted, second == wanted
        if wanted.ndim > 1:
            right, right_after = right.all(axis=1), right_after.all(axis=1)
        gains: np.ndarray = right_after.astype(np.float64) - right
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
