"""Rows and columns in the plainest form: what any estimator takes, what a file of items holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import OptionError
from headstart.types import Ragged, Rows


@dataclass(frozen=True)
class PlainProblem:
    """A task, or a part of it, as any estimator for tables takes it.

    Attributes:
        targets: Class integers below ``num_classes``, or numbers; shape (N,).
        num_classes: 0 for numbers.
    """

    targets: np.ndarray
    num_classes: int


@dataclass(frozen=True, eq=False)
class TextColumn:
    """Texts of which few are different, as ``predictions.parquet`` gives them.

    Attributes:
        different: Each text once.
        codes: int64, shape (N,), which of them a row holds.
    """

    different: Sequence[str]
    codes: np.ndarray


def array_of(rows: Rows) -> np.ndarray:
    """Return rows that all have one length as the array they are.

    Raises:
        OptionError: They are ragged.
    """
    if isinstance(rows, Ragged):
        raise OptionError(
            f"There are {len(rows):,} rows of different lengths, expected an array with one row "
            "for each item. Give what this task's model gives."
        )
    return np.asarray(rows)


def records_of(rows: Rows, dtype: np.dtype, expected: str) -> np.ndarray:
    """Return rows of records as the array they are.

    Args:
        rows: What a model gave.
        dtype: Of its records.
        expected: What these are, for the refusal.

    Raises:
        OptionError: They are of another task.
    """
    found = rows if isinstance(rows, np.ndarray) else np.empty(0)
    if found.dtype != dtype:
        raise OptionError(
            f"There are rows of {getattr(rows, 'dtype', type(rows).__name__)}, expected "
            f"{expected}. Give what this task's model gives."
        )
    return found


def texts_of(column: TextColumn | np.ndarray) -> TextColumn:
    """Return a column of texts, or refuse one of numbers.

    Raises:
        OptionError: It holds numbers.
    """
    if isinstance(column, TextColumn):
        return column
    raise OptionError(
        "predictions.parquet holds numbers where names of classes were expected. Run the training "
        "again with --overwrite."
    )
