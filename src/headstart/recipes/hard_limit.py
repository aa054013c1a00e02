"""The hard limit of a verb that has nothing to hand over yet: it ends there and says what will do.

Once a model can be used, or a start has its score, what follows is planned to end in time. Before
that nobody knows how long it takes: on a machine whose cores are taken by others, reading PyTorch
alone has outlasted a budget of twenty seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headstart.errors import HeadstartError, StartError
from headstart.events import seconds_since_command_began

if TYPE_CHECKING:
    from headstart.tuning.budget import Budget
    from headstart.tuning.cut_off import CutOff

ENOUGH_LEFT = 0.25  # of the budget, for a training, and the figures after it
_WORK_SECONDS = 12.0  # of one core: what the quickest start takes from the command to its figures


@contextmanager
def ends_without(
    what: str,
    limit_seconds: float | None,
    ending: str = "ending",
    *,
    instead: HeadstartError | None = None,
) -> Iterator[CutOff]:
    """End the verb when its budget is all but spent, where there is nothing to hand over by then.

    ``CutOff.unless`` of what is lent says whether there is.

    Args:
        what: What is missing, as the sentence names it.
        limit_seconds: The budget, from the beginning of the command, or of the block where a
            program called; None for no limit.
        ending: Names the share of the budget that is left when the verb ends.
        instead: What the verb would have been refused for, whatever its budget.

    Raises:
        StartError: Saying which budget would do; or ``instead``.
    """
    from headstart.tuning.budget import SHARES
    from headstart.tuning.cut_off import cut_off

    since = seconds_since_command_began()
    began, worked = time.monotonic() - (since or 0.0), time.process_time()
    if since is not None:
        worked = 0.0  # the command is all that this process has done
    at = None
    if limit_seconds is not None:
        at = began + limit_seconds - SHARES[ending].of(limit_seconds)

    def error() -> HeadstartError:
        work = time.process_time() - worked
        told = instead or StartError(
            _told(what, limit_seconds or 0.0, time.monotonic() - began, work)
        )
        told.is_urgent = True
        return told

    with cut_off(at, error, cuts_imports=since is not None) as found:
        yield found


def last_moment(budget: Budget, ending: str = "ending") -> float | None:
    """Return the ``time.monotonic()`` value at which a verb with nothing to hand over ends."""
    return budget.deadline(budget.may_take(ending))


def _told(what: str, limit: float, took: float, work: float) -> str:
    """Return the sentence: which budget would do, by what this machine has given the program."""
    from headstart.tuning.named_budget import named_budget

    load = max(1.0, took / max(0.1, work))
    enough = max(2 * limit, load * _WORK_SECONDS)
    share = f", of which the program was given {work:.1f} s" if load > 1.5 else ""
    return (
        f"The budget of {limit:g} s was all but spent before {what}{share}. Expected time for "
        f"that, and for the figures after it. Give {named_budget(enough)}."
    )
