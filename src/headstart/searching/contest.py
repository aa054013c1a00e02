"""Find the best way from ranked starts to a model inside a budget: heads, one bracket, a final.

First what can be solved for: a linear head on the frozen features of each start (and what has
nothing to train, such as TF-IDF), on all of train, at the largest input that is affordable. Then
the arms of ``arms.plan_bracket``, all a little way at a constant rate, judged by the average of
their weights; a third of them three times as far; and the best one to its end, with its cooldown.
Where time is left the next best follows. Val decides which is handed over, item by item
(``finalists``). Everything that depends on the clock is a decision of the run, so that one that was
interrupted goes on with the same arms at the step where each stood; one that was finished plans
anew, and what it had made counts (``pool.FormerSearch``). Left out: several brackets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from headstart.events import emit
from headstart.model import run_batches
from headstart.searching.arms import (
    FEW_STEPS,
    ArmSpec,
    Entrant,
    rung_steps,
    survivors,
)
from headstart.searching.blending import NORM_SAMPLES, blend, blendable
from headstart.searching.bracket import plan_arms, plan_heads
from headstart.searching.context import Contender, Found, SearchContext
from headstart.searching.crew import Crew, Job, JobOutcome
from headstart.searching.growing import grow_anew
from headstart.searching.judging import told_steps
from headstart.searching.more import what_more
from headstart.searching.pool import FormerSearch, ModelPool
from headstart.searching.prices import WANTED_STEPS, Prices
from headstart.searching.refit import refit_on_all
from headstart.searching.runner import Standing, as_it_stands, judged
from headstart.training.company import Company
from headstart.training.options.strategies import AUTO
from headstart.tuning.budget import SHARES
from headstart.tuning.decisions import Decided
from headstart.tuning.in_time import STEPS_LIBRARY, unread_seconds
from headstart.tuning.setup import TrainingSetup
from headstart.tuning.solving import solver_of

_MOST_FINALS = 3
_MOST_AGAIN = 2  # starts that were refused for want of time, and are looked at once more
_MOST_RUNGS = 2
_LONGER = 3  # times the steps of a training that has ended and still gained
_MARGIN = 1.25  # times what an arm is expected to take, before it is begun


def hold_contest(
    context: SearchContext,
    entries: Sequence[Entrant],
    prices: Prices,
    screened: Mapping[str, TrainingSetup],
    company: Company,
    former: FormerSearch,
) -> tuple[Found, ModelPool]:
    """Make the models that the budget affords, and say which one to hand over.

    Args:
        context: What all arms share.
        entries: The starts that take part, the best first.
        prices: As ``prepare_prices`` gives them.
        screened: Models that the ranking has left, by address: of the best start what it made of a
            sample; of rows of a table what it made of all of train, of every start.
        company: The processes that advance the arms, of which this is the main one.
        former: What a finished run has left that is gone on with; it holds nothing otherwise.

    Returns:
        What was found, and all that it was chosen among.

    Raises:
        StopRequested: If someone asked to stop; what was trained lies in the state folder.
        StartError: If not one model could be made.
    """
    contest = _Contest(context, entries, prices, screened, Crew(context, prices, company), former)
    return contest.hold(), contest.pool


class _Contest:
    """One search, and what it has made so far."""

    def __init__(
        self,
        context: SearchContext,
        entries: Sequence[Entrant],
        prices: Prices,
        screened: Mapping[str, TrainingSetup],
        crew: Crew,
        former: FormerSearch,
    ) -> None:
        self.context, self.entries, self.prices = context, entries, prices
        self.screened, self.crew, self.former = screened, crew, former
        self.pool = ModelPool(context.dataset, former)
        self.dropped: list[ArmSpec] = []
        assert context.end is not None, "a contest knows when it has to end"
        self.end = context.end
        first = entries[0]  # by whose passes the end was planned
        self.each = prices.each(ArmSpec(first.start, first.strategy, size=first.size))

    def hold(self) -> Found:
        """Solve, halve, train to the end, choose."""
        if self.context.asked.strategy == AUTO:
            self._solve()
        self.end.settle()  # by what was measured in use since it was planned
        ordered = self._halve()
        self._train(ordered)
        self.end.settle()
        self._look_again()
        self._blend()
        self._lengthen()
        for setup in self.screened.values():
            self._add_screened(setup)
        grow_anew(self.context, self.pool, self.crew, lambda: self._left, self._end)
        return self._choose()

    @property
    def _left(self) -> float:
        """Seconds until all training has ended; infinite without a budget."""
        return self.end.left

    @property
    def _left_for_steps(self) -> float:
        """The same without what is read before the first step of all."""
        return self._left - unread_seconds(STEPS_LIBRARY, self.context.budget)

    # What is solved for, without steps.

    def _solve(self) -> None:
        """Fit what needs no steps: heads on frozen features, and models that are solved for."""
        seconds = SHARES["heads"].of(self._left)
        plan = partial(plan_heads, self.entries, self.prices, seconds)
        given = self.context.decisions.settle("heads", plan)
        specs = [ArmSpec(**spec) for spec in given]
        ends = time.monotonic() + SHARES["heads"].of(self._left)
        wanted = [s for s in specs if not self.former.has(s) and not self._takes_screened(s)]
        jobs = [Job(spec, needed=self.prices.head_seconds(spec)) for spec in wanted]
        if jobs and not self.pool.contenders:  # without one there is no run
            jobs[0] = replace(jobs[0], needed=float("-inf"))
        self.crew.run("heads", jobs, partial(self._end, "solved for"), ends=ends)
        self._put_by([spec for spec in specs if spec in self.pool.specs.values()])  # was made

    def _put_by(self, specs: Sequence[ArmSpec]) -> None:
        """Put time by for the test passes of what is slower than all before it."""
        if self.end.at is None:
            return
        slowest = max([self.each, *(self.prices.each(spec) for spec in specs)])
        more = 2 * len(self.context.dataset.test) * (slowest - self.each)
        self.end.put_by(self.context.budget.load * more)
        self.each = slowest

    # What learns by steps.

    def _halve(self) -> list[tuple[ArmSpec, Standing | None]]:
        """Compare the arms in rungs; return those to train to their end, the best first."""
        few = FEW_STEPS if self.pool.contenders or self.screened else 0
        has_head = bool(self.pool.contenders)
        left = self._left_for_steps
        plan = self.context.decisions.settle(
            "arms",
            lambda: plan_arms(self.context, self.entries, self.prices, left, few, has_head),
        )
        arms = [ArmSpec(**spec) for spec in plan["arms"]]
        self.dropped = [ArmSpec(**spec) for spec, _ in plan["dropped"]]
        arms = [arm for arm in arms if not self.former.has(arm)]
        self._put_by(arms)
        self.prices.keep_spare(arms)
        for spec, why in plan["dropped"]:
            self._tell_dropped(ArmSpec(**spec), why)
        if len(arms) < 2:
            return [(arm, None) for arm in arms]
        emit("stage", text=f"Comparing {len(arms)} ways of fine-tuning")
        ends = time.monotonic() + SHARES["rungs"].share * self._left
        ordered: list[tuple[ArmSpec, Standing | None]] = []
        for rung in range(_MOST_RUNGS):
            standings = self._rung(arms, rung)
            kept = survivors([(s, one.loss) for s, one in standings.items()], is_first=rung == 0)
            later = [(arm, standings[arm]) for arm in arms if arm not in kept]
            later = [one for one in later if one[1].loss < float("inf")]
            # those that went further stand before those that were dropped earlier
            ordered = [*sorted(later, key=lambda one: one[1].loss), *ordered]
            arms = list(kept)
            first = [(arm, standings[arm]) for arm in arms]
            if len(arms) < 2 or not self._has_time(arms, rung + 1, ends):
                break
        return [*first, *ordered]

    def _tell_dropped(self, spec: ArmSpec, why: str) -> None:
        """Note that an arm is not tried; what a finished run has tried stays as it was told."""
        if spec.name not in self.pool.rows:
            self.pool.tell(spec, None, f"not tried: {why}")

    def _rung(self, arms: Sequence[ArmSpec], rung: int) -> dict[ArmSpec, Standing]:
        """Advance every arm to the end of a rung; return how each stands."""
        name = f"rung {rung + 1}"
        decisions = self.context.decisions
        found: dict[ArmSpec, Standing] = {}

        def settle(spec: ArmSpec, standing: Standing | None, why: str = "") -> None:
            lost = standing or Standing(float("inf"), None, 0, 0.0)
            told = decisions.settle(f"{name}: {spec.name}", lambda: Decided(lost.to_json()))
            found[spec] = kept = Standing.from_json(told)
            if standing is not None or why or spec.name not in self.pool.rows:
                self.pool.tell(spec, kept, why or f"{kept.step} steps, {name}")

        jobs = []
        for spec in arms:
            if decisions.holds(f"{name}: {spec.name}"):
                settle(spec, None)
                continue
            cost = self.prices.cost(spec)
            to_step = rung_steps(cost.first_steps, rung)
            most = 2 * cost.of(to_step) if self._left < float("inf") else None
            jobs.append(Job(spec, to_step, most))

        def done(one: JobOutcome) -> None:
            self.pool.curves[one.spec.name] = one.curve
            settle(one.spec, one.standing, one.why)

        self.crew.run(name, jobs, done)
        return {spec: found[spec] for spec in arms}

    def _has_time(self, arms: Sequence[ArmSpec], rung: int, ends: float) -> bool:
        """Settle whether a rung fits the time for rungs."""

        def decide() -> Decided[bool]:
            needed = 0.0
            for arm in arms:
                cost = self.prices.cost(arm)
                # an arm of a finished run begins anew: its state is no longer there
                done = rung_steps(cost.first_steps, rung - 1) if self.crew.is_begun(arm) else 0
                needed += cost.of(rung_steps(cost.first_steps, rung) - done)
            needed /= self.crew.at_once(len(arms))
            is_unlimited = self._left == float("inf")
            return Decided(is_unlimited or time.monotonic() + needed < ends)

        return self.context.decisions.settle(f"time for rung {rung + 1}", decide)

    def _train(self, ordered: Sequence[tuple[ArmSpec, Standing | None]]) -> None:
        """Train the best arm to its end, and the next ones where there is time.

        One after the other where a process is alone; several processes train one each at a time.
        """
        finals = [one for one in ordered if not self.former.has(one[0])][:_MOST_FINALS]
        at_once = self.crew.at_once(len(finals))
        for first in range(0, len(finals), at_once):
            jobs = [
                Job(spec)
                for number, (spec, standing) in enumerate(finals[first : first + at_once], first)
                if self._is_first(number)
                or self._has_time_to_end(spec, standing, f"final {number + 1}")
            ]
            self.crew.run("finals", jobs, partial(self._end, ""))

    def _look_again(self) -> None:
        """Train starts that were refused for want of time, where there is enough of it by now."""
        if self._left == float("inf"):
            return
        of = self.pool.specs
        trained = {of[one.name].start for one in self.pool.contenders if one.is_trained}
        refused: dict[str, ArmSpec] = {}
        for spec in self.dropped:
            if spec.start not in trained and not self.former.has(spec):
                refused.setdefault(spec.start, spec)
        for spec in list(refused.values())[:_MOST_AGAIN]:

            def decide(spec: ArmSpec = spec) -> Decided[dict[str, Any] | None]:
                self.prices.measure_again(spec)
                left = self._left_for_steps
                found = self.prices.affordable(spec, left)
                cost = self.prices.cost(found)
                can = cost.affordable(left / _MARGIN)
                is_enough = can >= min(cost.num_steps, WANTED_STEPS)
                return Decided(asdict(found) if is_enough else None)

            given = self.context.decisions.settle(f"time for {spec.name} after all", decide)
            if given is not None:
                self.crew.run("finals", [Job(ArmSpec(**given))], partial(self._end, ""))

    def _is_first(self, number: int) -> bool:
        """Return whether an arm is trained however little time there is: nothing else has been."""
        return number == 0 and not self.former.models

    def _end(self, note: str, one: JobOutcome) -> None:
        """Note what came of an arm that was to be trained to its end, or solved for."""
        self.pool.curves[one.spec.name] = one.curve
        contender = one.made
        if contender is None or one.standing is None:
            self.pool.tell(one.spec, one.standing, one.why or "diverged")
            return
        self.pool.tell(one.spec, one.standing, told_steps(contender) or note)
        self._add(contender, one.spec)

    def _blend(self) -> None:
        """Average the weights of trainings of the best start, where val says so."""
        best = self.pool.best_of_trained()
        parts = [] if best is None else blendable(self.pool.contenders, best)
        if best is None or len(parts) < 2:
            return
        spec = self.pool.specs[best.name]

        def decide() -> Decided[bool]:
            passes = len(parts) * (len(best.val) + NORM_SAMPLES) * self.prices.each(spec)
            needed = _MARGIN * self.context.budget.load * passes
            return Decided(needed < self._left)

        if not self.context.decisions.settle("time for an average", decide):
            return
        if (found := blend(parts)) is None:
            emit("note", text=f"No average with others is better than {best.name} alone.")
            return
        standing = Standing(*judged(found.made.setup, found.made.tuned.val_logits, best.val), 0, 0)
        self.pool.tell(spec, standing, f"weights of {', '.join(found.names)}", found.made.name)
        self._add(found.made, spec)

    def _lengthen(self) -> None:
        """Train the best arm longer, from its beginning, as there is time and val surely gains.

        A schedule that has cooled down cannot be gone on with; a longer one is another training.
        """
        while (spec := self.pool.best_trained()) is not None:
            longer = replace(spec, length=spec.length * _LONGER)
            # the better one need not be the one that is chosen: what is within noise stands
            is_made = self.former.has(longer) or longer in self.pool.specs.values()
            if is_made or not self._has_time_to_end(longer, None, longer.name):
                return
            self.crew.run("longer", [Job(longer)], partial(self._end, ""))
            made = [c.name for c in self.pool.contenders if self.pool.specs[c.name] == longer]
            if not made or not self.pool.is_surely_better(made[0], spec):
                return

    def _has_time_to_end(self, spec: ArmSpec, standing: Standing | None, what: str) -> bool:
        """Settle whether an arm can be trained to its end in the time that is left."""

        def decide() -> Decided[bool]:
            cost = self.prices.cost(spec)
            done = standing.step if standing and self.crew.is_begun(spec) else 0
            each = cost.step
            if standing is not None and standing.step:
                each = max(0.0, standing.seconds - cost.before) / standing.step
            needed = (cost.num_steps - done) * each + cost.validation
            return Decided(self._left < float("inf") and _MARGIN * needed < self._left)

        return self.context.decisions.settle(f"time for {what}", decide)

    # Which one is handed over.

    def _add(self, contender: Contender, spec: ArmSpec) -> None:
        """Take a model among those that could be handed over; keep the best on the disk."""
        self.pool.add(contender, spec)
        if self.pool.best()[0] is contender:
            self.context.save(contender)

    def _takes_screened(self, spec: ArmSpec) -> bool:
        """Take what the ranking has made of all of train, where that is the same head."""
        setup = self.screened.get(spec.start)
        is_whole = self.context.dataset.schema.facts.is_prepared_at_once
        if setup is None or setup.strategy.loops or not is_whole:
            return False
        self._add_made(spec.name, spec, setup, "solved for while starts were ranked")
        return True

    def _add_screened(self, setup: TrainingSetup) -> None:
        """Take what the ranking has left, too."""
        address = setup.model.encoder.start.address
        if any(c.setup is setup for c in self.pool.contenders):
            return
        spec = ArmSpec(address, setup.strategy.name, size=setup.size)
        name = f"{address} as the ranking left it"
        self._add_made(name, spec, setup, "made while starts were ranked")

    def _add_made(self, name: str, spec: ArmSpec, setup: TrainingSetup, note: str) -> None:
        train, val = self.prices.samples(spec)
        logits = run_batches(setup.model, val, setup.model)
        self.pool.tell(spec, Standing(*judged(setup, logits, val), 0, 0.0), note, name)
        self._add(as_it_stands(name, setup, logits, train, val), spec)

    def _choose(self) -> Found:
        pool = self.pool
        winner, why = pool.best()
        others = [c for c in pool.contenders if c is not winner]
        more = what_more(winner, [spec.name for spec in pool.specs.values()], self.dropped)
        rows = list(pool.rows.values())
        return Found(winner, why, others, rows, self._refit(winner), more)

    def _refit(self, winner: Contender) -> str | None:
        """Fit what is solved for on val too, where that pays and there is time."""
        if winner.is_trained or any(winner is one for one, _ in self.former.served):
            return None
        spec = self.pool.specs[winner.name]
        needed = 0.0 if solver_of(winner.setup).keeps_time else self.prices.head_seconds(spec)
        if 2 * needed > max(0.0, self._left):
            return None
        return refit_on_all(winner, deadline=self.end.at)
