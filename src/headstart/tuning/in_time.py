"""What a run can do without, as long as it leaves what others need of the budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headstart.errors import HeadstartError
from headstart.events import emit
from headstart.tuning.budget import Budget
from headstart.tuning.cut_off import cut_off

Told = TypeVar("Told")


class _SpentError(HeadstartError):
    """It was cut off."""


def in_time(budget: Budget, reserve: float, what: str, compute: Callable[[], Told]) -> Told | None:
    """Return what a run can do without; None, and a note, where that is cut off.

    Args:
        budget: The budget.
        reserve: Seconds of it that are left to others.
        what: How it is told.
        compute: Gives it.
    """
    spent = _SpentError(f"{what} was left out: the budget is nearly spent.")
    try:
        with cut_off(budget.deadline(reserve), lambda: spent):
            return compute()
    except _SpentError as error:
        emit("note", text=str(error))
        return None
