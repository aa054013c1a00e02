"""What a user hands to ``predict`` as pairs of texts: a table, or one after the other in a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.cells import is_missing
from headstart.errors import DataError, quoted
from headstart.preprocessing.memory import NamedColumns, memory_table
from headstart.types import TextPair

USUAL = ("first", "second")  # what both are called where the training data had no names for them


def listed_pairs(values: Any, columns: Sequence[str]) -> list[TextPair]:
    """Return pairs as a list; what is empty in them is left to the reader.

    Args:
        values: A table, or a list of pairs: tuples or lists of two texts, or dicts by column.
        columns: The two columns of the training data, or none.

    Raises:
        DataError: The values are of another kind, or a column is missing.
    """
    if (table := memory_table(values, "the pyarrow Table")) is not None:
        return paired_columns(table, columns)
    names = tuple(columns) or USUAL
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise _no_pair(values, names, "")
    return [
        value if isinstance(value, TextPair) else _pair(value, names, f" {place + 1}")
        for place, value in enumerate(values)
    ]


def paired_columns(table: NamedColumns, columns: Sequence[str]) -> list[TextPair]:
    """Return the pairs in the two columns of a table.

    Args:
        table: From a file or in memory.
        columns: The two columns of the training data, or none.

    Raises:
        DataError: It lacks one.
    """
    names = tuple(columns) or USUAL
    for name in names:
        if name not in table.columns:
            raise DataError(
                f"Column '{name}' is missing in {table.where} (found: {quoted(table.columns)}); "
                f"the model reads pairs of texts from the columns {quoted(names)}. Rename the "
                "column, or add it."
            )
    first, second = (
        ["" if is_missing(value) else str(value) for value in table.values(name)] for name in names
    )
    return [TextPair(one, other) for one, other in zip(first, second, strict=True)]


def _pair(value: Any, names: Sequence[str], which: str) -> TextPair:
    sides = value
    if isinstance(value, Mapping) and set(names) <= value.keys():
        sides = [value[name] for name in names]
    is_two = isinstance(sides, (list, tuple)) and len(sides) == 2
    if not is_two or not all(isinstance(one, str) or is_missing(one) for one in sides):
        raise _no_pair(value, names, which)
    first, second = ("" if is_missing(one) else one for one in sides)
    return TextPair(first, second)


def _no_pair(value: Any, names: Sequence[str], which: str) -> DataError:
    found = "one text" if isinstance(value, str) else f"a {type(value).__name__}"
    return DataError(
        f"Sample{which} is {found}, and the model reads pairs of texts; expected two texts, "
        f'["first text", "second text"], or an object with {quoted(names)}. Give a list of such '
        "pairs, or a table with both columns."
    )
