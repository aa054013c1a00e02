"""A table whose names are known at once, each row when it is asked for.

``headstart fit --help`` lists the names of tasks; what a task computes with (NumPy, the statistics
of ``evaluation``) would take most of the time until the help is there. A server that reads texts
needs no code for tables and images, nor the libraries that these import.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TypeVar

Row = TypeVar("Row")


class PlacedTable(MutableMapping[str, Row]):
    """Rows by name; a row is a thing, or the module and the name where it stands.

    Args:
        places: For each name the module and what the thing is called there.
    """

    def __init__(self, places: dict[str, tuple[str, str]]) -> None:
        self._rows: dict[str, Row | tuple[str, str]] = dict(places)

    def __getitem__(self, name: str) -> Row:
        row = self._rows[name]
        if isinstance(row, tuple):
            module, attribute = row
            found: Row = getattr(import_module(module), attribute)
            self._rows[name] = row = found
        return row

    def __setitem__(self, name: str, row: Row) -> None:
        self._rows[name] = row

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows  # asking for a name imports nothing

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
