"""A budget as it is written; and the one that a refusal names: always the command's.

So it is where one of its runs has a part, too: under ``--folds``, ``--seeds`` and
``--learning-curve`` a command makes run after run, each in its share of the budget. What one of
them would need is told as what the whole must have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from headstart.errors import OptionError

LEAST_SECONDS = 10  # of a command: importing PyTorch alone takes some of them
_ROUND_SECONDS = 5
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class BudgetPart:
    """What one of several runs has of a budget.

    Attributes:
        num_runs: How many share the budget.
        whole: Seconds of all of them.
        limit: Seconds by which this one must end, from the beginning of the command.
        times: How often its share is in the whole.
        largest: How many times as many test samples another run has.
    """

    num_runs: int
    whole: float
    limit: float
    times: float
    largest: float = 1.0


_PART: ContextVar[BudgetPart | None] = ContextVar("part of a budget", default=None)


@contextmanager
def part_of_budget(part: BudgetPart | None) -> Iterator[None]:
    """Let what is refused inside name the budget of the whole command; None where there is none."""
    token = _PART.set(part)
    try:
        yield
    finally:
        _PART.reset(token)


def least_seconds() -> float:
    """Return the smallest budget that a run can be given; in a part all is imported by then."""
    return LEAST_SECONDS if _PART.get() is None else 0.0


def named_budget(seconds: float) -> str:
    """Return the option and the value that give the run at hand so many seconds, in full fives.

    Args:
        seconds: By which the run would end, from the beginning of the command.
    """
    part = _PART.get()
    if part is not None:
        seconds = part.whole + part.times * max(0.0, part.largest * seconds - part.limit)
    rounded = math.ceil(seconds / _ROUND_SECONDS) * _ROUND_SECONDS
    named = f"--budget {rounded}s or more"
    return named if part is None else f"{named}, which is for all {part.num_runs} runs"


def parse_budget(text: str | float | None) -> float | None:
    """Return a budget in seconds.

    Args:
        text: Seconds, or a number with a unit: ``90``, ``90s``, ``2m``, ``1.5h``, ``1h30m``.

    Raises:
        OptionError: If it cannot be read, or is shorter than ten seconds.
    """
    if text is None:
        return None
    written = str(text).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd]?)", written)
    if not parts or "".join(n + u for n, u in parts) != written.replace(" ", ""):
        raise OptionError(
            f"budget '{text}' is not a length of time; expected for example 90s, 2m, 1.5h or "
            f"1h30m. Change --budget."
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds < (least := least_seconds()):
        raise OptionError(
            f"budget '{text}' is {seconds:g} seconds; expected at least {least}, since importing "
            f"PyTorch alone takes some. Raise --budget."
        )
    return seconds
