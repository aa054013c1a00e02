"""What a run can do without, as long as it leaves what others need of the budget.

What takes too long is cut off, but an import never is: half of a library cannot be read again. So
where a library is still unread its reading is priced before it begins.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from headstart.errors import HeadstartError
from headstart.events import emit
from headstart.tuning.budget import Budget
from headstart.tuning.cut_off import cut_off
from headstart.tuning.slowness import slowness

# Seconds of one idle core that reading a library takes (AMD EPYC without bf16 units, files in
# memory: 1.7 to 2.0). Three others' programs on the same core have made it twenty.
READING_SECONDS = {"sklearn": 2.0, "torch._dynamo": 1.5}
# What the first optimizer of a process reads: PyTorch's compiler, 900 modules. On a machine twenty
# times slower that took 24 s of 30, for a network for which six were left.
STEPS_LIBRARY = "torch._dynamo"

Told = TypeVar("Told")


class _SpentError(HeadstartError):
    """It was cut off."""


def unread_seconds(library: str | None, budget: Budget) -> float:
    """Return what reading a library takes now; 0 where it has been read, or none is needed.

    Args:
        library: In ``READING_SECONDS``, or None.
        budget: Says how busy the machine is; one may be slow without being busy.
    """
    if library is None or library in sys.modules:
        return 0.0
    return READING_SECONDS[library] * max(budget.load, slowness(budget.load))


def in_time(
    budget: Budget,
    reserve: float,
    what: str,
    compute: Callable[[], Told],
    *,
    library: str | None = None,
) -> Told | None:
    """Return what a run can do without; None, and a note, where that is cut off.

    Args:
        budget: The budget.
        reserve: Seconds of it that are left to others.
        what: How it is told.
        compute: Gives it.
        library: What it may have to read first; where that alone takes too long it does not begin.
    """
    spent = _SpentError(f"{what} was left out: the budget is nearly spent.")
    try:
        if unread_seconds(library, budget) > budget.left - reserve:
            raise spent
        with cut_off(budget.deadline(reserve), lambda: spent):
            return compute()
    except _SpentError as error:
        emit("note", text=str(error))
        return None
