"""The budget: a hard wall-clock limit, and the one table of what may take which share of it.

The limit counts from the first moment of the command. ``Budget.may_take`` says how much a thing may
take; the shares stand in ``SHARES`` alone. ``Budget.plan`` lays them end to end for ``--dry-run``.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.events import emit
from headstart.tuning.slowness import scheduled_seconds

_LEAST_WORKED, _MOST_LOAD = 0.5, 10.0  # seconds of work that tell a load; the most believed

Whole = Literal["budget", "left", "start's part", "training", "steps"]


@dataclass(frozen=True)
class BudgetShare:
    """What one thing may take at the most.

    Attributes:
        share: In (0, 1].
        whole: Of what. ``budget``: the limit. ``left``: what is left of it when the thing begins.
            ``start's part``: what screening gives the start at hand. ``training``: what is left
            until training must have ended. ``steps``: of the training, and no time.
        reason: Why so much.
        least_seconds: What it may take in any case, up to the larger share ``most``.
        most: In (0, 1], or 0 where nothing is larger.
        unasked: Where there is no limit it takes at most so much of what was spent before it; 0
            where that does not matter.
    """

    share: float
    whole: Whole
    reason: str
    least_seconds: float = 0.0
    most: float = 0.0
    unasked: float = 0.0

    def of(self, seconds: float) -> float:
        """Return how much of so many seconds it may take."""
        return max(self.share * seconds, min(self.least_seconds, self.most * seconds))


SHARES: dict[str, BudgetShare] = {
    "audits": BudgetShare(0.03, "budget", "near copies, and what else would make figures lie"),
    "late audits": BudgetShare(
        0.3, "budget", "after training, from what it left: audits that had no time before it"
    ),
    "estimates": BudgetShare(
        0.04,
        "budget",
        "doubtful labels, shortcuts, drift, by features that are there by then",
        unasked=0.4,  # MNIST learned in 2 s was followed by 9 s of looking
    ),
    "explanations": BudgetShare(0.05, "budget", "where the model looked, of a few test items"),
    "audited features": BudgetShare(
        0.4,
        "left",
        "of a check, or of estimates: features of the samples, where an audit reads them",
    ),
    "ranked starts": BudgetShare(
        0.3, "left", "of a ranking: building the starts and measuring a pass of each"
    ),
    "ranked features": BudgetShare(
        0.6, "left", "of a ranking: the features of all starts; scores and training take the rest"
    ),
    "ranked training": BudgetShare(
        0.5, "left", "of a ranking: all starts from scratch together, after the features"
    ),
    "ranked blocks": BudgetShare(
        0.7, "left", "of a ranking: the last block of the best, after all else; the rest is spare"
    ),
    "screening": BudgetShare(
        0.12,
        "budget",
        "all candidates together; a short budget spends 20 s on it, and at most a fifth",
        least_seconds=20.0,
        most=0.2,
    ),
    "opening": BudgetShare(
        0.5, "left", "reading the library of the first network, once another start can be used"
    ),
    "screened rows": BudgetShare(
        0.5, "left", "screening of tables: all rows are learned from, and the best is kept as it is"
    ),
    "screened features": BudgetShare(
        0.6, "start's part", "features of a start that is probed; the solver takes the rest"
    ),
    "screened training": BudgetShare(
        0.9, "start's part", "a start from scratch; then it is validated once more"
    ),
    "input size": BudgetShare(
        0.6, "left", "300 steps at most, two test passes; preparing and figures take the rest"
    ),
    "test": BudgetShare(
        0.3, "left", "one pass over the test split; what takes more is tried at fewer pixels"
    ),
    "least test": BudgetShare(
        0.4, "left", "the same where no smaller input is left to try: the conclusion holds it"
    ),
    "mirror images": BudgetShare(
        0.04, "left", "the mirror images of the test split; below it steps are worth more"
    ),
    "validation": BudgetShare(0.04, "left", "one validation; the loop has many of them"),
    "written": BudgetShare(0.004, "left", "texts that are written at a look at val"),
    "vocabulary": BudgetShare(
        0.1, "left", "learning words from texts; from more it learns from a sample"
    ),
    "least vocabulary": BudgetShare(
        0.3, "left", "the same from the fewest texts that are worth it; else it is refused"
    ),
    "all samples": BudgetShare(
        0.1, "left", "preparing all of train; where it takes less nobody counts samples"
    ),
    "samples": BudgetShare(0.25, "left", "preparing as many samples of train as are worth it"),
    "frozen part": BudgetShare(
        0.3, "training", "computing the frozen layers once; else they run in every step"
    ),
    "head features": BudgetShare(
        0.8, "training", "the features of a head alone; the solver takes the rest"
    ),
    "probe features": BudgetShare(0.25, "training", "the features of a probe that a loop follows"),
    "probe": BudgetShare(0.4, "training", "that probe as a whole; the loop needs most of the time"),
    "step format": BudgetShare(
        0.01, "training", "a few steps in each number format and layout; what it finds is kept"
    ),
    "heads": BudgetShare(
        0.3,
        "training",
        "heads on frozen features of all of train, the best at more pixels; the first in any case",
        least_seconds=20.0,
        most=0.5,
    ),
    "rungs": BudgetShare(
        0.35, "training", "arms that are compared before one is trained to its end"
    ),
    "first rung": BudgetShare(
        0.25, "training", "all arms a little way; those that go on need the rest of the rungs"
    ),
    "trial": BudgetShare(
        0.25, "steps", "each learning rate that is tried; shorter schedules mislead"
    ),
    "conclusion": BudgetShare(
        0.5, "left", "test passes, baselines, figures, page; it loses its baselines first"
    ),
    "ending": BudgetShare(
        0.05, "budget", "a run without a model by then ends: nothing would get its figures"
    ),
    "ranked ending": BudgetShare(
        0.02, "budget", "a ranking without a score by then ends; starts end before, with a reason"
    ),
    "closing": BudgetShare(
        0.15, "left", "of a pretraining: the last look, the probe, pictures and the page"
    ),
    "trees": BudgetShare(
        0.05, "left", "one pass of the test split through trees; fewer are grown for many rows"
    ),
    "boosting": BudgetShare(0.25, "left", "the boosted trees beside a table; cut short they lie"),
    "training": BudgetShare(1.0, "training", "all that the others leave"),
}
# A pass over a whole split takes at most so many times what was measured on some samples.
PASS_MARGIN = 1.3
STEP_PASSES = 3  # what a training step costs: a pass forward, and one back that counts two
# Screening takes its share of this where there is no limit.
_UNLIMITED_SECONDS = 600.0
_LEAST_UNASKED = 3.0  # seconds in any case for what nobody has asked for
_NEVER = float("inf")
_WIDTH = 80  # columns of a plan that is printed


@dataclass(frozen=True)
class Stage:
    """One stretch of a plan.

    Attributes:
        name: In ``SHARES``; or ``loading``, which is over.
        seconds: At the most; infinite without a limit.
        expected: What it takes by measurement; None where nobody knows before.
        reason: Why it may take so much.
    """

    name: str
    seconds: float
    expected: float | None
    reason: str


@dataclass(frozen=True)
class BudgetPlan:
    """What every stage of a run may take, in order.

    Attributes:
        title: What is planned.
        limit_seconds: The budget, or None for no limit.
        stages: One after the other they end with the budget.
        notes: What a reader should know: the candidates, a lowered size.
    """

    title: str
    limit_seconds: float | None
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = ()

    def seconds(self, name: str) -> float:
        """Return what a stage may take at the most."""
        return next(stage.seconds for stage in self.stages if stage.name == name)

    def end(self, name: str) -> float:
        """Return the seconds of the budget that are spent at the most when a stage has ended."""
        names = [stage.name for stage in self.stages]
        return sum(stage.seconds for stage in self.stages[: names.index(name) + 1])

    @contextmanager
    def stage(self, name: str, budget: Budget) -> Iterator[None]:
        """Surround a stage of the run that obeys this plan: what it takes is told (``spent``)."""
        began = budget.spent
        yield
        if any(stage.name == name for stage in self.stages):
            spent, end = budget.spent, self.end(name)
            by = None if end == _NEVER else round(end, 3)
            emit("spent", stage=name, seconds=round(spent - began, 3), at=round(spent, 3), by=by)

    def report(self) -> str:
        """Return the plan as plain text, in 80 columns."""
        lines = [f"{self.title}, {told_seconds(self.limit_seconds or _NEVER)}", ""]
        width = max(len(stage.name) for stage in self.stages)
        for stage in self.stages:
            about = "" if stage.expected is None else f"about {told_seconds(stage.expected)}; "
            first = f"  {stage.name:<{width}}  {told_seconds(stage.seconds):>9}  "
            lines += _wrapped(f"{about}{stage.reason}", first)
        if self.notes:
            lines += ["", *(line for note in self.notes for line in _wrapped(note, ""))]
        return "\n".join(lines)


class Budget:
    """What is left of a budget, and who may take how much of it.

    Args:
        limit_seconds: The limit, or None for no limit.
        spent_seconds: What was spent before this object was made (imports, loading, a former
            attempt).
    """

    def __init__(self, limit_seconds: float | None, spent_seconds: float = 0.0) -> None:
        self.started = time.monotonic() - spent_seconds
        self.limit_seconds = limit_seconds
        self._made = time.monotonic(), scheduled_seconds()
        self._measured: dict[Hashable, float] = {}

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds until the limit; infinite without one, negative past it."""
        return _NEVER if self.limit_seconds is None else self.limit_seconds - self.spent

    @property
    def load(self) -> float:
        """How many times longer work takes since others want the same cores; at least 1.

        By what this thread had to wait for a core: a pass measured by its quickest try knows none.
        """
        began, before = self._made
        worked, waited = np.subtract(scheduled_seconds(), before)
        if worked < _LEAST_WORKED:
            return 1.0
        # a clock of another kind, which stands still while others work, has nothing to wait for
        ratio = min((worked + waited) / worked, (time.monotonic() - began) / worked)
        return float(np.clip(ratio, 1.0, _MOST_LOAD))

    def deadline(self, reserve_seconds: float = 0.0) -> float | None:
        """Return the ``time.monotonic()`` value at which only the reserve is left."""
        limit = self.limit_seconds
        return None if limit is None else self.started + limit - reserve_seconds

    def measured(
        self, what: Hashable, measure: Callable[[], float], *, again: bool = False
    ) -> float:
        """Return what something of a name takes, in seconds: as measured before, or now.

        Args:
            what: Its name; of a start a tuple that begins with the address.
            measure: Called for what has no figure yet.
            again: Call it in any case; the lower of both counts.
        """
        if again or what not in self._measured:
            self._measured[what] = min(measure(), self._measured.get(what, _NEVER))
        return self._measured[what]

    def forget(self, start: str) -> None:
        """Forget what was measured of a start, so that it is measured anew."""
        kept = self._measured.items()
        self._measured = {w: s for w, s in kept if not (isinstance(w, tuple) and w[0] == start)}

    def may_take(self, name: str) -> float:
        """Return the seconds that something may take at the most if it begins now.

        Args:
            name: In ``SHARES``, a share of the budget or of what is left of it.
        """
        return self._most(name, max(0.0, self.left))

    def plan(
        self,
        title: str,
        names: Sequence[str],
        *,
        expected: Mapping[str, float] | None = None,
        notes: Sequence[str] = (),
    ) -> BudgetPlan:
        """Return what each stage may take if all before it take what they may.

        What comes after training is put by before, so training has at least what stands there.

        Args:
            title: What is planned.
            names: Of the stages in order, in ``SHARES``.
            expected: Seconds that stages take by measurement; one that takes less than its share
                leaves the rest to others.
            notes: What a reader should know.
        """
        known, left, seconds = expected or {}, max(0.0, self.left), {}
        # parts of training share what the others leave, and its loop comes last
        for name in sorted(names, key=lambda name: (_is_part(name), name == "training")):
            most = self._most(name, left)
            seconds[name] = min(most, known.get(name, most))
            left = left if left == _NEVER else left - seconds[name]
        stages = [Stage(n, seconds[n], known.get(n), SHARES[n].reason) for n in names]
        loading = Stage("loading", self.spent, None, "spent already")
        return BudgetPlan(title, self.limit_seconds, (loading, *stages), tuple(notes))

    def _most(self, name: str, left: float) -> float:
        found, limit = SHARES[name], self.limit_seconds or _UNLIMITED_SECONDS
        most = found.of(limit if found.whole == "budget" else left)
        if found.unasked and self.limit_seconds is None:
            most = min(most, max(_LEAST_UNASKED, found.unasked * self.spent))
        return most


def _wrapped(text: str, first: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first) or "  "
    )


def _is_part(name: str) -> bool:
    return SHARES[name].whole == "training"


def share_until(name: str, deadline: float | None) -> float:
    """Return the seconds that a part of training may take if it begins now; infinite without end.

    Args:
        name: In ``SHARES``, a share of what is left until training must have ended.
        deadline: ``time.monotonic()`` value by which it must; None for no limit.
    """
    assert _is_part(name), f"'{name}' is a share of something else"
    return _NEVER if deadline is None else SHARES[name].share * (deadline - time.monotonic())


def told_seconds(seconds: float) -> str:
    """Return a length of time as people write it; what is over is 0.0 s."""
    if seconds == _NEVER:
        return "no limit"
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if (whole := round(seconds)) < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {rest:02d} s"
