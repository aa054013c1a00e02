"""The table of tasks: its names are known at once, each task when it is asked for.

``headstart fit --help`` lists the names; what a task computes with (NumPy, the statistics of
``evaluation``) would take most of the time until the help is there.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.tasks.task import Task


class TaskTable(MutableMapping[str, "Task"]):
    """Tasks by name; a row is a task, or the module and the name where it stands.

    Args:
        places: For each name the module and what the task is called there.
    """

    def __init__(self, places: dict[str, tuple[str, str]]) -> None:
        self._rows: dict[str, Task | tuple[str, str]] = dict(places)

    def __getitem__(self, name: str) -> Task:
        row = self._rows[name]
        if isinstance(row, tuple):
            module, attribute = row
            found: Task = getattr(import_module(module), attribute)
            self._rows[name] = row = found
        return row

    def __setitem__(self, name: str, task: Task) -> None:
        self._rows[name] = task

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows  # asking for a name makes no task

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
