"""Categories of pandas, and those among them that have an order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headstart.preprocessing.canonical import category, plain_values
from headstart.types import Finding


def levels_of(columns: Sequence[Any], ordered: set[str], name: str) -> tuple[str, ...]:
    """Return the categories of a column that has stated their order, in it; else nothing.

    Of numbers Parquet keeps only that they have one: then it is their own.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in columns:
        if pa.types.is_dictionary(column.type) and column.type.ordered:
            chunks = getattr(column, "chunks", [column])
            found = [plain_values(chunk.dictionary).to_pylist() for chunk in chunks[:1]]
            words = [category(value) for values in found for value in values]
            return tuple(dict.fromkeys(word for word in words if word is not None))
    numeric = all(pa.types.is_integer(c.type) or pa.types.is_floating(c.type) for c in columns)
    if not numeric or name not in ordered:
        return ()
    values = {value for column in columns for value in pc.unique(column.drop_null()).to_pylist()}
    return tuple(word for value in sorted(values) if (word := category(value)) is not None)


def said_order(name: str, levels: Sequence[str]) -> Finding:
    """Return the finding that the categories of a column have an order."""
    shown = " < ".join(levels if len(levels) < 6 else [*levels[:2], "…", *levels[-2:]])
    sentence = f"Column '{name}' holds categories in an order ({shown}): it is learned, too."
    return Finding("reading", "note", (), sentence)


def pandas_categories(table: Any, *, ordered: bool = False) -> set[str]:
    """Return the columns that were categories of pandas, or ordered ones, in a Parquet file."""
    try:
        stated = json.loads((table.schema.metadata or {})[b"pandas"])["columns"]
        found = [column for column in stated if column["pandas_type"] == "categorical"]
        return {
            str(c["name"]) for c in found if not ordered or (c["metadata"] or {}).get("ordered")
        }
    except (KeyError, TypeError, ValueError):
        return set()
