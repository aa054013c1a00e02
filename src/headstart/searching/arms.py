"""Which ways of fine-tuning are worth a try in the time there is; pure arithmetic.

An arm is a start, a strategy, a learning rate and an input size. An arm that cannot take a few
dozen steps is none: what a handful of steps makes of a good probe is worse than the probe. Arms
come in the order in which they are likely to be the best, and the last ones give way where the
first rung would take more than its share.

Left out: more than one bracket; arms of strategies that nobody asked for but these three.

Source:
    Successive halving: Jamieson and Talwalkar, AISTATS 2016; a short first rung after which most
    are dropped: Egele et al. 2023 ("one epoch").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from headstart.training.options.strategies import AUTO, HEAD, LAST_N, find_strategy

# Of an arm that is trained to its end. Four and fourteen steps made good probes worse; some forty
# over everything made one better by 3.5 points (500 cats and dogs).
LEAST_STEPS = 25
FEW_STEPS = 10  # worth a training where the user has named its strategy
_FIRST_STEPS, _MOST_FIRST_STEPS = 20, 100  # of the first rung
_ETA = 3  # of an arm's steps from rung to rung, and of the arms that a rung drops all but one
_MOST_RIVALS = 3  # starts beside the best one
_MOST_ARMS, _MOST_ARMS_IN_HASTE, _HASTE_SECONDS = 12, 4, 60.0


@dataclass(frozen=True)
class Entrant:
    """A start that takes part, as the ranking has left it; the best come first.

    Attributes:
        start: Its address.
        strategy: What the user asked for, or what its family does by default.
        size: Side of the input in pixels that a fine-tuning affords; None where samples are no
            images.
        is_frozen_useful: Whether its features say something before it learns anything.
        score: Of a quick look, higher is better; NaN where there was none.
        noise: Half of the interval of that score.
    """

    start: str
    strategy: str
    size: int | None
    is_frozen_useful: bool
    score: float
    noise: float


@dataclass(frozen=True)
class ArmSpec:
    """One way of fine-tuning.

    Attributes:
        start: Address of the start.
        strategy: What learns.
        rate: Learning rate, as a multiple of the family's own.
        size: Side of the input in pixels; None where samples are no images.
        length: Steps, as a multiple of the family's own.
    """

    start: str
    strategy: str
    rate: float = 1.0
    size: int | None = None
    length: float = 1.0

    @property
    def name(self) -> str:
        """How it is told."""
        rate = "" if self.rate == 1 else f", rate ×{self.rate:g}"
        pixels = "" if self.size is None else f", {self.size} px"
        length = "" if self.length == 1 else f", steps ×{self.length:g}"
        return f"{self.start} {self.strategy}{rate}{length}{pixels}"


@dataclass(frozen=True)
class ArmCost:
    """What an arm takes, in seconds.

    Attributes:
        before: Before its first step: the frozen part, or the probe.
        step: One step.
        validation: One validation.
        num_steps: Steps that its recipe plans.
    """

    before: float
    step: float
    validation: float
    num_steps: int

    def of(self, num_steps: int) -> float:
        """Return the seconds of so many steps and the validation after them."""
        return self.before + num_steps * self.step + self.validation

    def affordable(self, seconds: float) -> int:
        """Return the steps that fit so many seconds, no more than are planned."""
        free = seconds - self.before - self.validation
        if free == math.inf:
            return self.num_steps
        return max(0, min(self.num_steps, int(free / max(1e-9, self.step))))

    @property
    def first_steps(self) -> int:
        """Steps of the first rung: a tenth of those planned, and no more than a hundred."""
        return min(self.num_steps, max(_FIRST_STEPS, min(_MOST_FIRST_STEPS, self.num_steps // 10)))


@dataclass(frozen=True)
class BracketPlan:
    """What a bracket tries.

    Attributes:
        arms: The most promising first; none where nothing that learns by steps is worth it.
        dropped: Those that are not tried, each with the reason.
    """

    arms: tuple[ArmSpec, ...]
    dropped: tuple[tuple[ArmSpec, str], ...] = ()


def plan_bracket(
    arms: Iterable[ArmSpec],
    cost_of: Callable[[ArmSpec], ArmCost],
    *,
    final_seconds: float,
    rung_seconds: float,
    budget_seconds: float | None,
) -> BracketPlan:
    """Return which arms are tried.

    Args:
        arms: The most promising first.
        cost_of: What an arm takes.
        final_seconds: Time of the arm that is trained to its end; infinite without a budget.
        rung_seconds: Time of the first rung, for all arms together.
        budget_seconds: The whole budget; a short one tries fewer arms. None for no limit.
    """
    is_hasty = budget_seconds is not None and budget_seconds < _HASTE_SECONDS
    most = _MOST_ARMS_IN_HASTE if is_hasty else _MOST_ARMS
    kept: list[ArmSpec] = []
    dropped: list[tuple[ArmSpec, str]] = []
    taken = 0.0
    for arm in arms:
        cost = cost_of(arm)
        steps = min(cost.num_steps, LEAST_STEPS)
        can = cost.affordable(final_seconds)
        if can < steps:
            dropped.append((arm, f"{can} of at least {steps} steps would fit"))
            continue
        first = cost.of(cost.first_steps)
        if kept and (taken + first > rung_seconds or len(kept) >= most):
            dropped.append((arm, "the first rung has no time for it"))
            continue
        taken += first
        kept.append(arm)
    # a rung of an arm that alone takes more than the rung's time would only delay it
    return BracketPlan(tuple(kept), tuple(dropped))


def survivors(standings: Sequence[tuple[ArmSpec, float]], *, is_first: bool) -> tuple[ArmSpec, ...]:
    """Return the arms that go on, the best first: a third of them, rounded up.

    After the first rung, which says least, at least two starts go on where there are two.

    Args:
        standings: Each arm with its loss on val; one that diverged has infinity.
        is_first: Whether this was the first rung.
    """
    ordered = [arm for arm, loss in sorted(standings, key=lambda one: one[1]) if loss < math.inf]
    kept = ordered[: math.ceil(len(ordered) / _ETA)]
    if is_first and len({arm.start for arm in kept}) == 1:
        kept += [arm for arm in ordered if arm.start != kept[0].start][:1]
    return tuple(kept)


def rung_steps(first_steps: int, rung: int) -> int:
    """Return how many steps an arm has taken when a rung is over, the first being rung 0."""
    return int(first_steps * _ETA**rung)


def head_specs(entries: Sequence[Entrant], larger: Mapping[str, int]) -> list[ArmSpec]:
    """Return what is solved for, without steps: a head on the features of each start as it stands.

    Args:
        entries: The starts, the best first.
        larger: By address a side in pixels at which its features are affordable, where that is more
            than a fine-tuning affords.
    """
    found = []
    for entry in entries:
        if entry.is_frozen_useful:
            found.append(ArmSpec(entry.start, HEAD.name, size=entry.size))
            if entry.start in larger:
                found.append(ArmSpec(entry.start, HEAD.name, size=larger[entry.start]))
    return found


def arm_specs(
    entries: Sequence[Entrant], rates: Mapping[str, Sequence[float]], asked: str
) -> list[ArmSpec]:
    """Return the arms of a bracket that learn by steps, the most promising first.

    The best start by its default strategy, with its last layer alone, and at the rates that its
    family's literature names; the others by their default strategy, as long as what the ranking saw
    of them is no lower than noise allows.

    Args:
        entries: The starts, the best first.
        rates: By address the multiples of the family's own rate that are worth a try.
        asked: The strategy that the user asked for, or ``auto``.
    """
    learning = [entry for entry in entries if find_strategy(entry.strategy).loops]
    if not learning:
        return []
    best = learning[0]
    rivals = [one for one in learning[1:] if _is_within_noise(one, best)]
    first = ArmSpec(best.start, best.strategy, size=best.size)
    found = [first]
    if asked == AUTO and best.is_frozen_useful:
        found.append(ArmSpec(best.start, LAST_N.name, size=best.size))
    found += [ArmSpec(one.start, one.strategy, size=one.size) for one in rivals[:1]]
    found += [
        ArmSpec(best.start, best.strategy, rate, best.size)
        for rate in rates.get(best.start, ())
        if rate != 1
    ]
    found += [ArmSpec(one.start, one.strategy, size=one.size) for one in rivals[1:_MOST_RIVALS]]
    return found


def _is_within_noise(one: Entrant, best: Entrant) -> bool:
    """Return whether a quick look leaves open which is better.

    Of random weights it always does: what they had learned in a moment says how quick they are.
    """
    if not one.is_frozen_useful or math.isnan(one.score) or math.isnan(best.score):
        return True
    return one.score >= best.score - 2 * max(one.noise, best.noise)
