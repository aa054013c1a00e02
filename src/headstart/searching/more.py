"""Whether a larger budget may give more than what was found: said at the end of a ``fit``.

Left out: how much more; nobody knows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headstart.events import emit
from headstart.searching.arms import ArmSpec
from headstart.searching.context import Contender
from headstart.tuning.arm import Tuned

_STILL = "val still gained when the time was up"


def still_gained(tuned: Tuned) -> str | None:
    """Return that val gained until the end of a training; None where it did not.

    Args:
        tuned: How the training went.
    """
    result = tuned.result
    if result is None or result.ended != "finished":
        return None
    state = result.state
    return _STILL if state.best_step >= state.last_check_step else None


def what_more(winner: Contender, made: Collection[str], dropped: Sequence[ArmSpec]) -> str | None:
    """Return why a larger budget may give more; None where nothing says so.

    Args:
        winner: What is handed over.
        made: Names of all that was made.
        dropped: Arms that were not tried for want of time.
    """
    if (why := still_gained(winner.tuned)) is not None:
        return why
    untried = [one for one in dropped if one.name not in made]
    if not untried:
        return None
    num = len(untried)
    return f"{num} {'way was' if num == 1 else 'ways were'} not tried for want of time"


def tell_more(tuned: Tuned, more: str | None) -> None:
    """Say in the report whether more time may help, where val says one or the other.

    Args:
        tuned: How the training of what is handed over went.
        more: As ``what_more``, or ``still_gained``, gives it.
    """
    if more is not None:
        emit("choice", name="more time", value="may help", why=more)
    elif tuned.result is not None and tuned.result.ended == "early":
        why = "val no longer gained before the last step"
        emit("choice", name="more time", value="would not help", why=why)
