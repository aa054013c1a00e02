"""What screening refuses for want of time, and how surely: no start for one busy moment.

A pace that was measured while other programs had the cores says little: a start is refused by what
several looks agree on, and looked at again when others have left time (``screen``), and once more
with all that is left when models are trained (``recipes.search``).
"""

from __future__ import annotations

import sys
import time

from headstart.starts.candidates import CANDIDATES
from headstart.tuning.budget import STEP_PASSES, Budget, told_seconds
from headstart.tuning.fitting import TooSlowError, surer_pace
from headstart.tuning.setup import TrainingSetup
from headstart.types import SOLVED, Dataset, Start

_MIN_STEPS = 20
# The library of the first network, on one idle core, building it twice, and features of the first
# few hundred samples: timm alone takes three, and 500 digits through the smallest start five more.
_OPENING_SECONDS = 5.0
_LEAST_WORKED = 0.05  # seconds of work by which the load of the machine is told


class Opening:
    """What the first network of its kind takes before its first figure: its library is read.

    That nobody has measured when it begins: on a machine whose cores are taken by others it once
    took eleven seconds of twenty, and 23 of sixty. Random weights and pretrained ones are two
    kinds: the quick networks from scratch need no library.
    """

    def __init__(self) -> None:
        self._began, self._worked = time.monotonic(), time.process_time()
        self._paid = set[bool]()

    def refusal(self, start: Start, budget: Budget) -> str | None:
        """Return why a start is left out, once another can be used; None where there is time."""
        if self._is_paid(start):
            return None
        took, worked = time.monotonic() - self._began, time.process_time() - self._worked
        told = opening_refusal(budget, max(1.0, took / max(worked, _LEAST_WORKED)))
        return None if told is None else f"left out: {told}"

    def note(self, start: Start) -> None:
        """Note that a start was tried."""
        if start.family not in SOLVED:
            self._paid.add(start.pretrained_on is not None)

    def _is_paid(self, start: Start) -> bool:
        return start.family in SOLVED or (start.pretrained_on is not None) in self._paid


def opening_refusal(budget: Budget, load: float) -> str | None:
    """Return why the first network of its kind is not built; None where there is time for it.

    Args:
        budget: What is left.
        load: How many times longer work takes than on an idle core.
    """
    seconds = _OPENING_SECONDS * load
    if seconds <= budget.may_take("opening"):
        return None
    return (
        f"a first look at it takes about {told_seconds(seconds)}, and "
        f"{told_seconds(budget.left)} of the budget are left"
    )


def is_library_read(start: Start) -> bool:
    """Return whether the library that a pretrained start is built by has been read already."""
    library = CANDIDATES[start.modality].library
    return start.pretrained_on is None or library is None or library in sys.modules


class SlowStepsError(TooSlowError):
    """A start cannot show in its share of screening what it can; a whole budget may train it.

    Args:
        message: As the user reads it.
        size: Side of its input in pixels, or None.
        each: Seconds of a pass a sample.
    """

    def __init__(self, message: str, size: int | None, each: float) -> None:
        super().__init__(message)
        self.size, self.each = size, each


def pace_of_steps(
    setup: TrainingSetup, dataset: Dataset, budget: Budget, each: float, seconds: float
) -> float:
    """Return seconds of a pass a sample of a start that can take a few steps in the time it has.

    Args:
        setup: The model and its recipe.
        dataset: Its samples.
        budget: Keeps what is measured.
        each: Seconds of a pass a sample, as measured before.
        seconds: What the start has.

    Raises:
        SlowStepsError: Saying how slow it is.
    """

    def step_seconds(each: float) -> float:
        return budget.load * STEP_PASSES * each * setup.recipe.batch_size

    def is_enough(each: float) -> bool:
        return step_seconds(each) * _MIN_STEPS <= seconds

    each = surer_pace(setup, dataset, budget, each, is_enough)
    if not is_enough(each):
        raise SlowStepsError(
            f"a step takes about {step_seconds(each):.1f} s, too slow for its {seconds:.0f} s here",
            setup.size,
            each,
        )
    return each
