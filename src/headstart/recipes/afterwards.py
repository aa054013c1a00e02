"""What can be done with a run that was just finished: the commands that are named at its end.

Left out: the next command of a run that was stopped (``going_on``).
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TypedDict

from headstart.events import command_words, emit
from headstart.recipes.going_on import as_command, going_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.recipes.session import Session
    from headstart.types import Dataset

_LONGER = 2.0  # times the budget, where more may give more
_HOUR, _MINUTE = 3600, 60
_BUDGET = "--budget"


class Also(TypedDict):
    """Another command than the next one, and what it is for."""

    command: str
    why: str


def tell_next(current: Session, dataset: Dataset, more: str | None = None) -> None:
    """Name the commands that use a finished run: predict first, then what else there is.

    Args:
        current: The session of the run.
        dataset: Says what the run predicts.
        more: Why a larger budget may give more; None where nothing says so.
    """
    from headstart.tasks import argument_of

    path = current.folder.path
    named = shlex.quote(str(path))
    also: list[Also] = [
        {"command": f"headstart report {named}", "why": "its page: report.html"},
        {"command": f"headstart serve {named}", "why": "answers over HTTP"},
    ]
    command = list(command_words()) or as_command(current.plan)
    if more is not None and (longer := _with_larger_budget(command)) is not None:
        also.append({"command": going_on(longer, path), "why": more})
    predict = f"headstart predict {named} {argument_of(dataset.schema)}"
    emit("next", command=predict, also=also)


def _with_larger_budget(command: Sequence[str]) -> list[str] | None:
    """Return a command with twice its budget; None where it names none."""
    from headstart.tuning.named_budget import parse_budget

    words = list(command)
    for place, word in enumerate(words):
        name, is_joined, value = word.partition("=")
        if name != _BUDGET or (not is_joined and place + 1 == len(words)):
            continue
        seconds = parse_budget(value if is_joined else words[place + 1])
        if seconds is None:
            return None
        told = _written(_LONGER * seconds)
        words[place : place + (1 if is_joined else 2)] = [_BUDGET, told]
        return words
    return None


def _written(seconds: float) -> str:
    """Return a budget as people write it."""
    for unit, name in ((_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g}{name}"
    return f"{seconds:g}s"
